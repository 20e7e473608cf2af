"""Moment retrieval: small cases worked out by hand, invariants, and all queries at once against one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.evaluate import made_up, moments_at_once, moments_one_by_one
from rdmf_cli.evaluation.conventions import CONVENTIONS, EMPTY_THRESHOLDS, TIOU_THRESHOLDS, LengthRange
from rdmf_cli.evaluation.retrieval import (
    average_precisions,
    batch_average_precisions,
    best_tious,
    figures_by_range,
    mean_ap,
    pad,
    r1_at,
)


def test_thresholds_are_the_doubles_one_writes():
    assert TIOU_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    assert CONVENTIONS["univtg"].r1_thresholds == (0.3, 0.35, 0.4, 0.45, *TIOU_THRESHOLDS)
    assert [str(limit) for limit in EMPTY_THRESHOLDS[:4]] == ["0.5", "0.525", "0.55", "0.575"]
    assert len(EMPTY_THRESHOLDS) == 19


def test_r1_looks_at_the_first_in_order():
    truth = [[0, 10], [50, 60]]
    assert r1_at([[[50, 60, 0.1], [90, 99, 0.9]]], [truth], 0.5) == 1
    assert r1_at([[[90, 99, 0.9], [50, 60, 0.1]]], [truth], 0.5) == 0
    assert r1_at([[[0, 5]], []], [truth, truth], 0.5) == 0.5


def test_average_precision_by_hand():
    truth = [[0, 10], [20, 30]]
    # hit, miss, hit: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1 -> 1/2 * 1 + 1/2 * 2/3
    rows = [[0, 10, 0.9], [50, 60, 0.8], [20, 30, 0.7]]
    assert average_precisions(rows, truth, [0.5])[0] == pytest.approx(0.5 + 1 / 3)
    # a second find of the same moment is a false alarm
    assert average_precisions([[0, 10, 0.9], [0, 10, 0.8]], [[0, 10]], [0.5])[0] == 1
    assert average_precisions([[0, 10, 0.9], [0, 10, 0.8]], truth, [0.5])[0] == 0.5
    # scores decide, not the order
    assert average_precisions([[50, 60, 0.1], [0, 10, 0.9]], [[0, 10]], [0.5])[0] == 1


def test_only_the_first_ten_windows_count():
    wrong = [[90 + i, 91 + i, 0.1] for i in range(10)]
    assert mean_ap([[*wrong, [0, 10, 0.9]]], [[[0, 10]]]) == 0
    assert mean_ap([[*wrong, [0, 10, 0.9]]], [[[0, 10]]], max_windows=11) == 1


def test_query_without_predictions_counts_as_nothing():
    assert mean_ap([[[0, 10, 1.0]], []], [[[0, 10]], [[0, 10]]]) == 0.5


def test_mistakes_are_refused():
    for predictions, truths in [([], []), ([[[0, 1, 1]]], []), ([[[0, 1, 1]]], [[]])]:
        with pytest.raises(ValueError):
            mean_ap(predictions, truths)
        with pytest.raises(ValueError):
            r1_at(predictions, truths, 0.5)
    with pytest.raises(ValueError, match="score"):
        mean_ap([[[0, 1]]], [[[0, 1]]])


SECONDS = st.integers(0, 40)
TRUTH = st.lists(st.tuples(SECONDS, st.integers(1, 20)).map(lambda p: (p[0], p[0] + p[1])), min_size=1, max_size=4)


@settings(deadline=None)
@given(TRUTH, st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_truth_itself_is_perfect(truth, scores):
    truth = sorted(set(truth))
    rows = [[*window, score] for window, score in zip(truth, scores, strict=False)]
    assert mean_ap([rows], [truth]) == pytest.approx(1)
    assert r1_at([rows], [truth], 1.0) == 1


@settings(deadline=None)
@given(TRUTH, TRUTH)
def test_higher_thresholds_are_harder_and_shares_stay_shares(truth, windows):
    rows = [[*window, 1 - 0.1 * rank] for rank, window in enumerate(windows)]
    found = average_precisions(rows, truth, [0.1, 0.3, 0.5, 0.7, 0.9])
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()
    shares = [r1_at([rows], [truth], threshold) for threshold in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert shares == sorted(shares, reverse=True)


def batch(*lists):
    return pad([np.array(rows, dtype=float).reshape(len(rows), -1) for rows in lists], len(lists[0][0]))


def test_r5_takes_the_best_of_five_in_the_order_of_the_file():
    rows = [[80, 90, 0.9]] * 4 + [[0, 10, 0.1], [50, 60, 0.2]]
    assert best_tious(batch(rows), batch([[0, 10], [50, 60]]))[0] == 0
    assert best_tious(batch(rows), batch([[0, 10]]), first=5)[0] == 1
    assert best_tious(batch(rows), batch([[50, 60]]), first=5)[0] == 0


def test_equal_overlaps_take_the_later_truth():
    # The first prediction overlaps both truths alike; if it took the earlier one, the second would find nothing.
    truth, rows = [[0, 10], [10, 20]], [[5, 15, 0.9], [0, 10, 0.8]]
    assert average_precisions(rows, truth, [0.3])[0] == 1
    assert average_precisions(rows, truth[::-1], [0.3])[0] == 0.5


def test_scores_that_tie_keep_the_order_of_the_file():
    right, wrong = [0, 10, 0.5], [50, 60, 0.5]
    assert average_precisions([right, wrong], [[0, 10]], [0.5])[0] == 1
    assert average_precisions([wrong, right], [[0, 10]], [0.5])[0] == 0.5


def test_two_windows_of_no_length_overlap_by_nothing():
    assert average_precisions([[5, 5, 0.9]], [[5, 5]], [0.5])[0] == 0
    assert r1_at([[[5, 5]]], [[[5, 5]]], 0.5) == 0


def test_threshold_is_reached_by_equality():
    assert r1_at([[[0, 5]]], [[[0, 10]]], 0.5) == 1
    assert average_precisions([[0, 5, 1]], [[0, 10]], [0.5])[0] == 1


def test_the_two_overlaps_differ_in_the_last_bit():
    """By the hull exactly 0.5, by the union of lengths the double below: R1 counts it, mAP does not."""
    assert r1_at([[[9.7, 21.5]]], [[[9.9, 15.8]]], 0.5) == 1
    assert average_precisions([[9.7, 21.5, 1]], [[9.9, 15.8]], [0.5])[0] == 0


def test_lengths_belong_to_the_lower_range_at_its_end():
    truth = batch([[0, 10], [0, 10.5]], [[0, 30], [0, 0]], [[0, 150], [0, 200]])
    within = {item.name: truth.within(item).valid.tolist() for item in CONVENTIONS["moment_detr"].ranges}
    assert within["short"] == [[True, False], [False, False], [False, False]]
    assert within["middle"] == [[False, True], [True, False], [False, False]]
    assert within["long"] == [[False, False], [False, False], [True, False]]
    assert within["full"] == [[True, True]] * 3
    full, long = CONVENTIONS["univtg"].full, CONVENTIONS["univtg"].ranges[1]
    assert truth.within(full).valid.tolist() == [[True, True], [True, False], [True, True]]
    assert truth.within(long).valid.tolist() == [[False, False], [False, False], [True, True]]


def test_predictions_are_not_filtered_by_length():
    """A long prediction is a false alarm among the short ones."""
    predicted = batch([[0, 100, 0.9], [0, 8, 0.8]])
    figures = figures_by_range(predicted, batch([[0, 8]]), CONVENTIONS["moment_detr"])
    assert figures["short"].average_precision[0, 0] == 0.5
    assert not figures["long"].member.any()


def test_the_eleventh_window_is_not_looked_at():
    predicted = batch([*([[90, 99, 0.1]] * 10), [0, 8, 0.9]])
    figures = figures_by_range(predicted, batch([[0, 8]]), CONVENTIONS["moment_detr"])
    assert figures["full"].average_precision.max() == 0


def test_padding_changes_nothing():
    """A query among longer ones is the query alone."""
    queries = made_up(60, seed=5)
    rows = [query["windows"][: 1 + place % 10] for place, query in enumerate(queries)]
    truths = [query["truth"] for query in queries]
    together = batch_average_precisions(pad(rows, 3), pad(truths, 2), TIOU_THRESHOLDS)
    alone = [average_precisions(row, truth, TIOU_THRESHOLDS) for row, truth in zip(rows, truths, strict=True)]
    np.testing.assert_array_equal(together, alone)


@pytest.mark.parametrize("seed", range(3))
def test_all_at_once_is_one_by_one(seed):
    queries = made_up(80, seed=seed)
    assert moments_at_once(queries) == moments_one_by_one(queries)


def test_windows_without_rows():
    nothing = pad([np.zeros((0, 3)), np.zeros((0, 3))], 3)
    assert nothing.counts.tolist() == [0, 0]
    assert best_tious(nothing, batch([[0, 1]], [[0, 1]])).tolist() == [0, 0]
    assert nothing.within(LengthRange("any", 0, 1)).valid.tolist() == [[False], [False]]
