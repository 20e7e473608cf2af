"""Overlap, merging and suppression, against slow definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdmf_cli.intervals import as_intervals, merge, nms, tiou

# Quarters: exact in floating point, and equal ends are common.
NUMBER = st.integers(0, 80).map(lambda quarters: quarters / 4)
INTERVAL = st.tuples(NUMBER, NUMBER).map(sorted)
INTERVALS = st.lists(INTERVAL, max_size=12).map(as_intervals)
ANY = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(0, 1e6)).map(lambda p: (p[0], p[0] + p[1])), max_size=8)


def cells(interval: np.ndarray) -> set[int]:
    """The quarter seconds that a half-open interval contains."""
    return set(range(int(interval[0] * 4), int(interval[1] * 4)))


@given(INTERVALS, INTERVALS)
def test_tiou_is_the_share_of_common_time(a, b):
    found = tiou(a, b)
    assert found.shape == (len(a), len(b))
    for i, first in enumerate(a):
        for j, second in enumerate(b):
            union = cells(first) | cells(second)
            assert found[i, j] == (len(cells(first) & cells(second)) / len(union) if union else 0)


@given(ANY, ANY)
def test_tiou_is_symmetric_and_in_range(a, b):
    found = tiou(a, b)
    assert ((found >= 0) & (found <= 1 + 1e-9)).all()
    np.testing.assert_array_equal(found, tiou(b, a).T)


@given(INTERVALS, st.integers(-40, 40).map(lambda quarters: quarters / 4), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_tiou_knows_no_place_and_no_unit(a, shift, scale):
    np.testing.assert_array_equal(tiou(a, a), tiou(a * scale + shift, a * scale + shift))


@given(INTERVALS, NUMBER)
def test_merge_covers_the_same_time_and_separates(rows, gap):
    found = merge(rows, gap)
    assert (found[1:, 0] - found[:-1, 1] > gap).all()
    inside = set().union(*map(cells, found)) if len(found) else set()
    before = set().union(*map(cells, rows)) if len(rows) else set()
    assert before <= inside
    if gap == 0:
        assert before == inside
    assert set(found[:, 0]) <= set(rows[:, 0])
    assert set(found[:, 1]) <= set(rows[:, 1])


@given(ANY, st.floats(0, 1e5), st.randoms())
def test_merge_is_stable_and_ignores_order(rows, gap, random):
    found = merge(rows, gap)
    np.testing.assert_array_equal(merge(found, gap), found)
    random.shuffle(rows)
    np.testing.assert_array_equal(merge(rows, gap), found)


@settings(max_examples=60)
@given(st.lists(st.tuples(INTERVAL, st.integers(0, 5)), max_size=10), st.integers(0, 4).map(lambda n: n / 4))
def test_nms_keeps_the_best_and_drops_what_they_cover(pairs, threshold):
    rows, scores = as_intervals([row for row, _ in pairs]), np.array([score for _, score in pairs], dtype=float)
    kept = nms(rows, scores, threshold)
    assert sorted(kept, key=lambda i: (-scores[i], i)) == kept.tolist()
    overlaps = tiou(rows, rows)
    for i in range(len(rows)):
        better = [k for k in kept if (-scores[k], k) < (-scores[i], i)]
        assert (i in kept) == all(overlaps[k, i] <= threshold for k in better)


def test_examples():
    assert tiou([[0, 10]], [[5, 15], [10, 20], [0, 10]]).tolist() == [[pytest.approx(1 / 3), 0, 1]]
    assert merge([[5, 6], [0, 2], [2, 3], [1, 4]], 0.5).tolist() == [[0, 4], [5, 6]]
    assert merge([[0, 1], [2, 3]], 1).tolist() == [[0, 3]]
    assert nms([[0, 10], [1, 10], [20, 30]], [0.5, 0.9, 0.1], 0.5).tolist() == [1, 2]
    assert nms([], [], 0.5).tolist() == []
    assert tiou([], [[0, 1]]).shape == (0, 1)


@pytest.mark.parametrize("bad", [[[1, 0]], [[0, np.nan]], [[0, np.inf]], [1, 2], [[1, 2, 3]]])
def test_what_is_no_interval_is_refused(bad):
    for call in (lambda: tiou(bad, bad), lambda: merge(bad), lambda: nms(bad, [1], 0.5)):
        with pytest.raises(ValueError):
            call()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError):
        merge([[0, 1]], -1)
    with pytest.raises(ValueError):
        nms([[0, 1]], [1, 2], 0.5)
    with pytest.raises(ValueError):
        nms([[0, 1]], [np.nan], 0.5)
