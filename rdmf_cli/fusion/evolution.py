"""A fixed number of Gray–Scott steps with a hand-written gradient: what the learned fusion trains through.

The steps are Strang's of gray_scott.py with the half reactions of neighbouring steps joined:

    half reaction, diffusion, reaction, diffusion, ..., diffusion, half reaction

so N steps cost N + 1 reactions and not 2 N, at the same order. The gradient works back through the steps from the
states that the forward pass kept, with everything else computed again in place. Autograd through the same formulas
takes 4 times as long on one core (B = 32, C = 32, T = 75) and ten times the memory. A test pins both to gray_scott.py.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rdmf_cli.fusion.gray_scott import _MAX_CONSUMPTION, GrayScott, diffusion_factors, reaction_step
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
    if torch.is_grad_enabled():
        inflow, leave = (dt * torch.as_tensor(x)[..., None] for x in (system.feed, system.feed + system.kill))
        u, v = _Evolve.apply(u, v, catalysis, seed, factors.weights, inflow, leave, factors, dt, num_steps)  # type: ignore[no-untyped-call]
    else:
        for number in range(num_steps + 1):
            part = dt if 0 < number < num_steps else dt / 2
            u, v = reaction_step(u, v, system=system, catalysis=catalysis, seed=seed, dt=part)
            if number < num_steps:
                u, v = solve(torch.stack((u, v)), factors).unbind(0)
    return mask_padding(u, valid), mask_padding(v, valid)


class _Rates(NamedTuple):
    """Constants of one reaction of length dt per channel, (C, 1) each; symbols of gray_scott.py's `_advance`."""

    dt: float
    inflow: Tensor  # F dt
    keep: Tensor  # R of v: 1 / (1 + z + z²/2), z = (F + k) dt
    gain: Tensor  # R (1 + z/2) of v


class _Half(NamedTuple):
    """One advance with the rate frozen. All (B, C, T)."""

    consumption: Tensor  # b dt
    half: Tensor  # 1 + z/2 of u
    inverse: Tensor  # 1 / (1 + z + z²/2) of u
    u_mean: Tensor
    received: Tensor  # what v gets: b dt · mean of u + s dt


def _rates(inflow: Tensor, leave: Tensor, dt: float, share: float) -> _Rates:
    half = 1 + leave * (share / 2)
    keep = 1 / (1 + leave * share * half)
    return _Rates(dt * share, inflow * share, keep, half * keep)


def _half(u: Tensor, v_frozen: Tensor, catalysis: Tensor, seed: Tensor, rates: _Rates) -> _Half:
    consumption = v_frozen.square().mul_(catalysis).mul_(rates.dt).clamp_(max=_MAX_CONSUMPTION)
    loss = consumption + rates.inflow
    half = loss.mul(0.5).add_(1)
    inverse = loss.mul_(half).add_(1).reciprocal_()
    u_mean = half.sub(0.5).mul_(rates.inflow).addcmul_(u, half).mul_(inverse)
    received = torch.mul(seed, rates.dt).addcmul_(consumption, u_mean)
    return _Half(consumption, half, inverse, u_mean, received)


def _react(
    u: Tensor, v: Tensor, catalysis: Tensor, seed: Tensor, first: _Rates, whole: _Rates
) -> tuple[Tensor, Tensor]:
    """One reaction: `first` to the middle, for the rate there, and `whole` all the way."""
    start = _half(u, v, catalysis, seed, first)
    middle = start.received.mul_(first.gain).addcmul_(v, first.keep)
    end = _half(u, middle, catalysis, seed, whole)
    u_new = torch.mul(end.half, whole.inflow).add_(u).mul_(end.inverse)
    return u_new, end.received.mul_(whole.gain).addcmul_(v, whole.keep)


class _Sums:
    """Gradients that add up over the reactions."""

    def __init__(self, catalysis: Tensor, inflow: Tensor) -> None:
        self.catalysis, self.seed = torch.zeros_like(catalysis), torch.zeros_like(catalysis)
        self.inflow, self.leave = torch.zeros_like(inflow), torch.zeros_like(inflow)


def _react_back(
    grad_u: Tensor,
    grad_v: Tensor,
    u: Tensor,
    v: Tensor,
    catalysis: Tensor,
    seed: Tensor,
    rates: tuple[_Rates, _Rates],
    shares: tuple[float, float],
    sums: _Sums,
) -> tuple[Tensor, Tensor]:
    """Gradient of `_react` by u, v; those by the parameters go into `sums`."""
    first, whole = rates
    start = _half(u, v, catalysis, seed, first)
    middle = torch.mul(start.received, first.gain).addcmul_(v, first.keep)
    end = _half(u, middle, catalysis, seed, whole)
    u_new = torch.mul(end.half, whole.inflow).add_(u).mul_(end.inverse)
    by_u, by_v, by_middle = _half_back(grad_u, grad_v, u, v, middle, u_new, end, catalysis, whole, shares[1], sums)
    also_u, also_v, by_frozen = _half_back(None, by_middle, u, v, v, None, start, catalysis, first, shares[0], sums)
    return by_u.add_(also_u), by_v.add_(also_v).add_(by_frozen)


def _half_back(
    grad_u: Tensor | None,
    grad_v: Tensor,
    u: Tensor,
    v: Tensor,
    v_frozen: Tensor,
    u_new: Tensor | None,
    part: _Half,
    catalysis: Tensor,
    rates: _Rates,
    share: float,
    sums: _Sums,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of one advance by u, v and the frozen v. grad_u is None where only v was used."""
    by_received = grad_v * rates.gain
    sums.seed.add_(by_received, alpha=rates.dt)
    _leave_back(grad_v, v, part, rates, share, sums)
    by_numerator = (by_received * part.consumption).mul_(part.inverse)  # of u_mean = numerator · inverse
    by_scale = by_numerator * part.u_mean  # less the gradient by the denominator 1 + z + z²/2
    by_half = by_numerator * (u + rates.inflow)
    by_inflow = by_numerator * (part.half - 0.5)
    by_u = by_numerator * part.half
    if grad_u is not None and u_new is not None:
        by_end = grad_u * part.inverse  # of u_new = (u + inflow · half) · inverse
        by_u.add_(by_end)
        by_scale.addcmul_(by_end, u_new)
        by_half.addcmul_(by_end, rates.inflow)
        by_inflow.addcmul_(by_end, part.half)
    loss = part.consumption + rates.inflow  # z; the denominator is 1 + z · half, half = 1 + z/2
    by_half.addcmul_(by_scale, loss, value=-1)
    by_loss = by_half.mul_(0.5).addcmul_(by_scale, part.half, value=-1)
    sums.inflow.add_(by_inflow.add_(by_loss).sum(dim=(0, 2)).unsqueeze(-1), alpha=share)
    by_consumption = by_loss.addcmul_(by_received, part.u_mean)
    by_consumption.masked_fill_(part.consumption >= _MAX_CONSUMPTION, 0.0).mul_(rates.dt)
    by_product = by_consumption * v_frozen
    sums.catalysis.addcmul_(by_product, v_frozen)
    return by_u, grad_v * rates.keep, by_product.mul_(catalysis).mul_(2)


def _leave_back(grad_v: Tensor, v: Tensor, part: _Half, rates: _Rates, share: float, sums: _Sums) -> None:
    """Gradient by (F + k) dt:   R' = −(1 + z) R²,   (R (1 + z/2))' = R/2 − (1 + z/2) (1 + z) R²"""
    by_keep = (grad_v * v).sum(dim=(0, 2)).unsqueeze(-1)
    by_gain = (grad_v * part.received).sum(dim=(0, 2)).unsqueeze(-1)
    keep, half = rates.keep, rates.gain / rates.keep
    slope = (2 * half - 1) * keep.square()  # (1 + z) R², with z = 2 half − 2
    sums.leave.add_(by_gain * (keep / 2 - half * slope) - by_keep * slope, alpha=share)


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
        quarter, half, whole = (_rates(inflow, leave, dt, share) for share in (0.25, 0.5, 1.0))
        states = []  # before each reaction, and after it (before each diffusion) only what the diffusion gave
        for number in range(num_steps + 1):
            states += [u, v]
            inside = 0 < number < num_steps
            u, v = _react(u, v, catalysis, seed, *((half, whole) if inside else (quarter, half)))
            if number < num_steps:
                u, v = solve(torch.stack((u, v)), factors).unbind(0)
        ctx.save_for_backward(catalysis, seed, weights, inflow, leave, *states)
        ctx.levels, ctx.last, ctx.dt = factors.levels, factors.last, dt
        return u, v

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        catalysis, seed, weights, inflow, leave, *states = ctx.saved_tensors
        quarter, half, whole = (_rates(inflow, leave, ctx.dt, share) for share in (0.25, 0.5, 1.0))
        factors = Factors(weights, ctx.levels, ctx.last)
        sums, by_weights = _Sums(catalysis, inflow), torch.zeros_like(weights)
        grad_u, grad_v = grads
        num_steps = len(states) // 2 - 1
        for number in range(num_steps, -1, -1):
            u, v = states[2 * number], states[2 * number + 1]
            inside = 0 < number < num_steps
            rates, shares = ((half, whole), (0.5, 1.0)) if inside else ((quarter, half), (0.25, 0.5))
            grad_u, grad_v = _react_back(grad_u, grad_v, u, v, catalysis, seed, rates, shares, sums)
            if number > 0:  # the states before this reaction are what the diffusion gave
                adjoint = solve(torch.stack((grad_u, grad_v)), factors)
                by_weights.sub_(adjoint.diff(dim=-1) * torch.stack((u, v)).diff(dim=-1))
                grad_u, grad_v = adjoint.unbind(0)
        return grad_u, grad_v, sums.catalysis, sums.seed, by_weights, sums.inflow, sums.leave, None, None, None
