"""The learned model as a whole: one configuration builds it, stores it, and gives the same answers again."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from rdmf_cli.fusion.config import KINDS, FusionConfig
from rdmf_cli.fusion.inputs import INPUT_NAMES, QUERY_NAMES, Batch
from rdmf_cli.heads.moments import HeadConfig
from rdmf_cli.moment_model import MomentConfig, build
from rdmf_cli.records import from_table, to_table
from tests.reactions import awake

SMALL = MomentConfig(
    fusion=FusionConfig(hidden=16, channels=8, heads=2, num_steps=2),
    head=HeadConfig(num_slots=4, window=30, hidden=16, value_dim=8, edge_dim=8),
)


def batch(lengths: list[int], seed: int = 0) -> Batch:
    draw = torch.Generator().manual_seed(seed)
    items, most = len(lengths), max(lengths)
    return Batch(
        torch.randn(items, most, len(INPUT_NAMES), generator=draw),
        torch.randn(items, len(QUERY_NAMES), generator=draw),
        torch.rand(items, most - 1, generator=draw),
        torch.rand(items, most - 1, generator=draw) < 0.1,
        torch.arange(most) < torch.tensor(lengths)[:, None],
        torch.full((items,), 2.0),
    )


def item_of(whole: Batch, item: int, length: int) -> Batch:
    one = slice(item, item + 1)
    return Batch(
        whole.values[one, :length],
        whole.query[one],
        whole.distance[one, : length - 1],
        whole.is_cut[one, : length - 1],
        whole.valid[one, :length],
        whole.spacing_s[one],
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_its_items_one_by_one(kind: str) -> None:
    torch.manual_seed(0)
    network = build(replace(SMALL, fusion=replace(SMALL.fusion, kind=kind)))
    lengths = [40, 7, 25]
    whole = batch(lengths)
    _, together = network.answer(whole)
    for item, length in enumerate(lengths):
        _, alone = network.answer(item_of(whole, item, length))
        usable = alone.slot_valid[0]
        of_many = together.spans[-1, item, : len(usable)]
        torch.testing.assert_close(of_many[usable], alone.spans[-1, 0][usable], atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(together.relevance[item], alone.relevance[0], atol=1e-3, rtol=1e-3)


def test_a_stored_configuration_builds_the_same_network() -> None:
    network = build(SMALL)
    again = build(from_table(MomentConfig, to_table(SMALL)))
    assert again.config == SMALL
    again.load_state_dict(network.state_dict())
    given = batch([12, 9])
    for one, other in zip(network.answer(given)[1], again.answer(given)[1], strict=True):
        assert one.equal(other)


def test_the_number_of_steps_may_differ_when_used() -> None:
    network = awake(build(SMALL))
    given = batch([20])
    few, many = (network.answer(given, num_steps=steps)[0].sequence for steps in (2, 6))
    assert few.equal(network.answer(given)[0].sequence)
    assert not few.equal(many)


def test_answering_leaves_no_gradients_and_no_dropout() -> None:
    network = build(SMALL).train()
    given = batch([15])
    first, second = (network.answer(given)[1] for _ in range(2))
    assert not first.spans.requires_grad
    assert first.spans.equal(second.spans)


def test_the_shipped_size() -> None:
    wide = MomentConfig(fusion=FusionConfig(hidden=128, channels=64), head=HeadConfig(hidden=128, value_dim=64))
    assert 1_000_000 < build(wide).num_parameters < 5_000_000


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"input_names": ("warp",)}, "warp"),
        ({"query_names": QUERY_NAMES[:-1]}, "other inputs"),
        ({"relevance_scale": (1.0,)}, "slope"),
        ({"relevance_scale": (0.0, 1.0)}, "slope"),
        ({"cutoff": 1.5}, "cutoff"),
        ({"statistic_share": -1.0}, "statistic_share"),
        ({"saliency_share": -1.0}, "saliency_share"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SMALL, **wrong)


def test_an_answer_joins_the_evidence_to_relevance_and_saliency() -> None:
    torch.manual_seed(0)
    whole = batch([12, 9])
    network = build(replace(SMALL, statistic_share=0.5, saliency_share=2.0))
    _, found = network.eval()(whole)
    _, said = network.answer(whole)
    torch.testing.assert_close(said.relevance, found.relevance + 0.5 * whole.query[:, QUERY_NAMES.index("evidence")])
    lift = 2 * whole.values[..., INPUT_NAMES.index("absolute")]
    torch.testing.assert_close(said.saliency[whole.valid], (found.saliency + lift)[whole.valid])
    assert torch.equal(said.saliency[~whole.valid], found.saliency[~whole.valid])
