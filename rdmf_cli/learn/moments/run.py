"""From a recipe and examples to a model folder: seeds, the calibrated relevance, figures, curves, card."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from rdmf_cli.learn.curves import draw_curves
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.engine import Engine, PlainEngine
from rdmf_cli.learn.moments.answers import network_answers, pattern_answers
from rdmf_cli.learn.moments.card import CURVES, DIAGRAM, card
from rdmf_cli.learn.moments.figures import Figures, figures
from rdmf_cli.learn.moments.recipe import MomentRecipe
from rdmf_cli.learn.moments.sets import MomentSets
from rdmf_cli.learn.moments.training import Trained, train
from rdmf_cli.learn.recipe import recipe_text
from rdmf_cli.learn.reliability import cutoff_for, diagram, fit_scale, probabilities, reliability
from rdmf_cli.model_folder import Papers
from rdmf_cli.moment_model import MomentConfig, MomentNetwork
from rdmf_cli.moment_weights import save_moments
from rdmf_cli.progress import SILENT, Progress


@dataclass(frozen=True)
class MomentReport:
    """What a training gave."""

    folder: Path
    best: Trained
    runs: tuple[Trained, ...]  # one for each seed
    metrics: dict[str, Any]  # metrics.json

    def to_json(self) -> dict[str, Any]:
        """metrics.json."""
        return self.metrics


def train_moments(
    recipe: MomentRecipe,
    sets: MomentSets,
    folder: Path,
    *,
    start: Mapping[str, Tensor] | None = None,
    engine: Engine | None = None,
    events: Path | None = None,
    progress: Progress = SILENT,
) -> MomentReport:
    """Train all seeds, keep the best one in `folder`. events: folder for TensorBoard. Raises OutputError, ModelError.

    start: weights that every seed begins with.
    A training that was stopped goes on where it was when it is called again with the same recipe and examples.
    """
    engine = engine or PlainEngine()
    config = config_of(recipe)
    state_folder = folder.with_name(f".{folder.name}.training")
    runs = tuple(
        train(
            sets.training,
            sets.validation,
            config,
            recipe,
            seed,
            start=start,
            engine=engine,
            state_file=state_folder / f"seed-{seed}.safetensors",
            events_folder=events / f"seed-{seed}" if events else None,
            progress=progress,
        )
        for seed in recipe.training.seeds
    )
    best = max(runs, key=lambda run: run.value)
    network, found = _calibrated(best.network, sets.validation, recipe.training.false_alarms)
    metrics = _metrics(recipe, sets, runs, best, found) | {"tests": _on_tests(network, sets.tests)}
    report = MomentReport(folder, best, runs, metrics)
    if engine.number == 0:
        save_moments(folder, network, _papers(recipe, metrics, runs))
        shutil.rmtree(state_folder, ignore_errors=True)
    engine.wait()
    return report


def config_of(recipe: MomentRecipe) -> MomentConfig:
    """What a recipe makes."""
    own = recipe.encoder if recipe.fusion.input == "features" else ""  # any other serves every encoder
    return MomentConfig(
        fusion=recipe.fusion,
        head=recipe.head,
        encoder_fingerprint=own,
        statistic_share=recipe.training.statistic_share,
        saliency_share=recipe.training.saliency_share,
    )


def _calibrated(
    network: MomentNetwork, validation: Sequence[Example], false_alarms: float
) -> tuple[MomentNetwork, dict[str, Any]]:
    """The network with a relevance that is a probability, and what it reaches on the whole of the validation."""
    said = network_answers(network, validation, "cpu")
    logits, matched = [one.relevance for one in said], np.array([len(example.windows) > 0 for example in validation])
    scale = fit_scale(logits, matched)
    chances = probabilities(logits, scale)
    cutoff = cutoff_for(chances, matched, false_alarms)
    network.config = replace(network.config, relevance_scale=scale, cutoff=cutoff)
    told = {
        "cutoff": cutoff,
        "matching": _share(chances[matched] >= cutoff),
        "others": _share(chances[~matched] >= cutoff),
    }
    return network, {
        "validation": figures(said, validation),
        "reliability": reliability(logits, matched),
        "shown": told,
    }


def _share(kept: NDArray[np.bool_]) -> float | None:
    """None of nothing."""
    return float(kept.mean()) if len(kept) else None


def _metrics(
    recipe: MomentRecipe, sets: MomentSets, runs: tuple[Trained, ...], best: Trained, found: dict[str, Any]
) -> dict[str, Any]:
    return {
        "examples": {"training": len(sets.training), "validation": len(sets.validation)},
        "seed": best.seed,
        "step": best.step,
        "seeds": [{"seed": run.seed, "map": run.value, "step": run.step, "steps": run.steps} for run in runs],
        "parameters": best.network.num_parameters,
        **found,
        "validation_pattern": figures(pattern_answers(sets.validation), sets.validation),
        "history": list(best.history),
    }


def _on_tests(network: MomentNetwork, tests: dict[str, list[Example]]) -> dict[str, dict[str, Figures]]:
    """Figures of the network and of pattern mode on sets that chose nothing."""
    return {
        name: {
            "model": figures(network_answers(network, examples, "cpu"), examples),
            "pattern": figures(pattern_answers(examples), examples),
        }
        for name, examples in tests.items()
    }


def _papers(recipe: MomentRecipe, metrics: dict[str, Any], runs: tuple[Trained, ...]) -> Papers:
    drawn = {
        CURVES: draw_curves({run.seed: run.history for run in runs}),
        DIAGRAM: diagram(metrics["reliability"]["bins"]),
    }
    pictures = {name: picture for name, picture in drawn.items() if picture is not None}
    return Papers(card(recipe, metrics, tuple(pictures)), recipe_text(recipe), metrics, pictures=pictures)
