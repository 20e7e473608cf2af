"""Gray–Scott reaction–diffusion along time: u is what the video offers, v is the evidence for the query.

    du/dt = ∇·(Du c ∇u) − g u v² + F (1 − u)
    dv/dt = ∇·(Dv c ∇v) + g u v² − (F + k) v + s

Axes as in laplacian.py: u, v are (B, T) or (B, C, T), dimensionless, ≥ 0, with u ≤ 1. Catalysis g > 0 and seed s ≥ 0
are (B, T) or (B, C, T), conductance c in [0, 1] is (B, T-1) or (B, C, T-1), `valid` is (B, T), True on data.

References
----------
Gray and Scott 1983 (the reaction); Pearson 1993 (the patterns); Fang et al. 2025, arXiv 2606.01615 (for video);
Burchard, Deleersnijder and Meister 2003 (modified Patankar methods: transfers that conserve and stay positive).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from rdmf_cli.fusion.laplacian import (
    Coefficient,
    Factors,
    divergence,
    edge_weights,
    factorise,
    mask_padding,
    per_snippet,
    share_over_channels,
    solve,
)


@dataclass(frozen=True)
class GrayScott:
    """Parameters of the system. Each is a number ≥ 0 or a tensor per channel, such as (C,); dt has unit 1 / feed."""

    feed: Coefficient  # F, inflow of u
    kill: Coefficient  # k, extra removal of v, which leaves at F + k
    diff_u: Coefficient  # Du, snippets² per unit of time; patterns need Du > Dv
    diff_v: Coefficient  # Dv

    def __post_init__(self) -> None:
        # Tensors are not looked at: that would stop an accelerator, and learned ones are positive by construction.
        for name, value in vars(self).items():
            if not isinstance(value, Tensor) and not 0.0 <= value < float("inf"):
                raise ValueError(f"{name} must be a finite number of at least 0, got {value}")


class Integration(NamedTuple):
    """What `integrate` returns. Unpacks as u, v, steps_taken, converged."""

    u: Tensor  # (B, T) or (B, C, T)
    v: Tensor
    steps_taken: Tensor  # (B,) int64
    converged: Tensor  # (B,) bool: came to rest within num_steps


def reaction_rates(
    u: Tensor, v: Tensor, *, system: GrayScott, catalysis: Tensor, seed: Tensor
) -> tuple[Tensor, Tensor]:
    """Rates of the reaction alone.   du = −g u v² + F (1 − u)     dv = g u v² − (F + k) v + s

    u, v (..., T) → (..., T) each, per unit of time.
    """
    feed, kill = per_snippet(system.feed), per_snippet(system.kill)
    transfer = share_over_channels(catalysis, u) * u * v.square()
    return feed * (1 - u) - transfer, transfer - (feed + kill) * v + share_over_channels(seed, u)


def reaction_step(
    u: Tensor, v: Tensor, *, system: GrayScott, catalysis: Tensor, seed: Tensor, dt: float
) -> tuple[Tensor, Tensor]:
    """One second-order, positive, bounded step of the reaction alone.

    v at the middle of the step is predicted by half a step of the same kind; then u and v are advanced with the
    rate b = g v² of that moment. For every dt and parameter, in exact arithmetic:

    - u, v ≥ 0, and u ≤ 1 if it was;
    - what leaves u by reaction is what v receives;
    - after n steps v_n ≤ v_0 + 1 + (F + max s) / (F + k);
    - every steady state of the reaction is a fixed point.

    Returns u, v of the same shape.
    """
    num_snippets = u.shape[-1]
    catalysis, seed = (share_over_channels(x, u) for x in (catalysis, seed))
    catalysis, seed = (x.expand(*x.shape[:-1], num_snippets) for x in (catalysis, seed))
    length = max(1, _BLOCK // max(1, u.numel() // max(1, num_snippets)))
    if torch.is_grad_enabled() or u.device.type != "cpu" or length >= num_snippets:
        return _react(u, v, system, catalysis, seed, dt)
    u_new, v_new = torch.empty_like(u), torch.empty_like(v)
    for start in range(0, num_snippets, length):
        block = (..., slice(start, start + length))
        u_new[block], v_new[block] = _react(u[block], v[block], system, catalysis[block], seed[block], dt)
    return u_new, v_new


# Without gradients a long state is worked off in blocks of T this large, so that the temporaries stay in the cache: the
# reaction is some 30 passes over the state. In one piece, a whole step of 64 channels takes 1.25 times as long at
# T = 20,000 and 1.5 times at 80,000, and its cost grows faster than T.
_BLOCK = 1 << 16  # elements


def _react(
    u: Tensor, v: Tensor, system: GrayScott, catalysis: Tensor, seed: Tensor, dt: float
) -> tuple[Tensor, Tensor]:
    _, v_middle = _advance(u, v, v, system, catalysis, seed, dt / 2)
    return _advance(u, v, v_middle, system, catalysis, seed, dt)


# Beyond this a step has used up u to the last float32 bit anyway; its square still fits float32, so nothing overflows.
MAX_CONSUMPTION = 1e9


def _advance(
    u: Tensor, v: Tensor, v_frozen: Tensor, system: GrayScott, catalysis: Tensor, seed: Tensor, dt: float
) -> tuple[Tensor, Tensor]:
    """Advance by dt with the rate b = g v² frozen at v_frozen. Both equations are then x' = source − rate · x.

    With z = rate · dt, e^{−z} is replaced by the positive rational R = 1 / (1 + z + z²/2), correct to z²:

        x(dt)              = R · x + R (1 + z/2) · dt · source
        mean over the step = R (1 + z/2) · x + R (1 + z)/2 · dt · source

    The two agree exactly: x(dt) = x − z · mean + dt · source, so b · dt · mean(u) is what u loses and v gains.
    """
    # Why not the textbook methods. Patankar-Euler (sinks implicit, sources explicit) is the first-order case of this.
    # MPRK22 (second-order modified Patankar) lets u pass 1 when dt F is large, up to 2, and divides by v, which is 0
    # over most of a video. Exact sub-flows (linear part, transfer) don't keep the steady states. True exponentials
    # would do as well but cost more, and φ₂ cancels near 0. Padé (0, 2) keeps u ≤ 1: (1 + z/2) z ≤ z + z²/2.
    feed, kill = per_snippet(system.feed), per_snippet(system.kill)
    consumption = (catalysis * v_frozen.square() * dt).clamp(max=MAX_CONSUMPTION)  # b dt
    inflow = feed * dt
    half_u, scale_u = _fractions(consumption + inflow)
    half_v, scale_v = _fractions((feed + kill) * dt)
    u_mean = (u * half_u + inflow * (half_u - 0.5)) / scale_u
    u_new = (u + inflow * half_u) / scale_u
    v_new = v / scale_v + (consumption * u_mean + seed * dt) * (half_v / scale_v)
    return u_new, v_new


def _fractions(loss: Coefficient) -> tuple[Coefficient, Coefficient]:
    """1 + z/2 and 1 / R = 1 + z + z²/2, both ≥ 1."""
    half = 1 + loss / 2
    return half, 1 + loss * half


def diffusion_factors(
    state: Tensor, *, system: GrayScott, conductance: Tensor, dt: float, valid: Tensor | None = None
) -> Factors:
    """Factorise the diffusion of u and v together, stacked on a new first axis: one pass over the levels, not two.

    state (B, T) or (B, C, T) gives the shape; good for every step with the same system, conductance, dt and mask.
    """
    weights_u = edge_weights(state, system.diff_u, conductance, dt, valid)
    weights_v = edge_weights(state, system.diff_v, conductance, dt, valid)
    axes = state.new_zeros([1] * state.dim())  # all axes of the state, or the new first one would meet B or C
    pair = torch.broadcast_tensors(weights_u, weights_v, axes)[:2]  # type: ignore[no-untyped-call]
    return factorise(torch.stack(pair))


def step(
    u: Tensor,
    v: Tensor,
    *,
    system: GrayScott,
    catalysis: Tensor,
    seed: Tensor,
    conductance: Tensor,
    dt: float,
    valid: Tensor | None = None,
    factors: Factors | None = None,
) -> tuple[Tensor, Tensor]:
    """One Strang step: half a reaction, a whole diffusion, half a reaction. u, v ≥ 0 and u ≤ 1 for every dt.

    First order in dt where conductance > 0 (backward Euler, see laplacian.py), second where diffusion is off.
    Strang and not the cheaper Lie splitting although both are first order then: its error constant is smaller, and
    the step is symmetric in where the reaction sees the state. Padding returns 0. `factors` saves factorising again.
    """
    if factors is None:
        factors = diffusion_factors(u, system=system, conductance=conductance, dt=dt, valid=valid)
    # Selections come before any arithmetic, so that NaN in padding can't reach the gradient of a shared parameter.
    catalysis = mask_padding(share_over_channels(catalysis, u), valid)
    seed = mask_padding(share_over_channels(seed, u), valid)
    u, v = mask_padding(u, valid), mask_padding(v, valid)
    u, v = reaction_step(u, v, system=system, catalysis=catalysis, seed=seed, dt=dt / 2)
    u, v = solve(torch.stack((u, v)), factors).unbind(0)
    u, v = reaction_step(u, v, system=system, catalysis=catalysis, seed=seed, dt=dt / 2)
    return mask_padding(u, valid), mask_padding(v, valid)


def explicit_step(
    u: Tensor,
    v: Tensor,
    *,
    system: GrayScott,
    catalysis: Tensor,
    seed: Tensor,
    conductance: Tensor,
    dt: float,
    valid: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """One explicit Euler step of the whole system: the reference of the tests, neither positive nor stable for all dt.

    Returns u, v of the same shape.
    """
    rate_u, rate_v = reaction_rates(u, v, system=system, catalysis=catalysis, seed=seed)
    rate_u = rate_u + divergence(u, system.diff_u, conductance, valid=valid)
    rate_v = rate_v + divergence(v, system.diff_v, conductance, valid=valid)
    return mask_padding(u + dt * rate_u, valid), mask_padding(v + dt * rate_v, valid)


def integrate(
    u: Tensor,
    v: Tensor,
    *,
    system: GrayScott,
    catalysis: Tensor,
    seed: Tensor,
    conductance: Tensor,
    dt: float,
    num_steps: int,
    tolerance: float = 0.0,
    valid: Tensor | None = None,
    on_step: Callable[[Tensor], None] | None = None,
) -> Integration:
    """Take up to num_steps steps; an item of the batch rests once no |Δv| of a step reaches tolerance.

    `on_step` is shown v after each.

    An item at rest is frozen, so a batch gives what its items give one by one, whatever company they are in.
    tolerance = 0 takes all steps (training: no data-dependent control, no waiting for an accelerator).
    |Δv| is per step, so it grows with dt; a state that grows from noise more slowly than that counts as at rest.
    """
    factors = diffusion_factors(u, system=system, conductance=conductance, dt=dt, valid=valid)
    u, v = mask_padding(u, valid), mask_padding(v, valid)
    num_items = v.shape[0]
    steps_taken = torch.zeros(num_items, dtype=torch.int64, device=v.device)
    converged = torch.zeros(num_items, dtype=torch.bool, device=v.device)
    for _ in range(num_steps):
        u_new, v_new = step(
            u,
            v,
            system=system,
            catalysis=catalysis,
            seed=seed,
            conductance=conductance,
            dt=dt,
            valid=valid,
            factors=factors,
        )
        steps_taken += ~converged
        if tolerance > 0.0:
            resting = converged.view(-1, *[1] * (v.dim() - 1))
            change = (v_new - v).detach().abs().flatten(1).amax(1)  # (B,)
            u_new, v_new = torch.where(resting, u, u_new), torch.where(resting, v, v_new)
            converged = converged | (change < tolerance)
        u, v = u_new, v_new
        if on_step:
            on_step(v)
        if tolerance > 0.0 and bool(converged.all()):
            break
    return Integration(u, v, steps_taken, converged)
