"""Pattern mode: the Gray-Scott system run to rest on one video, without any training.

Catalysis is a soft threshold with memory. Where the affinity is well above `threshold` a seed ignites and fills its
shot; well below, everything dies; between, the neighbours decide. What is left standing are the moments.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from rdmf_cli.fusion.affinity import AffinityConfig, affinity, conductance, pool_neighbours
from rdmf_cli.fusion.gray_scott import GrayScott, integrate


@dataclass(frozen=True)
class PatternConfig:
    """Constants of pattern mode; ours, fixed once for all videos (docs/experiments.md)."""

    feed: float = 0.05  # F
    kill: float = 0.06  # k; with F the textbook's pattern region
    diff_ratio: float = 3.0  # Du / Dv: strong patterns starve weak ones nearby
    reach_s: float = 1.0  # how far evidence spreads inside a shot before it leaves: sqrt(Dv / (F + k))
    threshold: float = 1.0  # θ, affinity at which the active state begins to exist
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


def catalysis(evidence: Tensor, config: PatternConfig) -> Tensor:
    """g = g* exp(β (a − θ)), where g* = 4 (F + k)² / F is the least at which an active state exists."""
    least = 4 * (config.feed + config.kill) ** 2 / config.feed
    # Beyond e^±6 nothing changes any more, and float32 stays comfortable.
    return least * torch.exp((config.sharpness * (evidence - config.threshold)).clamp(-6, 6))


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
    shots = (~is_cut).to(features.dtype)
    pooled = pool_neighbours(features, shots, affinity_config.pooling)
    evidence = affinity(pooled, queries, bank, affinity_config)
    flow = conductance(pooled, is_cut, config.conductance_reach)
    diff_v = (config.feed + config.kill) * (config.reach_s / spacing_s) ** 2
    system = GrayScott(config.feed, config.kill, config.diff_ratio * diff_v, diff_v)
    positive = evidence.clamp(min=0)
    result = integrate(
        torch.ones_like(evidence),
        config.ignition * positive,
        system=system,
        catalysis=catalysis(evidence, config),
        seed=config.seed * positive,
        conductance=flow,
        dt=config.dt,
        num_steps=config.num_steps,
        tolerance=config.tolerance,
    )
    return Pattern(evidence, result.u, result.v, flow, result.steps_taken)
