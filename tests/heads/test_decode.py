"""Decoding: whatever the pattern, moments are proper stretches of the video, with borders on cuts where cuts are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rdmf_cli.heads.decode import DecodeConfig, Timeline, moments_of
from rdmf_cli.moments import Moment

Array = NDArray[np.float64]
CONFIG = DecodeConfig()
NAN = np.nan


def even(num_snippets: int, cuts: dict[int, float] | None = None, spacing_s: float = 0.5) -> Timeline:
    """`cuts`: time of the cut before a snippet."""
    cut_s = np.full(num_snippets, NAN)
    for index, time_s in (cuts or {}).items():
        cut_s[index] = time_s
    return Timeline(np.arange(num_snippets) * spacing_s, cut_s, num_snippets * spacing_s)


def decoded(v: list[float], timeline: Timeline, evidence: list[float] | None = None) -> list[Moment]:
    values = np.array(v)
    return [m for m, _ in moments_of(values, values if evidence is None else np.array(evidence), timeline, CONFIG)]


def borders(found: list[Moment]) -> list[tuple[float, float]]:
    return sorted((round(moment.start_s, 6), round(moment.end_s, 6)) for moment in found)


@st.composite
def patterns(draw: st.DrawFn) -> tuple[Array, Array, Timeline]:
    """v and evidence (T,) on a timeline that may be uneven and cut anywhere."""
    count = draw(st.integers(1, 30))
    gaps = draw(st.lists(st.sampled_from([0.04, 0.5, 0.5, 0.5, 1.0, 7.0]), min_size=count, max_size=count))
    starts_s = np.concatenate([[0.0], np.cumsum(gaps)])
    where = st.none() | st.none() | st.sampled_from([0.1, 0.5, 1.0])  # of the way from one snippet to the next
    shares = draw(st.lists(where, min_size=count, max_size=count))
    cut_s = np.full(count, NAN)
    for i, share in enumerate(shares[1:], start=1):
        if share is not None:
            cut_s[i] = starts_s[i - 1] + share * gaps[i - 1]
    value = st.sampled_from([0.0, 0.0, 0.01, 0.04, 0.3, 0.6, 0.9, 1.2]) | st.floats(0, 2)
    v = draw(st.lists(value, min_size=count, max_size=count))
    evidence = draw(st.lists(st.floats(-8, 8), min_size=count, max_size=count))
    return np.array(v), np.array(evidence), Timeline(starts_s[:-1], cut_s, float(starts_s[-1]))


@given(case=patterns())
@settings(max_examples=400, deadline=None)
def test_moments_are_proper_stretches_of_the_video(case: tuple[Array, Array, Timeline]) -> None:
    v, evidence, timeline = case
    found = moments_of(v, evidence, timeline, CONFIG)
    for moment, _ in found:
        assert 0 <= moment.start_s < moment.end_s <= timeline.end_s
        assert moment.start_s <= moment.peak_s <= moment.end_s
        assert 0 < moment.score < 1
    strengths = [strength for _, strength in found]
    assert strengths == sorted(strengths, reverse=True)
    scores = [moment.score for moment, _ in found]
    assert scores == sorted(scores, reverse=True)


@given(case=patterns())
@settings(max_examples=400, deadline=None)
def test_moments_share_no_time_and_cross_no_cut(case: tuple[Array, Array, Timeline]) -> None:
    v, evidence, timeline = case
    in_time = sorted((m for m, _ in moments_of(v, evidence, timeline, CONFIG)), key=lambda moment: moment.start_s)
    for earlier, later in pairwise(in_time):
        assert earlier.end_s <= later.start_s
    cuts = timeline.cut_s[~np.isnan(timeline.cut_s)]
    for moment in in_time:
        assert not ((cuts > moment.start_s) & (cuts < moment.end_s)).any()


@given(case=patterns())
@settings(max_examples=400, deadline=None)
def test_a_peak_is_never_lost(case: tuple[Array, Array, Timeline]) -> None:
    """The strongest snippet of every shot lies in a moment, if there is a pattern at all."""
    v, evidence, timeline = case
    found = [moment for moment, _ in moments_of(v, evidence, timeline, CONFIG)]
    firsts = np.flatnonzero(np.concatenate([[True], timeline.is_cut]))
    for first, after in pairwise([*firsts, len(v)]):
        peak = first + int(v[first:after].argmax())
        if v[peak] > CONFIG.floor:
            middle_s = timeline.starts_s[peak]
            if peak == first and first > 0:
                middle_s = max(middle_s, timeline.cut_s[first])
            assert any(m.start_s <= middle_s <= m.end_s for m in found)


@given(case=patterns())
@settings(max_examples=200, deadline=None)
def test_a_pattern_that_touches_a_cut_ends_on_it(case: tuple[Array, Array, Timeline]) -> None:
    v, evidence, timeline = case
    found = [moment for moment, _ in moments_of(v, evidence, timeline, CONFIG)]
    for i in np.flatnonzero(~np.isnan(timeline.cut_s)):
        before = v[:i][::-1]
        shot = before[: int(np.argmax(before <= CONFIG.floor)) if (before <= CONFIG.floor).any() else None]
        reaches = shot.size > 0 and shot[0] == shot.max()  # the peak itself is at the cut
        if reaches and v[i - 1] > CONFIG.floor:
            assert any(moment.end_s == timeline.cut_s[i] for moment in found)


@pytest.mark.parametrize("num_snippets", [1, 2, 9])
@pytest.mark.parametrize("level", [0.0, 0.9 * CONFIG.floor])
def test_below_the_floor_there_is_nothing(num_snippets: int, level: float) -> None:
    assert decoded([level] * num_snippets, even(num_snippets)) == []


@pytest.mark.parametrize("num_snippets", [1, 2, 9])
def test_a_pattern_all_over_is_the_whole_video(num_snippets: int) -> None:
    assert borders(decoded([0.8] * num_snippets, even(num_snippets))) == [(0.0, num_snippets / 2)]


def test_a_border_between_samples_is_where_v_crosses_the_level() -> None:
    [moment] = decoded([0, 0, 0.25, 1, 1, 0, 0], even(7))
    # The level is 0.5: two thirds of the way from 1 down to 0.25, and half of the way down to 0.
    assert (moment.start_s, moment.end_s) == pytest.approx((1.5 - 0.5 * 2 / 3, 2.0 + 0.25))


def test_a_cut_within_a_snippet_draws_the_border() -> None:
    v = [0, 0, 0, 0.2, 1, 1, 1, 0.2, 0, 0, 0]
    assert borders(decoded(v, even(11)))[0] == pytest.approx((1.6875, 3.3125))
    assert borders(decoded(v, even(11, {3: 1.5, 8: 3.6}))) == [(1.5, 3.6)]  # a cut one snippet further out
    far = borders(decoded(v, even(11, {2: 1.0, 9: 4.5})))
    assert far == borders(decoded(v, even(11)))


@pytest.mark.parametrize("index", [3, 4, 5])
@pytest.mark.parametrize("cut", [3, 4, 5, 6])
def test_one_snippet_beside_a_cut_is_a_moment(index: int, cut: int) -> None:
    """Its other border is not drawn to the same cut, which would leave nothing of it."""
    v = [0.0] * 9
    v[index] = 0.8
    for lead_s in (0.0, 0.1, 0.3, 0.45):
        [moment] = decoded(v, even(9, {cut: cut / 2 - lead_s}))
        assert moment.length_s > 0.2
        assert moment.start_s < (index + 0.5) / 2
        assert moment.end_s > index / 2


def test_both_sides_of_a_cut_are_two_moments_that_meet() -> None:
    found = decoded([0, 0, 0.9, 0.9, 0.9, 0.9, 0, 0], even(8, {4: 1.9}))
    assert borders(found) == [(0.75, 1.9), (1.9, 2.75)]


def test_two_peaks_of_one_pattern_with_a_valley_are_two_moments() -> None:
    assert len(decoded([0, 1, 1, 0.3, 1, 1, 0], even(7))) == 2
    assert len(decoded([0, 1, 1, 0.7, 1, 1, 0], even(7))) == 1


def test_stronger_and_longer_is_better() -> None:
    v = [0, 1, 1, 0, 0, 1, 1, 0]
    weak_then_strong = decoded(v, even(8), [0, 1, 1, 0, 0, 3, 3, 0])
    assert [moment.peak_s for moment in weak_then_strong] == [2.5, 0.5]
    longer = decoded([0, 1, 0, 0, 1, 1, 1, 0], even(8), [0, 2, 0, 0, 2, 2, 2, 0])
    assert longer[0].length_s > longer[1].length_s
    alike = decoded(v, even(8), [0, 2, 2, 0, 0, 2, 2, 0])
    assert alike[0].start_s < alike[1].start_s  # of equals the earlier first


def test_the_peak_is_where_the_evidence_is_strongest() -> None:
    [moment] = decoded([0, 1, 1, 1, 0], even(5), [0, 1, 3, 2, 9])
    assert moment.peak_s == 1.0


def test_a_timeline_knows_its_cuts_and_spacing() -> None:
    timeline = Timeline(np.array([0, 0.5, 1.0, 3.0]), np.array([NAN, NAN, 0.8, NAN]), 3.5)
    assert timeline.is_cut.tolist() == [False, True, False]
    assert timeline.spacing_s == 0.5
    assert Timeline(np.zeros(1), np.full(1, NAN), 0.04).spacing_s == 0.04
    assert Timeline(np.zeros(1), np.full(1, NAN), 0.0).spacing_s > 0
