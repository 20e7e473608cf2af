"""What stands out in a video, without any query: saliency of each snippet, and a choice of stretches that differ.

Everything is read from the features alone. Axes: T snippets, D dimensions, C candidates. Rows have unit length.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
_SAMPLE = 4096  # snippets that stand for a longer video


@dataclass(frozen=True)
class StandoutConfig:
    """Constants of the saliency and the choice; ours, set once by looking at the development videos."""

    distinctiveness: float = 1.0  # weight of being unlike the video's average
    change: float = 0.5  # weight of what happens inside the shot
    representativeness: float = 0.7  # weight of not being a freak: more of the video looks like it
    reach: int = 2  # snippets to each side over which change is measured and everything smoothed
    lifetime_s: float = 3.0  # so much of the video has to look alike before it counts as more than a flash
    diversity: float = 0.4  # share of unlikeness to what is chosen already, in the choice


@dataclass(frozen=True)
class Candidate:
    """One stretch that may be shown."""

    source: int  # which video
    start_s: float
    end_s: float
    peak_s: float
    score: float  # mean saliency
    vector: Array  # (D,), unit length: mean of its snippets, centred on its video


def saliency(features: Array, is_cut: NDArray[np.bool_], spacing_s: float, config: StandoutConfig) -> Array:
    """How much each snippet stands out, (T,) in [0, 1]. features (T, D), is_cut (T-1,), spacing in seconds.

    A weighted sum of three robust z-scores, on a logistic curve:
    distinctiveness: 1 - cosine to the video's mean; the rare thing in a video beats the usual one;
    change: mean 1 - cosine to the neighbours up to `reach` away in the same shot; action beats stillness;
    representativeness: how many snippets lie within the video's typical distance, up to `lifetime_s` of them; a
    picture that is like nothing else for its second (a flash, a fade, black) is an accident and not a highlight.
    Sums are smoothed inside shots. A video in which nothing differs gives 0.5 everywhere.
    """
    if len(features) < 2:
        return np.full(len(features), 0.5)
    shots = np.concatenate([[0], np.cumsum(is_cut)])
    mean = _unit(features.mean(axis=0, keepdims=True))[0]
    parts = (
        (config.distinctiveness, 1.0 - features @ mean),
        (config.change, _change(features, shots, config.reach)),
        (config.representativeness, _lasting(features, spacing_s, config.lifetime_s)),
    )
    total = sum(weight * _robust_z(values) for weight, values in parts)
    return np.asarray(1 / (1 + np.exp(-_smooth(np.asarray(total), shots, config.reach))))


def candidates(
    source: int,
    features: Array,
    values: Array,
    starts_s: Array,
    borders_s: list[float],
    clip_s: float,
) -> list[Candidate]:
    """Stretches of at most `clip_s` inside the shots between `borders_s` (first and last: the video's own ends).

    features (T, D), values (T,) saliency, starts_s (T,). A long shot gives many, overlapping by half; parts of a
    shot shorter than a quarter of `clip_s` are left over.
    """
    centred = _unit(features - features.mean(axis=0, keepdims=True))
    found = []
    for begin_s, end_s in pairwise(borders_s):
        for start_s, stop_s in _stretches(begin_s, end_s, clip_s):
            inside = np.flatnonzero((starts_s >= start_s - 1e-9) & (starts_s < stop_s - 1e-9))
            if not len(inside):
                inside = np.array([max(0, int(np.searchsorted(starts_s, start_s, side="right")) - 1)])
            peak = int(inside[values[inside].argmax()])
            vector = _unit(centred[inside].mean(axis=0, keepdims=True))[0]
            peak_s = float(min(max(starts_s[peak], start_s), stop_s))
            found.append(Candidate(source, start_s, stop_s, peak_s, float(values[inside].mean()), vector))
    return found


def choose(
    found: list[Candidate], length_s: float, config: StandoutConfig, before: tuple[Candidate, ...] = ()
) -> list[Candidate]:
    """Stretches for about `length_s`, in the order chosen; none overlap. The last may be longer than what is left.

    `before`: chosen in an earlier round; nothing may overlap or resemble them either.

    Greedy maximal marginal relevance: each time the candidate with the most of
    (1 - diversity) * score - diversity * likeness, where likeness is the largest cosine to one chosen before, not
    below 0. Ties go to the earlier one, so the same video gives the same answer.
    """
    open_ones = [one for one in found if not any(_overlap(one, other) for other in before)]
    chosen: list[Candidate] = []
    likeness = np.zeros(len(open_ones))
    for other in before if open_ones else ():
        likeness = np.maximum(likeness, np.array([one.vector for one in open_ones]) @ other.vector)
    left_s = length_s
    while open_ones and left_s > 0:
        gains = (1 - config.diversity) * np.array([one.score for one in open_ones]) - config.diversity * likeness
        best = open_ones[int(gains.argmax())]
        chosen.append(best)
        left_s -= best.end_s - best.start_s
        keep = [place for place, one in enumerate(open_ones) if not _overlap(one, best)]
        open_ones = [open_ones[place] for place in keep]
        likeness = likeness[keep]
        if open_ones:
            cosines = np.array([one.vector for one in open_ones]) @ best.vector
            likeness = np.maximum(likeness, cosines)
    return chosen


def _change(features: Array, shots: NDArray[np.int64], reach: int) -> Array:
    """Mean distance to the neighbours in the same shot, (T,)."""
    total, count = np.zeros(len(features)), np.zeros(len(features))
    for step in range(1, min(reach, len(features) - 1) + 1):
        same = shots[step:] == shots[:-step]
        distance = np.where(same, 1.0 - (features[step:] * features[:-step]).sum(axis=1), 0.0)
        for part in (slice(step, None), slice(None, -step)):
            total[part] += distance
            count[part] += same
    return np.asarray(total / np.maximum(count, 1))


def _lasting(features: Array, spacing_s: float, lifetime_s: float) -> Array:
    """Share of `lifetime_s` for which the video shows what is near each snippet, (T,) in [0, 1].

    Long videos are represented by an even sample, so that the cost stays linear in T. Near means as near as a tenth
    of all pairs are.
    """
    enough = max(2.0, lifetime_s / spacing_s)
    few, step = features[:: max(1, len(features) // 512)], -(-len(features) // _SAMPLE)
    near = float(np.quantile(1.0 - few @ few.T, 0.1)) + 1e-6
    sample = features[::step].T
    rows = [(1.0 - features[i : i + 512] @ sample <= near).sum(axis=1) for i in range(0, len(features), 512)]
    return np.minimum(np.concatenate(rows) * step / enough, 1.0)


def _smooth(values: Array, shots: NDArray[np.int64], reach: int) -> Array:
    """Mean over up to `reach` neighbours to each side in the same shot."""
    total, count = values.copy(), np.ones(len(values))
    for step in range(1, min(reach, len(values) - 1) + 1):
        same = shots[step:] == shots[:-step]
        total[step:] += np.where(same, values[:-step], 0.0)
        total[:-step] += np.where(same, values[step:], 0.0)
        count[step:] += same
        count[:-step] += same
    return np.asarray(total / count)


def _robust_z(values: Array) -> Array:
    """Distance from the median in units of the usual distance, at most 3 either way; 0 where nothing differs."""
    centred = values - np.median(values)
    spread = max(1.4826 * float(np.median(np.abs(centred))), 0.5 * float(centred.std()))
    return np.clip(centred / spread, -3, 3) if spread > 1e-6 else np.zeros_like(values)


def _stretches(begin_s: float, end_s: float, clip_s: float) -> list[tuple[float, float]]:
    length_s = end_s - begin_s
    if length_s <= 0:
        return []
    if length_s <= 1.25 * clip_s:
        return [(begin_s, min(end_s, begin_s + clip_s))] if length_s >= clip_s / 4 else []
    count = int(np.ceil((length_s - clip_s) / (clip_s / 2))) + 1
    return [(float(start_s), float(start_s) + clip_s) for start_s in np.linspace(begin_s, end_s - clip_s, count)]


def _overlap(one: Candidate, other: Candidate) -> bool:
    return one.source == other.source and one.start_s < other.end_s - 1e-9 and other.start_s < one.end_s - 1e-9


def _unit(rows: Array) -> Array:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9))
