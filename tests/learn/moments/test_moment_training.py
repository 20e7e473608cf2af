"""Training of moment search: it learns, the best weights win, and a killed one ends as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.learn import engine as engines
from rdmf_cli.learn.engine import FabricEngine, PlainEngine, open_engine
from rdmf_cli.learn.moments.answers import network_answers
from rdmf_cli.learn.moments.figures import figures, main_figure
from rdmf_cli.learn.moments.recipe import MomentRecipe, MomentTraining
from rdmf_cli.learn.moments.training import Plan, Trained, learning_rate, spread_out, train
from rdmf_cli.moment_model import MomentConfig
from rdmf_cli.progress import Silent
from tests import moment_examples

TRAINING, VALIDATION = moment_examples.examples(24), moment_examples.examples(12, 1)


def run(recipe: MomentRecipe | None = None, **options) -> Trained:
    recipe = recipe or moment_examples.recipe()
    config = MomentConfig(fusion=recipe.fusion, head=recipe.head)
    examples = options.pop("training", TRAINING)
    return train(examples, VALIDATION, config, recipe, options.pop("seed", 0), **options)


@cache
def undisturbed() -> Trained:
    """The training that others are compared with."""
    return run()


def same(first: Trained, second: Trained) -> bool:
    states = first.network.state_dict(), second.network.state_dict()
    return all(torch.equal(states[0][name], states[1][name]) for name in states[0])


class Kill(Silent):
    """Stops the training at some step, as Ctrl-C would."""

    def __init__(self, step: int) -> None:
        self.left = step + 1  # the first call says where it goes on

    def advance(self, amount: float) -> None:
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt


def test_it_learns():
    trained = run(moment_examples.recipe(epochs=14, rounds=4))
    first, last = trained.history[0], trained.history[-1]
    assert last["loss"] < 0.7 * first["loss"]
    assert trained.value > 0.3
    assert last["auroc"] > 0.9
    assert trained.value == max(row["map"] for row in trained.history)
    assert trained.step in [row["step"] for row in trained.history]
    found = figures(network_answers(trained.network, VALIDATION, "cpu"), VALIDATION)
    assert main_figure(found) == trained.value


def test_a_seed_is_a_result():
    first, second = undisturbed(), run()
    assert same(first, second)
    assert first.history == second.history
    assert not same(first, run(seed=1))


@pytest.mark.parametrize("step", [4, 11])
def test_killed_and_gone_on_is_the_same_to_the_bit(tmp_path: Path, step):
    file = tmp_path / "state" / "seed-0.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(state_file=file, progress=Kill(step))
    assert file.exists()
    gone_on, whole = run(state_file=file), undisturbed()
    assert same(gone_on, whole)
    assert gone_on.history == whole.history
    assert [path.name for path in file.parent.iterdir()] == [file.name]


def test_a_state_of_something_else_starts_anew(tmp_path: Path):
    def anew() -> Trained:
        return run(moment_examples.recipe(steps=2, rounds=1), state_file=file)

    file, whole = tmp_path / "seed-0.safetensors", run(moment_examples.recipe(steps=2, rounds=1))
    run(moment_examples.recipe(steps=2, rounds=1, learning_rate=1e-2), state_file=file)
    assert same(anew(), whole)
    file.write_bytes(file.read_bytes()[:1000])
    assert same(anew(), whole)
    run(moment_examples.recipe(steps=2, rounds=1), training=moment_examples.examples(24, 5), state_file=file)
    assert same(anew(), whole)


def test_jitter_does_not_disturb_going_on(tmp_path: Path):
    recipe, file = moment_examples.recipe(epochs=2, rounds=2, jitter=0.3), tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(recipe, state_file=file, progress=Kill(5))
    whole = run(recipe)
    assert same(run(recipe, state_file=file), whole)
    assert not same(whole, run(moment_examples.recipe(epochs=2, rounds=2)))


def test_it_goes_on_from_weights_that_were_trained():
    first = undisturbed()
    later = run(
        moment_examples.recipe(epochs=1, rounds=1, learning_rate=1e-5), start=first.network.state_dict(), seed=3
    )
    fresh = run(moment_examples.recipe(epochs=1, rounds=1, learning_rate=1e-5), seed=3)
    assert later.history[0]["loss"] < 0.8 * fresh.history[0]["loss"]
    assert later.value >= first.value


def test_weights_that_training_only_makes_worse_are_kept_as_they_were():
    first = undisturbed()
    spoilt = run(moment_examples.recipe(epochs=1, rounds=1, learning_rate=3.0), start=first.network.state_dict())
    assert spoilt.step == 0
    assert spoilt.value == first.value
    assert same(spoilt, first)


def test_a_state_of_other_first_weights_is_not_gone_on_from(tmp_path: Path):
    """The recipe names them only."""
    recipe, file = moment_examples.recipe(epochs=2, rounds=2), tmp_path / "state.safetensors"
    with pytest.raises(KeyboardInterrupt):
        run(recipe, state_file=file, progress=Kill(5), start=undisturbed().network.state_dict())
    assert same(run(recipe, state_file=file), run(recipe))


def test_patience_ends_it():
    recipe = moment_examples.recipe(epochs=40, rounds=40, patience=2, learning_rate=1e-6)
    trained = run(recipe, training=TRAINING[:8])
    assert trained.steps < 40
    rounds = [row["step"] for row in trained.history]
    assert len(rounds) - 1 - rounds.index(trained.step) == 2


def test_a_loss_that_is_no_number_is_an_error():
    broken = [replace(example, saliency=np.full_like(example.saliency, np.inf)) for example in TRAINING[:8]]
    with pytest.raises(ModelError, match="no number"):
        run(training=broken)


# --- which examples a step sees ---------------------------------------------------------------------------------------


def test_every_epoch_sees_every_example_once_in_batches_of_like_length():
    examples = moment_examples.examples(100)
    plan = Plan(examples, MomentTraining(epochs=2, batch_size=8, batch_snippets=200), seed=3)
    lengths = np.array([len(example.values) for example in examples])
    batches = [plan.batch(step) for step in range(plan.total)]
    half = len(batches) // 2
    for epoch in (batches[:half], batches[half:]):
        assert sorted(np.concatenate(epoch)) == list(range(100))
    assert all(len(batch) <= 8 and len(batch) * lengths[batch].max() <= 200 for batch in batches)
    padding = sum(len(batch) * lengths[batch].max() for batch in batches) / (2 * lengths.sum())
    assert padding < 1.1
    assert not np.array_equal(batches[0], batches[half])


def test_steps_go_before_epochs_and_rounds_share_them_out():
    plan = Plan(TRAINING, MomentTraining(steps=10, rounds=4, batch_size=8), seed=0)
    assert (plan.total, [plan.end_of(number) for number in range(plan.rounds)]) == (10, [2, 5, 8, 10])
    assert Plan(TRAINING, MomentTraining(steps=2, rounds=4), seed=0).rounds == 2
    assert len(Plan(TRAINING, MomentTraining(steps=500, batch_size=8), seed=0).batch(499)) <= 8


def test_an_example_longer_than_a_batch_is_a_batch_of_its_own():
    plan = Plan(TRAINING, MomentTraining(epochs=1, batch_snippets=5), seed=0)
    assert plan.total == len(TRAINING)


def test_the_learning_rate_warms_up_and_goes_down():
    plan = MomentTraining(learning_rate=1.0, warmup=0.1)
    rates = [learning_rate(step, 100, plan) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[9] == rates[10] == 1.0
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[-1] < 0.02


def test_a_part_of_the_validation_is_spread_over_it():
    assert [example.name for example in spread_out(VALIDATION, 3)] == ["1-0", "1-6", "1-11"]
    assert len(spread_out(VALIDATION, 100)) == len(VALIDATION)


# --- where it is trained ----------------------------------------------------------------------------------------------


def test_fabric_gives_the_weights_that_plain_torch_gives():
    pytest.importorskip("lightning_fabric")
    recipe = moment_examples.recipe(steps=4, rounds=1)
    assert same(run(recipe, engine=open_engine()), run(recipe, engine=PlainEngine()))


def test_half_precision_trains():
    pytest.importorskip("lightning_fabric")
    recipe = moment_examples.recipe(steps=6, rounds=2, precision="bf16")
    trained = run(recipe, engine=open_engine("cpu", "bf16"))
    assert trained.history[-1]["loss"] < trained.history[0]["loss"]
    exact = run(moment_examples.recipe(steps=6, rounds=2))
    assert trained.history[0]["loss"] == pytest.approx(exact.history[0]["loss"], rel=0.05)
    assert not same(trained, exact)
    assert all(value.dtype == torch.float32 for value in trained.network.parameters())


def test_what_fabric_is_needed_for_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    assert isinstance(open_engine(), PlainEngine)
    with pytest.raises(UsageError, match="needs lightning-fabric") as raised:
        open_engine("cpu", "bf16")
    assert "rdmf-cli[train]" in raised.value.hint
    with pytest.raises(UsageError, match="on 2 devices"):
        open_engine("cpu", "32", 2)


def test_devices_that_are_not_there_are_one_line():
    pytest.importorskip("lightning_fabric")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ModelError, match=r"2 × cuda can't be used") as raised:
        FabricEngine("cuda", "32", 2)
    assert "\n" not in str(raised.value)


def test_several_processes_share_a_batch():
    """Each takes its part and none is without an example."""
    plan = Plan(TRAINING[:9], MomentTraining(epochs=1, batch_size=4), seed=0, shares=2)
    batches = [plan.batch(step) for step in range(plan.total)]
    assert min(len(batch[number::2]) for batch in batches for number in range(2)) >= 1
