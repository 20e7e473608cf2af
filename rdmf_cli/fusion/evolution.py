"""A fixed number of Gray–Scott steps with a hand-written gradient: what the learned fusion trains through.

A step is Strang's of gray_scott.py with two savings. The half reactions of neighbouring steps are joined,

    half reaction, diffusion, reaction, diffusion, ..., diffusion, half reaction

and a reaction takes its rate g v² from its start instead of its middle. The step is first order anyway where diffusion
is on, and what holds for every dt holds here: u, v ≥ 0, u ≤ 1 stays, v is bounded, steady states are fixed points.

The gradient works back through the states that the forward pass kept and computes everything else again, in place. A
test pins states and gradient to what autograd makes of gray_scott.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rdmf_cli.fusion.gray_scott import MAX_CONSUMPTION, GrayScott, diffusion_factors
from rdmf_cli.fusion.laplacian import Factors, mask_padding, solve


def evolve(
    u: Tensor,
    v: Tensor,
    *,
    system: GrayScott,
    catalysis: Tensor,
    seed: Tensor,
    conductance: Tensor,
    dt: float,
    num_steps: int,
    valid: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Take num_steps ≥ 1 steps from u, v (B, C, T).

    system with tensors (C,) for feed and kill, (C,) or (B, C) for diffusion; catalysis, seed (B, C, T); conductance
    (B, C, T-1); valid (B, T). Returns u, v of the same shape, 0 on padding. Differentiable once in everything.
    """
    u, v, catalysis, seed = (mask_padding(x, valid) for x in (u, v, catalysis, seed))
    factors = diffusion_factors(u, system=system, conductance=conductance, dt=dt, valid=valid)
    inflow, leave = (dt * torch.as_tensor(x)[..., None] for x in (system.feed, system.feed + system.kill))
    if torch.is_grad_enabled():
        u, v = _Evolve.apply(u, v, catalysis, seed, factors.weights, inflow, leave, factors, dt, num_steps)  # type: ignore[no-untyped-call]
    else:
        half, whole = _rates(inflow, leave, dt, 0.5), _rates(inflow, leave, dt, 1.0)
        for number in range(num_steps + 1):
            both = _react_in_blocks(u, v, catalysis, seed, whole if 0 < number < num_steps else half)
            u, v = (solve(both, factors) if number < num_steps else both).unbind(0)
    return mask_padding(u, valid), mask_padding(v, valid)


def reaction_of(
    u: Tensor, v: Tensor, *, system: GrayScott, catalysis: Tensor, seed: Tensor, dt: float, share: float
) -> Tensor:
    """One reaction of `share` of a step as `evolve` takes it, for those who take the steps themselves: (2, B, C, T)."""
    inflow, leave = (dt * torch.as_tensor(x)[..., None] for x in (system.feed, system.feed + system.kill))
    return _react_in_blocks(u, v, catalysis, seed, _rates(inflow, leave, dt, share))


class _Rates(NamedTuple):
    """Constants of one reaction per channel, (C, 1) each; symbols of gray_scott.py's `_advance`."""

    share: float  # of dt
    dt: float  # of this reaction
    inflow: Tensor  # F dt
    keep: Tensor  # R of v: 1 / (1 + z + z²/2), z = (F + k) dt
    gain: Tensor  # R (1 + z/2) of v


class _Middle(NamedTuple):
    """What a reaction computes on its way. All (B, C, T)."""

    consumption: Tensor  # b dt
    half: Tensor  # 1 + z/2 of u
    inverse: Tensor  # R of u
    u_mean: Tensor
    received: Tensor  # what v gets: b dt · mean of u + s dt


class _Sums:
    """Gradients that add up over the reactions."""

    def __init__(self, catalysis: Tensor, inflow: Tensor) -> None:
        self.catalysis, self.seed = torch.zeros_like(catalysis), torch.zeros_like(catalysis)
        self.inflow, self.leave = torch.zeros_like(inflow), torch.zeros_like(inflow)


def _rates(inflow: Tensor, leave: Tensor, dt: float, share: float) -> _Rates:
    half = 1 + leave * (share / 2)
    keep = 1 / (1 + leave * share * half)
    return _Rates(share, dt * share, inflow * share, keep, half * keep)


def _middle(u: Tensor, v: Tensor, catalysis: Tensor, seed: Tensor, rates: _Rates) -> _Middle:
    consumption = v.square().mul_(catalysis).mul_(rates.dt).clamp_(max=MAX_CONSUMPTION)
    loss = consumption + rates.inflow
    half = loss.mul(0.5).add_(1)
    inverse = loss.mul_(half).add_(1).reciprocal_()
    u_mean = half.sub(0.5).mul_(rates.inflow).addcmul_(u, half).mul_(inverse)
    received = torch.mul(seed, rates.dt).addcmul_(consumption, u_mean)
    return _Middle(consumption, half, inverse, u_mean, received)


def _react(u: Tensor, v: Tensor, catalysis: Tensor, seed: Tensor, rates: _Rates, out: Tensor) -> None:
    """One reaction; out (2, B, C, T) receives u and v."""
    middle = _middle(u, v, catalysis, seed, rates)
    torch.mul(middle.half, rates.inflow, out=out[0]).add_(u).mul_(middle.inverse)
    torch.mul(middle.received, rates.gain, out=out[1]).addcmul_(v, rates.keep)


_BLOCK = 1 << 16  # elements at a time without gradients, so that the temporaries of a long video stay in the cache


def _react_in_blocks(u: Tensor, v: Tensor, catalysis: Tensor, seed: Tensor, rates: _Rates) -> Tensor:
    out = u.new_empty(2, *u.shape)
    num_snippets = u.shape[-1]
    length = max(1, _BLOCK * num_snippets // max(1, u.numel())) if u.device.type == "cpu" else num_snippets
    for start in range(0, num_snippets, length):
        block = (..., slice(start, start + length))
        _react(u[block], v[block], catalysis[block], seed[block], rates, out[block])
    return out


def _react_back(
    grad_u: Tensor, grad_v: Tensor, u: Tensor, v: Tensor, catalysis: Tensor, seed: Tensor, rates: _Rates, sums: _Sums
) -> Tensor:
    """Gradient of `_react` by u, v, (2, B, C, T); those by the parameters go into `sums`."""
    middle = _middle(u, v, catalysis, seed, rates)
    result = u.new_empty(2, *u.shape)
    _leave_back(grad_v, v, middle, rates, sums)
    by_received = grad_v * rates.gain
    sums.seed.add_(by_received, alpha=rates.dt)
    by_numerator = (by_received * middle.consumption).mul_(middle.inverse)  # of u_mean = numerator · inverse
    by_end = grad_u * middle.inverse  # of u_new = (u + inflow · half) · inverse
    torch.mul(by_numerator, middle.half, out=result[0]).add_(by_end)
    u_new = torch.mul(middle.half, rates.inflow).add_(u).mul_(middle.inverse)
    by_scale = u_new.mul_(by_end).addcmul_(by_numerator, middle.u_mean)  # less that by the denominator
    # u_mean has (half − ½) inflow where u_new has half · inflow, and u · half where it has u.
    by_both = by_end.add_(by_numerator)
    by_half = torch.mul(by_both, rates.inflow).addcmul_(by_numerator, u)
    by_inflow = by_both.mul_(middle.half).add_(by_numerator, alpha=-0.5)
    # The denominator is 1 + z · half with z = consumption + inflow and half = 1 + z/2: by z it changes 1 + z.
    one_more = middle.half.mul_(2).sub_(1)
    by_loss = by_half.mul_(0.5).addcmul_(by_scale, one_more, value=-1)
    sums.inflow.add_(by_inflow.add_(by_loss).sum(dim=(0, 2)).unsqueeze(-1), alpha=rates.share)
    by_consumption = by_loss.addcmul_(by_received, middle.u_mean).mul_(rates.dt)
    by_consumption.masked_fill_(middle.consumption >= MAX_CONSUMPTION, 0.0)
    by_product = by_consumption.mul_(v)
    sums.catalysis.addcmul_(by_product, v)
    torch.mul(grad_v, rates.keep, out=result[1]).addcmul_(by_product, catalysis, value=2)
    return result


def _leave_back(grad_v: Tensor, v: Tensor, middle: _Middle, rates: _Rates, sums: _Sums) -> None:
    """Gradient by (F + k) dt:   R' = −(1 + z) R²,   (R (1 + z/2))' = R/2 − (1 + z/2) (1 + z) R²"""
    by_keep = torch.einsum("bct,bct->c", grad_v, v)[:, None]
    by_gain = torch.einsum("bct,bct->c", grad_v, middle.received)[:, None]
    keep, half = rates.keep, rates.gain / rates.keep
    slope = (2 * half - 1) * keep.square()  # (1 + z) R², with z = 2 half − 2
    sums.leave.add_(by_gain * (keep / 2 - half * slope) - by_keep * slope, alpha=rates.share)


class _Evolve(torch.autograd.Function):
    """All steps as one node of the graph."""

    @staticmethod
    def forward(
        ctx: Any,
        u: Tensor,
        v: Tensor,
        catalysis: Tensor,
        seed: Tensor,
        weights: Tensor,
        inflow: Tensor,
        leave: Tensor,
        factors: Factors,
        dt: float,
        num_steps: int,
    ) -> tuple[Tensor, Tensor]:
        half, whole = _rates(inflow, leave, dt, 0.5), _rates(inflow, leave, dt, 1.0)
        states = [torch.stack((u, v))]  # before each reaction, (2, B, C, T)
        for number in range(num_steps + 1):
            out = torch.empty_like(states[-1])
            rates = whole if 0 < number < num_steps else half
            _react(states[-1][0], states[-1][1], catalysis, seed, rates, out)
            if number < num_steps:
                states.append(solve(out, factors))
        ctx.save_for_backward(catalysis, seed, weights, inflow, leave, *states)
        ctx.levels, ctx.last, ctx.dt = factors.levels, factors.last, dt
        return out[0], out[1]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        catalysis, seed, weights, inflow, leave, *states = ctx.saved_tensors
        half, whole = _rates(inflow, leave, ctx.dt, 0.5), _rates(inflow, leave, ctx.dt, 1.0)
        factors = Factors(weights, ctx.levels, ctx.last)
        sums, by_weights = _Sums(catalysis, inflow), torch.zeros_like(weights)
        grad_u, grad_v = grads
        num_steps = len(states) - 1
        for number in range(num_steps, -1, -1):
            state = states[number]
            rates = whole if 0 < number < num_steps else half
            both = _react_back(grad_u, grad_v, state[0], state[1], catalysis, seed, rates, sums)
            if number > 0:  # this state is what the diffusion gave
                both = solve(both, factors)
                by_weights.addcmul_(both.diff(dim=-1), state.diff(dim=-1), value=-1)
            grad_u, grad_v = both.unbind(0)
        return grad_u, grad_v, sums.catalysis, sums.seed, by_weights, sums.inflow, sums.leave, None, None, None
