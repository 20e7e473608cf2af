"""Training of the second model: AdamW, early stopping, best weights by the validation figure, resumable to the bit.

Everything random in an epoch is drawn from the seed and the number of the epoch, so a training that was killed goes on
from its last complete epoch as if nothing had happened. Its state is one safetensors file, replaced at once.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from rdmf_cli.errors import ModelError
from rdmf_cli.learn.affect.augment import augment
from rdmf_cli.learn.affect.data import WindowSet
from rdmf_cli.learn.affect.figures import figures, main_figure, predict, tensors
from rdmf_cli.learn.affect.loss import class_weights, classification_loss, rebuilding_loss, regression_loss
from rdmf_cli.learn.affect.recipe import AffectRecipe
from rdmf_cli.learn.training_state import State, load_state, save_state
from rdmf_cli.model import AffectConfig, AffectNetwork
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.records import to_table


@dataclass
class Run:
    """One training: what it is at the end of an epoch."""

    network: AffectNetwork
    optimizer: torch.optim.AdamW
    best: State = field(default_factory=dict)
    best_epoch: int = -1
    best_value: float = -math.inf
    best_loss: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)  # per epoch: loss, validation figure

    @property
    def epoch(self) -> int:
        """The next epoch."""
        return len(self.history)


@dataclass(frozen=True)
class Trained:
    """The best weights of one seed, and how good they are on the validation windows."""

    network: AffectNetwork
    seed: int
    epoch: int  # the best one, from 0
    epochs: int  # how many were run
    figures: dict[str, Any]

    @property
    def value(self) -> float:
        """The figure that chose the weights."""
        return main_figure(self.figures)


def train(
    training: WindowSet,
    validation: WindowSet,
    config: AffectConfig,
    recipe: AffectRecipe,
    seed: int,
    *,
    state_file: Path | None = None,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> Trained:
    """Train one seed, going on from `state_file` if that belongs to the same training. Raises OutputError.

    Raises ModelError if the loss stops being a number.
    """
    torch.manual_seed(seed)
    network = AffectNetwork(config)
    for name in config.fusion.streams:
        network.fit_scale(name, torch.from_numpy(training.all_rows(name)))
    network.to(device)
    plan = recipe.training
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    run = Run(network, optimizer)
    identity = _identity(training, validation, config, recipe, seed)
    kept = load_state(state_file, identity, network, optimizer) if state_file is not None else None
    if kept is not None:
        run.best = kept[0]
        for name, value in kept[1].items():
            setattr(run, name, value)
    progress.start(f"training, seed {seed}", plan.epochs, "epochs")
    progress.advance(run.epoch)
    while run.epoch < plan.epochs and run.epoch - run.best_epoch <= plan.patience:
        loss = _epoch(run, training, recipe, seed, device)
        if not math.isfinite(loss):
            raise ModelError("the training loss is no number any more", hint="lower training.learning_rate")
        _judge(run, validation, config, loss, device)
        if state_file is not None:
            facts = {name: getattr(run, name) for name in ("best_epoch", "best_value", "best_loss", "history")}
            save_state(state_file, identity, network, optimizer, run.best, facts)
        progress.advance(1)
    progress.finish()
    network.load_state_dict(run.best)
    found = _figures(network, validation, config, device)
    return Trained(network.eval().cpu(), seed, run.best_epoch, run.epoch, found)


def _epoch(run: Run, training: WindowSet, recipe: AffectRecipe, seed: int, device: str) -> float:
    """One pass over the training windows; the mean loss."""
    plan, config = recipe.training, run.network.config
    generator = torch.Generator().manual_seed(_mixed(seed, run.epoch))
    torch.manual_seed(_mixed(seed, run.epoch) + 1)  # dropout
    order = torch.randperm(len(training), generator=generator).numpy()
    weights = torch.ones(len(config.head.outputs))
    if plan.balance and recipe.is_class:
        weights = class_weights(torch.from_numpy(training.classes), len(config.head.outputs))
    weights = weights.to(device)
    run.network.train()
    total = 0.0
    for start in range(0, len(order), plan.batch_size):
        places = order[start : start + plan.batch_size]
        streams, valid = augment(*tensors(training, config.fusion.streams, places), recipe.augment, generator)
        targets = torch.from_numpy(training.targets[places]).float().to(device)
        rating = run.network(*({name: x.to(device) for name, x in part.items()} for part in (streams, valid)))
        if recipe.is_class:
            loss = classification_loss(rating, targets, weights)
        else:
            loss = regression_loss(rating, targets, plan.mse_weight)
        loss = loss + plan.rebuilding_weight * rebuilding_loss(rating)
        run.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(run.network.parameters(), plan.clip)
        run.optimizer.step()
        total += float(loss.detach()) * len(places)
    return total / len(order)


def _judge(run: Run, validation: WindowSet, config: AffectConfig, loss: float, device: str) -> None:
    """Measure on the validation windows; keep the weights if they are the best so far."""
    value = main_figure(_figures(run.network, validation, config, device))
    # Few windows give few different figures: of equal ones the weights that fit the training better win.
    if (value, -loss) > (run.best_value, -run.best_loss):
        # Patience counts from the last better figure; a lower loss alone does not extend it.
        if value > run.best_value:
            run.best_epoch = run.epoch
        run.best_value, run.best_loss = value, loss
        run.best = {name: tensor.clone() for name, tensor in run.network.state_dict().items()}
    run.history.append({"loss": loss, "value": value})


def _figures(network: AffectNetwork, windows: WindowSet, config: AffectConfig, device: str) -> dict[str, Any]:
    threshold = config.threshold if config.head.task == "classification" else None
    return figures(predict(network, windows, device), windows, config.head.outputs, threshold)


def _mixed(seed: int, epoch: int) -> int:
    """A seed for each epoch of each training."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def _identity(training: WindowSet, validation: WindowSet, config: AffectConfig, recipe: AffectRecipe, seed: int) -> str:
    """What a state must agree in to be gone on from: recipe, seed, windows, targets, and their rows' sources."""
    table = copy.deepcopy(to_table(recipe))
    table["training"].pop("seeds")
    table["training"].pop("epochs")  # more of them is going on
    digest = hashlib.sha256(json.dumps([table, to_table(config), seed, torch.__version__]).encode())
    for part in (training, validation):
        digest.update("\n".join(part.keys).encode())
        digest.update(np.ascontiguousarray(part.targets).tobytes())
    return digest.hexdigest()
