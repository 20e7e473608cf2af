"""Reading a sequence at the place of a span: means over bins that go with its width, and rows at snippet edges.

Both cost the same whatever the length of the video. Positions are in snippets: snippet i covers [i, i + 1).
"""

from __future__ import annotations

import torch
from torch import Tensor

INNER_BINS = 8
OUTER_BINS = 4  # on either side
BINS = INNER_BINS + 2 * OUTER_BINS


def integral(x: Tensor, valid: Tensor) -> Tensor:
    """x (B, T, D), valid (B, T) → running sums (B, T+1, D) in float64, 0 at 0. Padding adds nothing.

    Differences of float32 sums would drown narrow bins of a long video in rounding.
    """
    sums = torch.where(valid[..., None], x, 0.0).double().cumsum(dim=1)
    return torch.nn.functional.pad(sums, (0, 0, 1, 0))


def bin_edges(spans: Tensor) -> Tensor:
    """spans (B, S, 2) → (B, S, BINS + 1): edges of the bins, ascending.

    Half a width on either side is looked at too, and never less than two snippets.
    """
    start, end = spans[..., :1], spans[..., 1:]
    outside = ((end - start) / 2).clamp(min=2.0)
    steps = torch.arange(OUTER_BINS, 0, -1, dtype=spans.dtype, device=spans.device) / OUTER_BINS  # 1 … 1/4
    shares = torch.linspace(0, 1, INNER_BINS + 1, dtype=spans.dtype, device=spans.device)
    return torch.cat([start - outside * steps, start + (end - start) * shares, end + outside * steps.flip(0)], dim=-1)


def bin_means(sums: Tensor, edges: Tensor) -> Tensor:
    """Means of what `integral` summed, over bins: edges (B, S, N+1), ascending → (B, S, N, D), float32.

    Beyond the video there is 0. A bin narrower than a snippet takes a share of it, so the mean moves without steps.
    """
    num_edges, dim = sums.shape[1:]
    places = edges.double().clamp(0, num_edges - 1)
    low = places.floor().clamp(max=max(num_edges - 2, 0))
    share = (places - low).flatten(1)[..., None]
    low_row = low.long().flatten(1)
    before, after = rows_at(sums, low_row), rows_at(sums, low_row + 1)
    until = (before + share * (after - before)).reshape(*edges.shape, dim)
    width = (edges[..., 1:] - edges[..., :-1]).clamp(min=1e-3)
    return ((until[..., 1:, :] - until[..., :-1, :]) / width.double()[..., None]).float()


def rows_at(x: Tensor, index: Tensor) -> Tensor:
    """x (B, T, D), index (B, N) whole numbers in [0, T) → (B, N, D)."""
    num_items, length, dim = x.shape
    first = torch.arange(num_items, device=x.device)[:, None] * length
    return x.reshape(-1, dim).index_select(0, (index + first).flatten()).reshape(*index.shape, dim)
