"""What a fusion is made of, and what it gives: shared by the reaction-diffusion fusion and its baselines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from rdmf_cli.fusion.inputs import INPUT_NAMES, QUERY_NAMES

KINDS = ("rdmf", "none", "self_attention", "query_dependent", "cross_gru")
INPUTS = ("affinity", "features")


@dataclass(frozen=True)
class FusionConfig:
    """Shape of a fusion. Stored with the weights."""

    kind: str = "rdmf"  # one of KINDS: RDMF, or a baseline of baselines.py under the same inputs
    hidden: int = 64  # H, width of the sequence
    blocks: int = 2  # of reaction and local mixing; encoder layers of the baselines
    dropout: float = 0.1
    kernel: int = 5  # snippets that local mixing sees, odd
    heads: int = 4  # of the baselines that attend
    input: str = "affinity"  # "features": also the product of projected features and words, for one encoder only
    feature_dim: int = 0  # E, with input = "features"
    num_inputs: int = len(INPUT_NAMES)
    num_facts: int = len(QUERY_NAMES)
    # From here on: kind "rdmf" only.
    channels: int = 32  # C
    num_steps: int = 8  # may differ at inference
    dt: float = 4.0
    min_wavelength_s: float = 2.0
    max_wavelength_s: float = 150.0
    constrained: bool = True  # False: F, k, Du, Dv are any positive numbers, from the same start
    conductance: bool = True  # False: evidence flows everywhere, across cuts too
    reaction: bool = True  # False: pure diffusion of the same inputs

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}, not {self.kind}")
        if self.input not in INPUTS:
            raise ValueError(f"input is one of {', '.join(INPUTS)}, not {self.input}")
        if (self.input == "features") != (self.feature_dim > 0):
            raise ValueError(f"feature_dim ({self.feature_dim}) goes with input = 'features', and only with it")
        if min(self.hidden, self.blocks, self.heads, self.channels, self.num_steps) < 1 or self.hidden % self.heads:
            raise ValueError("hidden, blocks, heads, channels and num_steps are at least 1, hidden a multiple of heads")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel is odd and at least 1, not {self.kernel}")
        if not 0 <= self.dropout < 1 or not self.dt > 0:
            raise ValueError(f"dropout ({self.dropout}) lies in [0, 1), dt ({self.dt}) over 0")
        if not 0 < self.min_wavelength_s < self.max_wavelength_s:
            raise ValueError("wavelengths go from min_wavelength_s > 0 up to a larger max_wavelength_s")


class Fused(NamedTuple):
    """What a fusion gives for B items. 0 on padding."""

    sequence: Tensor  # (B, T, H)
    u: Tensor | None  # (B, C, T), None for baselines
    v: Tensor | None
    # ≥ 0, where the evidence is: 1 − exp(−activity) is meant as the chance that the snippet belongs to a moment, and
    # a loss on it is what makes its peaks good anchors.
    activity: Tensor  # (B, T)
