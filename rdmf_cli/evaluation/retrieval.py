"""Moment retrieval: R1, R5, mIoU and mAP of many queries at once, by the rules of QVHighlights' evaluators.

Predictions of a query are rows (start s, end s[, score]) in the order the system gave them, best first; truths are
rows (start s, end s). All results are fractions in [0, 1], not percent, and unrounded.

- R1 and mIoU look at the first row only, R5 at the first five, in the given order, not at the highest scores. Their
  tIoU divides by the hull of the two intervals.
- AP takes the first 10 rows, then sorts them by score, stable: the order of the file breaks ties. Each truth is found
  once, the one with the largest tIoU first and among equals the later one; a second find is a false alarm unless it
  reaches another truth that is still free. The area is that under the precision envelope over all recall steps ("all
  points", VOC 2011 and ActivityNet): not the 11- or 101-point average. Its tIoU divides by the union of lengths.
- mAP is the mean over queries of the query's own AP (not pooled), then over tIoU 0.5, 0.55 ... 0.95.

Two differences on purpose: a query without predictions counts as 0 (reference evaluators leave it out of mAP and stop
with an error in R1), and two windows of length 0 overlap by 0 (there 0/0, which passes every threshold).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdmf_cli.evaluation.conventions import TIOU_THRESHOLDS, Convention, LengthRange
from rdmf_cli.intervals import as_intervals, overlap_ratios

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MAX_WINDOWS = 10  # predictions per query that count for AP


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of Q queries, each list padded to the longest one's length K."""

    rows: Floats  # (Q, K, 2) or (Q, K, 3): start s, end s[, score]
    valid: Bools  # (Q, K), False on padding

    @property
    def counts(self) -> NDArray[np.int64]:
        """(Q,) windows of each query."""
        return np.asarray(self.valid.sum(axis=1), dtype=np.int64)

    def of(self, queries: Bools) -> Windows:
        """Only the queries where `queries` (Q,) is True."""
        return Windows(self.rows[queries], self.valid[queries])

    def within(self, limits: LengthRange) -> Windows:
        """Without the windows whose length is not in the range; they become padding."""
        if limits.is_everything:
            return self
        lengths_s = self.rows[..., 1] - self.rows[..., 0]
        return Windows(self.rows, self.valid & (lengths_s > limits.low_s) & (lengths_s <= limits.high_s))


@dataclass(frozen=True, eq=False)
class RangeFigures:
    """What retrieval reaches on the queries with a true window in one range of length; one row per such query."""

    member: Bools  # (Q,) which of all queries these are, R in number
    first_tiou: Floats  # (R,) of the first prediction with its best truth
    first_five_tiou: Floats  # (R,) best of the first five
    average_precision: Floats  # (R, 10) at TIOU_THRESHOLDS


def pad(lists: Sequence[Floats], columns: int, limit: int | None = None) -> Windows:
    """One (K, columns) array per query -> `Windows` with the first `limit` rows of each."""
    kept = [rows[:limit] for rows in lists]
    counts = np.array([len(rows) for rows in kept], dtype=np.int64)
    width = max(1, int(counts.max(initial=0)))
    valid = np.arange(width)[None, :] < counts[:, None]
    padded = np.zeros((len(kept), width, columns))
    if counts.any():
        padded[valid] = np.concatenate([rows.reshape(-1, columns) for rows in kept])
    return Windows(padded, valid)


def best_tious(predictions: Windows, truths: Windows, first: int = 1) -> Floats:
    """Largest tIoU (by hull) of the first `first` predictions with any truth of the query: (Q,); 0 without any."""
    overlaps = overlap_ratios(predictions.rows[:, :first, :2], truths.rows, hull=True)  # (Q, first, M)
    counted = predictions.valid[:, :first, None] & truths.valid[:, None, :]
    best: Floats = np.where(counted, overlaps, 0.0).max(axis=(1, 2), initial=0.0)
    return best


def batch_average_precisions(
    predictions: Windows, truths: Windows, thresholds: Sequence[float], max_windows: int = MAX_WINDOWS
) -> Floats:
    """AP of each query at each threshold: predictions (Q, K, 3), truths (Q, M, 2), M >= 1 valid -> (Q, thresholds)."""
    rows, valid = predictions.rows[:, :max_windows], predictions.valid[:, :max_windows]
    order = np.argsort(np.where(valid, -rows[..., 2], np.inf), axis=1, kind="stable")
    rows = np.take_along_axis(rows, order[..., None], axis=1)  # padding stays last: it is infinitely bad
    overlaps = overlap_ratios(rows[..., :2], truths.rows)  # (Q, K, M)
    overlaps[~valid] = -1.0  # reaches no threshold
    found = _found(overlaps, truths.valid, np.asarray(thresholds, dtype=np.float64))
    return _envelope_area(found, valid, truths.counts)


def figures_by_range(predictions: Windows, truths: Windows, convention: Convention) -> dict[str, RangeFigures]:
    """Every range of the convention, also those without a query (their arrays are empty)."""
    result: dict[str, RangeFigures] = {}
    for limits in convention.ranges:
        kept = truths.within(limits)
        if convention.empty == "full" and not kept.valid.any():
            kept = truths  # UniVTG's filter gives everything back where it leaves nothing
        member: Bools = np.any(kept.valid, axis=1)
        result[limits.name] = _figures(member, predictions.of(member), kept.of(member))
    return result


def _figures(member: Bools, predictions: Windows, truths: Windows) -> RangeFigures:
    return RangeFigures(
        member,
        best_tious(predictions, truths),
        best_tious(predictions, truths, first=5),
        batch_average_precisions(predictions, truths, TIOU_THRESHOLDS),
    )


def _found(overlaps: Floats, free: Bools, thresholds: Floats) -> Bools:
    """Which predictions find a truth. overlaps (Q, K, M), best prediction first; free (Q, M) -> (Q, thresholds, K)."""
    num_queries, num_predictions, num_truths = overlaps.shape
    still_free = np.repeat(free[:, None, :], len(thresholds), axis=1)  # (Q, thresholds, M)
    found = np.zeros((num_queries, len(thresholds), num_predictions), dtype=bool)
    for rank in range(num_predictions):
        row = overlaps[:, rank, None, :]
        candidates = np.where(still_free & (row >= thresholds[:, None]), row, -1.0)
        # The last of the largest: reference evaluators read an ascending sort from its end.
        best = num_truths - 1 - np.argmax(candidates[..., ::-1], axis=2)[..., None]
        hit = np.take_along_axis(candidates, best, axis=2) >= 0
        left = np.take_along_axis(still_free, best, axis=2) & ~hit
        np.put_along_axis(still_free, best, left, axis=2)
        found[..., rank] = hit[..., 0]
    return found


def _envelope_area(found: Bools, valid: Bools, num_truths: NDArray[np.int64]) -> Floats:
    """Area under max-to-the-right precision over recall. found (Q, T, K), valid (Q, K), num_truths (Q,) -> (Q, T)."""
    hits = np.cumsum(found, axis=2)
    precision = np.where(valid[:, None, :], hits / np.arange(1, found.shape[2] + 1), 0.0)
    envelope = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    recall = hits / num_truths[:, None, None]
    steps = np.diff(recall, axis=2, prepend=0.0) * envelope
    area: Floats = np.zeros(found.shape[:2])
    for rank in range(found.shape[2]):  # one after the other, as the references add: numpy's sum pairs terms up
        area += steps[..., rank]
    return area


# --- from lists, one call per figure ----------------------------------------------------------------------------------


def r1_at(predictions: Sequence[ArrayLike], truths: Sequence[ArrayLike], threshold: float) -> float:
    """Share of queries whose first window overlaps some truth with tIoU >= `threshold`.

    predictions: one (K, 2) or (K, 3) per query; truths: one (M, 2) per query. Raises ValueError as `mean_ap` does.
    """
    rows, true = _paired(predictions, truths)
    return float(np.mean(best_tious(pad([row[:, :2] for row in rows], 2, limit=1), true) >= threshold))


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
    rows, true = _paired(predictions, truths)
    if any(row.shape[1] != 3 for row in rows):
        raise ValueError("average precision needs a score for each window")
    table = batch_average_precisions(pad(rows, 3, limit=max_windows), true, thresholds, max_windows)
    # First over queries, then over thresholds: the reference's order, so that the last bit agrees, too.
    return float(np.mean(np.mean(table, axis=0)))


def average_precisions(rows: ArrayLike, truth: ArrayLike, thresholds: Sequence[float]) -> Floats:
    """AP of one query, all its rows counted: rows (K, 3), truth (M, 2) -> (thresholds,) in [0, 1]."""
    predicted = _rows(rows)
    if predicted.shape[1] != 3:
        raise ValueError("average precision needs a score for each window")
    true = pad([as_intervals(truth)], 2)
    found: Floats = batch_average_precisions(pad([predicted], 3), true, thresholds, max(1, len(predicted)))[0]
    return found


def _paired(predictions: Sequence[ArrayLike], truths: Sequence[ArrayLike]) -> tuple[list[Floats], Windows]:
    if len(predictions) != len(truths):
        raise ValueError(f"{len(predictions)} predictions for {len(truths)} queries")
    if not len(truths):
        raise ValueError("no queries")
    true = pad([as_intervals(truth) for truth in truths], 2)
    if not true.valid.any(axis=1).all():
        raise ValueError("a query has no true window: leave it out, or measure it with auroc")
    return [_rows(rows) for rows in predictions], true


def _rows(values: ArrayLike) -> Floats:
    rows = np.asarray(values, dtype=np.float64)
    if rows.size == 0:
        return np.zeros((0, 3))
    if rows.ndim != 2 or rows.shape[1] not in (2, 3):
        raise ValueError(f"predictions are (K, 2) or (K, 3), not {rows.shape}")
    return rows
