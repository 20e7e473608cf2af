"""Model folders: what was saved comes back, and everything else is refused in one line."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from rdmf_cli.errors import ModelError, OutputError
from rdmf_cli.model import VERSION, AffectNetwork
from rdmf_cli.weights import Papers, find_model, load_affect, read_config, save_affect
from tests import affect_sets, broken

PAPERS = Papers("# a card\n", 'kind = "affect"\n', {"figure": 1.0}, {"truth.csv": "id\n"})


@pytest.fixture
def network() -> AffectNetwork:
    torch.manual_seed(3)
    made = AffectNetwork(affect_sets.config(affect_sets.recipe()))
    made.fit_scale("motion", torch.randn(20, 5) * 7 + 1)
    return made


@pytest.fixture
def folder(network: AffectNetwork, tmp_path: Path) -> Path:
    save_affect(tmp_path / "model", network, PAPERS)
    return tmp_path / "model"


def test_there_and_back(network: AffectNetwork, folder: Path):
    loaded = load_affect(folder)
    assert {**vars(loaded.config), "weights_sha256": ""} == vars(network.config)
    for name, value in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    names = {path.name for path in folder.iterdir()}
    assert names == {"README.md", "config.json", "model.safetensors", "recipe.toml", "metrics.json", "truth.csv"}
    assert [path.name for path in folder.parent.iterdir()] == ["model"]  # nothing half-written beside it


def test_saving_again_replaces_the_model_and_keeps_other_files(network: AffectNetwork, folder: Path):
    (folder / "notes.txt").write_text("mine")
    with torch.no_grad():
        network.head.layers[1].bias.add_(1)
    save_affect(folder, network, PAPERS)
    assert torch.equal(load_affect(folder).head.layers[1].bias, network.head.layers[1].bias)
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (broken.pickled, "pickled weights are not loaded"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no model.safetensors"),
        (broken.cut, "damaged or cut off"),
        (lambda folder: broken.edit_part(folder, "fusion", hidden=16), "does not fit config.json"),
        (lambda folder: broken.edit(folder, version=VERSION + 1), "made by a newer rdmf"),
        (lambda folder: broken.edit(folder, version="x"), "made by a newer rdmf"),
        (lambda folder: broken.edit(folder, kind="moments"), "of kind 'moments'"),
        (lambda folder: broken.edit(folder, colour="red"), "unknown key colour"),
        (lambda folder: broken.edit(folder, threshold="high"), "threshold must be a number"),
        (lambda folder: broken.edit(folder, sources={}), "no source for the stream motion"),
        (lambda folder: broken.edit(folder, weights_sha256="0" * 64), "damaged or cut off"),
        (lambda folder: (folder / "config.json").write_text("{"), "not readable as JSON"),
        (lambda folder: (folder / "config.json").write_text("[1]"), "of kind 'none'"),
        (lambda folder: (folder / "config.json").unlink(), "no model here"),
        (shutil.rmtree, "no model here"),
    ],
)
def test_what_is_wrong_is_one_clear_line(folder: Path, damage, told):
    damage(folder)
    with pytest.raises(ModelError) as raised:
        load_affect(folder)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_weights_file_is_no_folder(folder: Path):
    with pytest.raises(ModelError, match="a file, not a model folder") as raised:
        load_affect(folder / "model.safetensors")
    assert str(folder) in raised.value.hint


def test_models_are_found_by_name_and_by_path(folder: Path, tmp_path: Path):
    assert find_model("model", tmp_path) == folder
    assert find_model(str(folder), tmp_path / "elsewhere") == folder
    with pytest.raises(ModelError, match="no such model") as raised:
        find_model("modle", tmp_path)
    assert "model" in raised.value.hint
    with pytest.raises(ModelError, match="not 'affect'"):
        read_config(Path(__file__).parents[1] / "models" / "rdmf-lite")  # an encoder


def test_a_folder_that_can_not_be_written(network: AffectNetwork, tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="can't be written"):
        save_affect(tmp_path / "file" / "model", network, PAPERS)
