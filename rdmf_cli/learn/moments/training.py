"""Training of moment search: AdamW, warm-up and cosine, best weights by validation mAP, resumable to the bit.

A training is a fixed number of steps, cut into rounds. At the end of each it is validated and its state kept. Which
examples a step sees follows from the seed and the number of the step, and each round draws its own dropout, so a
training that was killed goes on from its last complete round as if nothing had happened.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdmf_cli.errors import ModelError
from rdmf_cli.learn.curves import Events
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.engine import Engine, PlainEngine
from rdmf_cli.learn.moments.answers import batch_from, network_answers
from rdmf_cli.learn.moments.figures import Figures, figures, main_figure
from rdmf_cli.learn.moments.jitter import jittered
from rdmf_cli.learn.moments.losses import Targets, moment_losses, targets_of
from rdmf_cli.learn.moments.recipe import MomentRecipe, MomentTraining
from rdmf_cli.learn.training_state import State, load_state, save_state
from rdmf_cli.moment_model import MomentConfig, MomentNetwork, build
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.records import to_table

_POOL = 16  # batches whose examples are sorted by length together, to save padding
_LAST_RATE = 0.01  # share of the learning rate that the cosine ends at
Places = NDArray[np.int64]


@dataclass
class Run:
    """One training: what it is at the end of a round."""

    network: MomentNetwork
    optimizer: torch.optim.AdamW
    best: State = field(default_factory=dict)
    best_round: int = -1  # none yet: those it began with are
    best_value: float = -math.inf
    history: list[dict[str, Any]] = field(default_factory=list)  # per round: step, losses, validation figures

    @property
    def round(self) -> int:
        """The next round."""
        return len(self.history)


@dataclass(frozen=True)
class Trained:
    """The best weights of one seed."""

    network: MomentNetwork
    seed: int
    step: int  # after which they were taken; 0: those it began with were the best
    steps: int  # that were done
    value: float  # of the figure that chose them
    history: tuple[dict[str, Any], ...]


class Plan:
    """Which examples each step sees. The same for every process, whichever part of a batch it takes."""

    def __init__(self, examples: Sequence[Example], training: MomentTraining, seed: int, shares: int = 1) -> None:
        self._lengths = np.array([len(example.values) for example in examples], dtype=np.int64)
        self._training, self._seed, self._shares = training, seed, shares
        self._epoch, self._batches, self._before = -1, list[Places](), 0
        self.total = training.steps or self._steps_of(training.epochs)

    def batch(self, step: int) -> Places:
        """Places of the examples of one step. Steps are asked for in rising order."""
        while step >= self._before + len(self._batches):
            self._before += len(self._batches)
            self._epoch += 1
            self._batches = self._of_epoch(self._epoch)
        return self._batches[step - self._before]

    def end_of(self, number: int) -> int:
        """The step after the last one of a round."""
        return round(self.total * (number + 1) / self.rounds)

    @property
    def rounds(self) -> int:
        """How many there are: no round is empty."""
        return min(self._training.rounds, self.total)

    def _steps_of(self, epochs: int) -> int:
        return sum(len(self._of_epoch(epoch)) for epoch in range(epochs))

    def _of_epoch(self, epoch: int) -> list[Places]:
        """Every example once, in batches of similar length, in random order."""
        rng = np.random.default_rng([self._seed, epoch])
        order, size = rng.permutation(len(self._lengths)), self._training.batch_size
        batches: list[Places] = []
        for start in range(0, len(order), _POOL * size):
            pool = order[start : start + _POOL * size]
            pool = pool[np.argsort(self._lengths[pool], kind="stable")]
            batches += self._cut(pool)
        # A process without an example would wait for ever.
        kept = [batch for batch in batches if len(batch) >= self._shares]
        return [kept[place] for place in rng.permutation(len(kept))]

    def _cut(self, pool: Places) -> list[Places]:
        """Batches of at most batch_size examples and batch_snippets snippets, padding included."""
        batches, start = [], 0
        for place in range(len(pool)):
            count = place - start + 1
            too_long = count * self._lengths[pool[place]] > self._training.batch_snippets
            if count > 1 and (count > self._training.batch_size or too_long):
                batches.append(pool[start:place])
                start = place
        return [*batches, pool[start:]] if len(pool) else batches


def train(
    training: Sequence[Example],
    validation: Sequence[Example],
    config: MomentConfig,
    recipe: MomentRecipe,
    seed: int,
    *,
    start: Mapping[str, Tensor] | None = None,
    engine: Engine | None = None,
    state_file: Path | None = None,
    events_folder: Path | None = None,
    progress: Progress = SILENT,
) -> Trained:
    """Train one seed, going on from `state_file` if that belongs to the same training. Raises OutputError.

    `start`: weights to begin with. Raises ModelError if the loss stops being a number.
    """
    engine = engine or PlainEngine()
    torch.manual_seed(seed)
    network = build(config)
    if start is not None:
        network.load_state_dict(start)
    run = Run(network, _optimizer(network, recipe.training))
    wrapped, optimizer = engine.setup(network, run.optimizer)
    plan = Plan(training, recipe.training, seed, engine.num_processes)
    identity = _identity(training, validation, network, recipe, seed) if state_file is not None else ""
    if state_file is not None:
        _go_on(run, state_file, identity)
        engine.wait()
    judged = spread_out(validation, recipe.training.validation_examples)
    if start is not None and not run.history:
        _keep_if_better(run, _measured(run, judged, engine))  # what only makes it worse is not kept
    progress.start(f"training, seed {seed}", plan.total, "steps")
    progress.advance(plan.end_of(run.round - 1) if run.round else 0)
    with Events(events_folder if engine.number == 0 else None) as events:
        for row in run.history:
            events.add(row)
        while not _is_over(run, plan, recipe.training):
            losses_row = _round(run, wrapped, optimizer, training, plan, recipe, seed, engine, progress)
            _judge(run, judged, losses_row, engine)
            events.add(run.history[-1])
            if state_file is not None and engine.number == 0:
                facts = {name: getattr(run, name) for name in ("best_round", "best_value", "history")}
                save_state(state_file, identity, network, run.optimizer, run.best, facts)
    progress.finish()
    network.load_state_dict(run.best)
    best_step = int(run.history[run.best_round]["step"]) if run.best_round >= 0 else 0
    done = int(run.history[-1]["step"])
    return Trained(network.eval().cpu(), seed, best_step, done, run.best_value, tuple(run.history))


def spread_out(examples: Sequence[Example], most: int) -> list[Example]:
    """At most `most` of the examples, evenly."""
    if len(examples) <= most:
        return list(examples)
    return [examples[int(place)] for place in np.linspace(0, len(examples) - 1, most).round()]


def _optimizer(network: MomentNetwork, training: MomentTraining) -> torch.optim.AdamW:
    """AdamW; biases, norms and the parameters of the reaction, one number a channel, are not pulled to 0."""
    kept = [value for value in network.parameters() if value.requires_grad]
    groups = [
        {"params": [value for value in kept if value.ndim >= 2], "weight_decay": training.weight_decay},
        {"params": [value for value in kept if value.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=training.learning_rate)


def _is_over(run: Run, plan: Plan, training: MomentTraining) -> bool:
    waited = run.round - 1 - run.best_round
    return run.round >= plan.rounds or (training.patience > 0 and waited >= training.patience)


def learning_rate(step: int, total: int, training: MomentTraining) -> float:
    """Of a step: a straight warm-up, then half a cosine."""
    warm = max(1, round(training.warmup * total))
    if step < warm:
        return training.learning_rate * (step + 1) / warm
    done = (step - warm) / max(1, total - warm)
    return training.learning_rate * (_LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * done)) / 2)


def _round(
    run: Run,
    wrapped: Any,
    optimizer: Any,
    training: Sequence[Example],
    plan: Plan,
    recipe: MomentRecipe,
    seed: int,
    engine: Engine,
    progress: Progress,
) -> dict[str, Any]:
    """The steps of one round; the mean of each loss. Raises ModelError."""
    first, end = plan.end_of(run.round - 1) if run.round else 0, plan.end_of(run.round)
    torch.manual_seed(_mixed(seed, run.round) + engine.number)  # dropout
    run.network.train()
    sums: dict[str, Tensor] = {}
    for step in range(first, end):
        places = plan.batch(step)[engine.number :: engine.num_processes]
        chosen = [training[place] for place in places]
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, plan.total, recipe.training)
        batch = batch_from(chosen).to(engine.device)
        targets = Targets._make(part.to(engine.device) for part in targets_of(chosen, batch.valid.shape[1]))
        _, found = wrapped(jittered(batch, recipe.training.jitter, _mixed(seed, step, engine.number)))
        loss = moment_losses(found, targets, valid=batch.valid, config=recipe.losses)
        optimizer.zero_grad()
        engine.backward(loss.total)
        norm = torch.nn.utils.clip_grad_norm_(run.network.parameters(), recipe.training.clip)
        if not bool(norm.isfinite()):  # before it reaches the weights, which then find no place in any video
            raise ModelError("the training loss is no number any more", hint="lower training.learning_rate")
        optimizer.step()
        for name, value in {"loss": loss.total.detach(), **loss.parts}.items():
            sums[name] = sums.get(name, torch.zeros(())) + value.float()  # on the device: no waiting for it here
        progress.advance(1)
    means = {name: float(value) / (end - first) for name, value in sums.items()}
    return {"step": end, **{name if name == "loss" else f"loss_{name}": value for name, value in means.items()}}


def _judge(run: Run, validation: Sequence[Example], losses_row: dict[str, Any], engine: Engine) -> None:
    """Measure on the validation examples; keep the weights if they are the best so far."""
    found = _measured(run, validation, engine)
    if _keep_if_better(run, found):
        run.best_round = run.round
    run.history.append({**losses_row, **found})


def _measured(run: Run, validation: Sequence[Example], engine: Engine) -> Figures:
    return figures(network_answers(run.network, validation, engine.device), validation)


def _keep_if_better(run: Run, found: Figures) -> bool:
    """Keep the weights as they are if nothing so far had a better main figure."""
    value = main_figure(found)
    if value <= run.best_value:
        return False
    run.best_value = value
    run.best = {name: tensor.detach().clone() for name, tensor in run.network.state_dict().items()}
    return True


def _mixed(*numbers: int) -> int:
    """One seed out of several numbers."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def _go_on(run: Run, file: Path, identity: str) -> None:
    kept = load_state(file, identity, run.network, run.optimizer)
    if kept is not None:
        run.best = kept[0]
        for name, value in kept[1].items():
            setattr(run, name, value)


def _identity(
    training: Sequence[Example],
    validation: Sequence[Example],
    network: MomentNetwork,
    recipe: MomentRecipe,
    seed: int,
) -> str:
    """What a state must agree in to be gone on from: recipe, seed, examples, and the weights that it began with."""
    table = copy.deepcopy(to_table(recipe))
    table["training"].pop("seeds")
    for name in ("tests", "about"):
        table["data"].pop(name)
    digest = hashlib.sha256(json.dumps([table, to_table(network.config), seed, torch.__version__]).encode())
    for value in network.state_dict().values():
        digest.update(value.cpu().numpy().tobytes())
    for example in (*training, *validation):
        digest.update(example.name.encode())
        arrays = (example.values, example.query, example.distance, example.is_cut, example.cut_at, example.windows)
        for part in (*arrays, example.saliency, example.features, example.words):
            if part is not None:
                digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
