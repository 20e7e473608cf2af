from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import VideoError
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.highlights import SCHEMA, highlight_to_json, highlights
from rdmf_cli.store import Store
from tests import videos
from tests.fakes import FakeEncoder


@pytest.fixture(scope="module")
def scenes() -> Path:
    """Thirty seconds: grey, red, grey, blue, grey again."""
    path = videos.folder() / "highlights.mp4"
    lengths = (("a", "gray", 10), ("b", "red", 3), ("c", "gray", 7), ("d", "blue", 3), ("e", "gray", 7))
    shots = "".join(f"color={colour}:s=96x54:r=10:d={length}[{name}];" for name, colour, length in lengths)
    graph = f"{shots}[a][b][c][d][e]concat=n=5,format=yuv420p"
    videos.run_ffmpeg("-f", "lavfi", "-i", graph, "-c:v", "libx264", path)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


def test_what_is_rare_comes_first(scenes: Path) -> None:
    outcome = highlights(
        [scenes], length_s=6, clip_s=3, encoder=FakeEncoder(), store=None, options=SearchOptions(sample_fps=2)
    )
    [answer] = outcome.answers
    found = sorted((moment.start_s, moment.end_s) for moment in answer.moments)
    assert found == [pytest.approx((10, 13), abs=0.11), pytest.approx((20, 23), abs=0.11)]
    assert len(answer.times_s) == len(answer.saliency) == 60
    assert [moment.score for moment in answer.moments] == sorted((m.score for m in answer.moments), reverse=True)
    assert (answer.query, answer.relevance.confident) == ("", True)


@pytest.mark.parametrize("length_s", [0.5, 2.0, 10.0, 25.0, 200.0])
def test_the_length_is_filled_without_overlap(scenes: Path, length_s: float, store: Store) -> None:
    outcome = highlights(
        [scenes], length_s=length_s, clip_s=4, encoder=FakeEncoder(), store=store, options=SearchOptions(sample_fps=2)
    )
    moments = sorted(outcome.answers[0].moments, key=lambda moment: moment.start_s)
    total_s = sum(moment.length_s for moment in moments)
    assert total_s <= length_s + 1e-6
    assert total_s >= min(length_s, 27) - 1.0
    assert all(one.end_s <= other.start_s + 1e-6 for one, other in pairwise(moments))
    assert all(moment.start_s >= 0 and moment.end_s <= 30.01 for moment in moments)


def test_several_videos_share_the_length(scenes: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(scenes.read_bytes()[:3000])
    encoder = FakeEncoder()
    outcome = highlights(
        [scenes, broken, videos.hard_cuts()],
        length_s=9,
        clip_s=3,
        encoder=encoder,
        store=None,
        options=SearchOptions(sample_fps=2),
    )
    assert [answer.info.path for answer in outcome.answers] == [scenes, videos.hard_cuts()]
    assert [failure.path for failure in outcome.failures] == [str(broken)]
    assert sum(m.length_s for answer in outcome.answers for m in answer.moments) == pytest.approx(9, abs=1)
    with pytest.raises(VideoError):
        highlights([broken], length_s=9, clip_s=3, encoder=encoder, store=None, options=SearchOptions())


def test_the_second_time_nothing_is_encoded(scenes: Path, store: Store) -> None:
    encoder = FakeEncoder()
    first, second = (
        highlights([scenes], length_s=8, clip_s=4, encoder=encoder, store=store, options=SearchOptions())
        for _ in range(2)
    )
    assert encoder.num_images == 60
    assert first.answers[0].moments == second.answers[0].moments
    assert np.array_equal(first.answers[0].saliency, second.answers[0].saliency)


def test_one_frame_is_no_trouble() -> None:
    outcome = highlights(
        [videos.one_frame()], length_s=10, clip_s=5, encoder=FakeEncoder(), store=None, options=SearchOptions()
    )
    [answer] = outcome.answers
    assert answer.saliency.tolist() == [0.5]
    assert len(answer.moments) <= 1


def test_json_has_no_relevance_without_a_query(scenes: Path) -> None:
    outcome = highlights(
        [scenes], length_s=6, clip_s=3, encoder=FakeEncoder(), store=None, options=SearchOptions(sample_fps=2)
    )
    entry = highlight_to_json(outcome.answers[0])
    assert SCHEMA == "rdmf.highlights/1"
    assert (entry["query"], entry["relevance"]) == (None, None)
    assert [moment["rank"] for moment in entry["moments"]] == [1, 2]
