"""Model folders of any kind: README.md (card), config.json, model.safetensors, recipe.toml, metrics.json.

Weights load from safetensors only: a pickle can run code. What is saved appears whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from rdmf_cli.errors import ModelError, OutputError
from rdmf_cli.records import from_table, to_table

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_PICKLES = ("*.pt", "*.pth", "*.bin", "*.pkl", "*.ckpt")

C = TypeVar("C")  # a frozen dataclass with the fields kind, version and weights_sha256
N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Kind(Generic[C]):
    """One kind of model: what its config.json holds."""

    name: str
    version: int  # the newest that this rdmf reads
    config: type[C]
    docs: str  # page that says how to get one


@dataclass(frozen=True)
class Papers:
    """What explains a model, beside its weights."""

    card: str  # README.md
    recipe: str  # recipe.toml, the exact training input
    metrics: dict[str, Any]  # metrics.json
    tables: dict[str, str] = field(default_factory=dict)  # further files: name → content
    pictures: dict[str, bytes] = field(default_factory=dict)


def save(folder: Path, network: nn.Module, config: Any, papers: Papers) -> None:
    """Write a model folder. An earlier one is replaced only once the new one is complete. Raises OutputError."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            state = {name: value.contiguous() for name, value in network.state_dict().items()}
            save_file(state, staged / WEIGHTS)
            (staged / WEIGHTS).chmod(0o644)
            config = replace(config, weights_sha256=digest(staged / WEIGHTS))
            texts = {
                CONFIG: json.dumps(to_table(config), indent=1) + "\n",
                "README.md": papers.card,
                "recipe.toml": papers.recipe,
                "metrics.json": json.dumps(papers.metrics, indent=1) + "\n",
                **papers.tables,
            }
            files = {name: text.encode() for name, text in texts.items()} | papers.pictures
            for name, content in files.items():
                (staged / name).write_bytes(content)
            staged.chmod(0o755)
            _replace(staged, folder, [*(name for name in files if name != CONFIG), CONFIG, WEIGHTS])
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


def load(folder: Path, kind: Kind[C], build: Callable[[C], N]) -> N:
    """A trained network, ready to be asked. Raises ModelError: missing, damaged, pickled, of another kind, too new."""
    config: Any = read_config(folder, kind)
    file = folder / WEIGHTS
    if not file.is_file():
        pickled = next((found for pattern in _PICKLES for found in folder.glob(pattern)), None)
        if pickled is not None:
            raise ModelError(f"{pickled}: pickled weights are not loaded, they could run code; safetensors are")
        raise ModelError(f"{folder}: no {WEIGHTS} in it", hint="copy the whole folder, or train again")
    network = build(config)
    try:
        if config.weights_sha256 not in ("", digest(file)):
            raise ValueError("not the weights that config.json tells of")
        network.load_state_dict(load_file(file))
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{file}: damaged or cut off: {_line(error)}", hint="copy it again, or train again") from error
    except RuntimeError as error:  # torch: other names or shapes
        raise ModelError(f"{file}: does not fit {CONFIG}: {_line(error)}", hint="train again") from error
    if any(not bool(value.isfinite().all()) for value in network.state_dict().values()):
        raise ModelError(f"{file}: holds numbers that are not finite", hint="train again")
    return network.eval()


def read_config(folder: Path, kind: Kind[C]) -> C:
    """The config of a model folder, checked. Raises ModelError."""
    table = _read_table(folder)
    file = folder / CONFIG
    if not isinstance(table, dict) or table.get("kind") != kind.name:
        other = table.get("kind", "none") if isinstance(table, dict) else "none"
        raise ModelError(
            f"{file}: a model of kind '{other}', not '{kind.name}'", hint=f"rdmf train makes one: {kind.docs}"
        )
    version = table.get("version")
    if not isinstance(version, int) or version > kind.version:
        raise ModelError(
            f"{file}: made by a newer rdmf (version {version}, this one reads {kind.version})", hint="update rdmf"
        )
    try:
        return from_table(kind.config, table)
    except ValueError as error:
        raise ModelError(f"{file}: {error}", hint="train again, or repair the file") from error


def _read_table(folder: Path) -> Any:
    """config.json of any kind. Raises ModelError."""
    if folder.is_file():
        hint = f"name its folder: {folder.parent}" if folder.suffix == ".safetensors" else ""
        raise ModelError(f"{folder}: a file, not a model folder", hint=hint)
    file = folder / CONFIG
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{folder}: no model here ({CONFIG} is missing)", hint="rdmf train makes one") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: not readable as JSON: {_line(error)}") from error


def find_model(name: str, models_folder: Path, kind: Kind[Any]) -> Path:
    """The folder of a model: a path, or a name in the user's model folder, the package or the checkout.

    Raises ModelError that lists the models of this kind which are there.
    """
    given = Path(name).expanduser()
    if given.exists() or len(given.parts) != 1:
        return given
    found = named_model(name, models_folder)
    if found is not None:
        return found
    known = sorted({folder.name for home in _homes(models_folder) for folder in _models_in(home, kind)})
    hint = f"there is: {', '.join(known)}" if known else f"rdmf train makes one: {kind.docs}"
    raise ModelError(f"{name}: no such model", hint=hint)


def named_model(name: str, models_folder: Path) -> Path | None:
    """The folder of a model that has this name, or None; what lies in the working folder does not count."""
    return next((home / name for home in _homes(models_folder) if (home / name / CONFIG).is_file()), None)


def _homes(models_folder: Path) -> tuple[Path, ...]:
    package = Path(__file__).resolve().parent
    return models_folder, package / "_models", package.parent / "models"


def _models_in(home: Path, kind: Kind[Any]) -> list[Path]:
    found = []
    with suppress(OSError):
        for folder in home.iterdir():
            with suppress(ModelError):
                read_config(folder, kind)
                found.append(folder)
    return found


def digest(file: Path) -> str:
    """SHA-256 of a file. Raises OSError."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _line(error: BaseException) -> str:
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])[:200] or type(error).__name__
