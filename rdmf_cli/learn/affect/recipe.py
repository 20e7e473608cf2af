"""The recipe of the second model: what violence, or valence and arousal, is learned from, and how. No torch."""

from __future__ import annotations

from dataclasses import dataclass, field

from rdmf_cli.fusion.cross_gru import CrossGruConfig
from rdmf_cli.heads.affect import AffectHeadConfig
from rdmf_cli.learn.affect.augment import AugmentConfig
from rdmf_cli.learn.affect.labels import LAYOUTS
from rdmf_cli.windows import StreamConfig


@dataclass(frozen=True)
class DataConfig:
    """What is learned from."""

    labels: str  # a file (segments) or a folder
    layout: str = "segments"
    videos: str = ""  # folder of the videos; "": beside the labels
    validation_share: float = 0.25  # of the videos, where the labels don't say
    split_seed: int = 0  # draws them; the same for every training seed, so that seeds can be compared

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout is one of {', '.join(LAYOUTS)}, not {self.layout}")
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share lies between 0 and 1, not {self.validation_share:g}")


@dataclass(frozen=True)
class TrainingConfig:
    """How it is learned. Ours, not the paper's (docs/affect.md)."""

    seeds: tuple[int, ...] = (0, 1, 2, 3, 4)
    epochs: int = 60  # at most
    patience: int = 10  # epochs without a better validation figure after which it ends
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    clip: float = 1.0  # largest norm of the gradient
    balance: bool = True  # classification: a rare class counts as much as a common one
    mse_weight: float = 0.5  # regression: beside 1 − CCC
    rebuilding_weight: float = 0.1  # of the auto-encoding regulariser

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds are different numbers of at least 0")
        if min(self.epochs, self.patience, self.batch_size) < 1:
            raise ValueError("epochs, patience and batch_size are at least 1")
        if self.learning_rate <= 0 or self.clip <= 0 or min(self.weight_decay, self.mse_weight) < 0:
            raise ValueError("learning_rate and clip are above 0, weight_decay and mse_weight at least 0")
        if self.rebuilding_weight < 0:
            raise ValueError("rebuilding_weight is at least 0")


@dataclass(frozen=True)
class AffectRecipe:
    """The second model: violence, or valence and arousal, over time."""

    data: DataConfig
    kind: str = "affect"
    encoder: str = "lite"  # of pictures and sentences: 'rdmf models list'
    streams: StreamConfig = field(default_factory=StreamConfig)
    fusion: CrossGruConfig = field(default_factory=CrossGruConfig)
    head: AffectHeadConfig = field(default_factory=AffectHeadConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def __post_init__(self) -> None:
        if self.head.task == "classification" and len(self.head.outputs) != 2:
            raise ValueError("head.outputs: two classes, the positive one last")

    @property
    def is_class(self) -> bool:
        """Classes, not numbers."""
        return self.head.task == "classification"
