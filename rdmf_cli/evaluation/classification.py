"""Two classes: confusion matrix and what follows from it, AUROC, McNemar's test. Fractions, unrounded.

A clip is called positive if its score is >= the threshold. There are two F1, which differ: `binary_f1` is that of the
positive class, `macro_f1` the mean of both classes'. What would be 0/0 (no clip called positive, say) is 0, as in
scikit-learn.

Everything but the single `auroc` also takes weights (B, N), one row per resample, and then gives one value per row.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def confusion(positive: Bools, called: Bools, weights: Floats | None = None) -> Floats:
    """(B, 4) of true negatives, false positives, false negatives, true positives; B is 1 without weights (B, N)."""
    kinds = np.stack([~positive & ~called, ~positive & called, positive & ~called, positive & called], axis=1)
    rows = np.ones((1, len(positive))) if weights is None else weights
    return np.asarray(rows @ kinds.astype(np.float64))


def figures(counts: Floats) -> dict[str, Floats]:
    """accuracy, precision, recall, binary_f1, macro_f1 of confusions (B, 4), each (B,)."""
    negatives, false_alarms, misses, positives = counts.T
    binary = _ratio(2 * positives, 2 * positives + false_alarms + misses)
    other = _ratio(2 * negatives, 2 * negatives + false_alarms + misses)
    return {
        "accuracy": _ratio(negatives + positives, counts.sum(axis=1)),
        "precision": _ratio(positives, positives + false_alarms),
        "recall": _ratio(positives, positives + misses),
        "binary_f1": binary,
        "macro_f1": (other + binary) / 2,
    }


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Chance that a positive scores above a negative; ties count one half.

    scores (N,), labels (N,) True on positives. Raises ValueError unless both kinds are there and no score is NaN.
    Computed as scikit-learn does, area under the ROC curve without its collinear points, so that the last bit agrees.
    """
    values, positive = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(bool)
    if values.shape != positive.shape or values.ndim != 1 or np.isnan(values).any():
        raise ValueError(f"one score for each label: {values.shape} for {positive.shape}")
    if positive.all() or not positive.any():
        raise ValueError("AUROC needs positives and negatives")
    order = np.argsort(-values, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(values[order])), len(values) - 1)  # last of each score
    hits = np.cumsum(positive[order])[ends].astype(np.float64)
    alarms = 1.0 + ends - hits
    if len(hits) > 2:
        bends = (np.diff(alarms, 2) != 0) | (np.diff(hits, 2) != 0)
        corner = np.concatenate([[True], bends, [True]])
        hits, alarms = hits[corner], alarms[corner]
    recall = np.append(0.0, hits) / hits[-1]
    false_rate = np.append(0.0, alarms) / alarms[-1]
    area = np.float64(np.sum(np.diff(false_rate) * (recall[1:] + recall[:-1]) / 2.0))
    return float(area)


def weighted_auroc(scores: Floats, positive: Bools) -> Callable[[Floats], Floats]:
    """A function from weights (B, N) to AUROC (B,), NaN for a row that leaves only one class. The same figure as
    `auroc` by counting pairs, which needs one sort for all rows.
    """
    _, group = np.unique(scores, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    kind = positive[order]

    def areas(weights: Floats) -> Floats:
        rows = weights[:, order]
        positives = np.add.reduceat(rows * kind, starts, axis=1)
        negatives = np.add.reduceat(rows * ~kind, starts, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        ordered = (positives * (below + 0.5 * negatives)).sum(axis=1)
        ratio: Floats = np.divide(ordered, pairs, out=np.full(len(rows), np.nan), where=pairs > 0)
        return ratio

    return areas


def mcnemar_p(first_correct: Bools, second_correct: Bools) -> float:
    """Exact two-sided p of McNemar's test: do two systems on the same clips differ in accuracy?"""
    only_first = int((first_correct & ~second_correct).sum())
    only_second = int((~first_correct & second_correct).sum())
    discordant = only_first + only_second
    tail = sum(math.comb(discordant, wins) for wins in range(min(only_first, only_second) + 1))
    chance: float = 2 * tail / 2**discordant
    return min(1.0, chance)


def _ratio(part: Floats, whole: Floats) -> Floats:
    ratio: Floats = np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)
    return ratio
