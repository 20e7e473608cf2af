"""Rules without training, on curves whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import baselines
from benchmarks.baselines import BASELINES, Curve

RNG = np.random.default_rng(0)


def curve_of(
    affinity: list[float] | np.ndarray,
    *,
    spacing_s: float = 0.5,
    cuts: tuple[tuple[int, float], ...] = (),
    features: np.ndarray | None = None,
) -> Curve:
    """A curve at even times. cuts: (snippet, time of the cut before its frame)."""
    values = np.asarray(affinity, np.float64)
    count = len(values)
    change, change_time_s = np.zeros(count, np.float32), np.arange(count) * spacing_s
    for index, time_s in cuts:
        change[index], change_time_s[index] = 0.5, time_s
    if features is None:
        features = np.tile(np.array([1.0, 0.0], np.float32), (count, 1))
    return Curve(np.arange(count) * spacing_s, values, features, change, change_time_s, count * spacing_s)


def spans(name: str, curve: Curve) -> list[tuple[float, float]]:
    return [(moment.start_s, moment.end_s) for moment in BASELINES[name](curve, RNG)]


BUMP = [0.1] * 20 + [0.3] * 10 + [0.1] * 30  # 10 s to 15 s


@pytest.mark.parametrize("name", ["threshold 0.5", "threshold 1.0", "agreement", "kadane"])
def test_one_bump_is_found_exactly(name: str) -> None:
    assert spans(name, curve_of(BUMP)) == [(10.0, 15.0)]


def test_otsu_finds_the_bump_blurred_by_its_smoothing() -> None:
    ((start_s, end_s),) = spans("otsu", curve_of(BUMP))
    assert abs(start_s - 10) <= 3
    assert abs(end_s - 15) <= 3


def test_the_last_snippet_reaches_to_the_end_of_the_video() -> None:
    curve = curve_of([0.1, 0.1, 0.1, 0.4])
    longer = Curve(curve.times_s, curve.affinity, curve.features, curve.change, curve.change_time_s, 2.3)
    assert spans("threshold 1.0", longer) == [(1.5, 2.3)]


def test_the_higher_of_two_bumps_comes_first() -> None:
    curve = curve_of([0.1] * 10 + [0.3] * 4 + [0.1] * 10 + [0.4] * 4 + [0.1] * 30)
    assert spans("threshold 0.5", curve) == [(12.0, 14.0), (5.0, 7.0)]


def test_kadane_takes_the_larger_sum_and_then_goes_on_beside_it() -> None:
    curve = curve_of([0.0] * 40 + [0.6] * 3 + [0.0] * 60 + [0.4] * 12 + [0.0] * 40)
    assert spans("kadane", curve)[:2] == [(51.5, 57.5), (20.0, 21.5)]


@given(st.lists(st.integers(-9, 9), min_size=1, max_size=12))
def test_maximum_segment_against_all_segments(values: list[int]) -> None:
    first, after, total = baselines.maximum_segment(np.array(values, np.float64))
    best = max(sum(values[a:b]) for a in range(len(values)) for b in range(a + 1, len(values) + 1))
    assert total == best == sum(values[first:after])


@given(st.lists(st.integers(0, 20), min_size=2, max_size=12))
def test_otsu_threshold_against_all_splits(values: list[int]) -> None:
    numbers = np.array(values, np.float64)

    def between(limit: float) -> float:
        low, high = numbers[numbers <= limit], numbers[numbers > limit]
        return len(low) * len(high) * (low.mean() - high.mean()) ** 2 if len(low) and len(high) else 0.0

    assert between(baselines.otsu_threshold(numbers)) == pytest.approx(max(map(between, values)))


def test_smoothing_keeps_a_constant_and_uses_true_times() -> None:
    times_s = np.array([0.0, 0.1, 5.0, 30.0])
    assert baselines.smoothed(times_s, np.full(4, 0.3), 3.0) == pytest.approx(np.full(4, 0.3))
    assert baselines.smoothed(times_s, np.array([0.0, 0.0, 0.0, 1.0]), 3.0)[3] == pytest.approx(1.0)


def test_shots_end_on_cuts_and_merge_alike_neighbours() -> None:
    affinity = [0.1] * 8 + [0.4] * 6 + [0.39] * 6 + [0.1] * 10
    curve = curve_of(affinity, cuts=((8, 3.8), (14, 6.9), (20, 9.7)))
    best = BASELINES["shots"](curve, RNG)[0]
    assert (best.start_s, best.end_s) == (3.8, 9.7)
    assert 3.8 <= best.peak_s < 9.7


def test_shots_without_cuts_are_the_whole_video() -> None:
    assert spans("shots", curve_of(BUMP)) == [(0.0, 30.0)]


def test_flooding_takes_every_shot_once() -> None:
    groups = baselines.flooded(np.array([0.1, 0.5, 0.48, 0.1, 0.3]), 0.05)
    assert groups[0] == (1, 3)
    assert sorted(index for low, after in groups for index in range(low, after)) == list(range(5))


def test_agreement_extends_to_pictures_like_the_best_ones() -> None:
    scene = np.array([[0.0, 1.0]] * 10, np.float32)
    other = np.array([[1.0, 0.0]] * 20, np.float32)
    affinity = [0.1] * 20 + [0.12] * 5 + [0.3] * 5 + [0.1] * 20  # only half of the scene matches well
    curve = curve_of(affinity, features=np.concatenate([other, scene, other]))
    assert spans("agreement", curve) == [(10.0, 15.0)]
    assert spans("threshold 1.0", curve) == [(12.5, 15.0)]


@pytest.mark.parametrize("name", [name for name in BASELINES if name not in ("random", "shots")])
def test_a_constant_curve_has_no_moment(name: str) -> None:
    assert spans(name, curve_of([0.2] * 30)) == []


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("count", [1, 2, 3, 50])
def test_moments_are_ranked_and_inside_the_video(name: str, count: int) -> None:
    noise = np.random.default_rng(count)
    features = noise.standard_normal((count, 8)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    curve = curve_of(noise.normal(0.2, 0.1, count), cuts=((count // 2, count // 2 * 0.5),), features=features)
    moments = BASELINES[name](curve, noise)
    scores = [moment.score for moment in moments]
    assert len(moments) <= baselines.MAX_MOMENTS
    assert scores == sorted(scores, reverse=True)
    for moment in moments:
        assert 0 <= moment.start_s < moment.end_s <= curve.duration_s + 1e-9
        assert 0 <= moment.score <= 1


def test_random_depends_on_its_generator_only() -> None:
    curve = curve_of(BUMP)
    once, again, other = (BASELINES["random"](curve, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert once == again != other
