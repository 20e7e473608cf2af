"""Seeds side by side, and the paired test."""

from __future__ import annotations

import numpy as np
import pytest

from rdmf_cli.learn.affect.comparison import Scores, paired_p, train_seeds, variants, with_fusion
from tests import affect_sets


@pytest.mark.parametrize(
    ("t", "freedom", "p"),
    # Quantiles of Student's t as every table prints them.
    [(2.776, 4, 0.05), (4.604, 4, 0.01), (12.706, 1, 0.05), (2.262, 9, 0.05), (0.741, 4, 0.5)],
)
def test_paired_t_is_that_of_the_tables(t, freedom, p):
    count = freedom + 1
    apart = np.random.default_rng(0).standard_normal(count)
    apart = (apart - apart.mean()) / apart.std(ddof=1) + t / np.sqrt(count)
    base = np.linspace(0, 1, count)
    assert paired_p(base + apart, base) == pytest.approx(p, abs=1e-3 * max(1, p * 10))
    assert paired_p(base, base + apart) == pytest.approx(paired_p(base + apart, base))


def test_paired_t_without_a_question():
    assert paired_p([0.5], [0.1]) == 1.0
    assert paired_p([0.5, 0.6], [0.5, 0.6]) == 1.0
    assert paired_p([0.5, 0.75], [0.25, 0.5]) == 0.0


def test_scores():
    assert Scores("x", (0.5, 0.7)).spread == pytest.approx(np.std([0.5, 0.7], ddof=1))
    assert Scores("x", (0.5,)).spread == 0.0


def test_variants_of_a_recipe():
    found = variants(affect_sets.FUSION)
    assert list(found) == ["motion alone", "image alone", "caption alone", "concatenation", "single-stage"]
    assert variants(found["motion alone"]) == {}
    assert "concatenation" not in variants(found["concatenation"])


def test_seeds_and_variants_train_on_the_same_windows(tmp_path):
    recipe = affect_sets.recipe(seeds=(0, 1), epochs=2)
    config = affect_sets.config(recipe)
    sets = affect_sets.windows(24, 0), affect_sets.windows(12, 1)
    seeds = train_seeds(*sets, config, recipe, state_folder=tmp_path)
    assert len(seeds.scores().values) == 2
    assert seeds.best.value == max(seeds.scores().values)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["seed-0.safetensors", "seed-1.safetensors"]
    alone = train_seeds(*sets, *with_fusion(config, recipe, variants(recipe.fusion)["motion alone"]))
    assert len(alone.on(affect_sets.windows(12, 2), "motion alone").values) == 2
