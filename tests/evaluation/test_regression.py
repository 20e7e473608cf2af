"""CCC, Pearson's r and MSE."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdmf_cli.evaluation.regression import agreement

NUMBERS = st.lists(st.tuples(st.integers(-10, 10), st.integers(-10, 10)), min_size=2, max_size=30)


def one(predicted, true):
    found = agreement(np.array(predicted, dtype=float), np.array(true, dtype=float))
    return {name: float(value[0]) for name, value in found.items()}


def test_by_hand():
    found = one([1, 2, 3, 4], [2, 3, 4, 5])  # perfectly correlated, but off by one
    assert found["pearson"] == pytest.approx(1)
    assert found["mse"] == 1
    assert found["ccc"] == pytest.approx(2 * 1.25 / (1.25 + 1.25 + 1))
    assert one([3, 1, 2], [3, 1, 2]) == {"ccc": pytest.approx(1), "pearson": pytest.approx(1), "mse": 0}
    assert one([-1, 1], [1, -1])["ccc"] == pytest.approx(-1)


def test_a_constant_side():
    found = one([0.1, 0.1, 0.1], [1, 2, 3])
    assert found["ccc"] == 0
    assert np.isnan(found["pearson"])
    assert np.isnan(one([0.1, 0.1], [0.1, 0.1])["ccc"])


@settings(deadline=None)
@given(NUMBERS)
def test_against_the_definition(pairs):
    predicted, true = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    found = one(predicted, true)
    assert found["mse"] == pytest.approx(np.mean((predicted - true) ** 2))
    if np.ptp(predicted) and np.ptp(true):
        assert found["pearson"] == pytest.approx(np.corrcoef(predicted, true)[0, 1])
        whole = predicted.var() + true.var() + (predicted.mean() - true.mean()) ** 2
        assert found["ccc"] == pytest.approx(2 * np.cov(predicted, true, bias=True)[0, 1] / whole)
        assert abs(found["ccc"]) <= abs(found["pearson"]) + 1e-9


@settings(deadline=None)
@given(NUMBERS, st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_weights_are_repetitions(pairs, repeats):
    predicted, true = (np.array(column, dtype=float) for column in zip(*pairs, strict=True))
    times = np.array(repeats[: len(pairs)])
    if len(set(np.repeat(predicted, times))) < 2 or len(set(np.repeat(true, times))) < 2:
        return
    weighted = agreement(predicted, true, times[None].astype(float))
    repeated = agreement(np.repeat(predicted, times), np.repeat(true, times))
    for name, value in weighted.items():
        assert value[0] == pytest.approx(repeated[name][0], abs=1e-9)


def test_large_numbers_that_vary_little():
    true = 1e8 + np.array([0.0, 1.0, 2.0, 3.0])
    assert one(true, true)["ccc"] == pytest.approx(1)
