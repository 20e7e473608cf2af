"""Features of made-up videos for what runs on a stream, and what all of that must do."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def unit(*shape: int, seed: int = 0) -> Tensor:
    """Rows of unit length."""
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(rows, dim=-1)


def video(length: int) -> tuple[Tensor, Tensor]:
    """Features (length, 16), and True where a cut lies before a snippet."""
    is_cut = torch.rand(length, generator=torch.Generator().manual_seed(1)) < 0.1
    is_cut[:1] = False
    return unit(length, 16), is_cut


def check_that_the_future_is_not_looked_at(run: Callable[[Tensor, Tensor, int, int], list[Tensor]]) -> None:
    """run: features, cuts, lag, chunk → what came out of each push, along the second axis."""
    features, is_cut = video(60)
    other = features.clone()
    other[40:] = unit(20, 16, seed=9)
    parts = [torch.cat(run(x, is_cut, 6, 1)[:40], dim=1) for x in (features, other)]
    assert parts[0].shape[1] == 33  # 40 were seen, one waits for its neighbour, six lag behind
    assert torch.equal(*parts)
