"""The recipe of moment search: what the learned fusion and its head are trained on, and how."""

from __future__ import annotations

from dataclasses import dataclass, field

from rdmf_cli.fusion.config import FusionConfig
from rdmf_cli.heads.moments import HeadConfig
from rdmf_cli.learn.datasets.features import FeatureFolders
from rdmf_cli.learn.moments.losses import LossConfig

LAYOUTS = ("qvhighlights", "packs")
PRECISIONS = ("32", "bf16")


@dataclass(frozen=True)
class MomentDataConfig:
    """What is learned from. Paths count from the recipe."""

    training: str  # qvhighlights: annotations as JSON lines; packs: a file of examples (learn/datasets/packs.py)
    validation: str = ""  # the same; qvhighlights: "" holds back a share of the training's videos
    layout: str = "qvhighlights"
    features: str = ""  # qvhighlights: the folder of features; "": where the training annotations lie
    validation_share: float = 0.2  # of the videos, where no validation is named
    split_seed: int = 0  # draws them; the same for every training seed, so that seeds can be compared
    no_match: bool = True  # qvhighlights: queries without a window are allowed, and teach the relevance
    tests: tuple[str, ...] = ()  # packs that only measure the trained weights; named in the card by their files
    about: str = ""  # for the card: where the data is from, and its terms

    def __post_init__(self) -> None:
        if self.layout not in LAYOUTS:
            raise ValueError(f"layout is one of {', '.join(LAYOUTS)}, not {self.layout}")
        if not self.training:
            raise ValueError("training names a file")
        if self.layout == "packs" and not self.validation:
            raise ValueError("validation names a file: packs are not split")
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share lies between 0 and 1, not {self.validation_share:g}")


@dataclass(frozen=True)
class MomentTraining:
    """How it is learned."""

    start: str = ""  # a trained model of the same shape that it begins with, such as "rdmf-base"; "": from nothing
    seeds: tuple[int, ...] = (0,)  # the best by validation mAP is kept
    epochs: int = 30
    steps: int = 0  # above 0: as many steps, whatever epochs says
    rounds: int = 20  # how often, evenly spread, it is validated and its state kept
    patience: int = 0  # rounds without a better mAP after which it ends; 0: never before its time
    batch_size: int = 32
    batch_snippets: int = 6400  # of a batch, padding included, at most: long videos come in smaller batches
    learning_rate: float = 1e-3  # at the end of the warm-up; then down to nearly 0 along a cosine
    warmup: float = 0.05  # share of the steps
    weight_decay: float = 1e-2
    clip: float = 1.0  # largest norm of the gradient
    jitter: float = 0.0  # of gain and bias of each input of each example, drawn anew at every step (jitter.py)
    precision: str = "32"  # or "bf16"
    devices: int = 1  # accelerators; several need lightning-fabric
    # Of the calibrated statistic in the relevance, against the trained logit (moment_model.py): the more, the less what
    # is learned from is like what will be searched.
    statistic_share: float = 0.5
    saliency_share: float = 0.0  # the same of each snippet's own evidence in its saliency
    # Of the validation's queries without a match, the share that may be shown as one: where more would be, the cut-off
    # lies above a relevance of one half. 1: it is one half.
    false_alarms: float = 1.0
    validation_examples: int = 400  # in each round, at most; the weights that are kept are measured on all

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) != len(self.seeds) or min(self.seeds) < 0:
            raise ValueError("seeds are different numbers of at least 0")
        if min(self.epochs, self.rounds, self.batch_size, self.batch_snippets, self.devices) < 1:
            raise ValueError("epochs, rounds, batch_size, batch_snippets and devices are at least 1")
        if min(self.steps, self.patience) < 0 or self.validation_examples < 1:
            raise ValueError("steps and patience are at least 0, validation_examples at least 1")
        if self.learning_rate <= 0 or self.clip <= 0 or self.weight_decay < 0 or not 0 <= self.warmup < 1:
            raise ValueError("learning_rate and clip are above 0, weight_decay at least 0, warmup lies in [0, 1)")
        if not 0 <= self.jitter <= 2:
            raise ValueError(f"jitter lies in [0, 2], not {self.jitter:g}")
        if not 0 <= self.statistic_share < float("inf") or not 0 <= self.saliency_share < float("inf"):
            raise ValueError("statistic_share and saliency_share are 0 or more")
        if not 0 < self.false_alarms <= 1:
            raise ValueError(f"false_alarms lies above 0 and up to 1, not {self.false_alarms:g}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, not {self.precision}")


@dataclass(frozen=True)
class MomentRecipe:
    """The first model: moments of a video that a sentence describes."""

    data: MomentDataConfig
    kind: str = "moments"
    encoder: str = ""  # fingerprint that the features must be of; "": of any, mixed ones included
    folders: FeatureFolders = field(default_factory=FeatureFolders)  # qvhighlights: where features lie
    fusion: FusionConfig = field(default_factory=FusionConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    training: MomentTraining = field(default_factory=MomentTraining)
