"""Gain and bias of what a batch says of its queries, drawn anew: no two encoders or kinds of video are alike."""

from __future__ import annotations

import torch

from rdmf_cli.fusion.inputs import INPUT_NAMES, MAX_INPUT, Batch

# What the timeline is like, whoever asks.
_TIMELINE = ("distance_before", "distance_after", "cut_before", "cut_after")
_IS_SAID = torch.tensor([name not in _TIMELINE for name in INPUT_NAMES])


def jittered(batch: Batch, amount: float, seed: int) -> Batch:
    """Every input of every item times exp(amount · n) plus amount · n', with n and n' normal; distances and cuts stay.

    The same seed gives the same. 0 changes nothing.
    """
    if amount == 0:
        return batch
    values = batch.values
    generator = torch.Generator().manual_seed(seed)
    shape = (len(values), 1, values.shape[-1])
    gain, bias = (amount * torch.randn(shape, generator=generator).to(values.device) for _ in range(2))
    changed = (values * gain.exp() + bias).clamp(-MAX_INPUT, MAX_INPUT)
    return batch._replace(values=torch.where(_IS_SAID.to(values.device), changed, values))
