"""Diffusion along time: the zero-flux operator ∇·(D c ∇x), explicit and implicit steps, masks.

On a grid with spacing 1 (one snippet) the operator is the graph Laplacian of a chain of snippets:

    (∇·(D c ∇x))_t = D ( c_{t+½} (x_{t+1} − x_t) − c_{t−½} (x_t − x_{t−1}) ),    c_{−½} = c_{T−½} = 0

Axes: B batch, C channels, T snippets; a state is (B, T) or (B, C, T). Everything else broadcasts to it:

- a coefficient D ≥ 0 (snippets² per unit of dt) is a number or a tensor without the T axis, such as (C,);
- conductance c in [0, 1] is (..., T-1), one value per pair of neighbours; 0 stops diffusion;
- `valid` (..., T) is True on data and False on padding. Padding conducts nothing, whatever it holds (even NaN), and
  every function returns 0 there.
- what is given as (B, T) or (B, T-1) for a (B, C, T) state is shared by the channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

Coefficient = float | Tensor


def per_snippet(coefficient: Coefficient) -> Coefficient:
    """Give a per-channel coefficient (..., C) its T axis: (..., C, 1). Numbers and 0-d tensors are left alone."""
    if isinstance(coefficient, Tensor) and coefficient.dim() > 0:
        return coefficient.unsqueeze(-1)
    return coefficient


def share_over_channels(value: Tensor, state: Tensor) -> Tensor:
    """Give a per-item tensor (B, T) the channel axis of a (B, C, T) state: (B, 1, T).

    Plain broadcasting would read B as C, silently wherever the two sizes agree.
    """
    return value.unsqueeze(1) if state.dim() == 3 and value.dim() == 2 else value


def mask_padding(x: Tensor, valid: Tensor | None) -> Tensor:
    """Return x (..., T) with 0 on padding. A product with the mask would keep NaN; a selection does not."""
    return x if valid is None else torch.where(share_over_channels(valid, x), x, 0.0)


def edge_weights(
    state: Tensor, coefficient: Coefficient, conductance: Tensor, dt: Coefficient = 1.0, valid: Tensor | None = None
) -> Tensor:
    """Weights w = dt D c of the edges between neighbours, 0 where an edge touches padding.

    state (B, T) or (B, C, T) gives shape only; returns (..., T-1), broadcastable to it, ≥ 0.

    Raises
    ------
    ValueError
        If conductance does not have one value per pair of neighbours.
    """
    num_edges = state.shape[-1] - 1
    if conductance.shape[-1] != num_edges:
        raise ValueError(f"conductance has {conductance.shape[-1]} edges, {num_edges + 1} snippets need {num_edges}")
    conductance = share_over_channels(conductance, state)
    if valid is not None:
        valid = share_over_channels(valid, state)
        conductance = torch.where(valid[..., 1:] & valid[..., :-1], conductance, 0.0)
    return per_snippet(dt) * (per_snippet(coefficient) * conductance)


def divergence(x: Tensor, coefficient: Coefficient, conductance: Tensor, *, valid: Tensor | None = None) -> Tensor:
    """∇·(D c ∇x) with zero flux at both ends; it sums to 0 over T.

    x (..., T) → (..., T), per unit of time.
    """
    flux = edge_weights(x, coefficient, conductance, valid=valid) * mask_padding(x, valid).diff(dim=-1)
    return torch.nn.functional.pad(flux, (0, 1)) - torch.nn.functional.pad(flux, (1, 0))


def diffuse_explicit(
    x: Tensor, coefficient: Coefficient, conductance: Tensor, dt: Coefficient, *, valid: Tensor | None = None
) -> Tensor:
    """Explicit Euler: x' = x + dt ∇·(D c ∇x). For tests: stable and positive only for dt D c ≤ 1/2."""
    rate = divergence(x, coefficient, conductance, valid=valid)
    return mask_padding(x, valid) + per_snippet(dt) * rate


def diffuse_implicit(
    x: Tensor, coefficient: Coefficient, conductance: Tensor, dt: Coefficient, *, valid: Tensor | None = None
) -> Tensor:
    """Backward Euler: solve x' − dt ∇·(D c ∇x') = x in O(T).

    x (..., T) → (..., T). For every dt, D, c ≥ 0 each x'_t is an average of x with weights ≥ 0 that sum to 1, so
    x ≥ 0 stays ≥ 0, extremes only shrink, and the sum over T is kept. First order in dt.
    For many steps with the same dt, D and c, `factorise` once and `solve` often.
    """
    return solve(mask_padding(x, valid), factorise(edge_weights(x, coefficient, conductance, dt, valid)))


# Why backward Euler. I + dt D L is an M-matrix with unit row and column sums, so its inverse is a non-negative, doubly
# stochastic matrix: positive, bounded and conservative for every parameter. The price is first order. It can't be
# avoided by a better linear method: one that keeps positivity for every step size has order at most one (Bolley and
# Crouzeix 1978). Crank-Nicolson needs dt D c ≤ 1 for it, the L-stable second-order Padé (0, 2) scheme undershoots
# beside a jump, and extrapolated backward Euler too. Non-linear methods (modified Patankar) pass the barrier but lose
# x' ≤ max x, and cost a new factorisation in every step. Since what we use is the pattern the state comes to
# rest in, not the way to it, first order in the diffusion is the right place to pay.


class _Level(NamedTuple):
    """One level of the reduction: how the odd snippets hang on their even neighbours. All entries ≥ 0."""

    from_left: Tensor  # (..., num_odd) weight of the left neighbour
    from_right: Tensor  # (..., num_odd or num_odd - 1) weight of the right neighbour, if there is one
    from_self: Tensor  # (..., num_odd) weight of the odd snippet's own right-hand side


@dataclass(frozen=True)
class Factors:
    """The factorised matrix I + L of `factorise`, L being the graph Laplacian of `weights` (..., T-1)."""

    weights: Tensor  # carries the autograd graph; the levels don't
    levels: tuple[_Level, ...]
    last: Tensor  # (..., 1) inverse of what is left of the matrix


@torch.no_grad()
def factorise(weights: Tensor, ground: Tensor | None = None) -> Factors:
    """Factorise I + L for edge weights (..., T-1) ≥ 0 by cyclic reduction: O(T) work in log2(T) array operations.

    `ground` (..., T) > 0 takes the place of I, for a stretch whose neighbours are known (streaming.py).

    Each level eliminates every other snippet. The chain is an electrical network with conductance `weights` between
    neighbours and `ground` from each snippet to earth; eliminating a node joins its two neighbours by
    w_left w_right / (w_left + w_right + ground) and hands its ground to them. So nothing is ever subtracted, and
    every entry is accurate to a few units in the last place for any weight: elimination on diagonals, ground + w + w,
    loses the ground in float32 once w passes 1e7 (same idea: Alfa, Xue and Ye 2002).

    Measured with `solve` (docs/method.md): the Thomas algorithm as a loop over T takes 370 times as long at T = 20,000
    and 2.5 times at T = 75; parallel cyclic reduction (a scan, O(T log T)) 1.1 to 25 times on a CPU.
    """
    edges = weights.detach()
    if ground is None:
        ground = edges.new_ones((*edges.shape[:-1], edges.shape[-1] + 1))
    levels = []
    while ground.shape[-1] > 1:
        left, right = edges[..., 0::2], edges[..., 1::2]  # edges on the two sides of each odd snippet
        num_right = right.shape[-1]  # one less than left if the last snippet is odd
        odd_ground = ground[..., 1::2]
        num_odd = odd_ground.shape[-1]
        total = odd_ground + left
        total[..., :num_right] += right
        level = _Level(left / total, right / total[..., :num_right], total.reciprocal())
        ground = ground[..., 0::2].clone()
        ground[..., :num_odd] += level.from_left * odd_ground
        ground[..., 1:] += level.from_right * odd_ground[..., :num_right]
        edges = left[..., :num_right] * level.from_right
        levels.append(level)
    return Factors(weights, tuple(levels), ground.reciprocal())


def solve(x: Tensor, factors: Factors) -> Tensor:
    """Solve (I + L) x' = x. x (..., T) → (..., T); factors broadcast with it. Differentiable in x and the weights."""
    weights = factors.weights
    # Not torch.broadcast_shapes: its first call imports torch's compiler, 0.3 s of the first search.
    batch = np.broadcast_shapes(x.shape[:-1], weights.shape[:-1])
    x = x.expand(*batch, x.shape[-1])
    if not (torch.is_grad_enabled() and (x.requires_grad or weights.requires_grad)):
        return _reduce_and_substitute(x, factors)
    edges = weights.expand(*batch, weights.shape[-1])
    solved: Tensor = _Solve.apply(x, edges, factors)  # type: ignore[no-untyped-call]
    return solved


def _reduce_and_substitute(x: Tensor, factors: Factors) -> Tensor:
    odd_parts = []
    for level in factors.levels:
        odd = x[..., 1::2]
        odd_parts.append(odd)
        x = x[..., 0::2].clone()
        x[..., : odd.shape[-1]].addcmul_(level.from_left, odd)
        x[..., 1:].addcmul_(level.from_right, odd[..., : level.from_right.shape[-1]])
    x = x * factors.last
    for level, odd in zip(reversed(factors.levels), reversed(odd_parts), strict=True):
        num_odd, num_right = odd.shape[-1], level.from_right.shape[-1]
        odd = odd * level.from_self
        odd.addcmul_(level.from_left, x[..., :num_odd])
        odd[..., :num_right].addcmul_(level.from_right, x[..., 1:])
        merged = x.new_empty((*x.shape[:-1], x.shape[-1] + num_odd))
        merged[..., 0::2], merged[..., 1::2] = x, odd
        x = merged
    return x


class _Solve(torch.autograd.Function):
    """The solve with its adjoint. The matrix is symmetric, so the gradient is one more solve with the same factors.

        y = A⁻¹ x:   ∂/∂x = λ = A⁻¹ ∂/∂y,   ∂/∂w_{t+½} = −(λ_{t+1} − λ_t) (y_{t+1} − y_t)

    Autograd through the levels would keep all of them for every step, and forbid the in-place operations above.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weights: Tensor, factors: Factors) -> Tensor:
        solved = _reduce_and_substitute(x, factors)
        ctx.save_for_backward(weights, solved)
        ctx.levels, ctx.last = factors.levels, factors.last
        return solved

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        weights, solved = ctx.saved_tensors
        adjoint = solve(grads[0], Factors(weights, ctx.levels, ctx.last))  # through `solve`: twice differentiable
        return adjoint, -adjoint.diff(dim=-1) * solved.diff(dim=-1), None
