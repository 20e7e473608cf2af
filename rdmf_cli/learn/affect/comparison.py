"""Several trainings side by side: seeds of one recipe, and variants of it on the same seeds, with paired tests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from rdmf_cli.fusion.cross_gru import CrossGruConfig
from rdmf_cli.learn.affect.data import WindowSet
from rdmf_cli.learn.affect.figures import figures, main_figure, predict
from rdmf_cli.learn.affect.recipe import AffectRecipe
from rdmf_cli.learn.affect.training import Trained, train
from rdmf_cli.model import AffectConfig
from rdmf_cli.progress import SILENT, Progress

FULL = "as in the recipe"


@dataclass(frozen=True)
class Scores:
    """The figures of one variant, one per seed, in the order of the seeds."""

    name: str
    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean over seeds."""
        return float(np.mean(self.values))

    @property
    def spread(self) -> float:
        """Standard deviation over seeds (n - 1); 0 for one seed."""
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else 0.0


@dataclass(frozen=True)
class Seeds:
    """The trainings of one recipe."""

    runs: tuple[Trained, ...]

    @property
    def best(self) -> Trained:
        """The run with the best figure; the earlier of equals."""
        return max(self.runs, key=lambda run: run.value)

    def scores(self, name: str = FULL) -> Scores:
        """On the validation windows."""
        return Scores(name, tuple(run.value for run in self.runs))

    def on(self, windows: WindowSet, name: str = FULL) -> Scores:
        """On other windows, which chose nothing."""
        values = []
        for run in self.runs:
            config = run.network.config
            threshold = config.threshold if config.head.task == "classification" else None
            found = figures(predict(run.network, windows), windows, config.head.outputs, threshold)
            values.append(main_figure(found))
        return Scores(name, tuple(values))


def train_seeds(
    training: WindowSet,
    validation: WindowSet,
    config: AffectConfig,
    recipe: AffectRecipe,
    *,
    state_folder: Path | None = None,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> Seeds:
    """Train every seed of the recipe."""
    runs = []
    for seed in recipe.training.seeds:
        file = state_folder / f"seed-{seed}.safetensors" if state_folder is not None else None
        run = train(training, validation, config, recipe, seed, state_file=file, device=device, progress=progress)
        runs.append(run)
    return Seeds(tuple(runs))


def variants(fusion: CrossGruConfig) -> dict[str, CrossGruConfig]:
    """What a recipe is compared with: each stream alone, and all of them without attention."""
    alone = {f"{name} alone": replace(fusion, streams=(name,), attention="none") for name in fusion.streams}
    if len(fusion.streams) == 1:
        return {}
    others = {"concatenation": replace(fusion, attention="none"), "single-stage": replace(fusion, attention="single")}
    return {**alone, **{name: changed for name, changed in others.items() if changed != fusion}}


def with_fusion(
    config: AffectConfig, recipe: AffectRecipe, fusion: CrossGruConfig
) -> tuple[AffectConfig, AffectRecipe]:
    """The same model and recipe with another fusion."""
    return replace(config, fusion=fusion), replace(recipe, fusion=fusion)


def paired_p(first: Sequence[float], second: Sequence[float]) -> float:
    """Two-sided p of the paired t test: do two variants on the same seeds differ? 1 for fewer than two seeds.

    Student's t with n - 1 degrees of freedom, its tail integrated numerically: t = sqrt(df) tan θ turns the density
    into cos(θ)^(df - 1), which is smooth and bounded. A test pins it to published quantiles.
    """
    apart = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    freedom = len(apart) - 1
    if freedom < 1 or not apart.any():
        return 1.0
    error = float(apart.std(ddof=1)) / np.sqrt(len(apart))
    if error == 0:
        return 0.0
    start = np.arctan(abs(float(apart.mean())) / error / np.sqrt(freedom))
    tail, half = (
        np.trapezoid(np.cos(angle) ** (freedom - 1), angle)
        for angle in (np.linspace(start, np.pi / 2, 20_001), np.linspace(0, np.pi / 2, 20_001))
    )
    return float(min(1.0, tail / half))
