"""Model folders of learned moment search; what all kinds share is in model_folder.py."""

from __future__ import annotations

from pathlib import Path

from rdmf_cli import model_folder
from rdmf_cli.model_folder import Papers
from rdmf_cli.moment_model import KIND, VERSION, MomentConfig, MomentNetwork, build

MOMENTS = model_folder.Kind(KIND, VERSION, MomentConfig, "docs/training.md")


def save_moments(folder: Path, network: MomentNetwork, papers: Papers) -> None:
    """Write a model folder. An earlier one is replaced only once the new one is complete. Raises OutputError."""
    model_folder.save(folder, network, network.config, papers)


def load_moments(folder: Path) -> MomentNetwork:
    """A trained network. Raises ModelError: missing, damaged, pickled, not finite, of another kind or too new."""
    return model_folder.load(folder, MOMENTS, build)


def find_moment_model(name: str, models_folder: Path) -> Path:
    """The folder of a model, by path or by name. Raises ModelError that lists the models which are there."""
    return model_folder.find_model(name, models_folder, MOMENTS)
