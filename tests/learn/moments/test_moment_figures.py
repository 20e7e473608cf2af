"""Figures of answers to examples, and pattern mode's answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from rdmf_cli.fusion.affinity import AffinityConfig
from rdmf_cli.fusion.inputs import INPUT_NAMES, QUERY_NAMES, snippet_inputs
from rdmf_cli.fusion.pattern import PatternConfig, run_pattern
from rdmf_cli.heads.decode import DecodeConfig, moments_of
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.moments.answers import (
    Said,
    alike_in_length,
    batch_from,
    network_answers,
    pattern_answers,
    rows_of,
    timeline_of,
)
from rdmf_cli.learn.moments.figures import FIGURES, figures, main_figure
from rdmf_cli.moment_model import MomentConfig, build
from tests import moment_examples

EXAMPLES = moment_examples.examples(9)


def perfect(example: Example, *, moved: float = 0.0) -> Said:
    """The truth, each border `moved` steps outwards."""
    rows = [
        (example.spacing_s * (start - moved), example.spacing_s * (end + moved), 0.9) for start, end in example.windows
    ]
    return Said(np.array(rows).reshape(-1, 3), example.saliency.astype(np.float64), float(len(example.windows)))


def test_perfect_answers_have_perfect_figures():
    found = figures([perfect(example) for example in EXAMPLES], EXAMPLES)
    assert tuple(found) == FIGURES
    assert found == {**dict.fromkeys(FIGURES, 1.0), "border": 0.0}
    assert main_figure(found) == 1


def test_nothing_said_is_nothing_reached():
    silent = [Said(np.zeros((0, 3)), np.zeros(len(example.values)), 0.0) for example in EXAMPLES]
    found = figures(silent, EXAMPLES)
    assert (found["r1_50"], found["map"], found["auroc"], found["border"]) == (0, 0, 0.5, None)


def test_borders_are_measured_in_sampling_steps():
    slow = [replace(example, spacing_s=7.0) for example in EXAMPLES]
    found = figures([perfect(example, moved=0.25) for example in slow], slow)
    assert found["border"] == pytest.approx(0.25)
    assert found["map"] < 1
    assert found["map_short"] is None  # three snippets are 21 s


def test_only_short_moments_count_for_the_short_ones():
    long, short = (np.array([row], np.float32) for row in ((0, 12), (2, 4)))
    both = [replace(EXAMPLES[1], windows=long, spacing_s=1.0), replace(EXAMPLES[2], windows=short, spacing_s=1.0)]
    said = [perfect(both[0]), Said(np.zeros((0, 3)), np.zeros(len(both[1].values)), 0.0)]
    found = figures(said, both)
    assert (found["map"], found["map_short"], found["auroc"]) == (0.5, 0.0, None)


def test_queries_without_any_match_alone_have_no_figures():
    none = [EXAMPLES[0], EXAMPLES[3]]
    found = figures([perfect(example) for example in none], none)
    assert set(found.values()) == {None}
    assert main_figure(found) == 0


# --- pattern mode -----------------------------------------------------------------------------------------------------


def test_pattern_mode_finds_what_is_obvious():
    found = figures(pattern_answers(EXAMPLES), EXAMPLES)
    assert found["r1_50"] == found["hit_at_1"] == 1
    assert found["auroc"] > 0.9


def test_pattern_mode_is_the_products_own():
    """From features all the way: the same moments, where pooling changes no distance."""
    generator = torch.Generator().manual_seed(4)
    shots = torch.nn.functional.normalize(torch.randn(6, 16, generator=generator), dim=-1)
    features = shots.repeat_interleave(5, dim=0)
    is_cut = torch.arange(1, 30) % 5 == 0
    bank = torch.nn.functional.normalize(torch.randn(40, 16, generator=generator), dim=-1)
    query = torch.nn.functional.normalize(shots[2:3] + 0.2 * shots[4:5], dim=-1)
    inputs = snippet_inputs(features, query, bank, is_cut, 0.5, null_mean=0.0, null_spread=0.1)
    example = Example(
        name="one",
        values=inputs.values[0].numpy(),
        query=inputs.query[0].numpy(),
        distance=inputs.distance.numpy(),
        is_cut=is_cut.numpy(),
        spacing_s=0.5,
        windows=np.array([[10, 15]], np.float32),
        saliency=np.zeros(30, np.float32),
    )
    pattern = run_pattern(features, query, bank, is_cut, 0.5, affinity_config=AffinityConfig(), config=PatternConfig())
    own = moments_of(
        pattern.v[0].double().numpy(), pattern.affinity[0].double().numpy(), timeline_of(example), DecodeConfig()
    )
    [said] = pattern_answers([example])
    assert len(own) > 0
    np.testing.assert_allclose(said.rows, rows_of([moment for moment, _ in own]), atol=1e-4)
    assert said.relevance == example.query[QUERY_NAMES.index("relevance")]


def test_a_timeline_of_an_example():
    timeline = timeline_of(EXAMPLES[1])
    assert timeline.end_s == 2 * len(EXAMPLES[1].values)
    assert timeline.is_cut.tolist() == EXAMPLES[1].is_cut.tolist()
    assert np.nanmin(timeline.cut_s) == 2 * (np.flatnonzero(EXAMPLES[1].is_cut)[0] + 1)


# --- a network --------------------------------------------------------------------------------------------------------


def test_answers_do_not_depend_on_who_else_is_asked():
    torch.manual_seed(0)
    network = build(MomentConfig(fusion=moment_examples.FUSION, head=moment_examples.HEAD))
    together = network_answers(network, EXAMPLES, "cpu")
    assert not network.training
    for said, example in zip(together, EXAMPLES, strict=True):
        [alone] = network_answers(network, [example], "cpu")
        np.testing.assert_allclose(said.rows, alone.rows, atol=1e-4)
        np.testing.assert_allclose(said.saliency, alone.saliency, atol=1e-4)
        assert said.relevance == pytest.approx(alone.relevance, abs=1e-4)
        assert len(said.saliency) == len(example.values)


def test_groups_hold_all_and_are_not_too_large():
    groups = list(alike_in_length(EXAMPLES, at_once=60))
    assert sorted(place for group in groups for place in group) == list(range(9))
    for group in groups:
        assert len(group) == 1 or len(group) * max(len(EXAMPLES[place].values) for place in group) <= 60


def test_features_join_the_batch_if_all_have_them():
    features = np.ones((len(EXAMPLES[0].values), 7), np.float16)
    own = replace(EXAMPLES[0], features=features, words=np.ones(7, np.float16))
    assert batch_from([own]).features.shape == (1, len(features), 7)
    assert batch_from([own, EXAMPLES[1]]).features is None
    assert batch_from([own]).values.shape[-1] == len(INPUT_NAMES)
