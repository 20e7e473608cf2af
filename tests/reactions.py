"""Untrained networks whose reactions are heard: their readout starts at 0, which would hide what a test is about."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from rdmf_cli.fusion.learned import ReactionBlock

Module = TypeVar("Module", bound=nn.Module)


@torch.no_grad()
def awake(network: Module) -> Module:
    """The network, every reaction's readout as a linear layer usually starts."""
    for block in network.modules():
        if isinstance(block, ReactionBlock):
            block.readout.reset_parameters()
    return network
