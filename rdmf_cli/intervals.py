"""Intervals in time: overlap, merging, suppression. Rows are (start, end) in seconds, half-open. The only copy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def as_intervals(values: ArrayLike) -> Floats:
    """Anything that lists (start, end) rows -> (N, 2) float64; an empty list gives (0, 2).

    Raises ValueError for another shape, a value that is not finite, or an end before its start.
    """
    rows = np.asarray(values, dtype=np.float64)
    if rows.size == 0:
        return np.zeros((0, 2))
    if rows.ndim != 2 or rows.shape[1] != 2:
        raise ValueError(f"intervals are (N, 2), not {rows.shape}")
    if not np.isfinite(rows).all() or (rows[:, 0] > rows[:, 1]).any():
        raise ValueError("an interval has finite times and does not end before it starts")
    return rows


def tiou(a: ArrayLike, b: ArrayLike) -> Floats:
    """Temporal intersection over union of each pair.

    a (N, 2), b (M, 2), seconds -> (N, M) in [0, 1]. Union by lengths (|a| + |b| - |a ∩ b|), which is what the
    reference evaluators use for mAP. Touching intervals share nothing; two of length 0 give 0, not NaN.
    """
    return overlap_ratios(as_intervals(a), as_intervals(b))


def overlap_ratios(a: Floats, b: Floats, *, hull: bool = False) -> Floats:
    """`tiou` of many sets at once, without checks: a (..., N, 2), b (..., M, 2), seconds -> (..., N, M) in [0, 1].

    `hull` divides by latest end - earliest start instead of the union by lengths: what reference evaluators do for R1
    and mIoU. The same wherever two intervals overlap, but for the last bit, which counts at a threshold.
    """
    starts, ends = a[..., :, None, 0], a[..., :, None, 1]  # (..., N, 1)
    other_starts, other_ends = b[..., None, :, 0], b[..., None, :, 1]  # (..., 1, M)
    shared = np.clip(np.minimum(ends, other_ends) - np.maximum(starts, other_starts), 0.0, None)
    if hull:
        whole = np.maximum(ends, other_ends) - np.minimum(starts, other_starts)
    else:
        whole = (ends - starts) + (other_ends - other_starts) - shared
    ratio: Floats = np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)
    return ratio


def merge(intervals: ArrayLike, gap: float = 0.0) -> Floats:
    """Join intervals that overlap, touch, or are at most `gap` seconds apart.

    intervals (N, 2) in any order -> (K, 2), sorted, with more than `gap` between neighbours. Raises ValueError for
    a negative gap.
    """
    if gap < 0:
        raise ValueError(f"a gap is 0 s or more, not {gap}")
    rows = as_intervals(intervals)
    if len(rows) == 0:
        return rows
    rows = rows[np.argsort(rows[:, 0], kind="stable")]
    reach = np.maximum.accumulate(rows[:, 1])  # how far anything so far extends: a long one may hide short ones
    # The same difference that a reader of the result would compute, so that rounding can't leave a gap <= `gap`.
    first = np.concatenate([[True], rows[1:, 0] - reach[:-1] > gap])
    last = np.concatenate([first[1:], [True]])
    return np.stack([rows[first, 0], reach[last]], axis=1)


def nms(intervals: ArrayLike, scores: ArrayLike, threshold: float) -> NDArray[np.intp]:
    """Greedy non-maximum suppression: keep the best, drop what overlaps it by more than `threshold`, repeat.

    intervals (N, 2), scores (N,) -> indices of the kept rows, best first; among equal scores the earlier row wins.
    `threshold` is a tIoU in [0, 1]; 1 keeps everything. Raises ValueError if the lengths differ or a score is NaN.
    """
    rows, values = as_intervals(intervals), np.asarray(scores, dtype=np.float64)
    if values.shape != (len(rows),) or np.isnan(values).any():
        raise ValueError(f"one score for each interval: {values.shape} scores, {len(rows)} intervals")
    order = np.argsort(-values, kind="stable")
    kept: list[int] = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[tiou(rows[[best]], rows[rest])[0] <= threshold]
    return np.array(kept, dtype=np.intp)
