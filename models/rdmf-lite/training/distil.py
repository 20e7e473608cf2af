"""What a tower loses against the teachers' space (space.py), and fitting its last layers to it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

TEMPERATURE = 0.05
BANK_DRAW = 1024  # of the other side's vectors, drawn for every batch


@dataclass(frozen=True)
class DistilRecipe:
    """The [distil] table of recipe.toml."""

    batch_size: int
    learning_rate: float
    weight_decay: float
    steps: int


def space_loss(output: Tensor, target: Tensor, bank: Tensor) -> Tensor:
    """Cosine to the target, and the same ranking of the other side's vectors, both ways.

    output (B, D) of any length, target (B, D) unit, bank (M, D) unit vectors of the other side.
    """
    output = nn.functional.normalize(output.float(), dim=-1)
    loss = 2 * (1 - (output * target).sum(dim=-1).mean())
    some = bank[torch.randint(len(bank), (BANK_DRAW,), device=bank.device)]
    ours, theirs = output @ some.T / TEMPERATURE, target @ some.T / TEMPERATURE
    for mine, wanted in ((ours, theirs), (ours.T, theirs.T)):
        divergence = nn.functional.kl_div(
            mine.log_softmax(dim=-1), wanted.log_softmax(dim=-1), log_target=True, reduction="batchmean"
        )
        loss = loss + divergence
    return loss


def fit(layers: nn.Module, features: Tensor, targets: Tensor, bank: Tensor, recipe: DistilRecipe, seed: int) -> None:
    """Train `layers` (F -> D) in place on frozen features (N, F)."""
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(layers.parameters(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    layers.train()
    for step in range(recipe.steps):
        rate = recipe.learning_rate * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        rows = torch.randint(len(features), (recipe.batch_size,))
        loss = space_loss(layers(features[rows].float()), targets[rows].float(), bank)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    layers.eval()


def scale_inputs(layers: nn.Sequential, factor: float) -> None:
    """Let `layers`, fitted to inputs times `factor`, take them as they are."""
    first = layers[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.weight.mul_(factor)
