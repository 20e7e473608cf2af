"""Model folders of moment search: what was saved comes back, and everything else is refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from rdmf_cli.errors import ModelError, RdmfError
from rdmf_cli.fusion.inputs import INPUT_NAMES
from rdmf_cli.model import AffectNetwork
from rdmf_cli.model_folder import Papers
from rdmf_cli.moment_model import VERSION, MomentConfig, MomentNetwork, build
from rdmf_cli.moment_weights import find_moment_model, load_moments, save_moments
from rdmf_cli.weights import save_affect
from tests import affect_sets, broken, moment_examples

PAPERS = Papers("# a card\n", 'kind = "moments"\n', {"map": 1.0}, pictures={"curves.png": b"\x89PNG"})


@pytest.fixture
def network() -> MomentNetwork:
    torch.manual_seed(3)
    config = MomentConfig(fusion=moment_examples.FUSION, head=moment_examples.HEAD, relevance_scale=(1.5, -0.25))
    return build(config)


@pytest.fixture
def folder(network: MomentNetwork, tmp_path: Path) -> Path:
    save_moments(tmp_path / "model", network, PAPERS)
    return tmp_path / "model"


def test_there_and_back(network: MomentNetwork, folder: Path):
    loaded = load_moments(folder)
    assert not loaded.training
    assert {**vars(loaded.config), "weights_sha256": ""} == vars(network.config)
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "config.json",
        "curves.png",
        "metrics.json",
        "model.safetensors",
        "recipe.toml",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["model"]  # nothing half-written beside it


def _not_finite(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    next(iter(state.values())).view(-1)[0] = torch.nan
    save_file(state, folder / "model.safetensors")
    broken.edit(folder, weights_sha256="")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (broken.pickled, "pickled weights are not loaded"),
        (_not_finite, "holds numbers that are not finite"),
        (lambda folder: broken.edit_part(folder, "head", hidden=32), "does not fit config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
        (broken.cut, "damaged or cut off"),
        (lambda folder: broken.edit(folder, version=VERSION + 1), "made by a newer rdmf"),
        (lambda folder: broken.edit(folder, kind="affect"), "a model of kind 'affect', not 'moments'"),
        (lambda folder: broken.edit(folder, colour="red"), "unknown key colour"),
        (lambda folder: broken.edit(folder, input_names=[*INPUT_NAMES, "smell"]), "smell"),
        (lambda folder: broken.edit(folder, relevance_scale=[-1.0, 0.0]), "relevance_scale"),
        (lambda folder: (folder / "config.json").unlink(), "no model here"),
    ],
)
def test_what_is_wrong_is_one_clear_line(folder: Path, damage, told):
    damage(folder)
    with pytest.raises(ModelError) as raised:
        load_moments(folder)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_model_of_another_kind_is_named(tmp_path: Path):
    save_affect(tmp_path / "other", AffectNetwork(affect_sets.config(affect_sets.recipe())), PAPERS)
    with pytest.raises(ModelError, match="of kind 'affect', not 'moments'") as raised:
        load_moments(tmp_path / "other")
    assert "docs/training.md" in raised.value.hint


def test_models_are_found_by_name_and_by_path(folder: Path, tmp_path: Path):
    assert find_moment_model("model", tmp_path) == folder
    assert find_moment_model(str(folder), tmp_path / "elsewhere") == folder
    save_affect(tmp_path / "other", AffectNetwork(affect_sets.config(affect_sets.recipe())), PAPERS)
    with pytest.raises(RdmfError, match="no such model") as raised:
        find_moment_model("modle", tmp_path)
    assert "model" in raised.value.hint
    assert "other" not in raised.value.hint  # of the second model
    assert load_moments(folder).config.relevance_scale == (1.5, -0.25)
