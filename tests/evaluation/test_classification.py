"""Two classes: by hand, against slow definitions, and weights against repetition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdmf_cli.evaluation.classification import auroc, confusion, figures, mcnemar_p, weighted_auroc

CALLED = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30)


def test_figures_by_hand():
    positive = np.array([1, 1, 1, 0, 0, 0, 0, 0], dtype=bool)
    called = np.array([1, 1, 0, 1, 0, 0, 0, 0], dtype=bool)
    counts = confusion(positive, called)
    assert counts.tolist() == [[4, 1, 1, 2]]
    found = {name: value[0] for name, value in figures(counts).items()}
    assert found["accuracy"] == 6 / 8
    assert found["precision"] == found["recall"] == found["binary_f1"] == pytest.approx(2 / 3)
    assert found["macro_f1"] == pytest.approx((2 / 3 + 4 / 5) / 2)


def test_nothing_called_is_zero_not_nan():
    found = figures(confusion(np.array([True, False]), np.array([False, False])))
    assert (found["precision"][0], found["binary_f1"][0]) == (0, 0)
    assert found["macro_f1"][0] == pytest.approx(1 / 3)


@settings(deadline=None)
@given(CALLED, st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_weights_are_repetitions(pairs, repeats):
    positive, called = np.array(pairs).T
    times = np.array(repeats[: len(pairs)])
    weighted = figures(confusion(positive, called, times[None].astype(float)))
    repeated = figures(confusion(np.repeat(positive, times), np.repeat(called, times)))
    for name, value in weighted.items():
        assert value[0] == pytest.approx(repeated[name][0])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auroc_is_the_share_of_pairs_in_order(pairs):
    scores, labels = np.array([p[0] for p in pairs], dtype=float), np.array([p[1] for p in pairs])
    if labels.all() or not labels.any():
        with pytest.raises(ValueError):
            auroc(scores, labels)
        return
    difference = scores[labels][:, None] - scores[~labels][None, :]
    expected = np.mean((difference > 0) + 0.5 * (difference == 0))
    assert auroc(scores, labels) == pytest.approx(expected)
    assert auroc(-scores, labels) == pytest.approx(1 - expected)
    assert auroc(np.exp(scores), labels) == pytest.approx(expected)


def test_auroc_refuses_nan():
    with pytest.raises(ValueError):
        auroc([np.nan, 1], [0, 1])


def test_auroc_agrees_with_the_last_digit_of_scikit_learn():
    # Computed with scikit-learn 1.9.1 on these very scores.
    rng = np.random.default_rng(7)
    labels = rng.integers(0, 2, 97)
    scores = np.round(rng.normal(labels, 1.0), 1)
    assert auroc(scores, labels) == 0.7302744425385935


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=2, max_size=30))
def test_weighted_auroc_is_auroc_of_repetitions(rows):
    scores, labels, times = (np.array(column) for column in zip(*rows, strict=True))
    area = weighted_auroc(scores.astype(float), labels)(times[None].astype(float))[0]
    kept = np.repeat(labels, times)
    if kept.all() or not kept.any():
        assert np.isnan(area)
    else:
        assert area == pytest.approx(auroc(np.repeat(scores, times), kept))


def test_mcnemar():
    first = np.array([True] * 5 + [False] * 5)
    assert mcnemar_p(first, first) == 1
    assert mcnemar_p(first, ~first) == 1
    assert mcnemar_p(np.ones(10, bool), np.zeros(10, bool)) == 2 / 2**10
