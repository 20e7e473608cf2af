"""Gain and bias drawn anew: of what is said of the query, and of nothing else."""

from __future__ import annotations

import torch

from rdmf_cli.fusion.inputs import INPUT_NAMES, MAX_INPUT
from rdmf_cli.learn.moments.answers import batch_from
from rdmf_cli.learn.moments.jitter import jittered
from tests import moment_examples

BATCH = batch_from(moment_examples.examples(6))


def test_a_line_of_each_input_of_each_item() -> None:
    changed = jittered(BATCH, 0.2, 2)
    number = INPUT_NAMES.index("contrast_short")
    for item in range(6):
        own = BATCH.valid[item]
        x, y = BATCH.values[item, own, number], changed.values[item, own, number]
        gain = (y[1] - y[0]) / (x[1] - x[0])
        assert 0.3 < gain < 2
        torch.testing.assert_close(y, gain * (x - x[0]) + y[0], atol=1e-4, rtol=1e-4)
    assert changed.values.abs().max() <= MAX_INPUT
    apart = changed.values[:, 0] - BATCH.values[:, 0]
    assert len(apart[:, number].unique()) == 6


def test_what_the_timeline_is_stays() -> None:
    changed = jittered(BATCH, 1.0, 0)
    for name in ("distance_before", "distance_after", "cut_before", "cut_after"):
        number = INPUT_NAMES.index(name)
        assert torch.equal(changed.values[..., number], BATCH.values[..., number])
    assert torch.equal(changed.query, BATCH.query)
    assert torch.equal(changed.distance, BATCH.distance)


def test_the_same_seed_gives_the_same_and_none_changes_nothing() -> None:
    assert jittered(BATCH, 0.0, 1) is BATCH
    first = jittered(BATCH, 0.2, 5).values
    assert torch.equal(first, jittered(BATCH, 0.2, 5).values)
    assert not torch.equal(first, jittered(BATCH, 0.2, 6).values)
