"""Rules that turn one query's affinity curve into moments without training: what the product must beat.

Every rule is a pure function of a `Curve` and a random generator (which only `random_moments` uses) and gives moments
best first. Snippet i covers [times_s[i], times_s[i+1]), the last one up to `duration_s`.

| rule | idea | from |
|---|---|---|
| random | start uniform, length log-uniform from 1 s to the whole video | the floor |
| threshold k | runs of affinity >= mean + k·sigma of this video's curve | the usual first attempt |
| agreement | threshold 1 sigma on affinity plus likeness of the picture to the best snippets | our own reference |
| kadane | mean-centred curve, segment of maximum sum (Kadane); mask it, again | REZE, arXiv 2608.04480 |
| otsu | fixed 3 s Gaussian, threshold by Otsu's between-class variance | REZE, arXiv 2608.04480 |
| shots | shots between hard cuts, flooded from the best shot to neighbours that match alike | Diwan, arXiv 2211.02178 |

REZE and Diwan are re-made from their descriptions (design notes, field.md §0 and table 4); no code of theirs is used,
and details that the descriptions leave open are ours: they are reference points of the same kind, not replications.

A moment's score is its mean affinity moved to [0, 1]: (1 + mean) / 2, and moments are ranked by it. Two rules rank by
what they are about instead: `random` by chance, `kadane` by the sum that it maximises (as a share of all that lies
above the mean); ranked by mean affinity it would answer with its shortest splinter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.media.cuts import CUT_THRESHOLD
from rdmf_cli.moments import Moment

Floats = NDArray[np.float64]
Runs = list[tuple[int, int]]  # snippets [first, after) of each stretch

MAX_MOMENTS = 10  # what counts for AP
SMOOTHING_S = 3.0  # standard deviation of the Gaussian; fixed in seconds: REZE lost half its mAP with a relative one
FLOOD_SIGMA = 0.5  # how far, in sigma of the curve, a shot's mean may lie below the shot that floods it
AGREEMENT_SHARPNESS = 2.0  # per sigma of affinity: how much more the better snippets count in the soft centroid
FLAT = 1e-6  # a curve whose affinities spread less than this (rounding) says nothing: no moments


@dataclass(frozen=True, eq=False)
class Curve:
    """One query on one video: what a rule may see. T snippets in order of time, T >= 1."""

    times_s: Floats  # (T,) when each snippet's frame is presented, ascending
    affinity: Floats  # (T,) cosine of query and snippet, [-1, 1]
    features: NDArray[np.float32]  # (T, D) unit rows
    change: NDArray[np.float32]  # (T,) strongest picture change near each snippet, [0, 1]
    change_time_s: Floats  # (T,) when it happened
    duration_s: float  # end of the last frame

    @property
    def edges_s(self) -> Floats:
        """(T + 1,) where snippets begin and end. The last snippet has a length even if the duration is wrong."""
        return np.append(self.times_s, max(self.duration_s, self.times_s[-1] + 1e-3))


Rule = Callable[[Curve, np.random.Generator], list[Moment]]


def random_moments(curve: Curve, rng: np.random.Generator) -> list[Moment]:
    """Moments by chance: length log-uniform in [1 s, duration], start uniform where it fits, score uniform."""
    duration_s = float(curve.edges_s[-1])
    shortest_s = min(1.0, duration_s)
    lengths_s = np.exp(rng.uniform(np.log(shortest_s), np.log(duration_s), MAX_MOMENTS))
    starts_s = rng.uniform(0.0, 1.0, MAX_MOMENTS) * (duration_s - lengths_s)
    scores = np.sort(rng.uniform(0.0, 1.0, MAX_MOMENTS))[::-1]
    rows = zip(starts_s, lengths_s, scores, strict=True)
    return [Moment(float(s), float(s + n), float(score), float(s + n / 2)) for s, n, score in rows]


def threshold_moments(curve: Curve, rng: np.random.Generator, *, num_sigma: float) -> list[Moment]:
    """Runs of snippets whose affinity is at least mean + num_sigma · sigma over this video."""
    return _ranked(curve, _runs(_above(curve.affinity, num_sigma)))


def agreement_moments(curve: Curve, rng: np.random.Generator) -> list[Moment]:
    """The 1-sigma threshold on the sum of two standardised curves: affinity, and likeness to the best snippets.

    Likeness is the cosine with the snippets' soft centroid (weights exp(AGREEMENT_SHARPNESS · standardised affinity)),
    after taking away what all pictures of the video have in common.
    """
    affinity = _standard(curve.affinity)
    apart = curve.features - curve.features.mean(axis=0)
    weights = np.exp(AGREEMENT_SHARPNESS * (affinity - affinity.max()))
    centroid = weights @ apart
    lengths = np.linalg.norm(apart, axis=1) * np.linalg.norm(centroid)
    likeness = np.divide(apart @ centroid, lengths, out=np.zeros(len(apart)), where=lengths > FLAT)
    return _ranked(curve, _runs(_above(affinity + _standard(likeness), 1.0)))


def kadane_moments(curve: Curve, rng: np.random.Generator) -> list[Moment]:
    """Segment of maximum sum of the mean-centred curve; then the next one in what is left."""
    if np.std(curve.affinity) < FLAT:
        return []
    centred = curve.affinity - curve.affinity.mean()
    above = float(centred[centred > 0].sum())
    moments = []
    for _ in range(MAX_MOMENTS):
        first, after, total = maximum_segment(centred)
        if total <= 0:
            break
        moments.append(_moment(curve, first, after, score=min(1.0, total / above)))
        centred[first:after] = -np.inf  # no later segment may touch it
    return moments


def otsu_moments(curve: Curve, rng: np.random.Generator) -> list[Moment]:
    """Runs above Otsu's threshold of the curve smoothed by a Gaussian of 3 s."""
    if np.std(curve.affinity) < FLAT:
        return []
    smooth = smoothed(curve.times_s, curve.affinity, SMOOTHING_S)
    return _ranked(curve, _runs(smooth > otsu_threshold(smooth)))


def shot_moments(curve: Curve, rng: np.random.Generator) -> list[Moment]:
    """Shots between hard cuts, merged by flooding, ranked by mean affinity.

    From the best shot downwards each one not yet taken floods both ways over neighbours whose mean affinity is at
    most FLOOD_SIGMA · sigma (of the snippets' curve) below its own. Ends lie exactly on cuts.
    """
    cuts_s = np.unique(curve.change_time_s[curve.change >= CUT_THRESHOLD])
    shot = np.searchsorted(cuts_s, curve.times_s, side="right")  # (T,) which shot each snippet's frame belongs to
    firsts = np.flatnonzero(np.diff(shot, prepend=-1))
    bounds = np.append(firsts, len(shot))
    means = np.add.reduceat(curve.affinity, firsts) / np.diff(bounds)
    # From cut to cut, not from frame to frame: the cut lies between two sampled frames.
    inner_s = cuts_s[shot[firsts[1:]] - 1] if len(firsts) > 1 else np.zeros(0)
    edges_s = np.concatenate([curve.edges_s[:1], inner_s, curve.edges_s[-1:]])
    moments = [
        _moment(curve, int(bounds[low]), int(bounds[high]), span_s=(float(edges_s[low]), float(edges_s[high])))
        for low, high in flooded(means, FLOOD_SIGMA * float(np.std(curve.affinity)))
    ]
    return _best_first(moments)


def flooded(means: Floats, depth: float) -> Runs:
    """Groups of neighbouring shots, see `shot_moments`. means (S,) -> [first, after) of each group, each shot once."""
    taken = np.zeros(len(means), dtype=bool)
    groups = []
    for seed in np.argsort(-means, kind="stable"):
        if taken[seed]:
            continue
        level = means[seed] - depth
        low, after = int(seed), int(seed) + 1
        while low > 0 and not taken[low - 1] and means[low - 1] >= level:
            low -= 1
        while after < len(means) and not taken[after] and means[after] >= level:
            after += 1
        taken[low:after] = True
        groups.append((low, after))
    return groups


def maximum_segment(values: Floats) -> tuple[int, int, float]:
    """Kadane: (first, after, sum) of the non-empty segment with the largest sum; the earliest, shortest of equals."""
    best = (0, 1, float(values[0]))
    first, total = 0, 0.0
    for index, value in enumerate(values):
        if total <= 0:  # also after -inf: what lies behind can only harm
            first, total = index, 0.0
        total += float(value)
        if total > best[2]:
            best = (first, index + 1, total)
    return best


def smoothed(times_s: Floats, values: Floats, sigma_s: float) -> Floats:
    """Gaussian mean of neighbours by their true times; at the ends only what is there counts. (T,) -> (T,)."""
    result = np.empty(len(values))
    low = np.searchsorted(times_s, times_s - 4 * sigma_s)
    high = np.searchsorted(times_s, times_s + 4 * sigma_s, side="right")
    for index, (first, after) in enumerate(zip(low, high, strict=True)):
        weights = np.exp(-0.5 * ((times_s[first:after] - times_s[index]) / sigma_s) ** 2)
        result[index] = weights @ values[first:after] / weights.sum()
    return result


def otsu_threshold(values: Floats) -> float:
    """The value that splits best by between-class variance: the lower class is <= it. values (T,); no histogram."""
    ordered = np.sort(values)
    below = np.arange(1, len(ordered))  # (T-1,) size of the lower class
    sums = np.cumsum(ordered)
    if len(ordered) < 2:
        return float(ordered[0])
    gap = (sums[-1] - sums[:-1]) / (len(ordered) - below) - sums[:-1] / below
    return float(ordered[int(np.argmax(below * (len(ordered) - below) * gap**2))])


def _above(values: Floats, num_sigma: float) -> NDArray[np.bool_]:
    sigma = float(np.std(values))
    if sigma < FLAT:
        return np.zeros(len(values), dtype=bool)
    mask: NDArray[np.bool_] = values >= values.mean() + num_sigma * sigma
    return mask


def _standard(values: Floats) -> Floats:
    sigma = float(np.std(values))
    result: Floats = (values - values.mean()) / sigma if sigma >= FLAT else np.zeros(len(values))
    return result


def _runs(mask: NDArray[np.bool_]) -> Runs:
    """Stretches of True as [first, after)."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return [(int(first), int(after)) for first, after in zip(steps[::2], steps[1::2], strict=True)]


def _ranked(curve: Curve, runs: Runs) -> list[Moment]:
    return _best_first([_moment(curve, first, after) for first, after in runs])


def _best_first(moments: list[Moment]) -> list[Moment]:
    return sorted(moments, key=lambda moment: -moment.score)[:MAX_MOMENTS]


def _moment(
    curve: Curve, first: int, after: int, *, score: float | None = None, span_s: tuple[float, float] | None = None
) -> Moment:
    """Snippets [first, after) as a moment; `span_s` replaces their edges, `score` their mean affinity."""
    affinity, edges_s = curve.affinity[first:after], curve.edges_s
    start_s, end_s = span_s or (float(edges_s[first]), float(edges_s[after]))
    peak_s = float(curve.times_s[first + int(np.argmax(affinity))])
    mean = min(1.0, max(0.0, (1.0 + float(affinity.mean())) / 2.0))
    return Moment(start_s, end_s, mean if score is None else score, peak_s)


def _threshold(num_sigma: float) -> Rule:
    return lambda curve, rng: threshold_moments(curve, rng, num_sigma=num_sigma)


BASELINES: dict[str, Rule] = {
    "random": random_moments,
    "threshold 0.5": _threshold(0.5),
    "threshold 1.0": _threshold(1.0),
    "agreement": agreement_moments,
    "kadane": kadane_moments,
    "otsu": otsu_moments,
    "shots": shot_moments,
}
