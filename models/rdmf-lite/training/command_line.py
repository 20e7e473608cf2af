"""What every stage of the recipe is told on its command line, and the recipe itself."""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path
from typing import Any

import torch

FOLDER = Path(__file__).resolve().parents[1]  # models/rdmf-lite
ROOT = FOLDER.parents[1]


def options(doc: str | None) -> argparse.ArgumentParser:
    """A parser with what all stages take; `doc` is the module's own text."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="cached targets, checkpoints")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--recipe", type=Path, default=FOLDER / "recipe.toml")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser


def read(recipe: Path) -> dict[str, Any]:
    """The tables of recipe.toml."""
    return tomllib.loads(recipe.read_text())
