"""On data whose cue is known: two-stage attention beats single streams and concatenation where the cue is joint."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks import affect_data
from benchmarks.affect import FUSION, NO_AUGMENTATION, recipe_of, three
from rdmf_cli.fusion.cross_gru import STREAMS, CrossGruConfig
from rdmf_cli.learn.affect.comparison import Scores, paired_p, train_seeds
from rdmf_cli.model import AffectConfig

SIZES = (1000, 200, 500)
ALONE = {name: replace(FUSION, streams=(name,), attention="none") for name in STREAMS}
CONCATENATION = replace(FUSION, attention="none")


def scores(fusion: CrossGruConfig, sets, epochs: int, seeds: int = 1) -> Scores:
    recipe = recipe_of(seeds, epochs, fusion, NO_AUGMENTATION, 0.0)
    config = AffectConfig(sources=affect_data.SOURCES, fusion=fusion, head=recipe.head)
    return train_seeds(*sets[:2], config, recipe).on(sets[2])


def test_joint_cue_needs_two_stages():
    sets = three("joint", SIZES)
    two_stage = scores(FUSION, sets, 22).mean
    assert two_stage > 0.8
    assert scores(CONCATENATION, sets, 22).mean < two_stage - 0.1
    for name, fusion in ALONE.items():
        assert scores(fusion, sets, 6).mean < two_stage - 0.3, name


@pytest.mark.parametrize("cue", ["motion", "caption"])
def test_a_cue_in_one_stream_is_found_there(cue):
    sets = three(cue, (600, 200, 400))
    assert scores(FUSION, sets, 8).mean > 0.85
    assert scores(ALONE[cue], sets, 8).mean > 0.85
    assert scores(ALONE["image"], sets, 4).mean < 0.75


@pytest.mark.slow
def test_joint_cue_over_five_seeds():
    sets = three("joint", SIZES)
    two_stage = scores(FUSION, sets, 24, seeds=5)
    for name, fusion in {**ALONE, "concatenation": CONCATENATION}.items():
        other = scores(fusion, sets, 24, seeds=5)
        assert other.mean < two_stage.mean, name
        assert paired_p(two_stage.values, other.values) < 0.01, name


def test_no_stream_of_the_joint_data_tells_the_label_by_its_means():
    windows = affect_data.make("joint", 4000, 0)
    positive = windows.classes == 1
    assert positive.mean() == pytest.approx(0.25, abs=0.03)
    for name in STREAMS:
        means = windows.gather(name, np.arange(4000))[0].mean(axis=1)
        apart = np.abs(means[positive].mean(axis=0) - means[~positive].mean(axis=0)) / means.std(axis=0)
        assert apart[:-1].max() < 0.15, name  # keys say nothing; the deeds' channel says as much as one of five does
