"""Training: it learns, it stops, the best weights win, and a killed one ends as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from rdmf_cli.errors import ModelError
from rdmf_cli.learn.affect.figures import figures, main_figure, predict
from rdmf_cli.learn.affect.training import Trained, train
from rdmf_cli.progress import Silent
from tests import affect_sets

TRAINING, VALIDATION = affect_sets.windows(48, 0), affect_sets.windows(24, 1)


def run(recipe=None, *, state_file: Path | None = None, progress=None, training=TRAINING) -> Trained:
    recipe = recipe or affect_sets.recipe()
    config = affect_sets.config(recipe)
    progress = progress or Silent()
    return train(training, VALIDATION, config, recipe, 0, state_file=state_file, progress=progress)


def same(first: Trained, second: Trained) -> bool:
    states = first.network.state_dict(), second.network.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


class Kill(Silent):
    """Stops the training after some epochs, as Ctrl-C would."""

    def __init__(self, after: int) -> None:
        self.left = after + 1

    def advance(self, amount: float) -> None:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt


def test_it_learns_classes_and_numbers():
    trained = run(affect_sets.recipe(epochs=20, patience=20))
    assert trained.value > 0.8
    assert trained.figures["confusion_matrix"][1][1] > 0
    recipe = affect_sets.recipe(regression=True, epochs=20, patience=20)
    numbers = train(
        affect_sets.windows(48, 0, regression=True),
        affect_sets.windows(24, 1, regression=True),
        affect_sets.config(recipe),
        recipe,
        0,
    )
    assert numbers.value > 0.5
    assert set(numbers.figures) == {"valence", "arousal", "mean"}


def test_a_seed_is_a_result():
    first, second = run(), run()
    assert same(first, second)
    other = train(TRAINING, VALIDATION, affect_sets.config(affect_sets.recipe()), affect_sets.recipe(), 1)
    assert not same(first, other)


@pytest.mark.parametrize("after", [1, 3])
def test_killed_and_gone_on_is_the_same_to_the_bit(tmp_path: Path, after):
    file = tmp_path / "state" / "seed-0.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(state_file=file, progress=Kill(after))
    assert file.exists()
    gone_on, whole = run(state_file=file), run()
    assert same(gone_on, whole)
    assert (gone_on.epoch, gone_on.epochs) == (whole.epoch, whole.epochs)
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_state_of_something_else_starts_anew(tmp_path: Path):
    file = tmp_path / "seed-0.safetensors"
    run(affect_sets.recipe(epochs=2, learning_rate=1e-2), state_file=file)
    assert same(run(state_file=file), run())
    file.write_bytes(file.read_bytes()[:1000])
    assert same(run(state_file=file), run())
    other = affect_sets.windows(48, 5)
    run(training=other, state_file=file)
    assert same(run(state_file=file), run())


def test_patience_ends_it_and_the_best_weights_are_kept():
    recipe = affect_sets.recipe(epochs=200, patience=3)
    trained = run(recipe)
    assert trained.epochs < 200
    assert trained.epochs == trained.epoch + 1 + recipe.training.patience
    config = affect_sets.config(recipe)
    found = figures(predict(trained.network, VALIDATION), VALIDATION, config.head.outputs, config.threshold)
    assert main_figure(found) == trained.value


def test_a_loss_that_is_no_number_is_an_error():
    with pytest.raises(ModelError, match="no number"):
        run(affect_sets.recipe(learning_rate=1e30))


def test_balance_finds_a_rare_class():
    rare = np.flatnonzero(TRAINING.classes == 1)[3:]
    keep = np.ones(len(TRAINING), dtype=bool)
    keep[rare] = False
    few = TRAINING.part(keep)
    recalls = []
    for balance in (True, False):
        recipe = affect_sets.recipe(epochs=20, patience=20, balance=balance)
        recipe = replace(recipe, augment=replace(recipe.augment, noise=0.0))
        trained = train(few, few, affect_sets.config(recipe), recipe, 0)
        recalls.append(trained.figures["recall"])
    assert recalls[0] >= recalls[1]
    assert recalls[0] > 0.5


def test_unimodal_variants_train():
    trained = run(affect_sets.unimodal(affect_sets.recipe(), "motion"))
    assert set(trained.network.config.sources.dims()) == {"motion"}
