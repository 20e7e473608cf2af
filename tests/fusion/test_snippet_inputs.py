"""Inputs of the learned fusion: independent of the encoder, finite at the edges, the same backwards, padded soundly."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from rdmf_cli.fusion.affinity import AffinityConfig, affinity, pool_neighbours
from rdmf_cli.fusion.inputs import (
    INPUT_NAMES,
    MAX_INPUT,
    QUERY_NAMES,
    REACH_SHARE,
    SHARPNESS,
    Inputs,
    batch_of,
    batch_of_queries,
    evidence,
    mean_of_best,
    snippet_inputs,
)
from rdmf_cli.pipeline.calibration import Calibration


def unit(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(*shape, generator=generator), dim=-1)


def made(
    features: Tensor, queries: Tensor, bank: Tensor, is_cut: Tensor | None = None, spacing_s: float = 2.0
) -> Inputs:
    cuts = torch.zeros(len(features) - 1, dtype=torch.bool) if is_cut is None else is_cut
    return snippet_inputs(features, queries, bank, cuts, spacing_s, null_mean=0.05, null_spread=0.1)


def column(inputs: Inputs, name: str) -> Tensor:
    return inputs.values[..., INPUT_NAMES.index(name)]


def fact(inputs: Inputs, name: str) -> Tensor:
    return inputs.query[..., QUERY_NAMES.index(name)]


FEATURES, QUERIES, BANK = unit(40, 16), unit(3, 16, seed=1), unit(50, 16, seed=2)
CUTS = torch.zeros(39, dtype=torch.bool).index_fill(0, torch.tensor([9, 24]), True)


def test_shapes_and_range():
    inputs = made(FEATURES, QUERIES, BANK, CUTS)
    assert inputs.values.shape == (3, 40, len(INPUT_NAMES))
    assert inputs.query.shape == (3, len(QUERY_NAMES))
    assert inputs.distance.shape == inputs.is_cut.shape == (39,)
    assert inputs.values.abs().max() <= MAX_INPUT
    assert inputs.query.abs().max() <= MAX_INPUT
    assert float(inputs.distance.median()) == pytest.approx(1.0)
    assert len(set(INPUT_NAMES)) == len(INPUT_NAMES)
    assert len(set(QUERY_NAMES)) == len(QUERY_NAMES)


def test_affinity_is_that_of_pattern_mode():
    inputs = made(FEATURES, QUERIES, BANK, CUTS)
    pooled = pool_neighbours(FEATURES, (~CUTS).float(), AffinityConfig().pooling)
    torch.testing.assert_close(column(inputs, "affinity"), affinity(pooled, QUERIES, BANK, AffinityConfig()))
    alone = affinity(FEATURES, QUERIES, BANK, AffinityConfig())
    torch.testing.assert_close(column(inputs, "affinity_alone"), alone)


def test_relevance_is_the_statistic_of_the_calibration():
    calibration = Calibration(BANK.numpy(), 0.05, 0.1)
    probability = calibration.relevance((QUERIES @ FEATURES.T).numpy(), np.zeros(3, np.float32))
    odds = np.log(probability / (1 - probability))
    deviations = fact(made(FEATURES, QUERIES, BANK, CUTS), "relevance").double().numpy()
    slope = (odds[1] - odds[0]) / (deviations[1] - deviations[0])  # the same number under the calibration's logistic
    assert odds[2] - odds[0] == pytest.approx(slope * (deviations[2] - deviations[0]), rel=1e-3)


def test_evidence_is_the_likelihood_ratio_of_one_snippet_answering():
    """Against the definition, with normal densities in double precision."""
    x = torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x[7] = 4.0
    answers, others = (torch.distributions.Normal(mean, 1.0) for mean in (SHARPNESS, 0.0))
    ratio = (answers.log_prob(x) - others.log_prob(x)).exp().mean()
    expected = (ratio.log() + SHARPNESS**2 / 2) / SHARPNESS
    torch.testing.assert_close(evidence(x), expected)
    assert x.mean() < evidence(x) < x.max()


def test_evidence_does_not_grow_with_the_length_as_the_best_snippets_do():
    chance = torch.randn(200, 4000, generator=torch.Generator().manual_seed(0))
    short, long = chance[:, :40], chance
    grown = float(evidence(long).mean() - evidence(short).mean())
    assert grown < 0.6 * float(mean_of_best(long).mean() - mean_of_best(short).mean())
    torch.testing.assert_close(evidence(torch.cat((short, short), dim=1)), evidence(short))
    torch.testing.assert_close(evidence(torch.full((3, 50), 1.5)), torch.full((3,), 1.5))


def test_what_queries_reach_anyway_is_taken_off():
    given = torch.tensor([0.5, 0.1, 0.2])
    inputs = snippet_inputs(FEATURES, QUERIES, BANK, CUTS, 2.0, null_mean=0.05, null_spread=0.1, reach=given)
    expected = ((QUERIES @ FEATURES.T - REACH_SHARE * given[:, None] - 0.05) / 0.1).clamp(-MAX_INPUT, MAX_INPUT)
    torch.testing.assert_close(column(inputs, "absolute"), expected)


def test_dimension_and_rotation_do_not_matter():
    rotation, _ = torch.linalg.qr(torch.randn(64, 64, generator=torch.Generator().manual_seed(3), dtype=torch.float64))
    wide = [x.double() @ rotation[:16] for x in (FEATURES, QUERIES, BANK)]
    here, there = made(FEATURES, QUERIES, BANK, CUTS), made(*wide, CUTS)
    torch.testing.assert_close(here.values, there.values, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(here.query, there.query, rtol=1e-3, atol=1e-3)


def test_backwards_in_time_gives_the_same_backwards():
    forth = made(FEATURES, QUERIES, BANK, CUTS)
    back = made(FEATURES.flip(0), QUERIES, BANK, CUTS.flip(0))
    swap = {"before": "after", "after": "before"}
    mirrored = ["_".join(swap.get(word, word) for word in name.split("_")) for name in INPUT_NAMES]
    swapped = torch.stack([column(back, name) for name in mirrored], dim=-1)
    torch.testing.assert_close(forth.values, swapped.flip(1), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(forth.query, back.query, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(forth.distance, back.distance.flip(0))


@pytest.mark.parametrize("num_snippets", [1, 2, 3])
@pytest.mark.parametrize("num_background", [0, 1, 2, 50])
def test_short_videos_and_small_banks_are_finite(num_snippets, num_background):
    inputs = made(FEATURES[:num_snippets], QUERIES, BANK[:num_background])
    assert inputs.values.isfinite().all()
    assert inputs.query.isfinite().all()
    assert inputs.distance.isfinite().all()
    if num_background < 2:
        for name in ("affinity", "against_bank", "rank_in_bank"):
            assert not column(inputs, name).any()


def test_snippets_all_alike_have_no_rank_and_no_contrast():
    inputs = made(FEATURES[:1].expand(30, -1), QUERIES, BANK)
    for name in ("affinity", "affinity_alone", "rank_in_video", "contrast_short", "contrast_long", "distance_after"):
        assert column(inputs, name).abs().max() < 0.02, name
    assert inputs.values.isfinite().all()
    assert inputs.query.isfinite().all()


def test_ranks_and_cuts():
    inputs = made(FEATURES, QUERIES, BANK, CUTS)
    cosines = QUERIES @ FEATURES.T
    rank = column(inputs, "rank_in_video")
    assert (rank.argsort(dim=1) == cosines.argsort(dim=1)).all()
    assert rank.amax() == pytest.approx(39 / 40)
    assert rank.amin() == pytest.approx(-39 / 40)
    below = ((BANK @ FEATURES.T)[None] < cosines[:, None]).float().mean(dim=1)
    torch.testing.assert_close(column(inputs, "rank_in_bank"), 2 * below - 1)
    assert column(inputs, "cut_before")[0].nonzero().flatten().tolist() == [0, 10, 25]
    assert column(inputs, "cut_after")[0].nonzero().flatten().tolist() == [9, 24, 39]
    torch.testing.assert_close(column(inputs, "distance_after")[0, :-1], inputs.distance.clamp(max=MAX_INPUT))


def test_contrast_is_highest_for_a_moment_of_its_own_length():
    lengths_s = {"contrast_short": 2.0, "contrast_middle": 8.0, "contrast_long": 32.0}
    peaks = {}
    for length in (1, 4, 16):  # snippets of 2 s
        features = FEATURES[:1].repeat(200, 1)
        features[100 : 100 + length] = QUERIES[0]
        inputs = made(features, QUERIES[:1], BANK)
        peaks[2.0 * length] = {name: float(column(inputs, name).max()) for name in lengths_s}
    for name, length_s in lengths_s.items():
        own = peaks[length_s][name] / max(peaks[length_s].values())
        assert all(own >= peaks[other][name] / max(peaks[other].values()) - 1e-6 for other in peaks), (name, peaks)


def test_contrast_follows_seconds_not_snippets():
    features = FEATURES[:1].repeat(100, 1)
    features[50:54] = QUERIES[0]
    coarse = made(features, QUERIES[:1], BANK, spacing_s=2.0)
    fine = made(features.repeat_interleave(4, dim=0), QUERIES[:1], BANK, spacing_s=0.5)
    torch.testing.assert_close(
        column(coarse, "contrast_long")[0, 50:54], column(fine, "contrast_long")[0, 202:216:4], atol=0.35, rtol=0
    )


def test_a_batch_pads_its_items():
    long, short = made(FEATURES, QUERIES, BANK, CUTS), made(FEATURES[:5], QUERIES, BANK, CUTS[:4], 0.5)
    rows = [(x.values[1], x.query[1].numpy(), x.distance.numpy(), x.is_cut, x.spacing_s) for x in (short, long)]
    batch = batch_of(rows)
    assert batch.valid.sum(dim=1).tolist() == [5, 40]
    assert batch.spacing_s.tolist() == [0.5, 2.0]
    torch.testing.assert_close(batch.values[0, :5], short.values[1])
    torch.testing.assert_close(batch.distance[0, :4], short.distance)
    assert batch.is_cut[1].tolist() == CUTS.tolist()
    assert batch.is_cut.dtype == torch.bool
    assert not batch.values[0, 5:].any()
    assert batch.features is None
    assert batch.words is None
    with pytest.raises(ValueError, match="at least one item"):
        batch_of([])


def test_a_batch_carries_features_and_words():
    inputs = made(FEATURES, QUERIES, BANK, CUTS)
    row = (inputs.values[0], inputs.query[0], inputs.distance, inputs.is_cut, 2.0)
    batch = batch_of([(*row, FEATURES.half().numpy(), QUERIES[0].half().numpy())])
    assert batch.features is not None
    assert batch.words is not None
    torch.testing.assert_close(batch.features[0], FEATURES, atol=1e-3, rtol=0)
    assert batch.features.dtype == batch.words.dtype == torch.float32
    assert batch.to("cpu").words is not None


def test_queries_of_one_video_are_a_batch():
    inputs = made(FEATURES, QUERIES, BANK, CUTS)
    rows = [(inputs.values[i], inputs.query[i], inputs.distance, inputs.is_cut, 2.0) for i in range(3)]
    for mine, other in zip(batch_of_queries(inputs)[:6], batch_of(rows)[:6], strict=True):
        torch.testing.assert_close(mine, other)
