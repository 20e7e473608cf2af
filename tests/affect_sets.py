"""Small labelled windows and recipes for the tests of the second model."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from rdmf_cli.fusion.cross_gru import STREAMS, CrossGruConfig
from rdmf_cli.heads.affect import AffectHeadConfig
from rdmf_cli.learn.affect.augment import AugmentConfig
from rdmf_cli.learn.affect.data import WindowSet
from rdmf_cli.learn.affect.recipe import AffectRecipe, DataConfig, TrainingConfig
from rdmf_cli.model import AffectConfig, Source, Sources
from rdmf_cli.windows import StreamRows, VideoStreams

DIMS = {"motion": 5, "image": 4, "caption": 6}
SOURCES = Sources(**{name: Source("made", "00", dim) for name, dim in DIMS.items()})
FUSION = CrossGruConfig(hidden=8, heads=2)


def windows(count: int = 24, seed: int = 0, *, regression: bool = False) -> WindowSet:
    """One "video" of `count` windows of a second; the mean of the first motion channel is the label."""
    rng = np.random.default_rng(seed)
    rows = {name: rng.standard_normal((count, 4, dim)).astype(np.float32) for name, dim in DIMS.items()}
    wanted = rng.uniform(-1, 1, count)
    rows["motion"][:, :, 0] += 3 * wanted[:, None]
    streams = {name: StreamRows(x.reshape(-1, x.shape[2]), 4.0, 4) for name, x in rows.items()}
    video = VideoStreams(streams, float(count), 4.0, 1.0, 1.0)
    numbers = np.arange(count)
    targets = np.stack([wanted, -wanted], axis=1) if regression else np.eye(2)[(wanted > 0).astype(np.int64)]
    return WindowSet((video,), ("made.mp4",), np.zeros_like(numbers), numbers, targets)


def recipe(*, regression: bool = False, **training: Any) -> AffectRecipe:
    """Small and quick."""
    outputs = ("valence", "arousal") if regression else ("other", "violence")
    head = AffectHeadConfig("regression" if regression else "classification", outputs, hidden=8)
    plan = TrainingConfig(**{"seeds": (0,), "epochs": 6, "batch_size": 8, "learning_rate": 3e-3, **training})
    return AffectRecipe(DataConfig("labels.csv"), fusion=FUSION, head=head, augment=AugmentConfig(), training=plan)


def config(made: AffectRecipe) -> AffectConfig:
    """The model of a recipe."""
    sources = Sources(**{name: getattr(SOURCES, name) for name in made.fusion.streams})
    return AffectConfig(sources=sources, fusion=made.fusion, head=made.head)


def unimodal(made: AffectRecipe, name: str) -> AffectRecipe:
    """The same with one stream."""
    return replace(made, fusion=replace(made.fusion, streams=(name,), attention="none"))


__all__ = ["DIMS", "FUSION", "SOURCES", "STREAMS", "config", "recipe", "unimodal", "windows"]
