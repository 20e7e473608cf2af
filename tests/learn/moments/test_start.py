"""The model that a training begins with: of the same shape, or one line that says in what it differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.learn.moments.recipe import MomentDataConfig, MomentRecipe, MomentTraining
from rdmf_cli.learn.moments.start import first_weights
from rdmf_cli.moment_weights import load_moments
from tests.moment_folders import SMALL, pickled, saved


def recipe(start: str) -> MomentRecipe:
    return MomentRecipe(
        MomentDataConfig(training="a.jsonl"), fusion=SMALL.fusion, head=SMALL.head, training=MomentTraining(start=start)
    )


def test_none_is_none(tmp_path: Path) -> None:
    assert first_weights(recipe(""), tmp_path, tmp_path) is None


@pytest.mark.parametrize("name", ["first", "known"])
def test_by_folder_beside_the_recipe_or_by_name(tmp_path: Path, name: str) -> None:
    home = {"first": tmp_path, "known": tmp_path / "home"}[name]
    home.mkdir(exist_ok=True)
    folder = saved(home / name)
    weights = first_weights(recipe(name), tmp_path, tmp_path / "home")
    assert weights is not None
    expected = load_moments(folder).state_dict()
    assert all(torch.equal(weights[key], expected[key]) for key in expected)


def test_what_changes_no_weight_may_differ(tmp_path: Path) -> None:
    saved(tmp_path / "first")
    other = replace(recipe("first"), fusion=replace(SMALL.fusion, dropout=0.3, num_steps=5))
    assert first_weights(other, tmp_path, tmp_path) is not None


def test_another_shape_is_named(tmp_path: Path) -> None:
    saved(tmp_path / "first")
    wider = replace(recipe("first"), fusion=replace(SMALL.fusion, channels=SMALL.fusion.channels + 2))
    with pytest.raises(UsageError, match=r"fusion\.channels is .* there, the recipe says"):
        first_weights(wider, tmp_path, tmp_path)
    deeper = replace(recipe("first"), head=replace(SMALL.head, coarse_layers=SMALL.head.coarse_layers + 1))
    with pytest.raises(UsageError, match=r"head\.coarse_layers"):
        first_weights(deeper, tmp_path, tmp_path)


def test_another_encoder_is_refused(tmp_path: Path) -> None:
    fusion = replace(SMALL.fusion, input="features", feature_dim=8)
    saved(tmp_path / "first", replace(SMALL, fusion=fusion, encoder_fingerprint="abc"))
    with pytest.raises(UsageError, match="made for the encoder abc"):
        first_weights(replace(recipe("first"), fusion=fusion, encoder="def"), tmp_path, tmp_path)


def test_what_is_not_there_or_damaged_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such model"):
        first_weights(recipe("nowhere"), tmp_path, tmp_path)
    pickled(saved(tmp_path / "first"))
    with pytest.raises(ModelError):
        first_weights(recipe("first"), tmp_path, tmp_path)
