"""Moments told window by window are those that the head finds in the whole; the relevance is that of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rdmf_cli.heads.closing_windows import ClosingWindows, FusedStretch
from rdmf_cli.heads.decode import Timeline
from rdmf_cli.heads.moment_decode import MomentDecodeConfig, moments_from
from rdmf_cli.heads.moments import HeadConfig, MomentHead
from rdmf_cli.heads.running_relevance import RunningRelevance
from rdmf_cli.moments import Moment

DIM, FACTS = 8, 3
CONFIG = MomentDecodeConfig()


def head() -> MomentHead:
    torch.manual_seed(5)
    config = HeadConfig(num_slots=4, window=20, hidden=16, value_dim=8, edge_dim=8, max_width=24)
    return MomentHead(config, DIM, FACTS).eval()


def stretch_of(length: int, seed: int = 0) -> FusedStretch:
    chance = torch.Generator().manual_seed(seed)
    is_cut = torch.rand(length, generator=chance) < 0.1
    is_cut[:1] = False
    starts_s = np.arange(length) * 0.5
    cut_s = np.where(is_cut.numpy(), starts_s - 0.1, np.nan)
    activity = torch.nn.functional.avg_pool1d(torch.rand(1, length + 4, generator=chance), 5, stride=1)[0]
    sequence, lift = torch.randn(length, DIM, generator=chance), torch.randn(length, generator=chance)
    return FusedStretch(sequence, activity, lift, is_cut, starts_s, cut_s)


def told(closing: ClosingWindows, stretch: FusedStretch, chunk: int) -> list[Moment]:
    length, found = len(stretch.starts_s), []
    for start in range(0, length, chunk):
        found += closing.push(stretch[start : start + chunk])
    return found + closing.finish(length * 0.5)


def whole(network: MomentHead, stretch: FusedStretch) -> list[Moment]:
    length = len(stretch.starts_s)
    with torch.no_grad():
        found = network(
            stretch.sequence[None], stretch.activity[None], query=torch.zeros(1, FACTS),
            valid=torch.ones(1, length, dtype=torch.bool), is_cut=stretch.is_cut[None, 1:],
        )  # fmt: skip
    found = found._replace(saliency=found.saliency + stretch.lift)
    return moments_from(found, 0, Timeline(stretch.starts_s, stretch.cut_s, length * 0.5), config=CONFIG)


def rounded(moments: list[Moment]) -> list[tuple[float, ...]]:
    return sorted(tuple(np.round([m.start_s, m.end_s, m.score], 4)) for m in moments)


@pytest.mark.parametrize("length", [1, 7, 20])
def test_what_is_told_at_the_end_of_a_single_window_is_what_the_whole_has(length: int) -> None:
    network, stretch = head(), stretch_of(length)
    found = told(ClosingWindows(network, FACTS, CONFIG, reach=100), stretch, 5)
    assert found
    assert rounded(found) == rounded(whole(network, stretch))


@pytest.mark.parametrize("chunk", [1, 9, 64])
def test_most_moments_of_a_stream_are_those_of_the_whole(chunk: int) -> None:
    network, stretch = head(), stretch_of(300)
    closing = ClosingWindows(network, FACTS, CONFIG, reach=60, longest=120)
    early = []
    for start in range(0, 300, chunk):
        early += closing.push(stretch[start : start + chunk])
        assert len(closing._kept.starts_s) <= 120 + 20 + 120 + chunk + 20
    found = early + closing.finish(150.0)
    assert len(early) > len(found) / 2
    expected = whole(network, stretch)
    same = [
        any(abs(m.start_s - o.start_s) + abs(m.end_s - o.end_s) < 0.3 * o.length_s for m in found) for o in expected
    ]
    assert np.mean(same) > 0.9
    assert max(m.end_s for m in found) <= 150.0


def test_weak_moments_are_not_told() -> None:
    network, stretch = head(), stretch_of(120)
    everything = told(ClosingWindows(network, FACTS, CONFIG), stretch, 10)
    some = told(ClosingWindows(network, FACTS, CONFIG, least_share=0.9), stretch, 10)
    assert 0 < len(some) < len(everything)


@pytest.mark.parametrize("chunk", [1, 7, 200])
def test_the_relevance_is_that_of_the_whole(chunk: int) -> None:
    network, stretch = head(), stretch_of(150)
    query = torch.randn(2, FACTS, generator=torch.Generator().manual_seed(2))
    sequence = torch.stack([stretch.sequence, stretch.sequence.flip(0) * 2])
    activity = torch.stack([stretch.activity, stretch.activity.flip(0) * 3])
    running = RunningRelevance(network)
    with pytest.raises(ValueError, match="nothing was fed"):
        running.logit(query)
    for start in range(0, 150, chunk):
        running.push(sequence[:, start : start + chunk], activity[:, start : start + chunk])
    with torch.no_grad():
        expected = network(
            sequence, activity, query=query, valid=torch.ones(2, 150, dtype=torch.bool),
            is_cut=stretch.is_cut[1:].expand(2, -1),
        ).relevance  # fmt: skip
    assert torch.allclose(running.logit(query), expected, atol=1e-5)
