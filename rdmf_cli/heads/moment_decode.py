"""From what the head found to moments in seconds: scores, borders on cuts, and one suppression over the whole video.

The head answers for a timeline of any length at once (anchors.py shares out its slots), so there is nothing to stitch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdmf_cli.heads.decode import Timeline
from rdmf_cli.heads.moments import Found
from rdmf_cli.intervals import nms
from rdmf_cli.moments import Moment

Array = NDArray[np.float64]
_SHORTEST_S = 1e-3


@dataclass(frozen=True)
class MomentDecodeConfig:
    """Constants of the decoding; ours (docs/experiments.md)."""

    max_overlap: float = 0.7  # IoU from which on the weaker of two moments goes
    snap: float = 1.0  # reach of a cut, in snippets
    boundary_weight: float = 1.0  # of several cuts in reach: what the boundary head counts for, against nearness
    saliency_weight: float = 0.5  # of how salient a moment is throughout, against chance and quality; both as logits
    least_score: float = 0.0

    def __post_init__(self) -> None:
        weights = (self.snap, self.boundary_weight, self.saliency_weight, self.least_score)
        if not 0 <= self.max_overlap <= 1 or min(weights) < 0:
            raise ValueError("max_overlap lies in [0, 1]; snap, the weights and least_score are 0 or more")


def moments_from(
    found: Found, item: int, timeline: Timeline, *, config: MomentDecodeConfig, relevance: float = 1.0
) -> list[Moment]:
    """Moments of one item of a batch, best first. Score = chance of being a moment × quality × `relevance`.

    Chance and quality come from slots that learned how moments lie, saliency from single snippets, which carries over
    better to videos unlike those learned from. So a moment that is less salient than the video's most salient one has
    its score lowered.
    The timeline has as many snippets as the item; what the batch has beyond is padding. A border within `snap`
    snippets of a cut moves onto it.
    """
    num_snippets = len(timeline.starts_s)
    usable = found.slot_valid[item]
    spans = _floats(found.spans[-1, item][usable]).clip(0, num_snippets)
    scores = _chances(found.logits[-1, item][usable]) * _chances(found.quality[-1, item][usable])
    moments_s = seconds(spans, timeline)
    boundary = _chances(found.boundary[item, : num_snippets + 1])
    moments_s = _on_cuts(moments_s, boundary, timeline, config)
    saliency = _floats(found.saliency[item, :num_snippets])
    means = _means(moments_s, saliency, timeline)
    scores = relevance * _lowered(scores, config.saliency_weight * (means - means.max(initial=-np.inf)))
    keep = (moments_s[:, 1] - moments_s[:, 0] >= _SHORTEST_S) & (scores >= config.least_score)
    moments_s, scores = moments_s[keep], scores[keep]
    best = nms(moments_s, scores, config.max_overlap)
    return [_moment(moments_s[row], float(scores[row]), saliency, timeline) for row in best]


def told_score(product: float) -> float:
    """The geometric mean of chance, quality and relevance, whose product orders moments: the scale of one of them.

    The product of three that are each rather sure looks like no. The order is the same, and a threshold means about
    what it means in pattern mode.
    """
    return float(np.cbrt(product))


def saliency_from(found: Found, item: int, num_snippets: int) -> NDArray[np.float32]:
    """Saliency of one item, (num_snippets,) in [0, 1]."""
    return _chances(found.saliency[item, :num_snippets]).astype(np.float32)


def relevance_from(found: Found, item: int, scale: tuple[float, ...] = (1.0, 0.0)) -> float:
    """Probability that the video answers the query. `scale`: slope and offset of the calibration, on the logit."""
    slope, offset = scale
    return float(_chances(slope * found.relevance[item] + offset))


def seconds(places: Array, timeline: Timeline) -> Array:
    """Places in snippets [0, T] → seconds: even inside a snippet, 0 at the first and `end_s` at the last edge."""
    knots = np.append(timeline.starts_s, timeline.end_s)
    knots[0] = 0.0
    found: Array = np.interp(places, np.arange(len(knots)), knots)
    return found


def _on_cuts(moments_s: Array, boundary: Array, timeline: Timeline, config: MomentDecodeConfig) -> Array:
    """(start, end) in seconds (n, 2), each border on the best cut in reach. A moment that this would close stays."""
    snapped = _on_cut(moments_s, boundary, timeline, config)
    return np.where(snapped[:, 1:] - snapped[:, :1] >= _SHORTEST_S, snapped, moments_s)


def _on_cut(borders_s: Array, boundary: Array, timeline: Timeline, config: MomentDecodeConfig) -> Array:
    """The best cut within reach of each border, or the border. Any shape."""
    last, reach = len(timeline.starts_s) - 1, int(config.snap)
    at = np.searchsorted(timeline.starts_s, borders_s, side="right") - 1  # the snippet that a border lies in
    edges = at[..., None] + np.arange(-reach, reach + 3)
    is_edge = (edges >= 1) & (edges <= last)
    edges = edges.clip(0, last)
    cut_s = timeline.cut_s[edges]
    apart = np.abs(cut_s - borders_s[..., None]) / timeline.spacing_s
    in_reach = is_edge & (apart <= config.snap)  # False for nan
    worth = np.where(in_reach, config.boundary_weight * boundary[edges] - apart, -np.inf)
    best = worth.argmax(axis=-1)[..., None]
    found = np.take_along_axis(np.where(in_reach, cut_s, borders_s[..., None]), best, axis=-1)[..., 0]
    return np.asarray(found)


def _moment(moment_s: Array, score: float, saliency: Array, timeline: Timeline) -> Moment:
    start_s, end_s = float(moment_s[0]), float(moment_s[1])
    first = max(int(np.searchsorted(timeline.starts_s, start_s, side="right")) - 1, 0)
    last = max(int(np.searchsorted(timeline.starts_s, end_s, side="left")) - 1, first)
    peak = first + int(saliency[first : last + 1].argmax())
    return Moment(start_s, end_s, score, min(max(float(timeline.starts_s[peak]), start_s), end_s))


def _means(moments_s: Array, values: Array, timeline: Timeline) -> Array:
    """Mean of values (T,) over each moment (n, 2), (n,): of the snippets that begin in it, or of the one it lies in."""
    last = len(values)
    first, stop = np.searchsorted(timeline.starts_s, moments_s - _SHORTEST_S).T
    first = np.where(first < stop, first, stop - 1).clip(0, last - 1)
    stop = np.maximum(stop, first + 1)
    sums = np.concatenate(([0.0], values.cumsum()))
    means: Array = (sums[stop] - sums[first]) / (stop - first)
    return means


def _lowered(chances: Array, logits: Array) -> Array:
    """Chances (n,) with logits (n,) ≤ 0 added to their own: odds times e^logit."""
    odds = np.exp(logits.clip(min=-50))
    lowered: Array = chances * odds / (1 - chances * (1 - odds))
    return lowered


def _floats(values: Tensor) -> Array:
    return values.detach().double().cpu().numpy()


def _chances(logits: Tensor) -> Array:
    return _floats(torch.sigmoid(logits.detach().double()))
