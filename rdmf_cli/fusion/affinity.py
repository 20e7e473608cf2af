"""How well each snippet fits a query, made independent of the encoder: what the reaction-diffusion system is fed with.

Raw cosines mean little by themselves: some pictures are near every sentence, some sentences near every picture, and
every encoder has its own scale. So they are standardised twice, against a bank of ordinary background queries at the
same snippet and along the video, and joined by visual agreement: the query says what, the picture how far it extends.

Axes: Q queries, T snippets, M background queries, D dimensions. All vectors have unit length.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rdmf_cli.fusion.laplacian import divergence


@dataclass(frozen=True)
class AffinityConfig:
    """Constants of the affinity; ours, fixed once for all videos (docs/experiments.md)."""

    pooling: float = 0.5  # weight of each neighbour inside the shot; a lone frame is noisy
    agreement: float = 0.5  # share of visual agreement in the result
    centroid_temperature: float = 0.3  # how soft the choice of the query's best snippets is, in standard deviations
    scale_floor: float = 1.0  # the video's own spread counts for at least this much of the bank's typical spread


def pool_neighbours(features: Tensor, conductance: Tensor, weight: float) -> Tensor:
    """Mix each snippet with its neighbours inside the shot: x + w ∇·(c ∇x) + ..., then unit length again.

    features (T, D), conductance (T-1,) in [0, 1], 0 across cuts → (T, D).
    """
    if len(features) < 2 or weight == 0:
        return features
    # x_t + w (c_left x_left + c_right x_right): the divergence plus what it takes away from x_t itself.
    pad = torch.nn.functional.pad
    shares = pad(conductance, (0, 1)) + pad(conductance, (1, 0))  # (T,)
    moved = divergence(features.T, 1.0, conductance).T
    return torch.nn.functional.normalize(features + weight * (moved + shares.unsqueeze(-1) * features), dim=-1)


def spread(x: Tensor, dim: int) -> Tensor:
    """Standard deviation along `dim`. Tensor.std is exact to the last bit and several times slower on a CPU."""
    return (x - x.mean(dim=dim, keepdim=True)).square().mean(dim=dim).sqrt()


def against_bank(cosines: Tensor, bank_cosines: Tensor) -> Tensor:
    """Cosines in standard deviations from what an ordinary query gets at the same snippet.

    cosines (Q, T), bank_cosines (M, T) → (Q, T). Takes out pictures that are near every sentence.
    """
    mean = bank_cosines.mean(dim=0)
    return (cosines - mean) / spread(bank_cosines, dim=0).clamp(min=1e-4)


def along_video(scores: Tensor, bank_scores: Tensor, floor: float) -> Tensor:
    """Centre and scale along the video. scores (Q, T), bank_scores (M, T) → (Q, T).

    The scale is never below `floor` times what an ordinary query varies by in this video: a video without the thing
    asked for must not be stretched until noise looks like a hit.
    """
    typical = spread(bank_scores, dim=1).median()
    scale = torch.maximum(spread(scores, dim=1).unsqueeze(1), floor * typical).clamp(min=1e-4)
    return (scores - scores.mean(dim=1, keepdim=True)) / scale


def visual_agreement(features: Tensor, affinity: Tensor, temperature: float) -> Tensor:
    """Likeness of each snippet to the soft centroid of the best snippets, standardised along the video.

    features (T, D), affinity (Q, T) → (Q, T). Finds recurring scenes, and how far a scene extends.
    """
    weights = ((affinity - affinity.amax(dim=1, keepdim=True)) / temperature).softmax(dim=1)  # (Q, T)
    centred = features - features.mean(dim=0)
    likeness = (weights @ centred) @ centred.T
    scale = spread(likeness, dim=1).unsqueeze(1).clamp(min=1e-6)
    return (likeness - likeness.mean(dim=1, keepdim=True)) / scale


def affinity(features: Tensor, queries: Tensor, bank: Tensor, config: AffinityConfig) -> Tensor:
    """Standardised affinity: about 0 for an ordinary snippet of this video, 1 and more where the query fits.

    features (T, D) pooled, queries (Q, D), bank (M, D) → (Q, T). One snippet, or all alike, gives 0; so does a bank of
    fewer than two queries, against which nothing stands out.
    """
    if len(bank) < 2:
        return features.new_zeros(len(queries), len(features))
    bank_cosines = bank @ features.T
    scores = against_bank(queries @ features.T, bank_cosines)
    result = along_video(scores, against_bank(bank_cosines, bank_cosines), config.scale_floor)
    if config.agreement == 0:
        return result
    agreement = visual_agreement(features, result, config.centroid_temperature)
    # Pictures may only say as much as the query does: without this, a query that fits nothing would ignite on noise.
    strength = spread(result, dim=1).unsqueeze(1)  # at most 1
    return (1 - config.agreement) * result + config.agreement * strength * agreement


def conductance(features: Tensor, is_cut: Tensor, reach: float) -> Tensor:
    """How freely evidence flows between neighbours: exp(−(d/κ)²), and 0 across a cut.

    features (T, D), is_cut (T-1,) bool → (T-1,) in [0, 1]. d is the cosine distance of neighbours, κ = `reach` times
    the video's own median distance, so that neither a shaky nor a static video needs a constant of its own.
    """
    distance = 1 - (features[1:] * features[:-1]).sum(dim=-1)
    if len(distance) == 0:
        return distance
    kappa = max(reach * float(distance.median()), 1e-3)
    return torch.where(is_cut, 0.0, torch.exp(-((distance / kappa) ** 2)))
