"""Recipes: strict TOML."""

from __future__ import annotations

from pathlib import Path

import pytest

from rdmf_cli.errors import UsageError
from rdmf_cli.learn.recipe import read_recipe, recipe_text

LEAST = 'kind = "affect"\n[data]\nlabels = "labels.csv"\n'


def read(tmp_path: Path, text: str):
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    return read_recipe(tmp_path / "recipe.toml")


def test_defaults_and_back(tmp_path: Path):
    recipe = read(tmp_path, LEAST)
    assert (recipe.encoder, recipe.streams.window_frames, recipe.fusion.attention) == ("lite", 64, "two_stage")
    assert (recipe.streams.motion_frames, recipe.streams.image_frames, recipe.streams.caption_frames) == (16, 16, 4)
    assert recipe.training.seeds == (0, 1, 2, 3, 4)
    assert read(tmp_path, recipe_text(recipe)) == recipe
    assert read(tmp_path, "﻿" + LEAST.replace("\n", "\r\n")) == recipe  # as Notepad saves it


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[data]\nlabels = "x"\n', "no 'kind' says what to train"),
        (LEAST.replace("affect", "sounds"), "unknown kind: 'sounds'"),
        ('kind = "affect"\n', "data is missing"),
        (LEAST + "[training]\nepoch = 3\n", "unknown key training.epoch"),
        (LEAST + "[training]\nepochs = 0\n", "training: epochs, patience"),
        (LEAST + "[training]\nseeds = []\n", "training: seeds"),
        (LEAST + "[training]\nlearning_rate = 0\n", "training: learning_rate"),
        (LEAST + '[fusion]\nstreams = ["sound"]\n', "fusion: streams are some of motion, image, caption"),
        (LEAST + '[head]\noutputs = ["a", "b", "c"]\n', "two classes"),
        (LEAST + "[streams]\nimage_frames = 65\n", "streams: a window of 64 frames"),
        (LEAST.replace("labels.csv", "x") + 'layout = "ucf"\n', "data: layout is one of"),
        ("kind = ", "not a TOML file"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text, told):
    with pytest.raises(UsageError) as raised:
        read(tmp_path, text)
    assert told in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "recipe.toml"))


def test_a_recipe_that_is_not_there(tmp_path: Path):
    with pytest.raises(UsageError, match="can't be read"):
        read_recipe(tmp_path / "none.toml")


def test_the_recipes_that_people_are_shown_are_recipes(tmp_path: Path):
    from rdmf_cli.commands.rating import HOW_TO_TRAIN

    page = (Path(__file__).parents[2] / "docs" / "affect.md").read_text(encoding="utf-8")
    shown = page.partition("```toml\n")[2].partition("```")[0]
    recipe = read(tmp_path, shown)
    assert recipe == read(tmp_path, LEAST.replace("labels.csv", 'labels.csv"\nvideos = "videos'))  # all are defaults
    lines = [line.strip() for line in HOW_TO_TRAIN.splitlines()]
    start = lines.index('kind = "affect"')
    assert read(tmp_path, "\n".join(lines[start : start + 4])) == recipe
