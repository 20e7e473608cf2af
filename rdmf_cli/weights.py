"""Model folders of the second model; what all kinds share is in model_folder.py."""

from __future__ import annotations

from pathlib import Path

from rdmf_cli import model_folder
from rdmf_cli.model import KIND, VERSION, AffectConfig, AffectNetwork
from rdmf_cli.model_folder import CONFIG, WEIGHTS, Papers

__all__ = ["AFFECT", "CONFIG", "WEIGHTS", "Papers", "find_model", "load_affect", "read_config", "save_affect"]

AFFECT = model_folder.Kind(KIND, VERSION, AffectConfig, "docs/affect.md")


def save_affect(folder: Path, network: AffectNetwork, papers: Papers) -> None:
    """Write a model folder. An earlier one is replaced only once the new one is complete. Raises OutputError."""
    model_folder.save(folder, network, network.config, papers)


def load_affect(folder: Path) -> AffectNetwork:
    """A trained model, ready to rate. Raises ModelError: missing, damaged, pickled, of another kind or too new."""
    return model_folder.load(folder, AFFECT, AffectNetwork)


def read_config(folder: Path) -> AffectConfig:
    """The config of a model folder, checked. Raises ModelError."""
    return model_folder.read_config(folder, AFFECT)


def find_model(name: str, models_folder: Path) -> Path:
    """The folder of a model, by path or by name. Raises ModelError that lists the models which are there."""
    return model_folder.find_model(name, models_folder, AFFECT)
