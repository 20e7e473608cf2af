"""Answers by a trained network: fusion and head, instead of the pattern at rest."""

from __future__ import annotations

from pathlib import Path

from rdmf_cli.pipeline.modes import PATTERN_MODE, Mode

DEFAULT_MODEL = "rdmf-base"


def open_mode(name: str, models_folder: Path) -> Mode:
    """The mode that a name of Settings.model stands for. Raises ModelError.

    "pattern": no model. "learned": the model that comes with rdmf. "auto": that one where it is here, else pattern
    mode. Anything else: a trained model, by its name or folder.
    """
    return PATTERN_MODE
