"""How a pattern forms: the state after every step, kept to be looked at. `integrate` keeps only the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdmf_cli.fusion.gray_scott import integrate
from rdmf_cli.fusion.inputs import INPUT_NAMES, Batch
from rdmf_cli.fusion.learned import IGNITION, ReactionBlock, ReactionDiffusionFusion

Array = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Formation:
    """S steps of one query on one video of T snippets. A learned fusion's is its last block's, pooled: the activity."""

    affinity: Array  # (T,)
    v: Array  # (S + 1, T) the start and the state after each step
    change: Array  # (S,) the largest |Δv| of each step, over all channels
    dt: float
    tolerance: float  # a step that changes less has come to rest; 0: all steps are taken whatever they change

    @property
    def num_steps(self) -> int:
        """S."""
        return len(self.change)

    @property
    def rested(self) -> bool:
        """True if the last step changed less than the tolerance."""
        return bool(len(self.change) and self.change[-1] < self.tolerance)


def watch(u: Tensor, v: Tensor, **given: Any) -> tuple[Array, Array]:
    """`integrate`, with its arguments, for a single item (1, T) or (1, C, T): v pooled (S + 1, T), changes (S,).

    Stops at rest, as `integrate` does: S ≤ num_steps.
    """
    states = [v]
    integrate(u, v, on_step=states.append, **given)
    return np.stack([_pooled(state) for state in states]), _changes(states)


def _changes(states: Sequence[Tensor]) -> Array:
    """The largest |Δv| from each state to the next."""
    return np.array([float((after - before).abs().max()) for before, after in pairwise(states)], np.float32)


@torch.no_grad()
def watch_learned(fusion: ReactionDiffusionFusion, batch: Batch, num_steps: int | None = None) -> Formation:
    """The last block's steps on a single item. Each state is what the fusion gives with so many steps in that block."""
    steps = num_steps or fusion.config.num_steps
    x = fusion.before_last_reaction(batch, steps)
    last = fusion.reactions[-1]
    assert isinstance(last, ReactionBlock)
    states = [
        IGNITION * last.driven(x)[1],
        *(last(x, batch, number)[2] for number in range(1, steps + 1)),
    ]
    rows = np.stack([fusion.activity(v)[0].numpy() for v in states])
    affinity = batch.values[0, :, INPUT_NAMES.index("affinity")].numpy()
    return Formation(affinity, rows, _changes(states), fusion.config.dt, 0.0)


def _pooled(v: Tensor) -> Array:
    """(1, T) or (1, C, T) → (T,)."""
    rows: Array = v.detach().flatten(0, -2).mean(dim=0).float().cpu().numpy()
    return rows
