"""What slots read: means over bins are true integrals, also far into a long video and beyond its end."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rdmf_cli.heads.sampling import BINS, bin_edges, bin_means, integral, rows_at


def piecewise_mean(x: np.ndarray, start: float, end: float) -> float:
    """Mean of the step function x over [start, end), 0 outside, by counting fine points."""
    points = start + (np.arange(20_000) + 0.5) / 20_000 * (end - start)
    index = np.floor(points).astype(int)
    inside = (index >= 0) & (index < len(x))
    return float(np.where(inside, x[np.clip(index, 0, len(x) - 1)], 0).mean())


def means(x: Tensor, spans: Tensor, valid: Tensor | None = None) -> Tensor:
    usable = torch.ones(x.shape[:2], dtype=torch.bool) if valid is None else valid
    return bin_means(integral(x, usable), bin_edges(spans))


def test_bins_hold_the_mean_of_what_they_cover() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 12, 1)
    spans = torch.tensor([[[2.3, 7.9], [0.0, 12.0], [10.8, 11.1]]])
    found, edges = means(x, spans)[0, :, :, 0], bin_edges(spans)[0]
    assert found.shape == (3, BINS)
    for slot in range(3):
        for place in range(BINS):
            start, end = float(edges[slot, place]), float(edges[slot, place + 1])
            truth = piecewise_mean(x[0, :, 0].numpy(), start, end)
            assert abs(float(found[slot, place]) - truth) < 2e-3


def test_narrow_bins_are_exact_at_the_end_of_a_day() -> None:
    x = torch.full((1, 86_400, 1), 3.0)
    x[0, 86_399] = 7.0
    found = means(x, torch.tensor([[[86_399.0, 86_399.4]]]))
    torch.testing.assert_close(found[0, 0, 4:12, 0], torch.full((8,), 7.0))


def test_padding_is_never_read() -> None:
    x = torch.ones(1, 10, 2)
    x[0, 6:] = torch.nan
    valid = torch.arange(10)[None] < 6
    assert means(x, torch.tensor([[[1.0, 9.0]]]), valid).isfinite().all()


def test_rows_are_those_of_their_own_item() -> None:
    x = torch.arange(12.0).reshape(2, 3, 2)
    assert rows_at(x, torch.tensor([[2, 0], [1, 1]])).tolist() == [[[4, 5], [0, 1]], [[8, 9], [8, 9]]]


def test_gradients_reach_the_sequence() -> None:
    x = torch.randn(1, 9, 3, requires_grad=True)
    means(x, torch.tensor([[[2.0, 5.0]]])).sum().backward()
    assert x.grad is not None
    assert (x.grad[0, 2:5] != 0).all()
    assert x.grad[0, 8].abs().max() == 0  # outside of what the slot looks at
