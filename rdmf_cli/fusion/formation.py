"""How a pattern forms: the state after every step, kept to be looked at. `integrate` keeps only the last one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rdmf_cli.fusion.gray_scott import GrayScott, diffusion_factors, step

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Formation:
    """S steps of one query on one video of T snippets. Several channels are pooled: the mean of v."""

    affinity: Array  # (T,)
    v: Array  # (S + 1, T) the start and the state after each step
    change: Array  # (S,) the largest |Δv| of each step, over all channels
    dt: float
    tolerance: float  # a step that changes less has come to rest; 0: all steps are taken whatever they change
    blocks: tuple[int, ...] = ()  # steps at which another reaction block begins afresh

    @property
    def num_steps(self) -> int:
        """S."""
        return len(self.change)

    @property
    def rested(self) -> bool:
        """True if the last step changed less than the tolerance."""
        return bool(len(self.change) and self.change[-1] < self.tolerance)


def watch(
    u: Tensor,
    v: Tensor,
    *,
    system: GrayScott,
    catalysis: Tensor,
    seed: Tensor,
    conductance: Tensor,
    dt: float,
    num_steps: int,
    tolerance: float = 0.0,
) -> tuple[Array, Array]:
    """`integrate` for a single item (1, T) or (1, C, T), keeping v (S + 1, T) and the largest |Δv| (S,) of all steps.

    Stops at rest, as `integrate` does: S ≤ num_steps.
    """
    factors = diffusion_factors(u, system=system, conductance=conductance, dt=dt)
    states, changes = [_pooled(v)], []
    for _ in range(num_steps):
        before = v
        u, v = step(
            u, v, system=system, catalysis=catalysis, seed=seed, conductance=conductance, dt=dt, factors=factors
        )
        states.append(_pooled(v))
        changes.append(float((v - before).abs().max()))
        if changes[-1] < tolerance:
            break
    return np.stack(states), np.array(changes, np.float32)


def _pooled(v: Tensor) -> Array:
    """(1, T) or (1, C, T) → (T,)."""
    rows: Array = v.detach().flatten(0, -2).mean(dim=0).float().cpu().numpy()
    return rows
