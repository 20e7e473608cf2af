"""Losses: zero for the truth, finite for everything, and minimising them finds the moments."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from rdmf_cli.heads.moments import PADDED_LOGIT, Found, HeadConfig, MomentHead
from rdmf_cli.heads.spans import overlap
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.moments.losses import (
    LossConfig,
    Targets,
    boundary_targets,
    match_slots,
    moment_losses,
    shows_moment,
    targets_of,
)

CONFIG = LossConfig()


def example(num_snippets: int, windows: list[tuple[float, float]], saliency: list[float] | None = None) -> Example:
    values = saliency if saliency is not None else [float("nan")] * num_snippets
    return Example(
        name="some",
        values=np.zeros((num_snippets, 1), np.float32),
        query=np.zeros(1, np.float32),
        distance=np.zeros(num_snippets - 1, np.float32),
        is_cut=np.zeros(num_snippets - 1, np.bool_),
        spacing_s=1.0,
        windows=np.array(windows, np.float32).reshape(-1, 2),
        saliency=np.array(values, np.float32),
    )


def perfect(targets: Targets, num_snippets: int, layers: int = 2, slots: int = 4) -> Found:
    """A network that knows: as many slots as windows take their places, the others lie far off and say so."""
    items = len(targets.windows)
    spans = torch.tensor([0.0, 0.2]).repeat(layers, items, slots, 1)
    logits = torch.full((layers, items, slots), -9.0)
    for item, count in enumerate(targets.num_windows.tolist()):
        spans[:, item, :count] = targets.windows[item, :count]
        logits[:, item, :count] = 9.0
    exists = torch.arange(targets.windows.shape[1]) < targets.num_windows[:, None]
    edges = boundary_targets(targets.windows, exists, num_snippets + 1)
    inside = shows_moment(targets.windows, exists, num_snippets)
    return Found(
        spans,
        logits,
        logits.clone(),
        torch.ones(items, slots, dtype=torch.bool),
        torch.logit(targets.saliency.nan_to_num(), 1e-4),
        torch.logit(edges, 1e-4),
        torch.where(targets.num_windows > 0, 9.0, -9.0),
        torch.logit(inside, 1e-4),
    )


def losses_of(found: Found, targets: Targets, num_snippets: int, config: LossConfig = CONFIG):
    valid = torch.ones(len(targets.windows), num_snippets, dtype=torch.bool)
    return moment_losses(found, targets, valid=valid, config=config)


EXAMPLES = [
    example(12, [(3, 6), (8, 9)], [0, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0]),
    example(12, [(1, 11)], [0, *[1] * 10, 0]),
    example(12, [], [0] * 12),
]


def test_the_truth_costs_nothing() -> None:
    targets = targets_of(EXAMPLES, 12)
    found = losses_of(perfect(targets, 12), targets, 12)
    assert set(found.parts) <= set(vars(CONFIG))  # every part has a weight of its name
    for name, value in found.parts.items():
        assert value.item() < 0.02, name


@pytest.mark.parametrize(
    ("field", "spoil"),
    [
        ("spans", lambda x: x + 1.0),
        ("logits", torch.neg),
        ("quality", torch.neg),
        ("saliency", torch.neg),
        ("boundary", torch.neg),
        ("relevance", torch.neg),
        ("actionness", torch.neg),
    ],
)
def test_every_mistake_costs(field: str, spoil) -> None:
    targets = targets_of(EXAMPLES, 12)
    right = perfect(targets, 12)
    wrong = right._replace(**{field: spoil(getattr(right, field))})
    assert losses_of(wrong, targets, 12).total > losses_of(right, targets, 12).total + 0.3


def test_half_a_second_counts_more_in_a_short_moment() -> None:
    short, long = targets_of([example(60, [(10, 12)])], 60), targets_of([example(60, [(10, 50)])], 60)

    def off_by_half(targets: Targets) -> Tensor:
        found = perfect(targets, 60)
        found.spans[:, :, 0] += 0.5
        return losses_of(found, targets, 60).total

    assert off_by_half(short) > 1.5 * off_by_half(long)


def test_slots_are_matched_to_the_window_they_lie_on() -> None:
    targets = targets_of(EXAMPLES, 12)
    found = perfect(targets, 12)
    found.spans[:, 0, :2] = found.spans[:, 0, :2].flip(1) + 0.2
    match = match_slots(found, targets, CONFIG)
    assert match[0].tolist() == match[1].tolist() == [[1, 0, -1, -1], [0, -1, -1, -1], [-1, -1, -1, -1]]


def test_slots_that_are_not_valid_cost_nothing() -> None:
    targets = targets_of(EXAMPLES, 12)
    found = perfect(targets, 12)
    found.slot_valid[:, 3] = False
    before = losses_of(found, targets, 12)
    found.logits[:, :, 3], found.quality[:, :, 3], found.spans[:, :, 3] = 9.0, 9.0, torch.tensor([3.1, 5.9])
    after = losses_of(found, targets, 12)
    torch.testing.assert_close(after.total, before.total)


def test_padding_costs_nothing() -> None:
    targets = targets_of(EXAMPLES, 12)
    alone = losses_of(perfect(targets, 12), targets, 12)
    wide = targets_of(EXAMPLES, 20)
    found = perfect(wide, 20)
    for values in (found.saliency, found.actionness):
        values[:, 12:] = PADDED_LOGIT
    found.boundary[:, 13:] = 5.0
    valid = torch.arange(20).expand(3, -1) < 12
    padded = moment_losses(found, wide, valid=valid, config=CONFIG)
    for name, value in alone.parts.items():
        torch.testing.assert_close(padded.parts[name], value, atol=2e-3, rtol=0)


def test_a_border_belongs_to_the_edge_before_the_first_frame_behind_it() -> None:
    windows = torch.tensor([[[2.25, 5.0], [5.9, 7.999]], [[0.0, 8.0], [3.0, 4.0]]])
    exists = torch.tensor([[True, True], [True, False]])
    found = boundary_targets(windows, exists, 9)
    assert [row.nonzero().flatten().tolist() for row in found] == [[3, 5, 6, 8], [0, 8]]


def test_a_snippet_shows_what_is_there_at_its_first_instant() -> None:
    windows = torch.tensor([[[0.5, 2.25], [3.0, 4.0], [0.0, 5.0]]])
    exists = torch.tensor([[True, True, False]])
    assert shows_moment(windows, exists, 5).tolist() == [[0, 1, 1, 1, 0]]


@pytest.mark.parametrize(
    "examples",
    [
        [example(1, [(0, 1)]), example(1, [])],
        [example(2, []), example(2, [])],
        [example(5, [(i, i + 0.5) for i in range(5)] + [(i + 0.5, i + 1) for i in range(5)])],
        [example(6, [(1, 3)], [float("nan")] * 5 + [0.5])],
    ],
    ids=["one snippet", "no moment at all", "more windows than slots", "hardly any saliency"],
)
def test_odd_batches_have_finite_losses_and_gradients(examples: list[Example]) -> None:
    torch.manual_seed(0)
    length, items = len(examples[0].values), len(examples)
    head = MomentHead(HeadConfig(num_slots=4, hidden=8, value_dim=4, edge_dim=4), 6, 1)
    sequence, valid = torch.randn(items, length, 6), torch.ones(items, length, dtype=torch.bool)
    found = head(
        sequence,
        torch.rand(items, length),
        query=torch.zeros(items, 1),
        valid=valid,
        is_cut=torch.zeros(items, length - 1, dtype=torch.bool),
    )
    losses = losses_of(found, targets_of(examples, length), length)
    losses.total.backward()
    assert losses.total.isfinite()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in head.parameters())


def test_minimising_finds_the_moments() -> None:
    torch.manual_seed(0)
    windows = [[(3.0, 7.0)], [(10.0, 11.5), (15.0, 22.0)], [], [(0.0, 24.0)]]
    targets = targets_of([example(24, rows) for rows in windows], 24)
    exists = torch.arange(2) < targets.num_windows[:, None]
    inside = shows_moment(targets.windows, exists, 24)
    valid, uncut = torch.ones(4, 24, dtype=torch.bool), torch.zeros(4, 23, dtype=torch.bool)
    enter = torch.nn.Linear(1, 16)
    head = MomentHead(HeadConfig(num_slots=5, hidden=24, value_dim=8, edge_dim=12), 16, 1)
    optimizer = torch.optim.AdamW([*enter.parameters(), *head.parameters()], lr=4e-3)

    def step() -> tuple[float, Found]:
        found = head(enter(inside[..., None]), 2 * inside, query=torch.zeros(4, 1), valid=valid, is_cut=uncut)
        losses = moment_losses(found, targets, valid=valid, config=CONFIG)
        optimizer.zero_grad()
        losses.total.backward()
        optimizer.step()
        return losses.total.item(), found

    first, _ = step()
    for _ in range(60):
        last, found = step()
    assert last < first / 2
    score = (found.logits[-1].sigmoid() * found.quality[-1].sigmoid()).masked_fill(~found.slot_valid, 0)
    best = score.argmax(dim=1)
    for item in (0, 1, 3):
        chosen = found.spans[-1, item, best[item]]
        assert overlap(chosen, targets.windows[item, : targets.num_windows[item]]).iou.max() > 0.7
    assert found.relevance[2] < found.relevance[[0, 1, 3]].min()


@pytest.mark.parametrize("wrong", [{"giou": -1.0}, {"border": float("nan")}, {"border_scale": 0.0}])
def test_weights_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        replace(CONFIG, **wrong)
