"""Highlights: small cases by hand, and all queries at once against the definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.evaluate import highlights_at_once, highlights_one_by_one, made_up
from rdmf_cli.evaluation.highlights import (
    LEVELS,
    best_labels,
    domain_means,
    highlight_precisions,
    hit_at_1,
    num_clips,
    trapezoid_precision,
    tvsum_precision,
    youtube_precision,
)


def precision(scores, positive):
    """HL-AP of one query whose three annotators agree."""
    labels = np.repeat(np.array(positive)[:, None] * 4, 3, axis=1)
    return highlight_precisions([np.array(scores, dtype=float)], [labels])["VeryGood"][0, 0]


def test_precision_by_hand():
    assert precision([4, 3, 2, 1], [1, 0, 1, 0]) == pytest.approx((1 + 2 / 3) / 2)
    # The envelope: what comes later at a higher recall counts for the earlier point, too.
    assert precision([4, 3, 2, 1], [0, 1, 1, 1]) == pytest.approx(3 / 4)


def test_equal_scores_are_one_point():
    # Two of three positives tie with a negative: one point of precision 2/3 in any order; not weighted by recall.
    for positive in ([1, 0, 1, 0, 1], [0, 1, 1, 0, 1], [1, 1, 0, 0, 1]):
        assert precision([9, 9, 9, 5, 1], positive) == pytest.approx((2 / 3 + 3 / 5) / 2)
    assert precision([7, 7, 7, 7], [1, 0, 0, 0]) == 0.25


def test_nothing_or_everything_positive():
    assert precision([1, 2, 3], [0, 0, 0]) == 0
    assert precision([1, 2, 3], [1, 1, 1]) == 1


def test_scores_are_cut_and_filled_with_zero():
    assert precision([0.1, 0.5, 9.0], [1, 0]) == precision([0.1, 0.5], [1, 0]) == 0.5
    assert precision([-1.0], [1, 0]) == 0.5  # the filling outranks a negative score
    assert precision([], [1, 0]) == 0.5  # one point for both


def test_best_clip_beyond_the_video_is_a_miss():
    labels = [np.array([[0, 0, 4], [2, 1, 0]])] * 4
    scores = [np.array(row, dtype=float) for row in ([2, 1], [1, 2], [1, 1, 9], [3, 3, 3])]
    assert best_labels(scores, labels).tolist() == [4, 2, -1, 4]
    assert best_labels([np.zeros(0)], [labels[0]]).tolist() == [4]


def test_clips_are_whole():
    assert [num_clips(duration_s) for duration_s in (150, 149.9, 3.9, 1)] == [75, 74, 1, 0]


@pytest.mark.parametrize("seed", range(3))
def test_all_at_once_is_one_by_one(seed):
    queries = made_up(40, seed=seed)
    for query in queries[::2]:
        query["saliency"] = np.round(query["saliency"])  # many ties
    assert highlights_at_once(queries) == highlights_one_by_one(queries)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(0, 4)), min_size=1, max_size=12), st.randoms())
def test_order_of_clips_does_not_matter(clips, random):
    def figures(rows):
        labels = np.repeat(np.array([[label] for _, label in rows]), 3, axis=1)
        return highlight_precisions([np.array([score for score, _ in rows], dtype=float)], [labels])

    before = figures(clips)
    random.shuffle(clips)
    for name in LEVELS:
        assert figures(clips)[name] == pytest.approx(before[name])
        assert ((before[name] >= 0) & (before[name] <= 1)).all()


# --- TVSum, YouTube ---------------------------------------------------------------------------------------------------


def test_trapezoids_by_hand():
    assert trapezoid_precision(np.array([1, 1, 1])) == 1
    assert trapezoid_precision(np.array([0, 0])) == 0
    # recall 0, 0, 1 at precision 1, 0, 1/2: only the last step has a width
    assert trapezoid_precision(np.array([0, 1])) == pytest.approx((0 + 0.5) / 2)


def test_tvsum_divides_by_positives_among_the_five_best():
    scores, labels = np.arange(10.0)[::-1], np.zeros((10, 1))
    labels[[0, 1, 8, 9], 0] = 5  # four above the median, two of them among the five best
    assert tvsum_precision(scores, labels) == 1
    assert tvsum_precision(-scores, labels) == 1
    # One annotator whose positives all lie elsewhere counts as 0.
    other = np.zeros((10, 1))
    other[9] = 5
    assert tvsum_precision(scores, np.concatenate([labels, other], axis=1)) == 0.5


def test_earlier_clips_go_first_among_equals():
    labels = np.zeros((10, 1))
    labels[:2] = 5
    assert tvsum_precision(np.ones(10), labels) == 1
    assert tvsum_precision(np.ones(10), labels[::-1]) == 0
    assert youtube_precision(np.ones(4), np.array([1, 0, 0, 0])) == 1


def test_youtube_counts_videos_without_a_positive():
    assert youtube_precision(np.array([0.3, 0.2]), np.array([0, 0])) == 0
    assert domain_means([0.0, 1.0], ["dog", "dog"]) == {"dog": 0.5, "AVG": 0.5}


# --- without labels of clips ------------------------------------------------------------------------------------------


def test_hit_at_1():
    times_s = [0, 2, 4, 6]
    assert hit_at_1(times_s, [0, 1, 3, 2], [[4, 6]])
    assert not hit_at_1(times_s, [0, 1, 2, 3], [[4, 6]])  # the end is outside
    assert not hit_at_1(times_s, [0, 3, 3, 2], [[4, 6]])  # the first of equals
    assert hit_at_1(times_s, [0, 1, 3, 2], [[0, 1], [3, 5]])
    assert not hit_at_1(times_s, [0, 1, 3, 2], [])
    assert not hit_at_1([], [], [[0, 1]])
    with pytest.raises(ValueError):
        hit_at_1(times_s, [1, 2], [[0, 1]])
