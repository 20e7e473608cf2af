"""Model folders: README.md (card), config.json, model.safetensors, recipe.toml, metrics.json.

Weights load from safetensors only: a pickle can run code. What is saved appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rdmf_cli.errors import ModelError, OutputError
from rdmf_cli.model import KIND, VERSION, AffectConfig, AffectNetwork
from rdmf_cli.records import from_table, to_table

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_PICKLES = ("*.pt", "*.pth", "*.bin", "*.pkl", "*.ckpt")


@dataclass(frozen=True)
class Papers:
    """What explains a model, beside its weights."""

    card: str  # README.md
    recipe: str  # recipe.toml, the exact training input
    metrics: dict[str, Any]  # metrics.json
    tables: dict[str, str] = field(default_factory=dict)  # further files: name → content


def save_affect(folder: Path, network: AffectNetwork, papers: Papers) -> None:
    """Write a model folder. An earlier one is replaced only once the new one is complete. Raises OutputError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            state = {name: value.contiguous() for name, value in network.state_dict().items()}
            save_file(state, staged / WEIGHTS)
            (staged / WEIGHTS).chmod(0o644)
            config = replace(network.config, weights_sha256=_digest(staged / WEIGHTS))
            texts = {
                CONFIG: json.dumps(to_table(config), indent=1) + "\n",
                "README.md": papers.card,
                "recipe.toml": papers.recipe,
                "metrics.json": json.dumps(papers.metrics, indent=1) + "\n",
                **papers.tables,
            }
            for name, text in texts.items():
                (staged / name).write_text(text, encoding="utf-8")
            staged.chmod(0o755)
            _replace(staged, folder, [*(name for name in texts if name != CONFIG), CONFIG, WEIGHTS])
        finally:
            shutil.rmtree(staged, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{folder}: the model can't be written: {error.strerror or error}") from error


def _replace(staged: Path, folder: Path, names: list[str]) -> None:
    """Put the staged folder in place; what else lies in an earlier one is left alone."""
    if not folder.exists():
        os.replace(staged, folder)
        return
    # Killed in between, a config meets the weights of the other model: its hash tells.
    for name in names:
        os.replace(staged / name, folder / name)


def load_affect(folder: Path) -> AffectNetwork:
    """A trained model, ready to rate. Raises ModelError: missing, damaged, pickled, of another kind or too new."""
    config = read_config(folder)
    file = folder / WEIGHTS
    if not file.is_file():
        pickled = next((found for pattern in _PICKLES for found in folder.glob(pattern)), None)
        if pickled is not None:
            raise ModelError(f"{pickled}: pickled weights are not loaded, they could run code; safetensors are")
        raise ModelError(f"{folder}: no {WEIGHTS} in it", hint="copy the whole folder, or train again")
    network = AffectNetwork(config)
    try:
        if config.weights_sha256 not in ("", _digest(file)):
            raise ValueError("not the weights that config.json tells of")
        state = load_file(file)
        network.load_state_dict(state)
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{file}: damaged or cut off: {_line(error)}", hint="copy it again, or train again") from error
    except RuntimeError as error:  # torch: other names or shapes
        raise ModelError(f"{file}: does not fit {CONFIG}: {_line(error)}", hint="train again") from error
    if any(not bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise ModelError(f"{file}: holds numbers that are not finite", hint="train again")
    return network.eval()


def read_config(folder: Path) -> AffectConfig:
    """The config of a model folder, checked. Raises ModelError."""
    if folder.is_file():
        hint = f"name its folder: {folder.parent}" if folder.suffix == ".safetensors" else ""
        raise ModelError(f"{folder}: a file, not a model folder", hint=hint)
    file = folder / CONFIG
    try:
        table = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder}: no model here ({CONFIG} is missing)", hint="rdmf train makes one") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: not readable as JSON: {_line(error)}") from error
    if not isinstance(table, dict) or table.get("kind") != KIND:
        kind = table.get("kind", "none") if isinstance(table, dict) else "none"
        raise ModelError(f"{file}: a model of kind '{kind}', not '{KIND}'", hint="rdmf train makes one: docs/affect.md")
    version = table.get("version")
    if not isinstance(version, int) or version > VERSION:
        raise ModelError(
            f"{file}: made by a newer rdmf (version {version}, this one reads {VERSION})", hint="update rdmf"
        )
    try:
        return from_table(AffectConfig, table)
    except ValueError as error:
        raise ModelError(f"{file}: {error}", hint="train again, or repair the file") from error


def find_model(name: str, models_folder: Path) -> Path:
    """The folder of a model: a path, or a name in the user's model folder, the package or the checkout.

    Raises ModelError that lists the models which are there.
    """
    package = Path(__file__).resolve().parent
    homes = (models_folder, package / "_models", package.parent / "models")
    given = Path(name).expanduser()
    if given.exists() or len(given.parts) != 1:
        return given
    for home in homes:
        if (home / name / CONFIG).is_file():
            return home / name
    known = sorted({folder.name for home in homes for folder in _models_in(home)})
    hint = f"there is: {', '.join(known)}" if known else "rdmf train makes one: docs/affect.md"
    raise ModelError(f"{name}: no such model", hint=hint)


def _models_in(home: Path) -> list[Path]:
    found = []
    with suppress(OSError):
        for folder in home.iterdir():
            with suppress(ModelError):
                read_config(folder)
                found.append(folder)
    return found


def _digest(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _line(error: BaseException) -> str:
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:200] or type(error).__name__
