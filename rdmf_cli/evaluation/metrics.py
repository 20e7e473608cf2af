"""Metrics of moment retrieval, by the conventions of the QVHighlights evaluator (moment_detr `standalone_eval`).

Predictions of a query are rows (start s, end s[, score]) in the order the system gave them, best first; truths are
rows (start s, end s). All results are fractions in [0, 1], not percent, and unrounded.

- R1 looks at the first row only, in the given order, not at the highest score.
- AP takes the first 10 rows, then sorts them by score, stable. Each truth is found once; a second find is a false
  alarm unless it reaches another truth that is still free. The area is that under the precision envelope over all
  recall steps ("all points", VOC 2011 and ActivityNet): not the 11- or 101-point average.
- mAP is the mean over queries of the query's own AP (not pooled), then over tIoU 0.5, 0.55 ... 0.95.

One difference on purpose: a query without predictions counts as 0 (the reference evaluator leaves it out of mAP and
stops with an error in R1).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdmf_cli.intervals import as_intervals, tiou

Floats = NDArray[np.float64]

# Through text: 0.55 must be the double nearest to 0.55, not what 0.5 + 0.05 happens to give.
TIOU_THRESHOLDS: tuple[float, ...] = tuple(float(f"{percent / 100:.2f}") for percent in range(50, 100, 5))
MAX_WINDOWS = 10  # predictions per query that count for AP


def r1_at(predictions: Sequence[ArrayLike], truths: Sequence[ArrayLike], threshold: float) -> float:
    """Share of queries whose first window overlaps some truth with tIoU >= `threshold`.

    predictions: one (K, 2) or (K, 3) per query; truths: one (M, 2) per query. Raises ValueError as `mean_ap` does.
    """
    pairs = _paired(predictions, truths)
    return float(np.mean([_first_tiou(rows, truth) >= threshold for rows, truth in pairs]))


def mean_ap(
    predictions: Sequence[ArrayLike],
    truths: Sequence[ArrayLike],
    thresholds: Sequence[float] = TIOU_THRESHOLDS,
    max_windows: int = MAX_WINDOWS,
) -> float:
    """Mean average precision over queries and tIoU `thresholds`; see the module for the convention.

    predictions: one (K, 3) with scores per query; truths: one (M, 2), M >= 1, per query. Raises ValueError if the
    two differ in length, there are no queries, or a query has no truth.
    """
    pairs = _paired(predictions, truths)
    table = [average_precisions(rows[:max_windows], truth, thresholds) for rows, truth in pairs]  # (Q, thresholds)
    # First over queries, then over thresholds: the reference's order, so that the last bit agrees, too.
    return float(np.mean(np.mean(np.array(table), axis=0)))


def average_precisions(rows: ArrayLike, truth: ArrayLike, thresholds: Sequence[float]) -> Floats:
    """Average precision of one query at each threshold. rows (K, 3), truth (M, 2) -> (thresholds,) in [0, 1]."""
    predicted, true = _rows(rows), as_intervals(truth)
    if len(predicted) == 0:
        return np.zeros(len(thresholds))
    if predicted.shape[1] != 3:
        raise ValueError("average precision needs a score for each window")
    predicted = predicted[np.argsort(-predicted[:, 2], kind="stable")]
    overlaps = tiou(predicted[:, :2], true)  # (K, M)
    return np.array([_envelope_area(_found(overlaps, limit), len(true)) for limit in thresholds])


def hit_at_1(times_s: ArrayLike, saliency: ArrayLike, windows: ArrayLike) -> bool:
    """True if the time of the best snippet lies inside a true window (start included, end not).

    times_s (T,), saliency (T,), windows (M, 2). Among equal maxima the first counts, as in the reference evaluator.
    No snippets or no windows: False. Raises ValueError if times and saliency differ in length.
    """
    times, values, true = np.asarray(times_s, dtype=np.float64), np.asarray(saliency), as_intervals(windows)
    if times.shape != values.shape or times.ndim != 1:
        raise ValueError(f"one saliency for each time: {values.shape} for {times.shape}")
    if times.size == 0:
        return False
    best_s = times[int(np.argmax(values))]
    return bool(((true[:, 0] <= best_s) & (best_s < true[:, 1])).any())


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Chance that a positive scores above a negative; ties count one half.

    scores (N,), labels (N,) True on positives. Raises ValueError unless both kinds are there and no score is NaN.
    """
    values, positive = np.asarray(scores, dtype=np.float64), np.asarray(labels).astype(bool)
    if values.shape != positive.shape or values.ndim != 1 or np.isnan(values).any():
        raise ValueError(f"one score for each label: {values.shape} for {positive.shape}")
    if positive.all() or not positive.any():
        raise ValueError("AUROC needs positives and negatives")
    _, group = np.unique(values, return_inverse=True)
    positives = np.bincount(group[positive], minlength=group.max() + 1).astype(np.float64)
    negatives = np.bincount(group[~positive], minlength=group.max() + 1).astype(np.float64)
    below = np.cumsum(negatives) - negatives
    return float(np.sum(positives * (below + 0.5 * negatives)) / (positives.sum() * negatives.sum()))


def _paired(predictions: Sequence[ArrayLike], truths: Sequence[ArrayLike]) -> list[tuple[Floats, Floats]]:
    if len(predictions) != len(truths):
        raise ValueError(f"{len(predictions)} predictions for {len(truths)} queries")
    pairs = [(_rows(rows), as_intervals(truth)) for rows, truth in zip(predictions, truths, strict=True)]
    if not pairs:
        raise ValueError("no queries")
    if any(len(truth) == 0 for _, truth in pairs):
        raise ValueError("a query has no true window: leave it out, or measure it with auroc")
    return pairs


def _rows(values: ArrayLike) -> Floats:
    rows = np.asarray(values, dtype=np.float64)
    if rows.size == 0:
        return np.zeros((0, 3))
    if rows.ndim != 2 or rows.shape[1] not in (2, 3):
        raise ValueError(f"predictions are (K, 2) or (K, 3), not {rows.shape}")
    return rows


def _first_tiou(rows: Floats, truth: Floats) -> float:
    return float(tiou(rows[:1, :2], truth).max()) if len(rows) else 0.0


def _found(overlaps: Floats, threshold: float) -> NDArray[np.bool_]:
    """Which predictions find a truth. overlaps (K, M), best prediction first -> (K,)."""
    free = np.ones(overlaps.shape[1], dtype=bool)
    found = np.zeros(len(overlaps), dtype=bool)
    for rank, row in enumerate(overlaps):
        # Reversed ascending sort, as in the reference: among equal overlaps the later truth is tried first.
        for index in np.argsort(row, kind="stable")[::-1]:
            if row[index] >= threshold and free[index]:
                free[index], found[rank] = False, True
                break
    return found


def _envelope_area(found: NDArray[np.bool_], num_truths: int) -> float:
    """Area under max-to-the-right precision over recall. found (K,), best first -> [0, 1]."""
    hits = np.cumsum(found)
    precision = np.concatenate([[0.0], hits / np.arange(1, len(found) + 1), [0.0]])
    recall = np.concatenate([[0.0], hits / num_truths, [1.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(np.sum((recall[steps] - recall[steps - 1]) * envelope[steps]))
