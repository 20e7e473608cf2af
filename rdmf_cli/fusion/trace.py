"""What a fusion computed on its way to an answer, kept for those who want to see it (`rdmf search --explain`)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.fusion.gray_scott import GrayScott
from rdmf_cli.fusion.stability import fastest_mode, is_turing

Curve = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Trace:
    """The curves behind one answer, along T snippets. A fusion without reaction has no channels: C = 0."""

    affinity: Curve  # (T,) standardised: about 0 for an ordinary snippet of this video, 1 and more where the query fits
    u: Curve  # (C, T) substrate, in [0, 1]
    v: Curve  # (C, T) activator, ≥ 0: the evidence that was left standing
    activity: Curve  # (T,) ≥ 0, what the moments grew from: v over all channels, or what takes its place
    wavelengths_s: tuple[float, ...]  # (C,) seconds that each channel prefers; nan where it prefers none

    def __post_init__(self) -> None:
        num_channels, num_snippets = self.v.shape
        shapes = (self.u.shape, self.affinity.shape, self.activity.shape)
        if shapes != (self.v.shape, (num_snippets,), (num_snippets,)):
            raise ValueError(f"curves of different length: {shapes}")
        if len(self.wavelengths_s) != num_channels:
            raise ValueError(f"{len(self.wavelengths_s)} wavelengths of {num_channels} channels")


def preferred_wavelength_s(system: GrayScott, spacing_s: float) -> float:
    """Wavelength that grows fastest out of the active state of one channel, in seconds; nan if none does."""
    if not is_turing(system):
        return math.nan
    return float(fastest_mode(system).wavelength_s(spacing_s))
