"""The assignment is the cheapest there is: against all permutations, against SciPy, alone and in a batch."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from rdmf_cli.learn.moments.matcher import assign, cheapest


def total(cost: np.ndarray, chosen: np.ndarray) -> float:
    slots = np.flatnonzero(chosen >= 0)
    return float(cost[slots, chosen[slots]].sum())


def least(cost: np.ndarray) -> float:
    """The cheapest sum over all ways to give each column (or each row) one partner."""
    few, many = sorted(cost.shape)
    wide = cost if cost.shape[0] == few else cost.T
    return min(sum(wide[i, order[i]] for i in range(few)) for order in permutations(range(many), few))


@pytest.mark.parametrize(("slots", "windows"), [(1, 1), (5, 1), (5, 2), (6, 3), (4, 4), (2, 4), (1, 3), (6, 5)])
def test_no_assignment_is_cheaper(slots: int, windows: int) -> None:
    rng = np.random.default_rng(slots * 10 + windows)
    cost = rng.normal(size=(20, slots, windows))
    cost[10:] = cost[10:].round()  # ties
    chosen = assign(cost, np.ones((20, slots), dtype=bool), np.full(20, windows))
    for item in range(20):
        given = chosen[item][chosen[item] >= 0]
        assert len(given) == len(set(given)) == min(slots, windows)
        assert total(cost[item], chosen[item]) == pytest.approx(least(cost[item]))


def test_the_same_as_scipy() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(0)
    for shape in ((12, 7), (7, 12), (30, 30), (40, 9)):
        cost = rng.normal(size=shape)
        rows, columns = cheapest(cost)
        assert len(set(rows)) == len(set(columns)) == min(shape)
        assert cost[rows, columns].sum() == pytest.approx(cost[optimize.linear_sum_assignment(cost)].sum())


def test_a_batch_is_its_items_and_padding_never_matters() -> None:
    rng = np.random.default_rng(1)
    cost = rng.normal(size=(6, 7, 5))
    counts = np.array([0, 1, 2, 3, 5, 4])
    usable = rng.random((6, 7)) < 0.8
    usable[4] = [True, False, False, True, False, False, False]  # fewer slots than windows
    chosen = assign(cost, usable, counts)
    assert (chosen[~usable] == -1).all()
    assert (chosen[0] == -1).all()
    for item, count in enumerate(counts):
        slots = np.flatnonzero(usable[item])
        assert (chosen[item] < count).all()
        assert (chosen[item] >= 0).sum() == min(count, len(slots))
        if count:
            own = cost[item][slots][:, :count]
            assert total(cost[item], chosen[item]) == pytest.approx(least(own))


def test_no_slot_at_all() -> None:
    chosen = assign(np.zeros((3, 4, 2)), np.zeros((3, 4), dtype=bool), np.array([1, 2, 0]))
    assert (chosen == -1).all()
