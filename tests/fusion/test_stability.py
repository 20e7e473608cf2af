from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rdmf_cli.fusion.gray_scott import GrayScott, integrate, reaction_rates
from rdmf_cli.fusion.stability import (
    active_margin,
    fastest_mode,
    growth_rate,
    is_turing,
    jacobian,
    steady_states,
    system_for_wavelength,
    turing_band,
    turing_margins,
    turing_parameters,
)

ACTIVE = [(0.05, 0.06, 1.0), (0.05, 0.06, 2.5), (0.04, 0.06, 1.2), (0.1, 0.02, 1.0), (0.02, 0.05, 40.0)]


def rates(u: float, v: float, feed: float, kill: float, catalysis: float) -> tuple[float, float]:
    def field(value: float) -> torch.Tensor:
        return torch.full((1, 1), value, dtype=torch.float64)

    system = GrayScott(feed=feed, kill=kill, diff_u=0.0, diff_v=0.0)
    du, dv = reaction_rates(field(u), field(v), system=system, catalysis=field(catalysis), seed=field(0.0))
    return float(du), float(dv)


@pytest.mark.parametrize(("feed", "kill", "catalysis"), ACTIVE)
def test_steady_states_have_no_rates(feed: float, kill: float, catalysis: float) -> None:
    for state in steady_states(feed, kill, catalysis):
        assert rates(state.u, state.v, feed, kill, catalysis) == pytest.approx((0, 0), abs=1e-14)


def test_textbook_numbers() -> None:
    # F = 0.04, k = 0.06 (Pearson 1993) is exactly the saddle-node: F = 4 (F + k)², u = 1/2, v = F / (2 q) = 0.2.
    assert active_margin(0.04, 0.06) == pytest.approx(0, abs=1e-15)
    state = steady_states(0.04, 0.0599999).active
    assert state.u == pytest.approx(0.5, abs=2e-3)
    assert state.v == pytest.approx(0.2, abs=2e-3)


def test_no_active_state_below_the_threshold() -> None:
    assert active_margin(0.05, 0.06, 0.96) < 0 < active_margin(0.05, 0.06, 0.98)
    assert math.isnan(steady_states(0.05, 0.06, 0.96).active.v)
    assert not is_turing(GrayScott(0.05, 0.06, 5.0, 1.0), 0.96)


@pytest.mark.parametrize(("feed", "kill", "catalysis"), ACTIVE)
def test_jacobian_is_the_derivative_of_the_rates(feed: float, kill: float, catalysis: float) -> None:
    state = steady_states(feed, kill, catalysis).active
    eps = 1e-6
    for column, (du, dv) in enumerate([(eps, 0.0), (0.0, eps)]):
        plus = np.array(rates(state.u + du, state.v + dv, feed, kill, catalysis))
        minus = np.array(rates(state.u - du, state.v - dv, feed, kill, catalysis))
        expected = jacobian(state, feed=feed, kill=kill, catalysis=catalysis)[:, column]
        np.testing.assert_allclose((plus - minus) / (2 * eps), expected, atol=1e-7)


@pytest.mark.parametrize(("feed", "kill", "catalysis"), ACTIVE)
def test_margins_are_trace_and_determinant(feed: float, kill: float, catalysis: float) -> None:
    matrix = jacobian(steady_states(feed, kill, catalysis).active, feed=feed, kill=kill, catalysis=catalysis)
    margins = turing_margins(feed, kill, 5.0, 1.0, catalysis)
    assert margins.damped == pytest.approx(-np.trace(matrix))
    assert margins.restoring == pytest.approx(np.linalg.det(matrix))


def test_threshold_state_is_a_saddle() -> None:
    state = steady_states(0.05, 0.06, 1.5).threshold
    assert np.linalg.det(jacobian(state, feed=0.05, kill=0.06, catalysis=1.5)) < 0


def test_growth_rate_is_the_eigenvalue() -> None:
    system = system_for_wavelength(12.0)
    matrix = jacobian(steady_states(0.05, 0.06).active, feed=0.05, kill=0.06)
    for omega in np.linspace(0, np.pi, 23):
        eigenvalue = 4 * np.sin(omega / 2) ** 2
        expected = np.linalg.eigvals(matrix - eigenvalue * np.diag([system.diff_u, system.diff_v])).real.max()
        assert growth_rate(omega, system) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize("wavelength", [2.0, 3.0, 5.5, 16.0, 75.0])
def test_the_system_prefers_the_wavelength_it_was_made_for(wavelength: float) -> None:
    system = system_for_wavelength(wavelength)
    mode = fastest_mode(system)
    assert mode.wavelength == pytest.approx(wavelength)
    assert mode.wavelength_s(2.0) == pytest.approx(2 * wavelength)
    omegas = np.linspace(0, np.pi, 20_001)
    growth = growth_rate(omegas, system)
    assert omegas[growth.argmax()] == pytest.approx(mode.omega, abs=2e-4)
    assert growth.max() == pytest.approx(mode.growth, rel=1e-6)
    assert mode.growth > 0 > growth[0]


def test_diffusion_scales_with_the_square_of_a_long_wavelength() -> None:
    ratio = system_for_wavelength(200.0).diff_v / system_for_wavelength(100.0).diff_v
    assert float(ratio) == pytest.approx(4, rel=1e-3)


def test_band_is_where_growth_is_positive() -> None:
    system = system_for_wavelength(10.0)
    band = turing_band(system)
    assert band is not None
    low, high = band
    assert low < fastest_mode(system).omega < high
    np.testing.assert_allclose(growth_rate([low, high], system), 0, atol=1e-12)
    assert turing_band(GrayScott(0.05, 0.06, 1.0, 1.0)) is None


def test_what_makes_no_pattern_is_refused() -> None:
    with pytest.raises(ValueError, match="no Turing pattern"):
        fastest_mode(GrayScott(0.05, 0.06, 1.0, 1.0))
    with pytest.raises(ValueError, match="no Turing pattern"):
        system_for_wavelength(10.0, diff_ratio=2.0)
    with pytest.raises(ValueError, match="no Turing pattern"):
        system_for_wavelength(10.0, kill=0.07)
    with pytest.raises(ValueError, match="2 snippets"):
        system_for_wavelength(1.5)


@settings(max_examples=100, deadline=None)
@given(
    gain=st.floats(1.01, 20),
    depth=st.floats(0.01, 0.99),
    margin=st.floats(0.01, 10),
    catalysis=st.floats(0.1, 10),
)
def test_free_parameters_always_land_in_the_turing_region(
    gain: float, depth: float, margin: float, catalysis: float
) -> None:
    feed, kill, diff_ratio = turing_parameters(gain, depth, margin, catalysis)
    assert all(value > 0 for value in turing_margins(feed, kill, diff_ratio, 1.0, catalysis))
    assert catalysis * steady_states(feed, kill, catalysis).active.v ** 2 / feed == pytest.approx(gain, rel=1e-6)
    # Just outside of its range each parameter breaks its own condition, so the map misses nothing.
    assert turing_margins(feed, kill, diff_ratio / (1 + margin) * 0.999, 1.0, catalysis).unstable < 0
    feed, kill, diff_ratio = turing_parameters(gain, 1.01, margin, catalysis)
    assert turing_margins(feed, kill, diff_ratio, 1.0, catalysis).damped < 0


def test_tensors_give_the_numbers_of_floats_and_gradients() -> None:
    gain = torch.tensor([1.2, 2.0], dtype=torch.float64, requires_grad=True)
    feed, kill, diff_ratio = turing_parameters(gain, 0.7, 0.8)
    wavelengths = torch.tensor([6.0, 40.0], dtype=torch.float64)
    system = system_for_wavelength(wavelengths, feed=feed, kill=kill, diff_ratio=diff_ratio)
    assert isinstance(system.diff_v, torch.Tensor)
    system.diff_v.sum().backward()
    assert gain.grad is not None
    assert bool(torch.isfinite(gain.grad).all())
    for channel, (one_gain, wavelength) in enumerate([(1.2, 6.0), (2.0, 40.0)]):
        one_feed, one_kill, one_ratio = turing_parameters(one_gain, 0.7, 0.8)
        one = system_for_wavelength(wavelength, feed=one_feed, kill=one_kill, diff_ratio=one_ratio)
        assert system.diff_v[channel].item() == pytest.approx(one.diff_v)
        assert fastest_mode(one).wavelength == pytest.approx(wavelength)


# The formulas against what the solver does


def simulate(
    u: Tensor,
    v: Tensor,
    system: GrayScott,
    *,
    dt: float,
    num_steps: int,
    catalysis: Tensor | None = None,
    conducts: float = 1.0,
) -> tuple[Tensor, Tensor]:
    ones = torch.ones_like(v)
    end = integrate(
        u,
        v,
        system=system,
        catalysis=ones if catalysis is None else catalysis,
        seed=0 * ones,
        conductance=conducts * ones[:, 1:],
        dt=dt,
        num_steps=num_steps,
    )
    return end.u, end.v


def uniform_active_state(num_items: int, num_snippets: int, noise: float = 0.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    state = steady_states(0.05, 0.06).active
    u, v = noise * torch.randn(2, num_items, num_snippets, generator=generator, dtype=torch.float64)
    return state.u + u, state.v + v


def dominant_mode(v: Tensor) -> int:
    """Strongest n of cos(π n (t + ½) / T), the modes that zero-flux ends allow; power averaged over the batch."""
    mirrored = torch.cat((v, v.flip(-1)), dim=-1)
    power = torch.fft.rfft(mirrored - mirrored.mean(-1, keepdim=True)).abs().square().mean(0)
    return int(power.argmax())


@pytest.mark.parametrize("wavelength", [8.0, 16.0, 24.0])
def test_pattern_has_the_wavelength_of_the_fastest_mode(wavelength: float) -> None:
    # 32 noises: one alone decides by chance among neighbouring modes, which grow almost equally fast.
    num_snippets = 96
    expected = 2 * num_snippets / wavelength
    system = system_for_wavelength(wavelength)
    u, v = simulate(*uniform_active_state(32, num_snippets, 1e-8), system, dt=0.5, num_steps=800)
    assert float(v.max() - v.min()) < 0.02  # still the linear stage
    assert abs(dominant_mode(v) - expected) <= 1
    _, v = simulate(u, v, system, dt=4.0, num_steps=150)
    assert float(v.max() - v.min()) > 0.2  # a developed pattern
    assert dominant_mode(v) == pytest.approx(expected, rel=0.15)


@pytest.mark.parametrize("wavelength", [8.0, 16.0])
def test_a_small_wave_grows_at_the_rate_of_the_dispersion_relation(wavelength: float) -> None:
    system = system_for_wavelength(wavelength)
    omega = fastest_mode(system).omega
    wave = torch.cos(omega * (torch.arange(96, dtype=torch.float64) + 0.5))[None]
    u, v = uniform_active_state(1, 96)
    v = v + 1e-7 * wave
    sizes = []
    for _ in range(2):  # the first run lets the decaying eigenvector go
        u, v = simulate(u, v, system, dt=0.1, num_steps=400)
        sizes.append(float((v * wave).mean()))
    assert math.log(sizes[1] / sizes[0]) / 40 == pytest.approx(float(growth_rate(omega, system)), rel=0.02)


def test_without_neighbours_catalysis_is_a_sharp_threshold() -> None:
    # F > k, so that the active state is stable wherever it exists: g F ≥ 4 (F + k)², here g ≥ 0.576.
    catalysis = 0.576 * torch.linspace(0.905, 1.105, 21, dtype=torch.float64)[None]
    start = steady_states(0.1, 0.02, 0.7).active
    u, v = torch.full_like(catalysis, start.u), torch.full_like(catalysis, start.v)
    system = GrayScott(0.1, 0.02, 1.0, 1.0)
    _, v = simulate(u, v, system, dt=2.0, num_steps=800, catalysis=catalysis, conducts=0.0)
    alive = v > 0.1
    assert alive.tolist() == (catalysis > 0.576).tolist()
    assert float(v[~alive].max()) < 1e-6
    expected = steady_states(0.1, 0.02, catalysis[alive]).active.v
    torch.testing.assert_close(v[alive], expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize(
    ("feed", "kill", "lives"), [(0.04, 0.06, True), (0.02, 0.05, True), (0.04, 0.075, False), (0.01, 0.06, False)]
)
def test_pearsons_parameters(feed: float, kill: float, lives: bool) -> None:
    system = GrayScott(feed, kill, 0.2, 0.1)  # his 2e-5 and 1e-5 on a grid of 0.01
    v = torch.zeros(1, 160)
    v[:, 70:90] = 0.25
    u = 1 - 2 * v  # his square: (1/2, 1/4)
    _, v = simulate(u, v, system, dt=2.0, num_steps=800)
    if lives:
        assert 0.2 < float(v.max()) < 0.6
    else:
        assert float(v.max()) < 1e-4
