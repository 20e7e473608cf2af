"""Overlap of spans (start, end) in tensors, with gradients. Units are whatever comes in.

The same as intervals.py, to which a test pins it; this copy has gradients and broadcasts.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Overlap(NamedTuple):
    """How two spans lie to each other."""

    iou: Tensor  # in [0, 1]; 0 for two spans of length 0
    giou: Tensor  # generalized IoU in [-1, 1]: iou − share of the hull that neither covers


def overlap(a: Tensor, b: Tensor) -> Overlap:
    """Overlap of spans of the same place: a, b (..., 2), start ≤ end, broadcast → (...).

    References
    ----------
    Rezatofighi et al. 2019, arXiv 1902.09630, on one axis.
    """
    shared = (torch.minimum(a[..., 1], b[..., 1]) - torch.maximum(a[..., 0], b[..., 0])).clamp(min=0)
    union = (a[..., 1] - a[..., 0]) + (b[..., 1] - b[..., 0]) - shared
    hull = torch.maximum(a[..., 1], b[..., 1]) - torch.minimum(a[..., 0], b[..., 0])
    iou = shared / union.clamp(min=1e-9)
    return Overlap(iou, iou - (hull - union).clamp(min=0) / hull.clamp(min=1e-9))


def pairwise_overlap(a: Tensor, b: Tensor) -> Overlap:
    """a (..., N, 2), b (..., M, 2) → each (..., N, M)."""
    return overlap(a.unsqueeze(-2), b.unsqueeze(-3))
