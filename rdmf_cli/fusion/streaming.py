"""The same reaction–diffusion, fed as the video comes: state carried from chunk to chunk, memory bounded.

A snippet is final once what comes later can't change it any more. That is exactly so behind a cut, where nothing flows,
and up to `tolerance` once `delay_snippets` more are known. To the left nothing is lost at all: when snippets become
final, the values of the last of them after the diffusion of every step are kept, 2 N numbers a channel. They are all
that the rest of the video has to know of the past, for each step solves

    (1 + w_left + w_right) x'_0 − w_right x'_1 = x_0 + w_left x'_left

at the edge with x'_left known. So a stream gives what the whole video gives, up to the tolerance, at the cost of
N steps over the snippets that are not final yet, whenever some become final.

Delay. Diffusion forgets exponentially: in the norm weighted by e^{θ d}, one implicit step amplifies by at most
M(θ) = 1 / (1 − 2 w (cosh θ − 1)), w = dt Du (Davies' method), and the reaction takes a difference in u back at rate F
or faster. A difference of 1 beyond the end, present in all N steps, is under ε at distance

    d = min over θ of  (N max(0, ln M(θ) − F dt) + ln 1/ε) / θ.

What this leaves out: v near its threshold can grow instead of decay, so a front that ignites beyond the end may run
into the past of the same shot at up to some snippets a step. How much that matters was measured (docs/streaming.md).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from rdmf_cli.fusion.evolution import reaction_of
from rdmf_cli.fusion.gray_scott import GrayScott, reaction_step
from rdmf_cli.fusion.laplacian import edge_weights, factorise, solve
from rdmf_cli.fusion.pattern import PatternConfig, pattern_system, start_of

TOLERANCE = 1e-4


class Supply(NamedTuple):
    """What the system is fed with, for n snippets more. All (..., n), with the same leading axes in every call."""

    u: Tensor  # at the start
    v: Tensor
    catalysis: Tensor
    seed: Tensor
    conductance: Tensor  # between each snippet and the one before it; of the first snippet of all it does not matter


class State(NamedTuple):
    """What is final. All (..., m), the oldest first; m may be 0."""

    u: Tensor
    v: Tensor


def delay_of(system: GrayScott, dt: float, num_steps: int, tolerance: float = TOLERANCE) -> int:
    """Snippets after which what comes later changes less than `tolerance`; see the module for what it leaves out.

    system of numbers or tensors; the slowest of its channels counts. At least 1.
    """
    feeds, diffs = (
        np.atleast_1d(np.asarray(torch.as_tensor(x).detach().cpu().double())) for x in (system.feed, system.diff_u)
    )
    feed, weight = float(feeds.min()), dt * float(diffs.max())
    if weight <= 0:
        return 1
    most = float(np.arccosh(1 + 0.5 / weight))  # there M has its pole
    theta = most * (1 - np.geomspace(1e-6, 1 - 1e-6, 4000))
    growth = -np.log1p(-2 * weight * (np.cosh(theta) - 1)) - feed * dt
    return max(1, int(np.ceil(((num_steps * np.maximum(growth, 0) - np.log(tolerance)) / theta).min())))


class ReactionStream:
    """N steps of one system over an endless line of snippets.

    system
        Numbers, or tensors that broadcast with the leading axes of the supply, as in gray_scott.py.
    joined
        Steps as the learned fusion takes them (evolution.py), for tensors (B, C, T); else as `step` does.
    reaction
        False: only diffusion.
    chunk
        Snippets that become final at once, at least; more cost less, and wait longer.
    """

    def __init__(
        self,
        system: GrayScott,
        *,
        dt: float,
        num_steps: int,
        tolerance: float = TOLERANCE,
        joined: bool = False,
        reaction: bool = True,
        chunk: int = 1,
    ) -> None:
        self._reach, self._chunk = delay_of(system, dt, num_steps, tolerance), chunk
        self._system, self._dt, self._num_steps = system, dt, num_steps
        self._joined, self._reaction = joined, reaction
        self._pending: Supply | None = None
        self._left: list[Tensor] | None = None  # per step (2, ..., 1): the last final snippet after its diffusion

    @property
    def delay_snippets(self) -> int:
        """How far what is final lies behind what was fed, at most."""
        return self._reach + self._chunk - 1

    @property
    def num_pending(self) -> int:
        """Snippets that were fed and are not final."""
        return 0 if self._pending is None else self._pending.u.shape[-1]

    @torch.no_grad()
    def push(self, supply: Supply) -> State:
        """Feed n ≥ 0 snippets; what has become final by that."""
        if self._pending is None:
            self._pending = supply
        else:
            self._pending = Supply(*(torch.cat(pair, dim=-1) for pair in zip(self._pending, supply, strict=True)))
        return self._settle(self._num_final())

    @torch.no_grad()
    def finish(self) -> State:
        """The rest, at the end of the video."""
        if self._pending is None:
            raise ValueError("nothing was fed")
        return self._settle(self.num_pending)

    def _num_final(self) -> int:
        """Up to the last cut, or up to the delay, whichever is further."""
        assert self._pending is not None
        closed = (self._pending.conductance == 0).flatten(0, -2).all(dim=0).nonzero()
        behind_cut = int(closed[-1]) if len(closed) else 0
        behind_delay = self.num_pending - self._reach
        return max(behind_cut, behind_delay if behind_delay >= self._chunk else 0)

    def _settle(self, count: int) -> State:
        assert self._pending is not None
        if count == 0:  # also at the end, when all is final already
            return State(self._pending.u[..., :0], self._pending.v[..., :0])
        u, v, left = self._run(self._pending, count)
        self._left = left
        # The cut that closes the last shot is the edge of the first snippet that stays.
        self._pending = Supply(*(x[..., count:].clone() for x in self._pending))
        return State(u[..., :count].clone(), v[..., :count].clone())

    def _run(self, supply: Supply, count: int) -> tuple[Tensor, Tensor, list[Tensor]]:
        """All steps over what is pending; also the values of snippet count - 1 after the diffusion of each step."""
        weights, edge = self._weights(supply)
        ground = weights.new_ones((*weights.shape[:-1], weights.shape[-1] + 1))
        ground[..., :1] += edge
        factors = factorise(weights, ground)
        both, kept = torch.stack((supply.u, supply.v)), []
        for number in range(self._num_steps + 1):
            for share in self._shares(number):
                both = self._reacted(both, supply, share)
            if number == self._num_steps:
                break
            if self._left is not None:
                both[..., :1] += edge * self._left[number]
            both = solve(both, factors)
            kept.append(both[..., count - 1 : count].clone())
        u, v = both.unbind(0)
        return u, v, kept

    def _shares(self, number: int) -> list[float]:
        """Parts of a step by which to react before diffusion `number`; after the last one for `number` = N."""
        if not self._reaction:
            return []
        if number in (0, self._num_steps):
            return [0.5]
        return [1.0] if self._joined else [0.5, 0.5]

    def _reacted(self, both: Tensor, supply: Supply, share: float) -> Tensor:
        (u, v), system, g, s = both, self._system, supply.catalysis, supply.seed
        if self._joined:
            return reaction_of(u, v, system=system, catalysis=g, seed=s, dt=self._dt, share=share)
        return torch.stack(reaction_step(u, v, system=system, catalysis=g, seed=s, dt=self._dt * share))

    def _weights(self, supply: Supply) -> tuple[Tensor, Tensor]:
        """Edge weights (2, ..., P-1) inside, and (2, ..., 1) to the final snippet on the left, 0 without one."""
        diffs = (self._system.diff_u, self._system.diff_v)
        inside = [edge_weights(supply.u, d, supply.conductance[..., 1:], self._dt) for d in diffs]
        pair = supply.u[..., :2] if supply.u.shape[-1] > 1 else supply.u.expand(*supply.u.shape[:-1], 2)
        edges = [edge_weights(pair, d, supply.conductance[..., :1], self._dt) for d in diffs]
        shape = supply.u.shape[:-1]
        weights = torch.stack([x.expand(*shape, x.shape[-1]) for x in inside])
        edge = torch.stack([x.expand(*shape, 1) for x in edges])
        return weights, edge if self._left is not None else torch.zeros_like(edge)


class StreamingPattern:
    """Pattern mode on a stream: Q queries at once. Takes all `num_steps`; at rest they change nothing.

    `push` and `finish` give the final state with the evidence it came from, (Q, m) each.
    """

    def __init__(
        self, spacing_s: float, config: PatternConfig, *, tolerance: float = TOLERANCE, chunk: int = 1
    ) -> None:
        self._config = config
        self._system = pattern_system(config, spacing_s)
        self._stream = ReactionStream(
            self._system, dt=config.dt, num_steps=config.num_steps, tolerance=tolerance, chunk=chunk
        )
        self._evidence: Tensor | None = None

    @property
    def delay_snippets(self) -> int:
        """How far what is final lies behind what was fed, at most; behind a cut nothing waits."""
        return self._stream.delay_snippets

    def push(self, evidence: Tensor, conductance: Tensor) -> tuple[State, Tensor]:
        """evidence (Q, n), conductance (n,) to the snippet before → what has become final."""
        start = start_of(evidence, self._system, self._config)
        supply = Supply(start.u, start.v, start.catalysis, start.seed, conductance.expand_as(evidence))
        self._evidence = evidence if self._evidence is None else torch.cat((self._evidence, evidence), dim=-1)
        return self._with_evidence(self._stream.push(supply))

    def finish(self) -> tuple[State, Tensor]:
        """The rest, at the end of the video."""
        return self._with_evidence(self._stream.finish())

    def _with_evidence(self, state: State) -> tuple[State, Tensor]:
        assert self._evidence is not None
        count = state.v.shape[-1]
        evidence, self._evidence = self._evidence[:, :count], self._evidence[:, count:].clone()
        return state, evidence
