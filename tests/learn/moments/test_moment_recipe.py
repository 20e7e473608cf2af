"""The recipe of moment search, and the examples it names."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.learn.datasets.packs import save_pack
from rdmf_cli.learn.moments.recipe import LAYOUTS, MomentRecipe
from rdmf_cli.learn.moments.sets import load_sets
from rdmf_cli.learn.recipe import read_recipe, recipe_text
from tests import moment_examples, moment_sets

LEAST = 'kind = "moments"\n[data]\ntraining = "train.jsonl"\n'
ROOT = Path(__file__).parents[3]


def read(tmp_path: Path, text: str) -> MomentRecipe:
    (tmp_path / "recipe.toml").write_text(text, encoding="utf-8")
    recipe = read_recipe(tmp_path / "recipe.toml")
    assert isinstance(recipe, MomentRecipe)
    return recipe


def test_defaults_and_back(tmp_path: Path):
    recipe = read(tmp_path, LEAST)
    assert (recipe.data.layout, recipe.fusion.kind, recipe.fusion.num_steps) == ("qvhighlights", "rdmf", 8)
    assert read(tmp_path, recipe_text(recipe)) == recipe


def test_the_recipe_of_the_shipped_model_is_one():
    recipe = read_recipe(ROOT / "models" / "rdmf-base" / "recipe.toml")
    assert recipe.kind == "moments"
    assert recipe.data.layout == "packs"


def test_the_recipe_that_people_are_shown_is_one(tmp_path: Path):
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    recipe = read(tmp_path, page.partition("```toml\n")[2].partition("```")[0])
    assert recipe.data.validation == "val.jsonl"
    for part in ("data", "training"):
        row = next(line for line in page.splitlines() if line.startswith(f"| `[{part}]`"))
        named = set(re.findall(r"`(\w+)`", row)) - {part}
        assert named <= {*vars(getattr(recipe, part)), *LAYOUTS}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('kind = "moments"\n', "data is missing"),
        (LEAST + 'layout = "charades"\n', "data: layout is one of qvhighlights, packs"),
        (LEAST + 'layout = "packs"\n', "data: validation names a file"),
        (LEAST + "validation_share = 1\n", "validation_share"),
        (LEAST + "[training]\nprecision = '16'\n", "training: precision is one of 32, bf16"),
        (LEAST + "[training]\nseeds = [1, 1]\n", "training: seeds"),
        (LEAST + "[training]\nrounds = 0\n", "training: epochs, rounds"),
        (LEAST + "[training]\nwarmup = 1.0\n", "warmup"),
        (LEAST + "[training]\nfalse_alarms = 0\n", "false_alarms"),
        (LEAST + "[fusion]\nkind = 'detr'\n", "fusion: kind is one of rdmf"),
        (LEAST + "[fusion]\nchanels = 3\n", "unknown key fusion.chanels"),
        (LEAST + "[losses]\nrelevance = -1\n", "losses: relevance"),
    ],
)
def test_what_is_wrong_is_named_with_the_file(tmp_path: Path, text, told):
    with pytest.raises(UsageError) as raised:
        read(tmp_path, text)
    assert told in str(raised.value)
    assert str(raised.value).startswith(str(tmp_path / "recipe.toml"))


# --- examples ---------------------------------------------------------------------------------------------------------


def packs(folder: Path, training=None, validation=None) -> MomentRecipe:
    for name, examples in {"train": training, "validation": validation}.items():
        save_pack(folder / f"{name}.npz", examples or moment_examples.examples(6))
    return moment_examples.recipe()


def test_packs_are_read_beside_the_recipe(tmp_path: Path):
    recipe = packs(tmp_path)
    save_pack(tmp_path / "hard.npz", moment_examples.examples(3, 2))
    sets = load_sets(replace(recipe, data=replace(recipe.data, tests=("hard.npz",))), tmp_path)
    assert (len(sets.training), len(sets.validation), sets.feature_dim) == (6, 6, 0)
    assert [example.name for example in sets.tests["hard"]] == ["2-0", "2-1", "2-2"]


def test_a_pack_that_is_missing_or_teaches_nothing(tmp_path: Path):
    recipe = packs(tmp_path, training=[moment_examples.example(0), moment_examples.example(3)])
    with pytest.raises(UsageError, match="no example for training has a moment"):
        load_sets(recipe, tmp_path)
    with pytest.raises(ModelError, match="no such pack"):
        load_sets(recipe, tmp_path / "elsewhere")


def test_features_must_be_there_and_fit(tmp_path: Path):
    recipe = packs(tmp_path)
    looking = replace(recipe, fusion=replace(recipe.fusion, input="features", feature_dim=5))
    with pytest.raises(UsageError, match="the examples carry none"):
        load_sets(looking, tmp_path)
    carrying = [
        replace(example, features=np.ones((len(example.values), 4), np.float16), words=np.ones(4, np.float16))
        for example in moment_examples.examples(6)
    ]
    packs(tmp_path, carrying, carrying)
    with pytest.raises(UsageError, match="have 4 dimensions"):
        load_sets(looking, tmp_path)


def test_the_public_layout_is_read_and_split(tmp_path: Path):
    moment_sets.write_set(tmp_path)
    named = read(tmp_path, LEAST + 'validation = "val.jsonl"\nfeatures = "features"\n')
    sets = load_sets(named, tmp_path)
    assert (len(sets.training), len(sets.validation)) == (8, 4)
    split = load_sets(read(tmp_path, LEAST + 'features = "features"\nvalidation_share = 0.5\n'), tmp_path)
    assert len(split.training) + len(split.validation) == 8
    assert not {example.name for example in split.training} & {example.name for example in split.validation}
