"""Pattern mode from features to moments: planted scenes are found, and nothing else is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdmf_cli.fusion.affinity import AffinityConfig
from rdmf_cli.fusion.pattern import Pattern, PatternConfig, catalysis, run_pattern
from rdmf_cli.heads.decode import DecodeConfig, Timeline, moments_of
from rdmf_cli.moments import Moment

AFFINITY, PATTERN, DECODE = AffinityConfig(), PatternConfig(), DecodeConfig()
DIM = 64
SPACING_S = 0.5
CUT_LEAD_S = 0.2  # a cut lies that much before the first sample behind it


def unit(rows: Tensor) -> Tensor:
    return torch.nn.functional.normalize(rows, dim=-1)


@dataclass
class Film:
    """Shots of random pictures; each holds `share` of what the query means."""

    shots: list[tuple[int, float]]  # snippets, share
    has_cuts: bool = True
    seed: int = 0
    query: Tensor = field(init=False)  # (1, D)
    bank: Tensor = field(init=False)
    features: Tensor = field(init=False)  # (T, D)
    timeline: Timeline = field(init=False)

    def __post_init__(self) -> None:
        source = torch.Generator().manual_seed(self.seed)
        concepts = torch.linalg.qr(torch.randn(DIM, DIM, generator=source))[0]
        self.query = concepts[:1]
        self.bank = unit(torch.randn(150, DIM, generator=source))
        rows, first, starts = [], [], 0
        for i, (length, share) in enumerate(self.shots):
            picture = unit(concepts[1 + i % (DIM - 1)] + share * self.query)
            rows.append(unit(picture + 0.25 * unit(torch.randn(length, DIM, generator=source))))
            first.append(starts)
            starts += length
        self.features = torch.cat(rows)
        starts_s = np.arange(starts) * SPACING_S
        cut_s = np.full(starts, np.nan)
        if self.has_cuts:
            cut_s[first[1:]] = starts_s[first[1:]] - CUT_LEAD_S
        self.timeline = Timeline(starts_s, cut_s, starts * SPACING_S)

    def pattern(self, config: PatternConfig = PATTERN) -> Pattern:
        return run(self.features, self.query, self.bank, self.timeline, config)

    def moments(self) -> list[Moment]:
        return moments(self.pattern(), self.timeline)


def run(
    features: Tensor, queries: Tensor, bank: Tensor, timeline: Timeline, config: PatternConfig = PATTERN
) -> Pattern:
    is_cut = torch.from_numpy(timeline.is_cut)
    return run_pattern(features, queries, bank, is_cut, timeline.spacing_s, affinity_config=AFFINITY, config=config)


def moments(pattern: Pattern, timeline: Timeline, index: int = 0) -> list[Moment]:
    v, evidence = pattern.v[index].double().numpy(), pattern.affinity[index].double().numpy()
    return [moment for moment, _ in moments_of(v, evidence, timeline, DECODE)]


def borders(found: list[Moment]) -> NDArray[np.float64]:
    """(N, 2) in order of time."""
    return np.array(sorted((moment.start_s, moment.end_s) for moment in found)).reshape(-1, 2)


def test_the_threshold_is_where_the_active_state_begins() -> None:
    evidence = torch.tensor([PATTERN.threshold - 1, PATTERN.threshold, PATTERN.threshold + 1, -1e9, 1e9])
    feed, total = PATTERN.feed, PATTERN.feed + PATTERN.kill
    margin = catalysis(evidence, PATTERN) * feed - 4 * total**2
    assert margin[0] < 0
    assert margin[1] == pytest.approx(0, abs=1e-6)
    assert margin[2] > 0
    assert catalysis(evidence, PATTERN).isfinite().all()


@pytest.mark.parametrize("length", [3, 6, 15, 40])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_scene_between_cuts_is_found_with_its_borders_on_them(length: int, seed: int) -> None:
    film = Film([(30, 0), (25, 0), (length, 1.0), (35, 0), (30, 0)], seed=seed)
    best = film.moments()[0]
    assert best.start_s == 55 * SPACING_S - CUT_LEAD_S
    assert best.end_s == (55 + length) * SPACING_S - CUT_LEAD_S
    assert best.start_s <= best.peak_s < best.end_s


@pytest.mark.parametrize("length", [4, 10, 30])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_scene_without_cuts_is_found_within_one_snippet(length: int, seed: int) -> None:
    best = Film([(50, 0), (length, 1.0), (60, 0)], has_cuts=False, seed=seed).moments()[0]
    assert best.start_s == pytest.approx(50 * SPACING_S, abs=SPACING_S)
    assert best.end_s == pytest.approx((50 + length) * SPACING_S, abs=SPACING_S)


@pytest.mark.parametrize("at_start", [True, False])
def test_a_scene_at_an_end_of_the_video_reaches_it(at_start: bool) -> None:
    shots = [(12, 1.0), (40, 0.0), (40, 0.0)]
    film = Film(shots if at_start else shots[::-1])
    best = film.moments()[0]
    cut = 12 * SPACING_S - CUT_LEAD_S if at_start else 80 * SPACING_S - CUT_LEAD_S
    assert (best.start_s, best.end_s) == ((0.0, cut) if at_start else (cut, film.timeline.end_s))


def test_a_scene_that_comes_again_is_found_twice() -> None:
    film = Film([(30, 0), (10, 1.0), (30, 0), (10, 1.0), (30, 0)])
    expected = [[a * SPACING_S - CUT_LEAD_S, (a + 10) * SPACING_S - CUT_LEAD_S] for a in (30, 70)]
    assert borders(film.moments()[:2]).tolist() == expected


def test_the_stronger_scene_ranks_first() -> None:
    for shares in ((1.2, 0.7), (0.7, 1.2)):
        film = Film([(30, 0), (10, shares[0]), (30, 0), (10, shares[1]), (30, 0)])
        best = film.moments()[0]
        strong = 30 if shares[0] > shares[1] else 70
        assert best.start_s == strong * SPACING_S - CUT_LEAD_S
        scores = [moment.score for moment in film.moments()]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)


def test_evidence_does_not_leak_across_a_cut() -> None:
    pattern = Film([(40, 0), (12, 1.0), (40, 0)]).pattern()
    assert pattern.conductance[[39, 51]].tolist() == [0, 0]
    assert pattern.v[0, 40:52].min() > DECODE.floor
    assert pattern.v[0, [39, 52]].max() < DECODE.floor


def test_the_state_stays_in_its_range() -> None:
    pattern = Film([(20, 1.0), (20, 0), (5, 2.0), (30, 0.3)]).pattern()
    assert pattern.u.shape == pattern.v.shape == pattern.affinity.shape == (1, 75)
    assert pattern.u.min() >= 0
    assert pattern.u.max() <= 1 + 1e-5
    assert pattern.v.min() >= 0
    assert (pattern.steps_taken <= PATTERN.num_steps).all()


@pytest.mark.parametrize("num_snippets", [1, 2, 3, 50])
def test_a_video_that_never_changes_has_no_moment(num_snippets: int) -> None:
    film = Film([(num_snippets, 1.0)])
    still = film.features[:1].expand(num_snippets, DIM)
    pattern = run(still, film.query, film.bank, film.timeline)
    assert pattern.v.max() < DECODE.floor
    assert moments(pattern, film.timeline) == []


@pytest.mark.parametrize("num_snippets", [1, 2, 3])
def test_the_shortest_videos(num_snippets: int) -> None:
    film = Film([(1, 1.0), (1, 0), (1, 0)][:num_snippets])
    pattern = film.pattern()
    assert pattern.v.shape == (1, num_snippets)
    assert pattern.v.isfinite().all()
    assert pattern.conductance.shape == (num_snippets - 1,)
    for moment in film.moments():
        assert 0 <= moment.start_s < moment.end_s <= film.timeline.end_s


def test_without_a_bank_there_is_no_moment() -> None:
    film = Film([(30, 0), (10, 1.0), (30, 0)])
    assert moments(run(film.features, film.query, film.bank[:0], film.timeline), film.timeline) == []


def test_rows_of_zeros_are_no_nan() -> None:
    film = Film([(30, 0), (10, 1.0), (30, 0)])
    film.features[5:9] = 0
    assert film.pattern().v.isfinite().all()
    film.features[:] = 0
    assert film.moments() == []


def test_a_batch_equals_its_queries_one_by_one() -> None:
    film = Film([(30, 0), (10, 1.0), (30, 0), (8, 0.6), (30, 0)])
    queries = torch.cat([film.query, unit(film.features[80:81]), film.bank[:1]])
    together = run(film.features, queries, film.bank, film.timeline)
    for i, query in enumerate(queries):
        alone = run(film.features, query[None], film.bank, film.timeline)
        torch.testing.assert_close(together.v[i : i + 1], alone.v, atol=2e-3, rtol=0)
        assert borders(moments(together, film.timeline, i)) == pytest.approx(
            borders(moments(alone, film.timeline)), abs=0.01
        )


@pytest.mark.parametrize("has_cuts", [True, False])
def test_reversal_of_time_reverses_the_answer(has_cuts: bool) -> None:
    film = Film([(25, 0), (10, 1.0), (30, 0), (14, 0.9), (31, 0)], has_cuts)
    forwards = film.pattern()
    cut_s = np.full_like(film.timeline.cut_s, np.nan)
    cut_s[1:] = film.timeline.end_s - film.timeline.cut_s[:0:-1]  # mirrored; half-open borders stay on their cuts
    mirrored = Timeline(film.timeline.starts_s, cut_s, film.timeline.end_s)
    backwards = run(film.features.flip(0), film.query, film.bank, mirrored)
    torch.testing.assert_close(backwards.v.flip(1), forwards.v, atol=2e-3, rtol=0)
    there = borders(moments(forwards, film.timeline)[:2])
    back = mirrored.end_s - borders(moments(backwards, mirrored)[:2])[::-1, ::-1]
    # A border between samples is placed from samples, which are the starts of their snippets: one spacing apart.
    assert back == pytest.approx(there, abs=1e-6 if has_cuts else SPACING_S + 0.05)


def test_the_axes_of_the_encoder_do_not_matter() -> None:
    film = Film([(30, 0), (10, 1.0), (30, 0), (10, 0.8), (30, 0)])
    rotation = torch.linalg.qr(torch.randn(DIM, DIM, generator=torch.Generator().manual_seed(5)))[0]
    turned = run(film.features @ rotation, film.query @ rotation, film.bank @ rotation, film.timeline)
    torch.testing.assert_close(turned.v, film.pattern().v, atol=5e-3, rtol=0)
    assert borders(moments(turned, film.timeline)) == pytest.approx(borders(film.moments()), abs=0.02)


@pytest.mark.parametrize("spacing_s", [1 / 25, 1.0, 10.0])
def test_borders_stay_on_the_cuts_at_any_sampling_rate(spacing_s: float) -> None:
    film = Film([(40, 0), (int(max(4, 6 / spacing_s)), 1.0), (40, 0)])
    starts_s = film.timeline.starts_s / SPACING_S * spacing_s
    cut_s = film.timeline.cut_s / SPACING_S * spacing_s
    timeline = Timeline(starts_s, cut_s, film.timeline.end_s / SPACING_S * spacing_s)
    best = moments(run(film.features, film.query, film.bank, timeline), timeline)[0]
    assert [best.start_s, best.end_s] == cut_s[~np.isnan(cut_s)].tolist()


def seconds(num_snippets: int) -> float:
    source = torch.Generator().manual_seed(0)
    features, query = unit(torch.randn(num_snippets, 16, generator=source)), unit(torch.randn(1, 16, generator=source))
    timeline = Timeline(np.arange(num_snippets) / 2, np.full(num_snippets, np.nan), num_snippets / 2)
    config = replace(PATTERN, tolerance=0.0, num_steps=20)
    began = time.process_time()
    run(features, query, features[:50], timeline, config)
    return time.process_time() - began


def test_cost_is_linear_in_time() -> None:
    seconds(1000)
    short, long = (min(seconds(count) for _ in range(3)) for count in (1000, 8000))
    assert long < 24 * short  # linear: at most 8; quadratic: 64


def test_a_whole_day_fits() -> None:
    """Anything of size T x T would need 120 GB here."""
    assert seconds(24 * 3600 * 2) < 30
