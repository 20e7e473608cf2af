"""From a recipe and examples to a model folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rdmf_cli.errors import OutputError
from rdmf_cli.learn.moments.card import card
from rdmf_cli.learn.moments.figures import FIGURES
from rdmf_cli.learn.moments.run import MomentReport, train_moments
from rdmf_cli.learn.moments.sets import MomentSets
from rdmf_cli.learn.recipe import read_recipe
from rdmf_cli.moment_weights import load_moments
from tests import moment_examples

SETS = MomentSets(
    moment_examples.examples(24), moment_examples.examples(24, 1), {"unseen": moment_examples.examples(9, 2)}
)
RECIPE = moment_examples.recipe(epochs=4, seeds=(0, 1), false_alarms=0.1)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> MomentReport:
    folder = tmp_path_factory.mktemp("run") / "model"
    return train_moments(RECIPE, SETS, folder)


def test_the_folder_holds_the_best_seed(report: MomentReport):
    network = load_moments(report.folder)
    metrics = json.loads((report.folder / "metrics.json").read_text())
    assert metrics == report.to_json()
    assert [row["seed"] for row in metrics["seeds"]] == [0, 1]
    assert report.best.value == max(row["map"] for row in metrics["seeds"])
    assert metrics["parameters"] == network.num_parameters
    assert [path.name for path in report.folder.parent.iterdir()] == ["model"]  # its state is gone


def test_it_is_measured_beside_pattern_mode(report: MomentReport):
    metrics = report.to_json()
    for row in (metrics["validation"], metrics["validation_pattern"], *metrics["tests"]["unseen"].values()):
        assert tuple(row) == FIGURES
    assert metrics["validation_pattern"]["r1_50"] == 1


def test_the_relevance_is_calibrated_on_the_validation(report: MomentReport):
    network = load_moments(report.folder)
    assert network.config.relevance_scale != (1.0, 0.0)
    said = report.to_json()["reliability"]
    assert sum(row["count"] for row in said["bins"]) == len(SETS.validation)
    assert 0 <= said["error"] < 0.3
    shown = report.to_json()["shown"]
    assert shown["cutoff"] == network.config.cutoff >= 0.5
    others = sum(not len(example.windows) for example in SETS.validation)
    assert shown["others"] <= 0.1 + 1 / others
    assert shown["matching"] > shown["others"]


def test_the_card_says_what_it_is(report: MomentReport):
    text = (report.folder / "README.md").read_text(encoding="utf-8")
    for part in ("24 examples for training", "unseen, pattern mode", "Kept: seed", "reliability", "## Limits"):
        assert part in text
    for line in text.splitlines():
        if line.startswith("|"):
            assert line.count("|") in (len(FIGURES) + 2, 4)
    for name in ("curves.png", "reliability.png"):
        assert (name in text) == (report.folder / name).exists()


def test_the_card_says_where_the_data_is_from(report: MomentReport):
    recipe = moment_examples.recipe()
    told = replace(recipe, data=replace(recipe.data, about="Photographs of mine."))
    assert "\nPhotographs of mine.\n" in card(told, report.to_json(), ())
    assert "Photographs" not in card(recipe, report.to_json(), ())


def test_its_recipe_trains_it_again(report: MomentReport):
    read = read_recipe(report.folder / "recipe.toml")
    assert read == RECIPE


def test_a_folder_that_can_not_be_written_keeps_the_state(tmp_path: Path):
    (tmp_path / "file").touch()
    recipe = moment_examples.recipe(steps=1, rounds=1)
    sets = replace(SETS, training=SETS.training[:4], validation=SETS.validation[:4], tests={})
    with pytest.raises(OutputError):
        train_moments(recipe, sets, tmp_path / "file" / "model")
