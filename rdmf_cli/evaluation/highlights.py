"""Highlight detection: HL-mAP and HIT@1 of QVHighlights, mAP of TVSum and of YouTube Highlights.

All results are fractions in [0, 1] and unrounded.

QVHighlights, clips of 2 s, three annotators from 0 to 4, positive from 2 (Fair), 3 (Good) or 4 (VeryGood):
- HIT@1: the clip of the first maximum of all scores, also of those beyond the video, which are misses; a hit if any
  annotator calls it positive.
- HL-mAP: mean over queries and annotators of an AP. Scores are cut or filled with 0.0 to the number of clips. Clips of
  equal score form one point of the curve, so their order does not matter. AP is the plain mean of the enveloped
  precision over the points where recall rises, not weighted by how far it rises. No positive: 0; only positives: 1.

TVSum and YouTube Highlights: area under precision over recall by trapezoids, from recall 0 and precision 1.
- TVSum looks at the five best clips only and divides by the positives among these five. Positive for an annotator:
  above the median of her labels. Mean over 20 annotators and the domain's videos.
- YouTube looks at all clips; videos without a positive count as 0. Mean over the domain's videos.
- Tie rule: the sort is stable, so among equal scores the earlier clip comes first. The original's sort is not stable:
  where scores are saturated (many exactly 1.0), published figures hang on how it happened to order them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdmf_cli.intervals import as_intervals

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CLIP_S = 2.0
LEVELS = {"Fair": 2, "Good": 3, "VeryGood": 4}  # the lowest label that is positive
TOP_CLIPS = 5  # of TVSum


def num_clips(duration_s: float) -> int:
    """Whole clips of a QVHighlights video."""
    return int(duration_s / CLIP_S)


# --- QVHighlights -----------------------------------------------------------------------------------------------------


def best_labels(scores: Sequence[Floats], labels: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The highest label any annotator gave the best clip: HIT@1 at a level is `>= level`. -1 beyond the video.

    scores (any,) and labels (clips, 3) per query -> (Q,).
    """
    best = np.full(len(scores), -1, dtype=np.int64)
    for query, (values, given) in enumerate(zip(scores, labels, strict=True)):
        place = int(np.argmax(values)) if len(values) else 0
        if place < len(given):
            best[query] = given[place].max()
    return best


def highlight_precisions(scores: Sequence[Floats], labels: Sequence[NDArray[np.int64]]) -> dict[str, Floats]:
    """AP of each query and annotator, by LEVELS. scores (any,) and labels (clips, 3) per query -> (Q, 3) each."""
    counts = np.array([len(given) for given in labels], dtype=np.int64)
    width = max(1, int(counts.max(initial=0)))
    valid = np.arange(width) < counts[:, None]  # (Q, C)
    values, ranks = np.zeros((len(counts), width)), np.zeros((len(counts), width, 3), dtype=np.int64)
    for query, (row, given) in enumerate(zip(scores, labels, strict=True)):
        kept = row[: len(given)]
        values[query, : len(kept)] = kept
        ranks[query, : len(given)] = given
    order = np.argsort(np.where(valid, -values, np.inf), axis=1, kind="stable")
    values = np.where(valid, np.take_along_axis(values, order, axis=1), np.nan)
    ranks = np.take_along_axis(ranks, order[..., None], axis=1)
    # A point of the curve lies at the last clip of each score; padding (NaN) differs from everything.
    is_point = valid & np.append(values[:, 1:] != values[:, :-1], np.ones((len(counts), 1), dtype=bool), axis=1)
    return {
        name: np.stack([_pointwise_mean(ranks[..., rater] >= level, is_point, counts) for rater in range(3)], axis=1)
        for name, level in LEVELS.items()
    }


def _pointwise_mean(positive: Bools, is_point: Bools, counts: NDArray[np.int64]) -> Floats:
    """Mean enveloped precision over the points at which recall rises. positive, is_point (Q, C), best first -> (Q,)."""
    hits = np.cumsum(positive, axis=1)
    precision = np.where(is_point, hits / np.arange(1, positive.shape[1] + 1), 0.0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    reached = np.maximum.accumulate(np.where(is_point, hits, 0), axis=1)
    rises = is_point & (np.diff(reached, axis=1, prepend=0) > 0)
    num_rises = rises.sum(axis=1)
    mean = np.where(rises, envelope, 0.0).sum(axis=1) / np.maximum(num_rises, 1)
    return np.where(hits[:, -1] == counts, np.minimum(counts, 1.0), np.where(num_rises > 0, mean, 0.0))


def hit_at_1(times_s: ArrayLike, saliency: ArrayLike, windows: ArrayLike) -> bool:
    """True if the time of the best snippet lies inside a true window (start included, end not).

    For queries with true windows but without labels for each clip. times_s (T,), saliency (T,), windows (M, 2). Among
    equal maxima the first counts. No snippets or no windows: False. Raises ValueError if times and saliency differ in
    length.
    """
    times, values, true = np.asarray(times_s, dtype=np.float64), np.asarray(saliency), as_intervals(windows)
    if times.shape != values.shape or times.ndim != 1:
        raise ValueError(f"one saliency for each time: {values.shape} for {times.shape}")
    if times.size == 0:
        return False
    best_s = times[int(np.argmax(values))]
    return bool(((true[:, 0] <= best_s) & (best_s < true[:, 1])).any())


# --- TVSum and YouTube Highlights -------------------------------------------------------------------------------------


def tvsum_precision(scores: Floats, labels: Floats) -> float:
    """Top-5 AP of one video, mean over annotators. scores (clips,), labels (clips, annotators)."""
    positive = labels > np.median(labels, axis=0)
    best = np.argsort(-scores, kind="stable")[:TOP_CLIPS]
    return float(np.mean(trapezoid_precision(positive[best].T)))


def youtube_precision(scores: Floats, labels: Floats) -> float:
    """AP over all clips of one video. scores (clips,), labels (clips,) positive above 0."""
    order = np.argsort(-scores, kind="stable")
    return float(trapezoid_precision(labels[order] > 0))


def trapezoid_precision(hits: Bools) -> Floats:
    """Area under precision over recall by trapezoids. hits (..., K), best first -> (...); without a hit 0."""
    found = np.cumsum(hits, axis=-1)
    start = (*found.shape[:-1], 1)
    precision = np.concatenate([np.ones(start), found / np.arange(1, found.shape[-1] + 1)], axis=-1)
    recall = np.concatenate([np.zeros(start), found / np.maximum(found[..., -1:], 1)], axis=-1)
    area: Floats = (np.diff(recall, axis=-1) * (precision[..., :-1] + precision[..., 1:]) / 2).sum(axis=-1)
    return area


def domain_means(values: ArrayLike, domains: Sequence[str]) -> dict[str, float]:
    """Mean of each domain's videos, in the order of the alphabet, and their plain mean as AVG."""
    found, names = np.asarray(values, dtype=np.float64), np.array(domains)
    means = {name: float(found[names == name].mean()) for name in sorted(set(domains))}
    return {**means, "AVG": float(np.mean(list(means.values())))}
