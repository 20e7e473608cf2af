"""The affinity: what cancels out of it, and that nothing is made out of nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rdmf_cli.fusion.affinity import AffinityConfig, affinity, along_video, conductance, pool_neighbours

CONFIG = AffinityConfig()
DIM = 24


def unit_rows(seed: int, *shape: int) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Features (60, D), queries (3, D), bank (80, D)."""
    return unit_rows(0, 60, DIM), unit_rows(1, 3, DIM), unit_rows(2, 80, DIM)


@pytest.mark.parametrize("num_snippets", [1, 2, 7, 300])
def test_snippets_that_are_all_alike_give_nothing(num_snippets: int) -> None:
    features = unit_rows(0, 1, DIM).expand(num_snippets, DIM)
    result = affinity(features, unit_rows(1, 3, DIM), unit_rows(2, 80, DIM), CONFIG)
    assert result.shape == (3, num_snippets)
    assert result.abs().max() < 0.01


def test_a_query_that_fits_all_snippets_alike_gives_nothing() -> None:
    query, bank = unit_rows(1, 1, DIM), unit_rows(2, 80, DIM)
    features = unit_rows(0, 60, DIM)
    features = features - (features @ query.T) * query  # the query's cosine is 0 everywhere, the pictures differ
    features = torch.nn.functional.normalize(features, dim=-1)
    # A bank of opposites expects 0 everywhere, too.
    assert affinity(features, query, torch.cat([bank, -bank]), CONFIG).abs().max() < 0.05


@pytest.mark.parametrize("num_background", [0, 1])
def test_without_a_bank_nothing_stands_out(inputs: tuple[Tensor, Tensor, Tensor], num_background: int) -> None:
    features, queries, bank = inputs
    assert (affinity(features, queries, bank[:num_background], CONFIG) == 0).all()


def test_no_video_is_too_short(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    features, queries, bank = inputs
    for few in (1, 2, 3):
        assert affinity(features[:few], queries, bank, CONFIG).isfinite().all()


@pytest.mark.parametrize("zero_rows", [slice(None), slice(10, 14), slice(0, 1)])
def test_rows_of_zeros_are_no_nan(inputs: tuple[Tensor, Tensor, Tensor], zero_rows: slice) -> None:
    features, queries, bank = inputs
    features = features.clone()
    features[zero_rows] = 0
    pooled = pool_neighbours(features, torch.ones(59), CONFIG.pooling)
    assert pooled.isfinite().all()
    assert affinity(pooled, queries, bank, CONFIG).isfinite().all()
    assert conductance(pooled, torch.zeros(59, dtype=torch.bool), 2.0).isfinite().all()


def test_a_batch_equals_its_queries_one_by_one(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    features, queries, bank = inputs
    alone = torch.cat([affinity(features, query[None], bank, CONFIG) for query in queries])
    torch.testing.assert_close(affinity(features, queries, bank, CONFIG), alone, atol=1e-4, rtol=1e-4)


def test_time_may_run_backwards(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    features, queries, bank = inputs
    forwards = affinity(features, queries, bank, CONFIG)
    torch.testing.assert_close(affinity(features.flip(0), queries, bank, CONFIG).flip(1), forwards, atol=1e-4, rtol=0)


def test_the_axes_of_the_encoder_do_not_matter(inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    rotation = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(3)))[0]
    turned = [rows @ rotation for rows in inputs]
    torch.testing.assert_close(affinity(*turned, CONFIG), affinity(*inputs, CONFIG), atol=1e-3, rtol=0)


@given(gain=st.floats(0.1, 10), seed=st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_gain_and_offset_of_the_cosines_do_not_matter(gain: float, seed: int) -> None:
    """Some encoders have cosines around 0.2, others around 0; some pictures are near every sentence."""
    features, queries, bank = unit_rows(seed, 40, DIM), unit_rows(seed + 1, 2, DIM), unit_rows(seed + 2, 60, DIM)
    common = unit_rows(seed + 3, 1, DIM)  # what every sentence has in common: near some pictures, far from others
    expected = affinity(features, queries, bank, CONFIG)
    other = affinity(features, gain * queries + common, gain * bank + common, CONFIG)
    torch.testing.assert_close(other, expected, atol=5e-3, rtol=0)


def test_noise_is_not_stretched_to_a_hit() -> None:
    """The cosine part of a query that varies a hundredth of what ordinary queries do stays a hundredth."""
    bank_scores = torch.randn(80, 50, generator=torch.Generator().manual_seed(0))
    weak = 0.01 * torch.randn(1, 50, generator=torch.Generator().manual_seed(1))
    assert along_video(weak, bank_scores, 1.0).abs().max() < 0.05
    strong = along_video(100 * weak, bank_scores, 1.0)
    assert strong.std() == pytest.approx(1, abs=0.1)


def test_neighbours_are_pooled_inside_a_shot_only() -> None:
    features = unit_rows(0, 30, DIM)
    shots = torch.ones(29)
    shots[14] = 0  # a cut between 14 and 15
    pooled = pool_neighbours(features, shots, CONFIG.pooling)
    torch.testing.assert_close(pooled.norm(dim=1), torch.ones(30))
    changed = torch.cat([features[:15], unit_rows(9, 15, DIM)])
    other = pool_neighbours(changed, shots, CONFIG.pooling)
    torch.testing.assert_close(other[:15], pooled[:15], atol=0, rtol=0)
    assert not torch.allclose(pooled, features)
    torch.testing.assert_close(pool_neighbours(features, shots, 0.0), features)
    weighted = features[3] + CONFIG.pooling * (features[2] + features[4])
    torch.testing.assert_close(pooled[3], weighted / weighted.norm())


def test_conductance_is_0_across_cuts_and_high_inside_a_shot() -> None:
    base = unit_rows(0, 1, DIM)
    steady = torch.nn.functional.normalize(base + 0.02 * unit_rows(1, 30, DIM), dim=-1)
    jump = torch.nn.functional.normalize(unit_rows(7, 1, DIM) + 0.02 * unit_rows(2, 30, DIM), dim=-1)
    is_cut = torch.zeros(59, dtype=torch.bool)
    is_cut[9] = True
    flow = conductance(torch.cat([steady, jump]), is_cut, 2.0)
    assert ((flow >= 0) & (flow <= 1)).all()
    assert flow[9] == 0
    assert flow[29] < 1e-6  # no cut was reported, but another scene begins
    assert flow[torch.arange(59) % 20 != 9].median() > 0.5
    assert conductance(steady[:1], is_cut[:0], 2.0).shape == (0,)
