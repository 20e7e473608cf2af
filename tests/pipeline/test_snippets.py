"""Stored samples on an even grid: gaps are filled, cut times kept, and no claim becomes memory."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdmf_cli.media.cuts import CUT_THRESHOLD
from rdmf_cli.pipeline import snippets
from rdmf_cli.pipeline.snippets import snippets_of
from rdmf_cli.store import VideoFeatures


def stored(times_s: list[float], duration_s: float, cuts: dict[int, float] | None = None) -> VideoFeatures:
    """Row i of the features says i. `cuts`: time of the cut before a sample."""
    count = len(times_s)
    change, change_time_s = np.zeros(count, np.float32), np.array(times_s, np.float64)
    for index, time_s in (cuts or {}).items():
        change[index], change_time_s[index] = CUT_THRESHOLD + 0.01, time_s
    features = np.repeat(np.arange(count, dtype=np.float32)[:, None], 3, axis=1)
    return VideoFeatures(features, np.array(times_s, np.float64), change, change_time_s, duration_s)


@st.composite
def samples(draw: st.DrawFn) -> tuple[VideoFeatures, float]:
    """What the sampler may give: the first frame of some grid cells, each somewhere in its cell, the first at 0."""
    fps = draw(st.sampled_from([0.1, 0.5, 1.0, 2.0, 3.0, 25.0, 1000.0]))
    steps = draw(st.lists(st.integers(1, 5), min_size=0, max_size=20))
    cells = np.concatenate([[0], np.cumsum(steps)]).astype(int)
    late = draw(st.lists(st.sampled_from([0.0, 0.0, 0.5, 0.99]), min_size=len(cells), max_size=len(cells)))
    times_s = [0.0, *((cells + np.array(late)) / fps).tolist()[1:]]
    held_s = draw(st.sampled_from([0.001, 0.3, 1.0, 4.7])) / fps
    is_cut = draw(st.lists(st.booleans(), min_size=len(cells), max_size=len(cells)))
    cuts = {i: times_s[i] - 0.3 * (times_s[i] - times_s[i - 1]) for i in range(1, len(cells)) if is_cut[i]}
    return stored(times_s, times_s[-1] + held_s, cuts), fps


@given(case=samples())
@settings(max_examples=300, deadline=None)
def test_the_grid_is_even_and_nothing_is_lost(case: tuple[VideoFeatures, float]) -> None:
    video, fps = case
    features, timeline = snippets_of(video, fps)
    rows = features[:, 0].astype(int)
    assert len(rows) == len(timeline.starts_s) == len(timeline.cut_s)
    assert sorted(set(rows.tolist())) == list(range(len(video.times_s)))  # every sample is there
    assert (np.diff(rows) >= 0).all()
    gaps = np.diff(timeline.starts_s)
    assert (gaps > 0).all()
    assert (gaps < 2 / fps).all()  # a frame may come late in its cell, but no cell is left out
    cells = np.floor(timeline.starts_s * fps + 1e-3)
    assert cells.tolist() == list(range(len(cells)))
    firsts = np.flatnonzero(np.diff(rows, prepend=-1))
    assert timeline.starts_s[firsts].tolist() == video.times_s.tolist()  # samples keep their own times
    assert timeline.starts_s[0] == 0
    assert timeline.starts_s[-1] < timeline.end_s
    assert timeline.end_s == pytest.approx(video.duration_s, abs=2e-3)


@given(case=samples())
@settings(max_examples=300, deadline=None)
def test_cut_times_are_kept_and_lie_between_their_snippets(case: tuple[VideoFeatures, float]) -> None:
    video, fps = case
    _, timeline = snippets_of(video, fps)
    cuts = timeline.cut_s[~np.isnan(timeline.cut_s)]
    expected = video.change_time_s[video.change >= CUT_THRESHOLD]
    assert cuts.tolist() == expected.tolist()
    for i in np.flatnonzero(~np.isnan(timeline.cut_s)):
        assert i > 0
        assert cuts[0] > 0
        assert timeline.cut_s[i] <= timeline.starts_s[i] < timeline.end_s
    assert (np.diff(cuts) > 0).all()


def test_an_even_video_stays_as_it_is() -> None:
    video = stored([i / 2 for i in range(10)], 5.0, {4: 1.84})
    features, timeline = snippets_of(video, 2.0)
    np.testing.assert_array_equal(features, video.features)
    np.testing.assert_array_equal(timeline.starts_s, video.times_s)
    assert np.flatnonzero(timeline.is_cut).tolist() == [3]
    assert timeline.cut_s[4] == 1.84
    assert timeline.end_s == 5.0


def test_a_frame_that_stays_is_repeated() -> None:
    features, timeline = snippets_of(stored([0.0, 0.5, 3.2], 3.6, {2: 3.2}), 2.0)
    assert features[:, 0].tolist() == [0, 1, 1, 1, 1, 1, 2, 2]
    assert timeline.starts_s.tolist() == [0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.2, 3.5]
    assert np.flatnonzero(timeline.is_cut).tolist() == [5]  # the cut is where the picture changes, not in the repeats


def test_the_last_frame_lasts_to_the_end() -> None:
    features, timeline = snippets_of(stored([0.0, 0.5], 3.0), 2.0)
    assert features[:, 0].tolist() == [0, 1, 1, 1, 1, 1]
    assert (timeline.starts_s[-1], timeline.end_s) == (2.5, 3.0)


@pytest.mark.parametrize("duration_s", [0.0, 0.04, 0.5])
def test_one_frame(duration_s: float) -> None:
    features, timeline = snippets_of(stored([0.0], duration_s), 2.0)
    assert features.shape == (1, 3)
    assert timeline.starts_s.tolist() == [0]
    assert timeline.end_s > 0
    assert timeline.is_cut.tolist() == []


def test_weak_changes_and_a_change_at_the_start_are_no_cuts() -> None:
    video = stored([0.0, 0.5, 1.0], 1.5, {0: 0.0, 2: 0.9})
    video.change[1] = CUT_THRESHOLD * 0.99
    assert np.isnan(snippets_of(video, 2.0)[1].cut_s).tolist() == [True, True, False]


@pytest.mark.parametrize("days", [1.0, 365.0])
def test_a_claimed_gap_of_days_does_not_become_memory(days: float) -> None:
    end_s = days * 86_400
    for times_s, duration_s in (([0.0, 0.5, end_s], end_s + 1), ([0.0], end_s)):
        features, timeline = snippets_of(stored(times_s, duration_s), 2.0)
        assert len(features) <= len(times_s) + snippets._MAX_FILL
        assert (np.diff(timeline.starts_s) > 0).all()
        assert timeline.end_s == duration_s
        assert set(features[:, 0]) == set(range(len(times_s)))


def test_samples_off_the_grid_are_all_kept() -> None:
    """Another decoder's rounding may put two frames into one cell."""
    features, timeline = snippets_of(stored([0.0, 0.5, 0.9, 1.0], 1.5), 2.0)
    assert features[:, 0].tolist() == [0, 1, 2, 3]
    assert timeline.starts_s.tolist() == [0, 0.5, 0.9, 1.0]
