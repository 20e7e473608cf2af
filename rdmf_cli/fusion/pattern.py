"""Pattern mode: the Gray-Scott system run to rest on one video, without any training.

Catalysis is a soft threshold with memory. Where the affinity is well above `threshold` a seed ignites and fills its
shot; well below, everything dies; between, the neighbours decide. What is left standing are the moments.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rdmf_cli.fusion.affinity import AffinityConfig, affinity, conductance, pool_neighbours
from rdmf_cli.fusion.gray_scott import GrayScott, Integration, integrate


@dataclass(frozen=True)
class PatternConfig:
    """Constants of pattern mode; ours, fixed once for all videos (docs/experiments.md)."""

    feed: float = 0.05  # F
    kill: float = 0.06  # k; with F the textbook's pattern region
    diff_ratio: float = 3.0  # Du / Dv: strong patterns starve weak ones nearby
    reach_s: float = 1.0  # how far evidence spreads inside a shot before it leaves: sqrt(Dv / (F + k))
    threshold: float = 1.0  # θ, affinity at which the active state exists without seeds (with them: docs/stability.md)
    sharpness: float = 1.0  # β, how fast catalysis grows with affinity
    ignition: float = 0.1  # v at the start, per unit of positive affinity
    seed: float = 0.02  # s, per unit of positive affinity
    conductance_reach: float = 2.0  # κ in units of the video's median neighbour distance
    dt: float = 4.0
    num_steps: int = 150
    tolerance: float = 1e-4


@dataclass(frozen=True)
class Pattern:
    """What came to rest. All (Q, T) but the conductance."""

    affinity: Tensor
    u: Tensor
    v: Tensor
    conductance: Tensor  # (T-1,)
    steps_taken: Tensor  # (Q,)


def pattern_system(config: PatternConfig, spacing_s: float) -> GrayScott:
    """The system on snippets `spacing_s` seconds apart."""
    diff_v = (config.feed + config.kill) * (config.reach_s / spacing_s) ** 2
    return GrayScott(config.feed, config.kill, config.diff_ratio * diff_v, diff_v)


def catalysis(evidence: Tensor, config: PatternConfig) -> Tensor:
    """g = g* exp(β (a − θ)), where g* = 4 (F + k)² / F is the least at which an active state exists."""
    least = 4 * (config.feed + config.kill) ** 2 / config.feed
    # Beyond e^±6 nothing changes any more, and float32 stays comfortable.
    return least * torch.exp((config.sharpness * (evidence - config.threshold)).clamp(-6, 6))


class Start(NamedTuple):
    """What the system is started with, for given evidence."""

    u: Tensor
    v: Tensor
    system: GrayScott
    catalysis: Tensor
    seed: Tensor


def start_of(evidence: Tensor, system: GrayScott, config: PatternConfig) -> Start:
    """Evidence (..., T) → the start, all (..., T): v and seeds where the affinity is positive, u full everywhere."""
    positive = evidence.clamp(min=0)
    return Start(
        u=torch.ones_like(evidence),
        v=config.ignition * positive,
        system=system,
        catalysis=catalysis(evidence, config),
        seed=config.seed * positive,
    )


def settle(
    evidence: Tensor, conductance: Tensor, diffusion: Tensor, config: PatternConfig, valid: Tensor | None = None
) -> Integration:
    """Run rows of evidence to rest, each on its own: evidence (B, T), conductance (B, T-1), diffusion Dv (B,).

    valid (B, T): False on padding, which comes last.
    """
    system = GrayScott(config.feed, config.kill, config.diff_ratio * diffusion, diffusion)
    start = start_of(evidence, system, config)
    return integrate(
        start.u,
        start.v,
        system=system,
        catalysis=start.catalysis,
        seed=start.seed,
        conductance=conductance,
        dt=config.dt,
        num_steps=config.num_steps,
        tolerance=config.tolerance,
        valid=valid,
    )


def run_pattern(
    features: Tensor,
    queries: Tensor,
    bank: Tensor,
    is_cut: Tensor,
    spacing_s: float,
    *,
    affinity_config: AffinityConfig,
    config: PatternConfig,
) -> Pattern:
    """Features (T, D), queries (Q, D), bank (M, D) of unit length, is_cut (T-1,) bool → the pattern of each query."""
    [pattern] = run_patterns(
        [Snippets(features, is_cut, spacing_s)], queries, bank, affinity_config=affinity_config, config=config
    )
    return pattern


@dataclass(frozen=True)
class Snippets:
    """One video as fusion takes it."""

    features: Tensor  # (T, D), unit length
    is_cut: Tensor  # (T-1,) bool
    spacing_s: float


def run_patterns(
    videos: Sequence[Snippets], queries: Tensor, bank: Tensor, *, affinity_config: AffinityConfig, config: PatternConfig
) -> list[Pattern]:
    """`run_pattern` for several videos at once: the same results in fewer and larger steps.

    Videos of different length are padded; each query of each video comes to rest on its own.
    """
    evidence, flows, diff_v = [], [], []
    for video in videos:
        shots = (~video.is_cut).to(video.features.dtype)
        pooled = pool_neighbours(video.features, shots, affinity_config.pooling)
        evidence.append(affinity(pooled, queries, bank, affinity_config))
        flows.append(conductance(pooled, video.is_cut, config.conductance_reach))
        diff_v.append(pattern_system(config, video.spacing_s).diff_v)
    lengths = [rows.shape[1] for rows in evidence]
    num_queries, longest = len(queries), max(lengths)
    pad = torch.nn.functional.pad
    together = torch.cat([pad(rows, (0, longest - rows.shape[1])) for rows in evidence])  # (V Q, T)
    edges = torch.cat([pad(flow, (0, longest - 1 - len(flow))).expand(num_queries, -1) for flow in flows])
    valid = None
    if min(lengths) < longest:
        valid = torch.arange(longest) < torch.tensor(lengths).repeat_interleave(num_queries).unsqueeze(1)
    diffusion = torch.tensor(diff_v, dtype=together.dtype).repeat_interleave(num_queries)  # (V Q,)
    result = settle(together, edges, diffusion, config, valid)
    found = []
    for number, length in enumerate(lengths):
        rows = slice(number * num_queries, (number + 1) * num_queries)
        u, v = result.u[rows, :length], result.v[rows, :length]
        found.append(Pattern(evidence[number], u, v, flows[number], result.steps_taken[rows]))
    return found
