"""Following a video: the moments of an ordinary search, told while the file grows."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rdmf_cli.errors import UsageError
from rdmf_cli.intervals import tiou
from rdmf_cli.media.frames import FrameBatch
from rdmf_cli.media.growing import Growing
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.calibration import calibrate
from rdmf_cli.pipeline.follow import Follower, Told, follow
from rdmf_cli.pipeline.follow_learned import LearnedFollowing
from rdmf_cli.pipeline.following import FollowOptions
from rdmf_cli.pipeline.learned import LearnedMode, open_mode
from rdmf_cli.pipeline.query import Query, encode_queries
from rdmf_cli.pipeline.search import search_videos
from tests import moment_folders
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
    assert follower.promise.delay_s > 25


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


@pytest.fixture(scope="module")
def long_stream() -> Path:
    """Five minutes: grey, and between a red, a blue and a green shot at uneven times, each of another length."""
    path = folder() / "follow-long.ts"
    shots = [("gray", 21), ("red", 9), ("gray", 40), ("blue", 25), ("gray", 33), ("red", 14), ("green", 30)]
    shots += [("gray", 38), ("blue", 6), ("gray", 50), ("red", 12), ("gray", 22)]
    chain = ";".join(f"color={c}:s=96x54:r=4:d={d}[s{i}]" for i, (c, d) in enumerate(shots))
    joined = "".join(f"[s{i}]" for i in range(len(shots)))
    run_ffmpeg(
        "-f", "lavfi", "-i", f"{chain};{joined}concat=n={len(shots)},format=yuv420p", "-c:v", "libx264", "-g", "8", path
    )  # fmt: skip
    return path


def followed(stream: Path, queries: list[str], mode: LearnedMode) -> list[Told]:
    told: list[Told] = []
    growing = Growing(stream, idle_s=0.2)
    follow(
        growing, queries, encoder=FakeEncoder(), store=None, options=FollowOptions(), on_moment=told.append, mode=mode
    )  # fmt: skip
    growing.close()
    return told


def test_a_learned_model_tells_the_moments_of_a_search(long_stream: Path) -> None:
    mode = open_mode("learned", Path(__file__).parents[2] / "models", FakeEncoder())
    assert isinstance(mode, LearnedMode)
    queries = ["something red", "something blue"]
    told = followed(long_stream, queries, mode)
    options = SearchOptions(sample_fps=2.0)
    outcome = search_videos([long_stream], queries, encoder=FakeEncoder(), store=None, options=options, mode=mode)
    assert any(one.seen_s < 290 for one in told)
    for answer in outcome.answers:
        own = [one for one in told if one.query.text == answer.query]
        mine = [(one.moment.start_s, one.moment.end_s) for one in own]
        strong = [m for m in answer.moments if m.score**3 >= answer.moments[0].score ** 3 / 2]
        overlaps = tiou(np.array([(m.start_s, m.end_s) for m in strong]), np.array(mine)).max(axis=1)
        assert overlaps[0] > 0.7
        assert np.mean(overlaps > 0.7) > 0.7
        assert own[-1].relevance.confident == answer.relevance.confident


def test_the_memory_of_a_learned_model_is_bounded() -> None:
    encoder, options = FakeEncoder(), FollowOptions(tolerance=0.999, chunk=16)
    calibration = calibrate(encoder, None)
    encoded = encode_queries([Query("red")], encoder, calibration, None)
    following = LearnedFollowing(LearnedMode("small", moment_folders.network_of()), encoded, calibration, options)
    chance, sizes = np.random.default_rng(0), []
    for start in range(0, 1920, 16):
        rows = chance.normal(size=(16, encoder.dim)).astype(np.float32)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        following.push(rows, (start + np.arange(16)) / 2, np.full(16, np.nan))
        sizes.append(numbers_in(following))
    assert max(sizes[90:]) <= max(sizes[60:90]) * 1.02


def numbers_in(thing: object, seen: set[int] | None = None) -> int:
    """How many numbers all tensors and arrays below `thing` hold."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type):
        return 0
    seen.add(id(thing))
    if isinstance(thing, torch.Tensor):
        return thing.numel()
    if isinstance(thing, np.ndarray):
        return thing.size
    below = list(thing) if isinstance(thing, list | tuple) else list(getattr(thing, "__dict__", {}).values())
    return sum(numbers_in(part, seen) for part in below) + (len(below) if isinstance(thing, list) else 0)


def test_a_fusion_that_looks_at_whole_videos_can_not_follow() -> None:
    encoder = FakeEncoder()
    calibration = calibrate(encoder, None)
    config = replace(moment_folders.SMALL, fusion=replace(moment_folders.SMALL.fusion, kind="self_attention"))
    mode = LearnedMode("static", moment_folders.network_of(config))
    with pytest.raises(UsageError, match="can't use static: its fusion, self_attention, looks at whole videos"):
        Follower(encode_queries([Query("red")], encoder, calibration, None), calibration, OPTIONS, mode)
