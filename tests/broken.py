"""What can happen to a model folder, done to one that is whole."""

from __future__ import annotations

import json
import pickle
from pathlib import Path


def edit(folder: Path, **changes: object) -> None:
    """Other values in config.json."""
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def edit_part(folder: Path, part: str, **changes: object) -> None:
    """Other values in one table of config.json."""
    edit(folder, **{part: json.loads((folder / "config.json").read_text())[part] | changes})


def pickled(folder: Path, name: str = "model.pt") -> None:
    """Weights that could run code."""
    (folder / "model.safetensors").unlink()
    (folder / name).write_bytes(pickle.dumps({}))


def cut(folder: Path) -> None:
    """Half of the weights."""
    file = folder / "model.safetensors"
    data = file.read_bytes()
    file.write_bytes(data[: len(data) // 2])
