"""Running affinity: over all of a video it is the affinity of the video; before, it knows only what it has seen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rdmf_cli.fusion.affinity import AffinityConfig, affinity, conductance, pool_neighbours
from rdmf_cli.fusion.running import Released, RunningAffinity
from tests.running_videos import check_that_the_future_is_not_looked_at, unit, video

CONFIG = AffinityConfig()


def run(features: Tensor, is_cut: Tensor, lag: int, chunk: int, bank: Tensor, warm_up: int = 0) -> list[Released]:
    running = RunningAffinity(unit(3, 16, seed=2), bank, CONFIG, conductance_reach=2.0, lag=lag, warm_up=warm_up)
    found = [running.push(features[i : i + chunk], is_cut[i : i + chunk]) for i in range(0, len(features), chunk)]
    return [*found, running.finish()]


@pytest.mark.parametrize("length", [1, 2, 50])
@pytest.mark.parametrize("chunk", [1, 7])
def test_over_the_whole_video_it_is_the_affinity(length: int, chunk: int) -> None:
    features, is_cut = video(length)
    bank = unit(40, 16, seed=3)
    pooled = pool_neighbours(features, (~is_cut[1:]).double(), CONFIG.pooling)
    *before, rest = run(features, is_cut, 10_000, chunk, bank)
    assert all(released.evidence.shape == (3, 0) for released in before)
    assert torch.allclose(rest.evidence, affinity(pooled, unit(3, 16, seed=2), bank, CONFIG), atol=1e-9)
    assert torch.allclose(rest.conductance[1:], conductance(pooled, is_cut[1:], 2.0))


def test_nothing_is_lost_and_chunks_do_not_matter_for_what_is_let_go() -> None:
    features, is_cut = video(60)
    bank = unit(40, 16, seed=3)
    for lag, chunk in ((0, 1), (5, 4), (12, 60)):
        released = run(features, is_cut, lag, chunk, bank)
        assert sum(part.evidence.shape[1] for part in released) == 60
        assert sum(len(part.conductance) for part in released) == 60
    one = torch.cat([part.conductance for part in run(features, is_cut, 5, 1, bank)])
    assert (one == 0).nonzero().flatten().tolist() == is_cut.nonzero().flatten().tolist()


def test_the_future_is_not_looked_at() -> None:
    bank = unit(40, 16, seed=3)
    check_that_the_future_is_not_looked_at(lambda *given: [part.evidence for part in run(*given, bank)])


def test_warming_up() -> None:
    features, is_cut = video(30)
    released = run(features, is_cut, 2, 1, unit(40, 16, seed=3), warm_up=20)
    counts = [part.evidence.shape[1] for part in released]
    assert counts[:20] == [0] * 20
    assert counts[20] == 18
    assert sum(counts) == 30


def test_without_a_bank_nothing_stands_out() -> None:
    features, is_cut = video(10)
    for part in run(features, is_cut, 2, 3, unit(1, 16, seed=3)):
        assert not part.evidence.any()
