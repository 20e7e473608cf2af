"""What the learned fusion reads of each snippet: numbers that do not depend on the encoder or on its dimension.

Axes: Q queries, T snippets, M background queries, D dimensions, N = len(INPUT_NAMES) inputs, S = len(QUERY_NAMES)
facts of a query, B items of a batch. Everything is linear in T.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from rdmf_cli.fusion.affinity import (
    AffinityConfig,
    against_bank,
    along_video,
    pool_neighbours,
    spread,
    visual_agreement,
)

INPUT_NAMES: tuple[str, ...] = (
    "affinity",  # what pattern mode feeds on: the next two, half and half
    "along_video",  # r: against the bank, then centred and scaled along the video
    "agreement",  # e: likeness to the query's best snippets, standardised along the video, times the spread of r
    "against_bank",  # z: standard deviations from what other queries get at this snippet
    "affinity_alone",  # the same four of the snippet alone, without its neighbours
    "along_video_alone",
    "agreement_alone",
    "against_bank_alone",
    "rank_in_video",  # of the raw cosine, -1 the lowest of the video to 1 the highest
    "rank_in_bank",  # of the raw cosine among what other queries get at this snippet, -1 to 1
    "contrast_short",  # of along_video_alone: mean over a window less mean over three times the window
    "contrast_middle",
    "contrast_long",
    "absolute",  # raw cosine less a share of what the query reaches anyway, in null deviations
    "distance_before",  # of the features of the snippet before, in units of the video's median; 0 at the start
    "distance_after",
    "cut_before",  # 1 after a cut and at the start of the video, else 0
    "cut_after",
)
QUERY_NAMES: tuple[str, ...] = (
    "relevance",  # the mean of the three best of "absolute"
    "margin",  # the mean of its three best cosines, in standard deviations from other queries' in this video
    "spread",  # log of how much it varies along the video, in units of an ordinary query
    "peak",  # the highest "along_video"
    "log_duration",  # of the video in minutes
    "log_snippets",  # of T / 75
    "evidence",  # log of the mean of exp("absolute" · SHARPNESS), over SHARPNESS: see `evidence`
)
CONTRASTS_S = (2.0, 8.0, 32.0)  # windows of the three contrasts
MAX_INPUT = 6.0  # no input is further from 0

AFFINITY = AffinityConfig()
BEST = 3
REACH_SHARE = 0.75  # of what a query reaches on ordinary photographs; measured on held-out photographs
SHARPNESS = 3.0  # null deviations by which pictures that answer are taken to lie above others; measured, not fitted
LEAST_DISTANCE = 1e-3  # the median neighbour distance counts for at least this much: a still video is no shaky one
RANK_STEPS = 1e5  # cosines nearer than 1 / this are ties: rounding must not order what is alike


class Inputs(NamedTuple):
    """One video as the learned fusion takes it."""

    values: Tensor  # (Q, T, N) per query and snippet, of the order of 1
    query: Tensor  # (Q, S) per query: what is known of it and of the video as a whole
    distance: Tensor  # (T-1,) of neighbours, in units of the video's median
    is_cut: Tensor  # (T-1,) bool
    spacing_s: float


class Batch(NamedTuple):
    """B padded items. Padding comes last and is False in `valid`; what it holds never matters."""

    values: Tensor  # (B, T, N)
    query: Tensor  # (B, S)
    distance: Tensor  # (B, T-1)
    is_cut: Tensor  # (B, T-1) bool
    valid: Tensor  # (B, T) bool
    spacing_s: Tensor  # (B,)
    features: Tensor | None = None  # (B, T, E), for models with input = "features"
    words: Tensor | None = None  # (B, E)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        values, query, distance, is_cut, valid, spacing_s = (part.to(device) for part in self[:6])
        features, words = (None if part is None else part.to(device) for part in self[6:])
        return Batch(values, query, distance, is_cut, valid, spacing_s, features, words)


class Item(NamedTuple):
    """One query on one timeline, as `batch_of` takes it: tensors or numpy arrays. Fields as in `Batch`, without B."""

    values: Any  # (T, N)
    query: Any  # (S,)
    distance: Any  # (T-1,)
    is_cut: Any  # (T-1,)
    spacing_s: float
    features: Any = None  # (T, E)
    words: Any = None  # (E,)


class _Parts(NamedTuple):
    """The affinity taken apart. All (Q, T) but `typical`."""

    against_bank: Tensor
    along_video: Tensor
    agreement: Tensor
    affinity: Tensor
    typical: Tensor  # () spread of an ordinary query along this video


def snippet_inputs(
    features: Tensor,
    queries: Tensor,
    bank: Tensor,
    is_cut: Tensor,
    spacing_s: float,
    *,
    null_mean: float,
    null_spread: float,
    reach: Tensor | None = None,
) -> Inputs:
    """Inputs of one video for each query.

    Parameters
    ----------
    features, queries, bank
        (T, D), (Q, D), (M, D), all of unit length; T ≥ 1. A bank of fewer than two queries leaves the inputs that
        compare with it at 0.
    is_cut
        (T-1,) bool, between neighbours.
    spacing_s
        Distance of snippets in seconds, > 0.
    null_mean, null_spread
        Of the relevance statistic on pictures that do not answer (pipeline/calibration.py).
    reach
        (Q,) highest cosines of each query with ordinary photographs (encoders/lite_reach.py); None: not known, 0.
    """
    shots = (~is_cut).to(features.dtype)
    pooled = pool_neighbours(features, shots, AFFINITY.pooling)
    cosines, bank_cosines = queries @ features.T, bank @ features.T
    parts = _parts(pooled, queries @ pooled.T, bank @ pooled.T)
    alone = _parts(features, cosines, bank_cosines)
    reach = cosines.new_zeros(len(cosines)) if reach is None else reach
    absolute = null_deviations(cosines, reach, null_mean, null_spread)
    distance = neighbour_distance(features)
    values = [
        *(parts.affinity, parts.along_video, parts.agreement, parts.against_bank),
        *(alone.affinity, alone.along_video, alone.agreement, alone.against_bank),
        *(_rank_in_video(cosines), rank_in_bank(cosines, bank_cosines)),
        *(contrast(alone.along_video, window_s / spacing_s) for window_s in CONTRASTS_S),
        absolute,
        *(row.expand_as(cosines) for row in _common_rows(distance, is_cut)),
    ]
    duration_s = len(features) * spacing_s
    common = cosines.new_tensor([duration_s / 60, len(features) / 75]).log()
    facts = [
        mean_of_best(absolute),
        margin(cosines, bank_cosines),
        (spread(parts.against_bank, dim=1) / parts.typical).clamp(min=1e-2).log(),
        parts.along_video.amax(dim=1),
        *common[:, None].expand(-1, len(queries)),
        evidence(absolute),
    ]
    both = bounded(torch.stack(values, dim=-1)), bounded(torch.stack(facts, dim=-1))
    return Inputs(*both, distance.float(), is_cut, spacing_s)


def batch_of(items: Sequence[Sequence[Any]]) -> Batch:
    """Pad items, each (values, query, distance, is_cut, spacing_s[, features, words]) as `Item` says, to one batch.

    `features` and `words` are in the batch if the first item has them.

    Raises
    ------
    ValueError
        If there is no item.
    """
    if not items:
        raise ValueError("a batch needs at least one item")
    rows = [Item(*item) for item in items]
    lengths = torch.tensor([len(row.values) for row in rows])
    longest = int(lengths.max())
    first = rows[0]
    return Batch(
        values=_padded([row.values for row in rows], longest),
        query=torch.stack([torch.as_tensor(row.query) for row in rows]).float(),
        distance=_padded([row.distance for row in rows], longest - 1),
        is_cut=_padded([row.is_cut for row in rows], longest - 1).bool(),
        valid=torch.arange(longest) < lengths[:, None],
        spacing_s=torch.tensor([float(row.spacing_s) for row in rows]),
        features=None if first.features is None else _padded([row.features for row in rows], longest),
        words=None if first.words is None else torch.stack([torch.as_tensor(row.words) for row in rows]).float(),
    )


def batch_of_queries(inputs: Inputs, features: Tensor | None = None, words: Tensor | None = None) -> Batch:
    """All queries of one video as a batch without padding: B = Q. features (T, D), words (Q, D)."""
    num_queries, num_snippets = inputs.values.shape[:2]
    return Batch(
        values=inputs.values,
        query=inputs.query,
        distance=inputs.distance.expand(num_queries, -1),
        is_cut=inputs.is_cut.expand(num_queries, -1),
        valid=inputs.values.new_ones(num_queries, num_snippets, dtype=torch.bool),
        spacing_s=inputs.values.new_full((num_queries,), inputs.spacing_s),
        features=None if features is None else features.expand(num_queries, -1, -1),
        words=words,
    )


def neighbour_distance(features: Tensor) -> Tensor:
    """Cosine distance of neighbours in units of the video's median. features (T, D) → (T-1,) in [0, 100]."""
    distance = (1 - (features[1:] * features[:-1]).sum(dim=-1)).clamp(min=0)
    if len(distance) == 0:
        return distance
    return (distance / distance.median().clamp(min=LEAST_DISTANCE)).clamp(max=100)


def _parts(features: Tensor, cosines: Tensor, bank_cosines: Tensor) -> _Parts:
    """Affinity of features (T, D) from cosines (Q, T), (M, T), step by step: `affinity` with its parts."""
    if len(bank_cosines) < 2:
        nothing = torch.zeros_like(cosines)
        return _Parts(nothing, nothing, nothing, nothing, cosines.new_ones(()))
    scores, bank_scores = against_bank(cosines, bank_cosines), against_bank(bank_cosines, bank_cosines)
    along = along_video(scores, bank_scores, AFFINITY.scale_floor)
    agreement = visual_agreement(features, along, AFFINITY.centroid_temperature) * spread(along, dim=1).unsqueeze(1)
    mixed = (1 - AFFINITY.agreement) * along + AFFINITY.agreement * agreement
    return _Parts(scores, along, agreement, mixed, spread(bank_scores, dim=1).median().clamp(min=1e-4))


def _common_rows(distance: Tensor, is_cut: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What all queries share: distance to the snippet before and after, cut before and after, (T,) each."""
    pad = torch.nn.functional.pad
    cut = is_cut.to(distance.dtype)
    before, after = (1, 0), (0, 1)
    return pad(distance, before), pad(distance, after), pad(cut, before, value=1.0), pad(cut, after, value=1.0)


def _rank_in_video(cosines: Tensor) -> Tensor:
    """(Q, T) → (Q, T) in [-1, 1]; ties share their mean rank, so that a constant is 0 and reversal changes nothing."""
    steps = (cosines * RANK_STEPS).round()
    order = steps.sort(dim=1).values
    below, upto = (torch.searchsorted(order, steps, right=right) for right in (False, True))
    return (below + upto).to(cosines.dtype) / cosines.shape[1] - 1


def rank_in_bank(cosines: Tensor, bank_cosines: Tensor) -> Tensor:
    """Share of the bank's queries with a lower cosine at the snippet less that with a higher, (Q, T) in [-1, 1]."""
    if len(bank_cosines) < 2:
        return torch.zeros_like(cosines)
    # One query at a time: all at once is (Q, M, T), and sorting the bank takes longer than 30 queries.
    return torch.stack([(row - bank_cosines).sign().mean(dim=0) for row in cosines])


def contrast(x: Tensor, window: float) -> Tensor:
    """Mean of x (Q, T) over about `window` snippets less that over three times as many, both inside the video.

    Double precision: the running sum of a day would lose a window's worth of digits.
    """
    num_snippets = x.shape[1]
    sums = torch.nn.functional.pad(x.double().cumsum(dim=1), (1, 0))  # (Q, T + 1)
    here = torch.arange(num_snippets, device=x.device)
    radius = max(0, round((window - 1) / 2))
    means = []
    for reach in (radius, 3 * radius + 1):
        start, end = (here - reach).clamp(min=0), (here + reach + 1).clamp(max=num_snippets)
        means.append((sums[:, end] - sums[:, start]) / (end - start))
    return (means[0] - means[1]).to(x.dtype)


def mean_of_best(x: Tensor) -> Tensor:
    """Mean of the three highest along the last axis, or of all if there are fewer."""
    return x.topk(min(BEST, x.shape[-1]), dim=-1).values.mean(dim=-1)


def null_deviations(cosines: Tensor, reach: Tensor, null_mean: float, null_spread: float) -> Tensor:
    """Cosines (Q, T) less a share of what the queries reach anyway (Q,), in null deviations: "absolute"."""
    return (cosines - REACH_SHARE * reach[:, None] - null_mean) / max(null_spread, 1e-4)


def evidence(x: Tensor) -> Tensor:
    """Whether any of T snippets answers, x (..., T) in null deviations → (...).

    If what answers lies μ deviations above what does not, exp(μ x − μ²/2) is how much likelier a snippet at x answers
    than not, and the mean over the snippets how much likelier it is that one of them does than that none does. So an
    hour, in which the best of thousands is high by chance, needs a better one than a minute; the mean of the best three
    knows nothing of that. This is the logarithm of that mean, without the constant, over μ = SHARPNESS.
    """
    return evidence_of_sum((SHARPNESS * x).logsumexp(dim=-1), x.shape[-1])


def evidence_of_sum(log_sum: Tensor, count: int) -> Tensor:
    """`evidence` of `count` snippets from the log of the sum of their exp(SHARPNESS · x), as a stream keeps it."""
    return (log_sum - math.log(count)) / SHARPNESS


def margin(cosines: Tensor, bank_cosines: Tensor) -> Tensor:
    """Mean of the best cosines (Q, T) in standard deviations from other queries' (M, T) → (Q,). 0 without a bank."""
    if len(bank_cosines) < 2:
        return cosines.new_zeros(len(cosines))
    others = mean_of_best(bank_cosines)  # (M,)
    return (mean_of_best(cosines) - others.mean()) / spread(others, dim=0).clamp(min=1e-4)


def bounded(x: Tensor) -> Tensor:
    """No input is further from 0 than MAX_INPUT; float32."""
    return x.clamp(-MAX_INPUT, MAX_INPUT).float()


def _padded(rows: Sequence[Any], length: int) -> Tensor:
    """Rows (T, ...) of different T → (B, length, ...) float32, zeros at the end."""
    tensors = [torch.as_tensor(row) for row in rows]
    result = torch.zeros(len(tensors), length, *tensors[0].shape[1:])
    for place, row in enumerate(tensors):
        result[place, : len(row)] = row
    return result
