"""Following a video: the moments of an ordinary search, told while the file grows."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import UsageError
from rdmf_cli.media.frames import FrameBatch
from rdmf_cli.media.growing import Growing
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.calibration import calibrate
from rdmf_cli.pipeline.follow import Follower, FollowOptions, Told, follow
from rdmf_cli.pipeline.query import encode_queries
from rdmf_cli.pipeline.search import search_videos
from tests.fakes import FakeEncoder
from tests.pipeline.conftest import RED_S
from tests.videos import folder, run_ffmpeg

OPTIONS = FollowOptions(warm_up_s=1.0, lag_s=1.0)


@pytest.fixture(scope="session")
def stream(colours: Path) -> Path:
    """The video of colours as MPEG-TS, which can be read from front to back."""
    path = folder() / "pipeline-colours.ts"
    run_ffmpeg("-i", colours, "-c", "copy", path)
    return path


def test_the_moments_of_a_search(stream: Path) -> None:
    told: list[Told] = []
    growing = Growing(stream, idle_s=0.2)
    seen_s = follow(
        growing, ["something red", "something blue"], encoder=FakeEncoder(), store=None, options=OPTIONS,
        on_moment=told.append,
    )  # fmt: skip
    growing.close()
    outcome = search_videos(
        [stream], ["something red", "something blue"], encoder=FakeEncoder(), store=None, options=SearchOptions()
    )
    assert seen_s == pytest.approx(12.0, abs=0.2)
    for answer in outcome.answers:
        mine = max((t for t in told if t.query.text == answer.query), key=lambda t: t.moment.score)
        best = answer.moments[0]
        assert (mine.moment.start_s, mine.moment.end_s) == pytest.approx((best.start_s, best.end_s), abs=0.02)
        assert mine.relevance.confident == answer.relevance.confident


@pytest.mark.slow
def test_a_moment_is_told_while_the_file_still_grows(stream: Path, tmp_path: Path) -> None:
    content, file = stream.read_bytes(), tmp_path / "growing.ts"
    file.touch()
    growing = Growing(file, idle_s=20)
    told: list[Told] = []
    heard = threading.Event()
    was_whole: list[bool] = []

    def write() -> None:
        """All but the end; that only once a moment was heard."""
        with file.open("ab", buffering=0) as target:
            for start in range(0, len(content) * 9 // 10, 2000):
                target.write(content[start : start + 2000])
                time.sleep(0.01)
            was_whole.append(not heard.wait(60))
        growing.stop()

    def hear(found: Told) -> None:
        told.append(found)
        heard.set()

    writer = threading.Thread(target=write)
    writer.start()
    follow(growing, ["something red"], encoder=FakeEncoder(), store=None, options=OPTIONS, on_moment=hear)
    writer.join()
    growing.close()
    assert was_whole == [False]
    assert (told[0].moment.start_s, told[0].moment.end_s) == pytest.approx(RED_S, abs=0.15)
    assert told[0].seen_s < 12
    line = told[0].to_json()
    assert (line["schema"], line["query"]) == ("rdmf.follow/1", {"text": "something red"})
    assert line["start_s"] < line["peak_s"] < line["end_s"]


def test_gaps_in_the_times_are_filled_as_in_a_search() -> None:
    """A still picture of ten seconds, told in one frame, is no jump."""
    encoder = FakeEncoder()
    calibration = calibrate(encoder, None)
    follower = Follower(encode_queries(["red"], encoder, calibration, None), calibration, OPTIONS)
    frames = np.zeros((3, 32, 32, 3), np.uint8)
    frames[1] = (220, 20, 20)
    batch = FrameBatch(
        frames, np.array([0.0, 10.0, 20.0]), np.array([0, 0.9, 0.9], np.float32), np.array([0, 10, 20.0])
    )
    told = follower.push(encoder.encode_images(frames), batch)
    told += follower.finish(30.0)
    assert [(t.moment.start_s, t.moment.end_s) for t in told] == [(10.0, 20.0)]
    assert follower.delay_s > 25


def test_nothing_asked(stream: Path) -> None:
    growing = Growing(stream, idle_s=0.1)
    with pytest.raises(UsageError, match="query is empty"):
        follow(growing, [" "], encoder=FakeEncoder(), store=None, options=OPTIONS, on_moment=print)
    growing.close()


def test_stopped_at_once(stream: Path) -> None:
    growing = Growing(stream)
    growing.stop()
    assert follow(growing, ["red"], encoder=FakeEncoder(), store=None, options=OPTIONS, on_moment=print) == 0.0
    growing.close()
