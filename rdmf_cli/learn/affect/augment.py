"""Augmentation of features, not pictures: the encoders are frozen, and their vectors are what is stored."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Streams = dict[str, Tensor]


@dataclass(frozen=True)
class AugmentConfig:
    """How much; all zero is none. Ours, not the paper's."""

    noise: float = 0.1  # standard deviation, as a share of the rows' own
    drop_rows: float = 0.1  # chance of each row to be left out
    drop_streams: float = 0.1  # chance of each stream of a window to be left out; never all of them

    def __post_init__(self) -> None:
        if self.noise < 0 or not 0 <= self.drop_rows < 1 or not 0 <= self.drop_streams < 1:
            raise ValueError("noise is at least 0; drop_rows and drop_streams lie in [0, 1)")


def augment(
    streams: Streams, valid: Streams, config: AugmentConfig, generator: torch.Generator
) -> tuple[Streams, Streams]:
    """streams (B, T, D), valid (B, T) by name → the same, changed. Everything is drawn from `generator`."""
    changed, usable = {}, {}
    names = list(streams)
    batch = len(next(iter(streams.values())))
    kept = torch.rand(batch, len(names), generator=generator) >= config.drop_streams
    # A window that lost all its streams keeps the one that was luckiest.
    luck = torch.rand(batch, len(names), generator=generator).argmax(dim=1)
    kept[torch.arange(batch), luck] |= ~kept.any(dim=1)
    for place, name in enumerate(names):
        x, present = streams[name], valid[name]
        spread = x[present].std() if int(present.sum()) > 1 else x.new_zeros(())
        noise = torch.randn(x.shape, generator=generator) * (config.noise * spread)
        rows = torch.rand(present.shape, generator=generator) >= config.drop_rows
        rows |= ~(rows & present).any(dim=1, keepdim=True)  # not the last row of a stream
        changed[name] = x + noise
        usable[name] = present & rows & kept[:, place, None]
    return changed, usable
