from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rdmf_cli.fusion import gray_scott
from rdmf_cli.fusion.gray_scott import (
    GrayScott,
    Integration,
    explicit_step,
    integrate,
    reaction_rates,
    reaction_step,
    step,
)
from rdmf_cli.fusion.laplacian import divergence
from rdmf_cli.fusion.stability import steady_states, system_for_wavelength

SYSTEM = system_for_wavelength(16.0)


@dataclass(frozen=True)
class Fields:
    """What a step takes beside the system, and the initial state."""

    u: Tensor
    v: Tensor
    catalysis: Tensor
    seed: Tensor
    conductance: Tensor

    def surroundings(self) -> dict[str, Tensor]:
        return {"catalysis": self.catalysis, "seed": self.seed, "conductance": self.conductance}


def at_rest(num_snippets: int, *, catalysis: float = 1.0, conductance: float = 1.0, u: float = 1.0) -> Fields:
    """(u, 0) everywhere, uniform surroundings, one item."""
    line = torch.ones(1, num_snippets, dtype=torch.float64)
    return Fields(u * line, 0 * line, catalysis * line, 0 * line, conductance * line[:, 1:])


def with_spark(fields: Fields, start: int, end: int, height: float = 0.5) -> Fields:
    v = fields.v.clone()
    v[:, start:end] = height
    return replace(fields, v=v)


def random_fields(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Fields:
    generator = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> Tensor:
        return torch.rand(*size, generator=generator, dtype=dtype)

    edges = draw(*shape[:-1], shape[-1] - 1)
    return Fields(draw(*shape), draw(*shape), 0.5 + 2 * draw(*shape), 0.01 * draw(*shape), edges)


def run(
    fields: Fields, system: GrayScott, *, dt: float = 2.0, num_steps: int = 600, tolerance: float = 0.0
) -> Integration:
    steps = {"dt": dt, "num_steps": num_steps, "tolerance": tolerance}
    return integrate(fields.u, fields.v, system=system, **fields.surroundings(), **steps)


def observed_order(
    advance: Callable[[Tensor, Tensor, float], tuple[Tensor, Tensor]], fields: Fields, exact: tuple[Tensor, Tensor]
) -> float:
    """Fitted slope of log error against log dt, over an end time of 4 in 64 … 512 steps."""
    logs = []
    for num_steps in (64, 128, 256, 512):
        u, v = fields.u, fields.v
        for _ in range(num_steps):
            u, v = advance(u, v, 4.0 / num_steps)
        error = max(float((u - exact[0]).abs().max()), float((v - exact[1]).abs().max()))
        logs.append((math.log(4.0 / num_steps), math.log(error)))
    centre_x, centre_y = (sum(column) / len(logs) for column in zip(*logs, strict=True))
    covariance = sum((x - centre_x) * (y - centre_y) for x, y in logs)
    return covariance / sum((x - centre_x) ** 2 for x, _ in logs)


def runge_kutta(fields: Fields, system: GrayScott, num_steps: int = 400) -> tuple[Tensor, Tensor]:
    """Classical fourth-order solution at time 4: independent of everything that is tested here."""

    def rates(state: Tensor) -> Tensor:
        u, v = state
        du, dv = reaction_rates(u, v, system=system, catalysis=fields.catalysis, seed=fields.seed)
        du = du + divergence(u, system.diff_u, fields.conductance)
        return torch.stack((du, dv + divergence(v, system.diff_v, fields.conductance)))

    state, dt = torch.stack((fields.u, fields.v)), 4.0 / num_steps
    for _ in range(num_steps):
        k1 = rates(state)
        k2 = rates(state + dt / 2 * k1)
        k3 = rates(state + dt / 2 * k2)
        k4 = rates(state + dt * k3)
        state = state + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    return state[0], state[1]


@pytest.mark.parametrize("dt", [0.1, 1.0, 30.0, 1e4])
@pytest.mark.parametrize("catalysis", [1.0, 2.0])
def test_uniform_steady_states_stay(dt: float, catalysis: float) -> None:
    states = steady_states(0.05, 0.06, catalysis)
    for u, v in [(1.0, 0.0), states.active, states.threshold]:
        fields = at_rest(40, catalysis=catalysis)
        before = (u * fields.u, v + fields.v)
        after = step(*before, system=SYSTEM, dt=dt, **fields.surroundings())
        torch.testing.assert_close(after, before, rtol=1e-12, atol=0)


def test_a_steady_state_with_a_seed_stays_too() -> None:
    v, catalysis = 0.2, 1.3
    u = 0.05 / (0.05 + catalysis * v**2)
    fields = at_rest(10, catalysis=catalysis)
    fields = replace(fields, seed=(0.11 * v - catalysis * u * v**2) + fields.seed)
    before = (u * fields.u, v + fields.v)
    after = step(*before, system=SYSTEM, dt=50.0, **fields.surroundings())
    torch.testing.assert_close(after, before, rtol=1e-12, atol=0)


@pytest.mark.parametrize("catalysis", [1.0, 1e25])  # the second overflows float32 when squared
def test_step_keeps_mass_without_feed_and_kill(catalysis: float) -> None:
    fields = random_fields(3, 50, dtype=torch.float32)
    fields = replace(fields, catalysis=catalysis * fields.catalysis, seed=0 * fields.seed)
    for dt in (0.1, 10.0, 1e5):
        u, v = step(fields.u, fields.v, system=GrayScott(0.0, 0.0, 3.0, 1.0), dt=dt, **fields.surroundings())
        torch.testing.assert_close((u + v).sum(-1), (fields.u + fields.v).sum(-1), rtol=1e-4, atol=0)


log_scale = st.floats(-6, 3).map(lambda power: 10.0**power)


@settings(max_examples=150, deadline=None)
@given(
    feed=st.one_of(st.just(0.0), log_scale),
    kill=st.one_of(st.just(0.0), log_scale),
    diffusion=st.tuples(log_scale, log_scale),
    catalysis=st.floats(-6, 8).map(lambda power: 10.0**power),
    dt=st.floats(-3, 6).map(lambda power: 10.0**power),
    conductance=st.sampled_from([0.0, 1.0, None]),
    v_scale=st.sampled_from([0.0, 1.0, 1e4]),
    seed=st.integers(0, 99),
)
def test_positive_and_bounded_for_every_parameter(
    feed: float,
    kill: float,
    diffusion: tuple[float, float],
    catalysis: float,
    dt: float,
    conductance: float | None,
    v_scale: float,
    seed: int,
) -> None:
    fields = random_fields(2, 9, seed=seed, dtype=torch.float32)
    edges = fields.conductance if conductance is None else torch.full_like(fields.conductance, conductance)
    system = GrayScott(feed, kill, *diffusion)
    u, v = fields.u, v_scale * fields.v
    leave = feed + kill
    # Mass of v: what was there, all of u, and what feed and seed bring within v's lifetime (or the run's).
    lifetime = min(5 * dt, 1 / leave) if leave > 0 else 5 * dt
    bound = v.sum(-1) + 9 + (9 * feed + fields.seed.sum(-1)) * lifetime
    for _ in range(5):
        u, v = step(
            u, v, system=system, dt=dt, catalysis=catalysis * fields.catalysis, seed=fields.seed, conductance=edges
        )
        assert bool(((u >= 0) & (u <= 1 + 1e-4) & (v >= 0)).all())
        assert bool((v.sum(-1) <= bound * (1 + 1e-3)).all())


@pytest.mark.parametrize("dt", [0.01, 1.0, 1e3])
def test_v_of_the_reaction_keeps_its_bound_forever(dt: float) -> None:
    fields = random_fields(1, 200)
    u, v = fields.u, fields.v
    for _ in range(300):
        u, v = reaction_step(u, v, system=SYSTEM, catalysis=50 * fields.catalysis, seed=fields.seed, dt=dt)
        assert bool((v <= fields.v + 1 + (0.05 + fields.seed) / 0.11).all())


# Order of accuracy, against theory


def test_reaction_is_second_order() -> None:
    fields = random_fields(1, 24)
    still = replace(SYSTEM, diff_u=0.0, diff_v=0.0)

    def advance(u: Tensor, v: Tensor, dt: float) -> tuple[Tensor, Tensor]:
        return reaction_step(u, v, system=SYSTEM, catalysis=fields.catalysis, seed=fields.seed, dt=dt)

    assert observed_order(advance, fields, runge_kutta(fields, still)) == pytest.approx(2, abs=0.1)


def test_strang_splitting_is_second_order_around_an_exact_diffusion() -> None:
    # So that the first order of the whole is known to come from backward Euler alone.
    fields = random_fields(1, 24)
    system = GrayScott(0.05, 0.06, 1.0, 0.3)
    unit = torch.eye(24, dtype=torch.float64)
    operator_u, operator_v = (divergence(unit, rate, fields.conductance) for rate in (1.0, 0.3))
    reaction = {"system": system, "catalysis": fields.catalysis, "seed": fields.seed}

    def advance(u: Tensor, v: Tensor, dt: float) -> tuple[Tensor, Tensor]:
        u, v = reaction_step(u, v, dt=dt / 2, **reaction)
        u, v = u @ torch.linalg.matrix_exp(dt * operator_u), v @ torch.linalg.matrix_exp(dt * operator_v)
        return reaction_step(u, v, dt=dt / 2, **reaction)

    assert observed_order(advance, fields, runge_kutta(fields, system)) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(("conducts", "order"), [(1.0, 1), (0.0, 2)])
def test_whole_step_has_the_order_of_its_diffusion(conducts: float, order: int) -> None:
    fields = random_fields(1, 24)
    fields = replace(fields, conductance=conducts * fields.conductance)
    system = GrayScott(0.05, 0.06, 1.0, 0.3)

    def advance(u: Tensor, v: Tensor, dt: float) -> tuple[Tensor, Tensor]:
        return step(u, v, system=system, dt=dt, **fields.surroundings())

    assert observed_order(advance, fields, runge_kutta(fields, system)) == pytest.approx(order, abs=0.1)


def test_small_steps_agree_with_explicit_euler() -> None:
    fields = random_fields(2, 3, 30)
    gaps = []
    for dt in (1e-2, 1e-3):
        implicit = step(fields.u, fields.v, system=SYSTEM, dt=dt, **fields.surroundings())
        explicit = explicit_step(fields.u, fields.v, system=SYSTEM, dt=dt, **fields.surroundings())
        gaps.append(max(float((a - b).abs().max()) for a, b in zip(implicit, explicit, strict=True)))
    assert gaps[0] / gaps[1] == pytest.approx(100, rel=0.2)


# Patterns


def test_above_the_threshold_a_seed_ignites_its_neighbourhood_and_below_it_dies() -> None:
    weak, strong = (run(with_spark(at_rest(96, catalysis=g), 45, 51), SYSTEM) for g in (0.6, 1.1))
    assert float(weak.v.max()) < 1e-6
    assert float(strong.v[:, 20:30].max()) > 0.2  # far outside of the spark
    assert int((strong.v > 0.1).sum()) > 60


def test_hysteresis_the_same_catalysis_keeps_v_alive_but_does_not_light_it() -> None:
    dark, lit = (with_spark(at_rest(64), 29, 35, height=height) for height in (0.05, 0.5))
    assert float(run(dark, SYSTEM).v.max()) < 1e-6
    burning = run(lit, SYSTEM)
    assert float(burning.v.max()) > 0.3
    # Down to 0.85, where the uniform active state is gone, it still burns: neighbours feed it. Down to 0.5 and back up
    # to 1 it is out for good.
    weaker = replace(at_rest(64, catalysis=0.85), u=burning.u, v=burning.v)
    assert float(run(weaker, SYSTEM).v.max()) > 0.3
    out = run(replace(at_rest(64, catalysis=0.5), u=burning.u, v=burning.v), SYSTEM)
    assert float(run(replace(at_rest(64), u=out.u, v=out.v), SYSTEM).v.max()) < 1e-6


def test_a_pattern_stops_at_a_cut() -> None:
    fields = with_spark(at_rest(96, catalysis=1.1), 20, 26)
    fields.conductance[:, 47] = 0.0
    end = run(fields, SYSTEM)
    assert float(end.v[:, 47].max()) > 0.05
    assert float(end.v[:, 48:].max()) == 0.0
    torch.testing.assert_close(end.u[:, 48:], torch.ones_like(end.u[:, 48:]))


# Batches, padding, symmetry, gradients


def test_batch_equals_items_one_by_one_even_if_they_come_to_rest_at_different_times() -> None:
    sparks = [with_spark(at_rest(40, catalysis=g), 10, 10 + width) for g, width in ((0.4, 3), (0.7, 6), (1.3, 9))]
    together = Fields(*(torch.cat([getattr(one, name) for one in sparks]) for name in Fields.__dataclass_fields__))
    end = run(together, SYSTEM, num_steps=400, tolerance=1e-5)
    assert len(set(end.steps_taken.tolist())) == 3
    for item, one in enumerate(sparks):
        alone = run(one, SYSTEM, num_steps=400, tolerance=1e-5)
        assert int(alone.steps_taken) == int(end.steps_taken[item]) < 400
        assert bool(alone.converged)
        both = (end.u[item : item + 1], end.v[item : item + 1])
        torch.testing.assert_close(both, (alone.u, alone.v), rtol=1e-9, atol=1e-12)


def test_channels_have_their_own_parameters() -> None:
    fields = random_fields(3, 3, 20)  # B = C, where careless broadcasting shows
    system = GrayScott(*torch.rand(4, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64))
    shared = {"catalysis": fields.catalysis[:, 0], "seed": fields.seed[:, 0], "conductance": fields.conductance[:, 0]}
    u, v = step(fields.u, fields.v, system=system, dt=1.0, **shared)
    for channel in range(3):
        one = GrayScott(*(float(value[channel]) for value in vars(system).values()))
        expected = step(fields.u[:, channel], fields.v[:, channel], system=one, dt=1.0, **shared)
        torch.testing.assert_close((u[:, channel], v[:, channel]), expected)


@pytest.mark.parametrize("filler", [7.0, float("nan"), float("inf")])
def test_padding_never_leaks_into_values_or_gradients(filler: float) -> None:
    fields = random_fields(2, 12)
    padded = Fields(
        *(torch.nn.functional.pad(getattr(fields, name), (0, 5), value=filler) for name in Fields.__dataclass_fields__)
    )
    valid = (torch.arange(17) < 12).expand(2, 17)
    feed, padded_feed = (torch.tensor(0.05, dtype=torch.float64, requires_grad=True) for _ in range(2))
    common = {"dt": 1.5, "num_steps": 5, "tolerance": 1e-9}
    expected = integrate(fields.u, fields.v, system=replace(SYSTEM, feed=feed), **fields.surroundings(), **common)
    end = integrate(
        padded.u, padded.v, system=replace(SYSTEM, feed=padded_feed), valid=valid, **padded.surroundings(), **common
    )
    torch.testing.assert_close((end.u[:, :12], end.v[:, :12]), (expected.u, expected.v), rtol=1e-12, atol=0)
    assert bool(((end.u == 0) & (end.v == 0))[:, 12:].all())
    for result in (expected, end):
        (result.u.sum() + result.v.sum()).backward()
    torch.testing.assert_close(padded_feed.grad, feed.grad)


def test_reversed_time_reverses_the_answer() -> None:
    fields = random_fields(2, 41)
    mirrored = Fields(*(getattr(fields, name).flip(-1) for name in Fields.__dataclass_fields__))
    forward, backward = (run(one, SYSTEM, num_steps=20) for one in (fields, mirrored))
    flipped = (backward.u.flip(-1), backward.v.flip(-1))
    torch.testing.assert_close(flipped, (forward.u, forward.v), rtol=1e-9, atol=1e-12)


def test_gradients_are_those_of_finite_differences() -> None:
    fields = random_fields(2, 2, 7)
    parameters = torch.tensor([[0.05, 0.04], [0.06, 0.05], [3.0, 2.0], [0.6, 0.9]], dtype=torch.float64)

    def two_steps(u: Tensor, v: Tensor, catalysis: Tensor, conductance: Tensor, parameters: Tensor) -> Tensor:
        inputs = Fields(u, v, catalysis, fields.seed, conductance)
        end = run(inputs, GrayScott(*parameters), dt=1.0, num_steps=2)
        return torch.stack((end.u, end.v))

    inputs = (fields.u, fields.v, fields.catalysis, fields.conductance, parameters)
    assert torch.autograd.gradcheck(two_steps, tuple(x.requires_grad_() for x in inputs))


@pytest.mark.parametrize("dt", [0.1, 5.0, 1e5])
@pytest.mark.parametrize("catalysis", [0.0, 1.0, 1e7])
def test_gradients_are_finite_at_the_extremes(dt: float, catalysis: float) -> None:
    fields = random_fields(2, 3, 20, dtype=torch.float32)
    v = fields.v.clone()
    v[..., 5:] = 0.0
    conductance = (fields.conductance > 0.5).float()
    inputs = (fields.u, v, catalysis * fields.catalysis, 0 * fields.seed, conductance)
    inputs = tuple(x.detach().requires_grad_() for x in inputs)
    end = run(Fields(*inputs), SYSTEM, dt=dt, num_steps=8)
    for gradient in torch.autograd.grad(end.u.square().sum() + end.v.square().sum(), inputs):
        assert bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_tolerance_takes_every_step_and_steps_compose(dtype: torch.dtype) -> None:
    fields = random_fields(2, 20, dtype=dtype)
    end = run(fields, SYSTEM, dt=0.7, num_steps=3)
    u, v = fields.u, fields.v
    for _ in range(3):
        u, v = step(u, v, system=SYSTEM, dt=0.7, **fields.surroundings())
    torch.testing.assert_close(end.v, v)  # values and dtype
    assert v.dtype == dtype
    assert end.steps_taken.tolist() == [3, 3]
    assert end.converged.tolist() == [False, False]


def test_working_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    fields = random_fields(2, 3, 50)
    one_item = replace(fields, catalysis=fields.catalysis[:, 0], seed=fields.seed[..., :1])  # what broadcasts
    whole = run(one_item, SYSTEM, num_steps=3)
    monkeypatch.setattr(gray_scott, "_BLOCK", 64)
    with torch.no_grad():
        torch.testing.assert_close(run(one_item, SYSTEM, num_steps=3), whole)


def test_a_limit_on_steps_is_reported_as_not_converged() -> None:
    end = run(with_spark(at_rest(40), 10, 20), SYSTEM, num_steps=3, tolerance=1e-12)
    assert int(end.steps_taken) == 3
    assert not bool(end.converged)


def test_a_single_snippet_is_the_reaction_alone() -> None:
    fields = with_spark(at_rest(1), 0, 1)
    u, v = fields.u, fields.v
    for _ in range(2):
        u, v = reaction_step(u, v, system=SYSTEM, catalysis=fields.catalysis, seed=fields.seed, dt=1.0)
    end = run(fields, SYSTEM, dt=2.0, num_steps=1)
    torch.testing.assert_close((end.u, end.v), (u, v))


@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_impossible_parameters_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="kill must be a finite number"):
        GrayScott(0.05, value, 1.0, 1.0)


@pytest.mark.gpu
def test_same_answer_on_an_accelerator() -> None:
    fields = random_fields(2, 4, 75, dtype=torch.float32)
    there = Fields(*(getattr(fields, name).cuda() for name in Fields.__dataclass_fields__))
    expected, actual = (run(one, SYSTEM, num_steps=30) for one in (fields, there))
    torch.testing.assert_close(actual.v.cpu(), expected.v, rtol=1e-4, atol=1e-5)
