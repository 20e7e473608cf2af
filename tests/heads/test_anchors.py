"""Anchors: peaks of every width are found, windows share out the slots, padding counts for nothing."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import Tensor

from rdmf_cli.heads.anchors import find_anchors, ladder
from rdmf_cli.heads.spans import pairwise_overlap


def bumps(num_snippets: int, *windows: tuple[int, int]) -> Tensor:
    activity = torch.zeros(1, num_snippets)
    for start, end in windows:
        activity[0, start:end] = 0.9
    return activity


def everything(activity: Tensor) -> Tensor:
    return torch.ones_like(activity, dtype=torch.bool)


def test_widths_of_the_ladder_grow_by_half_at_most() -> None:
    widths = ladder(100)
    assert widths[:6] == [1, 2, 3, 4, 6, 8]
    assert all(b <= 1.5 * a for a, b in pairwise(widths[1:]))
    assert widths[-2] < 100 <= widths[-1]
    assert ladder(1) == [1]


@pytest.mark.parametrize("width", [1, 2, 3, 5, 9, 17, 40])
def test_a_moment_of_any_width_has_an_anchor_that_fits(width: int) -> None:
    activity = bumps(75, (20, 20 + width))
    anchors = find_anchors(activity, everything(activity), num_slots=10, window=100)
    iou = pairwise_overlap(anchors.spans, torch.tensor([[20.0, 20.0 + width]])).iou
    assert iou.max() >= 0.7
    assert iou[0, 0] == iou.max()  # the strongest comes first


def test_the_whole_video_can_be_an_anchor() -> None:
    activity = torch.full((1, 50), 0.9)
    anchors = find_anchors(activity, everything(activity), num_slots=4, window=100)
    assert pairwise_overlap(anchors.spans, torch.tensor([[0.0, 50.0]])).iou.max() > 0.9


def test_a_video_that_is_alike_throughout_is_an_anchor_however_weak() -> None:
    anchors = find_anchors(torch.full((1, 24), 0.3), torch.ones(1, 24, dtype=torch.bool), num_slots=5, window=100)
    assert pairwise_overlap(anchors.spans, torch.tensor([[0.0, 24.0]])).iou.max() > 0.9


def test_every_window_has_slots_of_its_own() -> None:
    # A crowd of strong moments at the start must not take the slots of a weak one at the end.
    activity = bumps(300, *[(start, start + 3) for start in range(0, 90, 9)])
    activity[0, 250:255] = 0.2
    anchors = find_anchors(activity, everything(activity), num_slots=5, window=100)
    assert anchors.spans.shape == (1, 15, 2)
    assert pairwise_overlap(anchors.spans, torch.tensor([[250.0, 255.0]])).iou.max() >= 0.7


def test_a_moment_across_the_border_of_windows_is_one_anchor() -> None:
    activity = bumps(200, (80, 128))
    anchors = find_anchors(activity, everything(activity), num_slots=5, window=100)
    assert pairwise_overlap(anchors.spans, torch.tensor([[80.0, 128.0]])).iou.max() >= 0.9


def test_padding_changes_no_anchor() -> None:
    torch.manual_seed(0)
    activity = torch.rand(1, 60)
    alone = find_anchors(activity, everything(activity), num_slots=6, window=40)
    padded = torch.cat([activity, 9 * torch.ones(1, 70)], dim=1)
    valid = torch.arange(130)[None] < 60
    found = find_anchors(padded, valid, num_slots=6, window=40)
    assert found.spans.shape == (1, 24, 2)
    torch.testing.assert_close(found.spans[:, :12], alone.spans)
    assert found.slot_valid[:, :12].equal(alone.slot_valid)
    assert not found.slot_valid[:, 12:].any()


def test_anchors_of_a_window_do_not_crowd() -> None:
    torch.manual_seed(1)
    activity = torch.rand(4, 80)
    anchors = find_anchors(activity, everything(activity), num_slots=10, window=100, max_overlap=0.5)
    iou = pairwise_overlap(anchors.spans, anchors.spans).iou
    apart = ~torch.eye(10, dtype=torch.bool)
    both = anchors.slot_valid[:, :, None] & anchors.slot_valid[:, None, :] & apart
    assert iou[both].max() <= 0.5 + 1e-6


@pytest.mark.parametrize("num_snippets", [1, 2])
def test_a_tiny_video_has_an_anchor(num_snippets: int) -> None:
    activity = torch.zeros(1, num_snippets)
    anchors = find_anchors(activity, everything(activity), num_slots=10, window=100)
    assert anchors.slot_valid.any()
    usable = anchors.spans[anchors.slot_valid]
    assert (usable[:, 1] > usable[:, 0]).all()
    assert usable.min() >= 0
    assert usable.max() <= num_snippets


def test_anchors_begin_and_end_on_cuts_that_are_near() -> None:
    activity = bumps(75, (21, 30))
    activity[0, 20] = activity[0, 30] = 0.4  # the pattern has leaked out on both sides
    is_cut = torch.zeros(1, 74, dtype=torch.bool)
    is_cut[0, [20, 29]] = True  # edges 21 and 30
    shape = {"num_slots": 10, "window": 100}
    free = find_anchors(activity, everything(activity), **shape)
    bound = find_anchors(activity, everything(activity), is_cut, **shape)
    assert bound.spans[0, 0].tolist() == [21.0, 30.0]
    assert free.spans[0, 0].tolist() != [21.0, 30.0]


def test_a_cut_out_of_reach_moves_nothing_and_no_anchor_closes() -> None:
    activity = torch.rand(3, 60, generator=torch.Generator().manual_seed(0))
    valid = torch.arange(60) < torch.tensor([60, 40, 1])[:, None]
    shape = {"num_slots": 10, "window": 100, "max_overlap": 1.0}
    for share in (0.0, 0.3, 1.0):
        is_cut = torch.rand(3, 59, generator=torch.Generator().manual_seed(1)) < share
        anchors = find_anchors(activity, valid, is_cut, **shape)
        spans = anchors.spans[anchors.slot_valid]
        assert (spans[:, 1] - spans[:, 0] >= 1).all()
        assert (anchors.spans[..., 1] <= valid.sum(dim=1)[:, None]).all()


def test_cuts_on_padding_draw_nothing() -> None:
    activity = torch.rand(1, 30, generator=torch.Generator().manual_seed(0))
    is_cut = torch.rand(1, 29, generator=torch.Generator().manual_seed(1)) < 0.2
    alone = find_anchors(activity, everything(activity), is_cut, num_slots=6, window=40)
    padded, valid = torch.nn.functional.pad(activity, (0, 7), value=9.0), torch.arange(37)[None] < 30
    cuts = torch.nn.functional.pad(is_cut, (0, 7), value=True)
    found = find_anchors(padded, valid, cuts, num_slots=6, window=40)
    torch.testing.assert_close(found.spans, alone.spans)


def test_a_little_activity_everywhere_is_no_anchor_of_the_whole_video() -> None:
    activity = (bumps(75, (30, 36)) / 2 + 0.15).clamp(max=0.5)
    anchors = find_anchors(activity, everything(activity), num_slots=10, window=100)
    assert anchors.spans[0, 0].tolist() == [30.0, 36.0]
