"""Decoding: a perfect network gives the truth, borders fall on cuts, ranking is chance × quality and saliency."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rdmf_cli.heads.decode import Timeline
from rdmf_cli.heads.moment_decode import (
    MomentDecodeConfig,
    moments_from,
    relevance_from,
    saliency_from,
    seconds,
    told_score,
)
from rdmf_cli.heads.moments import Found

CONFIG = MomentDecodeConfig()


def even(num_snippets: int, cuts: dict[int, float] | None = None, spacing_s: float = 2.0) -> Timeline:
    """`cuts`: time of the cut before a snippet."""
    cut_s = np.full(num_snippets, np.nan)
    for index, time_s in (cuts or {}).items():
        cut_s[index] = time_s
    return Timeline(np.arange(num_snippets) * spacing_s, cut_s, num_snippets * spacing_s)


def found(
    num_snippets: int,
    spans: list[tuple[float, float]],
    *,
    logits: list[float] | None = None,
    quality: list[float] | None = None,
    slot_valid: list[bool] | None = None,
    boundary: dict[int, float] | None = None,
    saliency: list[float] | None = None,
) -> Found:
    """One item; the layer before the last one is nonsense, as it must not matter."""
    last = torch.tensor([spans], dtype=torch.float32).reshape(1, -1, 2)
    count = last.shape[1]
    edges = torch.full((1, num_snippets + 1), -5.0)
    for edge, value in (boundary or {}).items():
        edges[0, edge] = value

    def layers(values: list[float] | None) -> torch.Tensor:
        row = torch.full((1, count), 3.0) if values is None else torch.tensor([values])
        return torch.stack([torch.zeros_like(row), row])

    return Found(
        torch.stack([last + 17, last]),
        layers(logits),
        layers(quality),
        torch.tensor([slot_valid or [True] * count], dtype=torch.bool),
        torch.tensor([saliency or [0.0] * num_snippets]),
        edges,
        torch.tensor([1.0]),
        torch.zeros(1, num_snippets),
    )


def borders(moments: list) -> list[tuple[float, float]]:
    return [(round(m.start_s, 4), round(m.end_s, 4)) for m in moments]


def test_a_perfect_output_decodes_to_the_truth() -> None:
    moments = moments_from(found(20, [(12.25, 15.0), (2.0, 5.5)], logits=[2.0, 9.0]), 0, even(20), config=CONFIG)
    assert borders(moments) == [(4.0, 11.0), (24.5, 30.0)]
    assert moments[0].score > moments[1].score


def test_score_is_chance_times_quality_times_relevance() -> None:
    [moment] = moments_from(
        found(9, [(1.0, 4.0)], logits=[0.0], quality=[0.0]), 0, even(9), config=CONFIG, relevance=0.5
    )
    assert moment.score == pytest.approx(0.125)


def test_what_is_less_salient_throughout_has_its_score_lowered() -> None:
    saliency = [-3.0] * 20
    saliency[8:11] = [1.0, 1.0, 1.0]
    said = found(20, [(1.0, 4.0), (8.0, 11.0), (9.2, 9.6)], logits=[1.0, 1.0, 0.0], saliency=saliency)
    first, second, third = moments_from(said, 0, even(20), config=MomentDecodeConfig(saliency_weight=0.5))
    assert borders([first, second, third]) == [(16.0, 22.0), (18.4, 19.2), (2.0, 8.0)]
    chance = torch.tensor(1.0).sigmoid().item() * torch.tensor(3.0).sigmoid().item()
    assert first.score == pytest.approx(chance)  # the most salient one keeps its own
    assert third.score == pytest.approx(1 / (1 + (1 / chance - 1) * np.exp(0.5 * 4)))
    plain = moments_from(said, 0, even(20), config=MomentDecodeConfig(saliency_weight=0.0))
    assert [moment.score for moment in plain[:2]] == pytest.approx([chance, chance])


def test_a_better_place_wins_over_a_surer_class() -> None:
    moments = moments_from(
        found(20, [(1.0, 4.0), (8.0, 11.0)], logits=[3.0, 2.0], quality=[-1.0, 3.0]), 0, even(20), config=CONFIG
    )
    assert borders(moments)[0] == (16.0, 22.0)


def test_unused_slots_and_doubles_are_dropped() -> None:
    moments = moments_from(
        found(20, [(2.0, 6.0), (2.1, 6.0), (9.0, 12.0)], logits=[3.0, 2.0, 1.0], slot_valid=[True, True, False]),
        0,
        even(20),
        config=CONFIG,
    )
    assert borders(moments) == [(4.0, 12.0)]


def test_a_border_moves_onto_a_cut_within_one_snippet() -> None:
    timeline = even(20, {5: 9.3, 9: 16.7})
    moments = moments_from(found(20, [(4.4, 8.8)]), 0, timeline, config=CONFIG)
    assert borders(moments) == [(9.3, 16.7)]
    far = moments_from(found(20, [(6.0, 12.0)]), 0, timeline, config=CONFIG)
    assert borders(far) == [(12.0, 24.0)]


def test_of_two_cuts_the_boundary_head_has_a_say() -> None:
    timeline = even(20, {5: 9.6, 6: 11.4})  # the border at 10.4 s is a little nearer to the first
    nearest = moments_from(found(20, [(5.2, 12.0)]), 0, timeline, config=CONFIG)
    told = moments_from(found(20, [(5.2, 12.0)], boundary={6: 4.0}), 0, timeline, config=CONFIG)
    assert borders(nearest) == [(9.6, 24.0)]
    assert borders(told) == [(11.4, 24.0)]


def test_a_moment_between_two_borders_on_one_cut_stays() -> None:
    moments = moments_from(found(20, [(5.1, 5.6)]), 0, even(20, {5: 10.6}), config=CONFIG)
    assert borders(moments) == [(10.2, 11.2)]


def test_spans_beyond_the_video_are_cut_off() -> None:
    moments = moments_from(found(10, [(-2.0, 3.0), (8.0, 14.0), (11.0, 12.0)]), 0, even(10), config=CONFIG)
    assert sorted(borders(moments)) == [(0.0, 6.0), (16.0, 20.0)]


def test_padding_of_the_batch_is_not_read() -> None:
    # The item has 6 snippets in a batch of 10.
    moments = moments_from(found(10, [(2.0, 9.0)], saliency=[0.0] * 6 + [9.0] * 4), 0, even(6), config=CONFIG)
    assert borders(moments) == [(4.0, 12.0)]
    assert moments[0].peak_s == 4.0


def test_the_peak_is_the_most_salient_snippet_inside() -> None:
    saliency = [9.0, 0.0, 1.0, 3.0, 2.0, 8.0]
    [moment] = moments_from(found(6, [(1.5, 4.5)], saliency=saliency), 0, even(6), config=CONFIG)
    assert moment.peak_s == 6.0


def test_one_snippet_and_no_slot() -> None:
    assert borders(moments_from(found(1, [(0.0, 1.0)]), 0, even(1), config=CONFIG)) == [(0.0, 2.0)]
    assert moments_from(found(4, []), 0, even(4), config=CONFIG) == []


def test_uneven_snippets() -> None:
    timeline = Timeline(np.array([0.5, 1.0, 4.0]), np.full(3, np.nan), 6.0)
    np.testing.assert_allclose(seconds(np.array([0.0, 0.5, 1.5, 2.0, 3.0]), timeline), [0.0, 0.5, 2.5, 4.0, 6.0])


def test_relevance_and_saliency_are_probabilities() -> None:
    answer = found(3, [(0.0, 1.0)], saliency=[-30.0, 0.0, 30.0])
    assert relevance_from(answer, 0) == pytest.approx(1 / (1 + np.exp(-1)))
    assert relevance_from(answer, 0, (2.0, -2.0)) == pytest.approx(0.5)
    np.testing.assert_allclose(saliency_from(answer, 0, 3), [0, 0.5, 1], atol=1e-6)


@st.composite
def cases(draw: st.DrawFn) -> tuple[Found, Timeline]:
    count = draw(st.integers(1, 12))
    gaps = draw(st.lists(st.sampled_from([0.04, 0.5, 0.5, 1.0, 7.0]), min_size=count, max_size=count))
    starts = np.concatenate([[0.0], np.cumsum(gaps)])
    cut_s = np.full(count, np.nan)
    for i in range(1, count):
        if draw(st.booleans()):
            cut_s[i] = starts[i - 1] + draw(st.sampled_from([0.1, 0.5, 1.0])) * gaps[i - 1]
    some = st.tuples(st.floats(-3, 15), st.floats(0.05, 15))
    spans = [(start, start + width) for start, width in draw(st.lists(some, max_size=6))]
    return found(count, spans), Timeline(starts[:-1], cut_s, float(starts[-1]))


@given(case=cases())
@settings(max_examples=200, deadline=None)
def test_moments_are_proper_stretches_of_the_video(case: tuple[Found, Timeline]) -> None:
    answer, timeline = case
    moments = moments_from(answer, 0, timeline, config=CONFIG)
    assert [m.score for m in moments] == sorted((m.score for m in moments), reverse=True)
    for moment in moments:
        assert 0 <= moment.start_s < moment.end_s <= timeline.end_s
        assert moment.start_s <= moment.peak_s <= moment.end_s


@pytest.mark.parametrize("wrong", [{"max_overlap": 1.5}, {"snap": -1.0}])
def test_constants_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        MomentDecodeConfig(**wrong)


def test_a_score_is_told_on_the_scale_of_what_it_is_made_of() -> None:
    assert told_score(0.6 * 0.6 * 0.6) == pytest.approx(0.6)
    assert (told_score(0.0), told_score(1.0)) == (0.0, 1.0)
    assert told_score(0.2) < told_score(0.21)
