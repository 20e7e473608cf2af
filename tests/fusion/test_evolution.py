"""Steps with a hand-written gradient: pinned to gray_scott.py and to autograd, positive and bounded for every dt."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rdmf_cli.fusion import evolution
from rdmf_cli.fusion.evolution import evolve
from rdmf_cli.fusion.gray_scott import GrayScott, _advance, diffusion_factors, integrate
from rdmf_cli.fusion.laplacian import mask_padding, solve
from rdmf_cli.fusion.stability import steady_states

NAMES = ("u", "v", "catalysis", "seed", "conductance", "F", "k", "Du", "Dv")
VALID = torch.tensor([[True] * 9, [True] * 6 + [False] * 3])


def fields(seed: int = 0, dtype: torch.dtype = torch.float64) -> list[Tensor]:
    """u, v, catalysis, seed, conductance, feed, kill, diff_u, diff_v for B = 2, C = 3, T = 9."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [(2, 3, 9)] * 4 + [(2, 3, 8), (3,), (3,), (2, 3), (2, 3)]
    x = [torch.rand(shape, generator=generator, dtype=dtype) for shape in shapes]
    x[2], x[3] = 0.5 + 3 * x[2], 0.1 * x[3]
    x[5:] = [0.03 + 0.05 * x[5], 0.04 + 0.05 * x[6], 10 * x[7], 3 * x[8]]
    return [one.requires_grad_() for one in x]


def evolved(
    x: list[Tensor], num_steps: int = 3, dt: float = 4.0, valid: Tensor | None = VALID
) -> tuple[Tensor, Tensor]:
    u, v, catalysis, seed, conductance, *numbers = x
    return evolve(
        u,
        v,
        system=GrayScott(*numbers),
        catalysis=catalysis,
        seed=seed,
        conductance=conductance,
        dt=dt,
        num_steps=num_steps,
        valid=valid,
    )


def by_autograd(x: list[Tensor], num_steps: int = 3, dt: float = 4.0) -> tuple[Tensor, Tensor]:
    u, v, catalysis, seed, conductance, *numbers = x
    system = GrayScott(*numbers)
    factors = diffusion_factors(u, system=system, conductance=conductance, dt=dt, valid=VALID)
    u, v, catalysis, seed = (mask_padding(one, VALID) for one in (u, v, catalysis, seed))
    for number in range(num_steps + 1):
        part = dt if 0 < number < num_steps else dt / 2
        u, v = _advance(u, v, v, system, catalysis, seed, part)
        if number < num_steps:
            u, v = solve(torch.stack((u, v)), factors).unbind(0)
    return mask_padding(u, VALID), mask_padding(v, VALID)


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_states_and_gradients_are_those_of_gray_scott(num_steps):
    x = fields()
    weights = torch.rand(2, 2, 3, 9, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    found, expected = evolved(x, num_steps), by_autograd(x, num_steps)
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad((torch.stack(both) * weights).sum(), x) for both in (found, expected)]
    for name, mine, theirs in zip(NAMES, *gradients, strict=True):
        torch.testing.assert_close(mine, theirs, msg=lambda text, name=name: f"{name}: {text}")


def test_gradient_where_consumption_is_cut_off():
    x = fields()
    with torch.no_grad():
        x[2][0, 0, 3] = 1e12
    gradients = [torch.autograd.grad(torch.stack(f(x)).sum(), x) for f in (evolved, by_autograd)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("block", [1 << 16, 20])
def test_without_gradients_the_same_in_blocks(block, monkeypatch):
    monkeypatch.setattr(evolution, "_BLOCK", block)
    x = fields(1)
    with torch.no_grad():
        found = evolved(x)
    torch.testing.assert_close(found, evolved(x))


def test_small_steps_go_where_strang_goes():
    u, v, catalysis, seed, conductance, *numbers = fields(2)
    mine = evolved(fields(2), num_steps=200, dt=0.1)
    reference = integrate(
        u,
        v,
        system=GrayScott(*numbers),
        catalysis=catalysis,
        seed=seed,
        conductance=conductance,
        dt=0.1,
        num_steps=200,
        valid=VALID,
    )
    torch.testing.assert_close(mine, (reference.u, reference.v), rtol=0, atol=0.03)
    coarse = evolved(fields(2), num_steps=50, dt=0.4)
    assert (coarse[1] - reference.v).abs().max() > 2 * (mine[1] - reference.v).abs().max()


def test_steady_states_stay():
    feed, kill = torch.tensor([0.05, 0.04]).double(), torch.tensor([0.06, 0.05]).double()
    active = steady_states(feed, kill, 1.2).active
    u, v = (one[None, :, None].expand(1, 2, 12).contiguous() for one in active)
    found = evolve(
        u,
        v,
        system=GrayScott(feed, kill, 4.0, 1.0),
        catalysis=torch.full_like(u, 1.2),
        seed=torch.zeros_like(u),
        conductance=torch.ones(1, 2, 11, dtype=torch.float64),
        dt=7.0,
        num_steps=20,
    )
    torch.testing.assert_close(found, (u, v), rtol=1e-9, atol=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    dt=st.sampled_from([1e-2, 1.0, 8.0, 1e3, 1e6]),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
    num_steps=st.integers(1, 6),
)
def test_positive_and_bounded_for_any_parameters(seed, dt, scale, num_steps):
    x = [one.detach() for one in fields(seed, torch.float32)]
    x[2:4] = [scale * x[2], scale * x[3]]
    x[5:] = [scale * one for one in x[5:]]
    u, v = evolved(x, num_steps, dt)
    assert (u >= 0).all()
    assert (u <= 1 + 1e-5).all()
    assert (v >= 0).all()
    most = x[1].sum(dim=-1).max() + 9 * (1 + ((x[5] + x[3].amax()) / (x[5] + x[6])).max())
    assert (v <= most * (1 + 1e-4)).all()
    assert not u[1, :, 6:].any()


def test_gradients_are_finite_at_extremes():
    x = fields(4, torch.float32)
    with torch.no_grad():
        x[2].mul_(1e6)
        x[1][0] = 0.0
    for gradient in torch.autograd.grad(torch.stack(evolved(x, 8, 1e4)).sum(), x):
        assert gradient.isfinite().all()
