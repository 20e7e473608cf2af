"""Recipes: TOML files that say everything about a training. `kind` chooses what is trained; no torch.

A recipe is strict: an unknown key, a missing one or a value of another type is an error that names it. Paths in it
count from its own folder.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from rdmf_cli.errors import UsageError
from rdmf_cli.learn.affect.recipe import AffectRecipe
from rdmf_cli.learn.moments.recipe import MomentRecipe
from rdmf_cli.records import from_table, to_table, toml_text

# Every kind of recipe: a later one is one more entry.
Recipe = AffectRecipe | MomentRecipe
KINDS: dict[str, type[Recipe]] = {"affect": AffectRecipe, "moments": MomentRecipe}


def read_recipe(file: Path) -> Recipe:
    """The recipe in a TOML file. Raises UsageError that names the file and the key."""
    try:
        table = tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{file}: can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: not UTF-8 text") from error
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{file}: not a TOML file: {' '.join(str(error).split())}") from error
    kind = table.get("kind")
    if kind not in KINDS:
        wrong = "no 'kind' says what to train" if kind is None else f"unknown kind: {kind!r}"
        raise UsageError(f"{file}: {wrong}", hint=f'kind = "…", one of: {", ".join(KINDS)}')
    try:
        return from_table(KINDS[kind], table)
    except ValueError as error:
        raise UsageError(f"{file}: {error}") from None


def recipe_text(recipe: Recipe) -> str:
    """The recipe as TOML, every default written out: reading it gives the same recipe."""
    return toml_text(to_table(recipe))
