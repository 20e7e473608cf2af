"""Where channels lie: against the formulas without a seed, and against what the solver does."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from rdmf_cli.fusion.formation import Formation, watch
from rdmf_cli.fusion.gray_scott import GrayScott, integrate
from rdmf_cli.fusion.pattern import PatternConfig, pattern_system, start_of
from rdmf_cli.fusion.regimes import (
    REGIMES,
    Channel,
    Regime,
    affinity_ranges,
    pattern_channel,
    regime_map,
    steady_state,
)
from rdmf_cli.fusion.stability import (
    active_margin,
    fastest_mode,
    growth_rate,
    is_turing,
    steady_states,
    system_for_wavelength,
    turing_band,
)

CONFIG = PatternConfig()


@pytest.mark.parametrize(
    ("feed", "kill", "g"), [(0.05, 0.06, 1.0), (0.04, 0.06, 1.2), (0.1, 0.02, 1.0), (0.02, 0.05, 40)]
)
def test_without_a_seed_the_state_is_the_known_one(feed: float, kill: float, g: float) -> None:
    active = steady_states(feed, kill, g).active
    u, v = steady_state(feed, kill, g)
    assert (float(u), float(v)) == pytest.approx((active.u, active.v), rel=1e-6)


def test_without_a_seed_the_map_is_turings() -> None:
    feeds, kills = np.meshgrid(np.linspace(0.003, 0.12, 40), np.linspace(0.002, 0.09, 40))
    kinds = regime_map(feeds, kills, 3.0)
    for feed, kill, kind in zip(feeds.flat, kills.flat, kinds.flat, strict=True):
        exists = active_margin(feed, kill)
        if abs(exists) < 1e-5:
            continue  # on the border itself, where rounding decides
        assert (REGIMES[kind] is Regime.dies) == (exists < 0)
        assert (REGIMES[kind] is Regime.peaks) == is_turing(GrayScott(feed, kill, 3.0, 1.0))


def test_a_seeded_state_has_no_rates() -> None:
    feed, kill, seed = np.meshgrid([0.02, 0.05, 0.1], [0.01, 0.06, 0.1], [0.0, 0.004, 0.02])
    for g in (0.3, 1.0, 5.0):
        u, v = steady_state(feed, kill, g, seed)
        assert np.abs(feed * (1 - u) - g * u * v**2).max() < 1e-9
        assert np.abs(g * u * v**2 - (feed + kill) * v + seed).max() < 1e-7


def test_catalysis_moves_a_channel_towards_the_origin() -> None:
    channel = pattern_channel(2.0, 0.5, CONFIG)
    feed, kill = channel.plane
    assert feed / kill == pytest.approx(CONFIG.feed / CONFIG.kill)
    same = Channel("same", GrayScott(feed, kill, 1.0, 1 / channel.diff_ratio), 0.5, 1.0, channel.plane_seed)
    assert same.regime is channel.regime
    assert same.state == pytest.approx(channel.state, rel=1e-6)


def test_wavelengths_are_those_of_the_dispersion_relation() -> None:
    system = system_for_wavelength(20.0)
    channel = Channel("one", system, 0.5)
    assert channel.regime is Regime.peaks
    assert channel.wavelength_s == pytest.approx(10.0, rel=2e-3)
    assert channel.band_s is not None
    assert list(channel.band_s) == pytest.approx([math.pi / omega for omega in reversed(turing_band(system) or ())])
    wavelengths_s = np.array([1.0, 3.0, 10.0, 40.0])
    assert channel.growth(wavelengths_s) == pytest.approx(growth_rate(math.pi / wavelengths_s, system), abs=1e-9)
    assert channel.growth(np.array([10.0]))[0] == pytest.approx(fastest_mode(system).growth, rel=1e-6)
    assert pattern_channel(2.0, 0.5, CONFIG).wavelength_s is None


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, seed=0.0)])
def test_pattern_mode_lives_where_the_solver_says(config: PatternConfig) -> None:
    """A snippet by itself, at affinities on both sides of the border, run to rest from the active state."""
    border = next(found.start for found in affinity_ranges(config) if found.regime is not Regime.dies)
    evidence = torch.tensor([[border - 0.05], [border + 0.1]], dtype=torch.float64)
    start = start_of(evidence, pattern_system(config, 0.5), config)
    none = torch.zeros(2, 0, dtype=torch.float64)
    rest = integrate(
        start.u * 0.2, start.v * 0 + 0.6, system=start.system, catalysis=start.catalysis, seed=start.seed,
        conductance=none, dt=4.0, num_steps=700,
    )  # fmt: skip
    assert rest.u[0, 0] > 0.5 > rest.u[1, 0]
    channel = pattern_channel(float(evidence[1, 0]), 0.5, config)
    if channel.regime is Regime.fills:
        assert (float(rest.u[1, 0]), float(rest.v[1, 0])) == pytest.approx(channel.state, rel=1e-4)


def test_ranges_cover_all_affinities() -> None:
    ranges = affinity_ranges(replace(CONFIG, seed=0.0))
    assert [found.regime for found in ranges] == [Regime.dies, Regime.swings, Regime.peaks, Regime.fills]
    assert ranges[0].start == 0
    assert all(one.stop == other.start for one, other in pairwise(ranges))
    assert math.isinf(ranges[-1].stop)


def test_watching_changes_nothing() -> None:
    evidence = torch.randn(1, 60, generator=torch.Generator().manual_seed(0))
    start = start_of(evidence, pattern_system(CONFIG, 0.5), CONFIG)
    given = {
        "system": start.system, "catalysis": start.catalysis, "seed": start.seed, "conductance": torch.ones(1, 59),
        "dt": CONFIG.dt, "num_steps": CONFIG.num_steps, "tolerance": CONFIG.tolerance,
    }  # fmt: skip
    v, change = watch(start.u, start.v, **given)
    rest = integrate(start.u, start.v, **given)
    assert len(change) == int(rest.steps_taken[0])
    assert np.array_equal(v[-1], rest.v[0].numpy())
    assert np.array_equal(v[0], start.v[0].numpy())
    assert np.abs(np.diff(v, axis=0)).max(axis=1) == pytest.approx(change)
    assert Formation(evidence[0].numpy(), v, change, CONFIG.dt, CONFIG.tolerance).rested == bool(rest.converged[0])
