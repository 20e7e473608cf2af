"""Percentile intervals by resampling queries with replacement, and paired differences of two systems.

A statistic is a function from weights (B, Q), how often each resample drew each query, to its figures (B, F). So one
formula serves the whole set (all weights 1) and every resample, and two systems are compared on the same draws. Queries
count as independent; those of one video are not quite, so true intervals are somewhat wider.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Floats]

NUM_RESAMPLES = 10_000
SEED = 2026
LIMITS = (2.5, 97.5)  # percent: a 95 % interval
_DRAWS_AT_ONCE = 2_000_000  # bounds memory, whatever the number of queries


def means(values: Floats) -> Statistic:
    """The mean of each column of values (Q, F); a query that does not count in a column is NaN there."""
    counted = (~np.isnan(values)).astype(np.float64)
    filled = np.nan_to_num(values)

    def statistic(weights: Floats) -> Floats:
        number = weights @ counted
        return np.divide(weights @ filled, number, out=np.full_like(number, np.nan), where=number > 0)

    return statistic


def side_by_side(*statistics: Statistic) -> Statistic:
    """The figures of several statistics of the same queries, one after the other."""
    return lambda weights: np.concatenate([one(weights) for one in statistics], axis=1)


def difference(first: Statistic, second: Statistic) -> Statistic:
    """first - second on the same draws."""
    return lambda weights: first(weights) - second(weights)


def interval(
    statistic: Statistic, num_queries: int, *, seed: int = SEED, num_resamples: int = NUM_RESAMPLES
) -> tuple[Floats, Floats]:
    """Lower and upper limit (F,) of the 95 % interval. NaN where no resample gives a figure."""
    drawn = np.concatenate([statistic(weights) for weights in _draws(num_queries, seed, num_resamples)])
    some = ~np.isnan(drawn).all(axis=0)
    limits = np.full((2, drawn.shape[1]), np.nan)
    limits[:, some] = np.nanpercentile(drawn[:, some], LIMITS, axis=0)
    return limits[0], limits[1]


def _draws(num_queries: int, seed: int, num_resamples: int) -> Iterator[Floats]:
    """Weights (B, num_queries), in blocks, `num_resamples` rows in all."""
    rng = np.random.default_rng(seed)
    block = max(1, _DRAWS_AT_ONCE // num_queries)
    for start in range(0, num_resamples, block):
        rows = min(block, num_resamples - start)
        places = rng.integers(0, num_queries, (rows, num_queries)) + np.arange(rows)[:, None] * num_queries
        counts = np.bincount(places.ravel(), minlength=rows * num_queries)
        yield counts.reshape(rows, num_queries).astype(np.float64)
