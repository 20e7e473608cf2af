"""The learned fusion on a stream: each block is a reaction stream between two convolutions that wait for neighbours.

Everything else in the network is per snippet. Equal to the whole video's result, given the same inputs, up to the
tolerance of the reaction streams: what one block gives too early reaches the next one. What a query's facts say of the
whole video (`Batch.query`) can't be known in a stream; they are given with every chunk, as far as they are known then.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rdmf_cli.fusion.config import Fused
from rdmf_cli.fusion.inputs import Batch
from rdmf_cli.fusion.learned import IGNITION, SEED, ReactionBlock, ReactionDiffusionFusion
from rdmf_cli.fusion.parts import LocalMixing
from rdmf_cli.fusion.streaming import TOLERANCE, ReactionStream, Supply


class StreamingFusion:
    """B streams of snippets `spacing_s` seconds apart through one `ReactionDiffusionFusion`.

    `push` and `finish` give what has become final as `Fused`: sequence (B, m, H), u, v (B, C, m), activity (B, m).

    Raises
    ------
    ValueError
        If the network is in training mode, in which no two runs agree.
    """

    def __init__(
        self,
        fusion: ReactionDiffusionFusion,
        num_streams: int,
        spacing_s: float,
        *,
        num_steps: int | None = None,
        tolerance: float = TOLERANCE,
        chunk: int = 1,
    ) -> None:
        if fusion.training:
            raise ValueError("a stream needs the network in evaluation mode")
        self._fusion = fusion
        self._spacing_s = torch.full((num_streams,), float(spacing_s))
        steps = num_steps or fusion.config.num_steps
        self._was_fed = False
        self._blocks = []
        for first, reaction, mixing in zip(fusion.first_mixings, fusion.reactions, fusion.mixings, strict=True):
            assert isinstance(first, LocalMixing)
            assert isinstance(reaction, ReactionBlock)
            assert isinstance(mixing, LocalMixing)
            self._blocks.append(_Block(first, reaction, mixing, self._spacing_s, steps, tolerance, chunk))

    @property
    def delay_snippets(self) -> int:
        """How far what is final lies behind what was fed, at most."""
        return sum(block.delay_snippets for block in self._blocks)

    @torch.no_grad()
    def push(
        self,
        values: Tensor,
        query: Tensor,
        distance: Tensor,
        is_cut: Tensor,
        features: Tensor | None = None,
        words: Tensor | None = None,
    ) -> Fused:
        """n ≥ 1 snippets more.

        values (B, n, N), query (B, S), features (B, n, E), words (B, E) as in `Batch`; distance and is_cut (B, n)
        between each snippet and the one before it, of the first snippet of all they do not matter.
        """
        self._was_fed = True
        valid = torch.ones(values.shape[:2], dtype=torch.bool)
        batch = Batch(values, query, distance, is_cut, valid, self._spacing_s, features, words)
        return self._through(self._fusion.embedding(batch), distance, is_cut, last=False)

    @torch.no_grad()
    def finish(self) -> Fused:
        """The rest, at the end of the video. Raises ValueError if nothing was fed."""
        if not self._was_fed:
            raise ValueError("nothing was fed")
        none = torch.zeros(len(self._spacing_s), 0)
        x = torch.zeros(*none.shape, self._fusion.config.hidden)
        return self._through(x, none, none.bool(), last=True)

    def _through(self, x: Tensor, distance: Tensor, is_cut: Tensor, *, last: bool) -> Fused:
        u = v = x
        for block in self._blocks:
            x, u, v, distance, is_cut = block.push(x, distance, is_cut, last=last)
        return Fused(self._fusion.norm(x), u, v, self._fusion.activity(v))


class _Mixer:
    """A local mixing: snippets wait for the neighbours that it reads, and whatever else is said of them with them."""

    def __init__(self, mixing: LocalMixing, reach: int) -> None:
        self._mixing, self.reach = mixing, reach
        # What it reads (B, n, H) and what goes with it (B, n, ...); the first `_context` of them have been given
        # already, and are there for their neighbours.
        self._parts: list[Tensor] | None = None
        self._context = 0

    def push(self, fresh: list[Tensor], *, last: bool) -> list[Tensor]:
        """fresh: x (B, n, H) and others (B, n, ...) → the same of m snippets whose neighbours are known, x mixed."""
        parts = _joined(self._parts, fresh)
        known = parts[0].shape[1]
        start, stop = self._context, known if last else max(self._context, known - self.reach)
        valid = torch.ones(parts[0].shape[:2], dtype=torch.bool)
        x = self._mixing(parts[0], valid)[:, start:stop]
        keep = max(0, stop - self.reach)
        self._parts, self._context = [part[:, keep:].clone() for part in parts], stop - keep
        return [x, *(part[:, start:stop] for part in parts[1:])]


class _Block:
    """Local mixing, one reaction, local mixing."""

    def __init__(
        self,
        first: LocalMixing,
        reaction: ReactionBlock,
        mixing: LocalMixing,
        spacing_s: Tensor,
        num_steps: int,
        tolerance: float,
        chunk: int,
    ) -> None:
        config = reaction.config
        self._reaction, self._spacing_s = reaction, spacing_s
        self._first, self._last = (_Mixer(one, config.kernel // 2) for one in (first, mixing))
        self._stream = ReactionStream(
            reaction.bank.system(spacing_s),
            dt=config.dt,
            num_steps=num_steps,
            tolerance=tolerance,
            joined=True,
            reaction=config.reaction,
            chunk=chunk,
        )
        self._flow: Tensor | None = None  # (B, C, 1) of the newest snippet
        self._waiting: list[Tensor] | None = None  # for the reaction: x (B, n, H), distance, is_cut (B, n)

    @property
    def delay_snippets(self) -> int:
        """Of this block."""
        return self._first.reach + self._stream.delay_snippets + self._last.reach

    def push(self, x: Tensor, distance: Tensor, is_cut: Tensor, *, last: bool) -> tuple[Tensor, ...]:
        """x (B, n, H), distance, is_cut (B, n) → x (B, m, H), u, v (B, C, m), distance, is_cut (B, m)."""
        mixed = self._first.push([x, distance, is_cut], last=last)
        self._waiting = _joined(self._waiting, mixed)
        u, v = torch.zeros(2, len(x), self._reaction.config.channels, 0)
        if mixed[0].shape[1]:
            u, v = self._stream.push(self._supply(*mixed))
        if last:
            rest = self._stream.finish()
            u, v = torch.cat((u, rest.u), dim=-1), torch.cat((v, rest.v), dim=-1)
        count = u.shape[-1]
        ready, self._waiting = [p[:, :count] for p in self._waiting], [p[:, count:] for p in self._waiting]
        read = ready[0] + self._reaction.read(u, v)
        x, u, v, distance, is_cut = self._last.push([read, u.transpose(1, 2), v.transpose(1, 2), *ready[1:]], last=last)
        return x, u.transpose(1, 2), v.transpose(1, 2), distance, is_cut

    def _supply(self, x: Tensor, distance: Tensor, is_cut: Tensor) -> Supply:
        """`ReactionBlock.forward` up to its steps."""
        start, evidence, catalysis, flow = self._reaction.driven(x)
        flows = torch.cat((flow[..., :1] if self._flow is None else self._flow, flow), dim=-1)
        self._flow = flows[..., -1:]
        valid = torch.ones(len(x), flows.shape[-1], dtype=torch.bool)
        empty = x.new_zeros(len(x), 0)
        edges = self._reaction.conductance(flows, Batch(empty, empty, distance, is_cut, valid, self._spacing_s))
        return Supply(start, IGNITION * evidence, catalysis, SEED * evidence, edges)


def _joined(before: list[Tensor] | None, fresh: list[Tensor]) -> list[Tensor]:
    """Along snippets."""
    return fresh if before is None else [torch.cat(pair, dim=1) for pair in zip(before, fresh, strict=True)]
