"""From a joined vector to a rating: a shallow MLP for classes (violence) or for numbers (valence, arousal)."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

TASKS = ("classification", "regression")


@dataclass(frozen=True)
class AffectHeadConfig:
    """Shape of the head. Stored with the weights."""

    task: str = "classification"
    # Classification: the classes, the positive one last. Regression: the dimensions, each in [-1, 1].
    outputs: tuple[str, ...] = ("other", "violence")
    hidden: int = 64
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.task not in TASKS:
            raise ValueError(f"task is one of {', '.join(TASKS)}, not {self.task}")
        least = 2 if self.task == "classification" else 1
        if len(self.outputs) < least or len(set(self.outputs)) != len(self.outputs):
            raise ValueError(f"{self.task} needs at least {least} outputs of different names")
        if self.hidden < 1 or not 0 <= self.dropout < 1:
            raise ValueError("hidden is at least 1, and dropout lies in [0, 1)")


class AffectHead(nn.Module):
    """(B, D) → logits (B, classes), or values (B, dimensions) in (-1, 1)."""

    def __init__(self, config: AffectHeadConfig, dim: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, config.hidden),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(config.hidden, len(config.outputs)),
        )
        self.is_regression = config.task == "regression"

    def forward(self, joined: Tensor) -> Tensor:
        """(B, D) → (B, outputs)."""
        found: Tensor = self.layers(joined)
        return found.tanh() if self.is_regression else found
