"""Inputs on a stream: over all of a video they are those of the video; before, they know only what was seen."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from rdmf_cli.fusion.inputs import INPUT_NAMES, MAX_INPUT, Inputs, snippet_inputs
from rdmf_cli.fusion.running_inputs import Judged, RunningInputs, look_ahead
from tests.running_videos import check_that_the_future_is_not_looked_at, unit, video

NULL = {"null_mean": 0.02, "null_spread": 0.2}
SPACING_S = 2.0


QUERIES = unit(3, 16, seed=2)
REACH = torch.tensor([0.0, 0.2, 0.4])


def run(features: Tensor, is_cut: Tensor, lag: int, chunk: int, bank: Tensor, warm_up: int = 0) -> list[Judged]:
    running = RunningInputs(QUERIES, bank, SPACING_S, reach=REACH, lag=lag, warm_up=warm_up, **NULL)
    found = [running.push(features[i : i + chunk], is_cut[i : i + chunk]) for i in range(0, len(features), chunk)]
    return [*found, running.finish()]


def whole(features: Tensor, is_cut: Tensor, bank: Tensor) -> Inputs:
    return snippet_inputs(features, QUERIES, bank, is_cut[1:], SPACING_S, reach=REACH, **NULL)


@pytest.mark.parametrize("length", [1, 2, 60])
@pytest.mark.parametrize(("chunk", "num_others"), [(1, 40), (7, 40), (7, 1), (7, 0)])
def test_over_the_whole_video_they_are_its_inputs(length: int, chunk: int, num_others: int) -> None:
    features, is_cut = video(length)
    bank = unit(num_others, 16, seed=3)
    *before, rest = run(features, is_cut, 10_000, chunk, bank)
    expected = whole(features, is_cut, bank)
    assert all(judged.values.shape == (3, 0, len(INPUT_NAMES)) for judged in before)
    for number, name in enumerate(INPUT_NAMES):
        assert torch.allclose(rest.values[..., number], expected.values[..., number], atol=1e-5), name
    assert torch.allclose(rest.query, expected.query, atol=1e-5)
    assert torch.allclose(rest.distance[1:], expected.distance, atol=1e-4)
    assert torch.equal(rest.is_cut[1:], expected.is_cut)
    assert torch.equal(rest.features, features)


def test_what_does_not_look_at_the_whole_video_is_exact_in_a_stream() -> None:
    features, is_cut = video(150)
    bank = unit(40, 16, seed=3)
    judged = run(features, is_cut, look_ahead(SPACING_S), 4, bank)
    values = torch.cat([part.values for part in judged], dim=1)
    expected = whole(features, is_cut, bank).values
    assert values.shape == expected.shape
    local = ("against_bank", "against_bank_alone", "rank_in_bank", "absolute", "cut_before", "cut_after")
    for name in local:
        number = INPUT_NAMES.index(name)
        assert torch.allclose(values[..., number], expected[..., number], atol=1e-5), name
    # Contrasts differ by their scale only, since they see all that they look at.
    longest = INPUT_NAMES.index("contrast_long")
    same_way = torch.nn.functional.cosine_similarity(values[..., longest], expected[..., longest], dim=1)
    assert float(same_way.min()) > 0.99


def test_nothing_is_lost_and_memory_is_bounded() -> None:
    features, is_cut = video(400)
    bank = unit(40, 16, seed=3)
    for lag, chunk, warm_up in ((1, 3, 0), (5, 4, 20), (12, 100, 0)):
        judged = run(features, is_cut, lag, chunk, bank, warm_up)
        assert torch.equal(torch.cat([part.features for part in judged]), features)
        assert all(bool((part.values.abs() <= MAX_INPUT).all()) for part in judged)
    running = RunningInputs(QUERIES, bank, SPACING_S, reach=torch.zeros(3), lag=12, **NULL)
    sizes = []
    for start in range(0, 400, 10):
        running.push(features[start : start + 10], is_cut[start : start + 10])
        sizes.append(len(running._waiting.features) + running._scores.shape[1])
    assert max(sizes[10:]) == max(sizes[20:])


def test_the_future_is_not_looked_at() -> None:
    bank = unit(40, 16, seed=3)
    check_that_the_future_is_not_looked_at(lambda *given: [part.values for part in run(*given, bank)])
