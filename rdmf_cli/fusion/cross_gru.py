"""Cross-attentive GRUs: three streams of a stretch of video, one GRU each, joined by attention and concatenation.

    h_s  = GRU_s(W_s x_s)                          one per stream s: motion, image, caption
    a_1  = LN(h_image + Att_1(h_image, h_motion))  first stage, image → video
    a_2  = LN(a_1 + Att_2(a_1, h_caption))         second stage, image → text
    z    = [pool h_motion, pool h_image, pool h_caption, pool a_1, pool a_2]

The image stream asks, first the motion, then the captions; which stream asks, whom, and in how many stages is
configuration, because that is the ablation. Axes: B batch, T steps of a stream (each stream has its own T), D channels
of a stream's input, H hidden. `valid` (B, T) is True on data; a stream without any valid step counts as missing.

References
----------
Kim and Kim 2025, arXiv 2507.03531: the three streams, a GRU each, the two stages, concatenation. Hidden size, number of
layers and heads, the residual and the pooling are ours (docs/affect.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

STREAMS = ("motion", "image", "caption")
ATTENTIONS = ("none", "single", "two_stage")
DIRECTIONS = ("from_query", "to_query", "both")


@dataclass(frozen=True)
class CrossGruConfig:
    """Shape of the fusion. Stored with the weights."""

    streams: tuple[str, ...] = STREAMS
    attention: str = "two_stage"  # "none": concatenation only; "single": one attention over all other streams at once
    query: str = "image"  # the stream that asks
    direction: str = "from_query"  # "to_query": the others ask the image stream; "both": both ways
    hidden: int = 64  # H
    layers: int = 1  # of each GRU
    heads: int = 4
    dropout: float = 0.1

    def __post_init__(self) -> None:
        unknown = [name for name in self.streams if name not in STREAMS]
        if not self.streams or unknown or len(set(self.streams)) != len(self.streams):
            raise ValueError(f"streams are some of {', '.join(STREAMS)}, each once, not {', '.join(self.streams)}")
        if self.query not in STREAMS:
            raise ValueError(f"query is one of {', '.join(STREAMS)}, not {self.query}")
        if self.attention not in ATTENTIONS:
            raise ValueError(f"attention is one of {', '.join(ATTENTIONS)}, not {self.attention}")
        if self.direction not in DIRECTIONS:
            raise ValueError(f"direction is one of {', '.join(DIRECTIONS)}, not {self.direction}")
        if min(self.hidden, self.layers, self.heads) < 1 or self.hidden % self.heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of heads ({self.heads}), both at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout lies in [0, 1), not {self.dropout}")

    @property
    def asked(self) -> tuple[str, ...]:
        """The streams that the query stream attends to, in the order of the stages; () for unimodal."""
        if self.attention == "none" or self.query not in self.streams:
            return ()
        return tuple(name for name in STREAMS if name in self.streams and name != self.query)

    @property
    def num_attended(self) -> int:
        """Attended sequences that enter the concatenation."""
        if not self.asked:
            return 0
        forward = 1 if self.attention == "single" else len(self.asked)
        return {"from_query": forward, "to_query": len(self.asked), "both": forward + len(self.asked)}[self.direction]

    @property
    def output_dim(self) -> int:
        """Channels of the joined vector."""
        return self.hidden * (len(self.streams) + self.num_attended)


class Fused(NamedTuple):
    """What the fusion gives."""

    joined: Tensor  # (B, output_dim)
    pooled: dict[str, Tensor]  # (B, H) per stream: the mean of its GRU's states
    sequence: Tensor  # (B, T, H) of the query stream after the last stage; of the first stream if nobody asks


class CrossAttention(nn.Module):
    """Multi-head attention with a residual: LN(query + Att(query, keys)). Missing keys leave LN(query)."""

    def __init__(self, hidden: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.ask, self.offer, self.tell = (nn.Linear(hidden, hidden) for _ in range(3))
        self.out = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.dropout = nn.Dropout(dropout)

    def forward(self, query: Tensor, keys: Tensor, valid: Tensor) -> Tensor:
        """query (B, T, H), keys (B, N, H), valid (B, N) → (B, T, H)."""
        some = valid.any(dim=1)  # (B,)
        usable = valid | ~some[:, None]  # softmax over nothing would be NaN; what it gives then is masked below
        q, k, v = (self._split(part) for part in (self.ask(query), self.offer(keys), self.tell(keys)))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=usable[:, None, None, :])
        mixed = self.out(mixed.transpose(1, 2).flatten(2))
        attended: Tensor = self.norm(query + self.dropout(torch.where(some[:, None, None], mixed, 0.0)))
        return attended

    def _split(self, x: Tensor) -> Tensor:
        """(B, T, H) → (B, heads, T, H / heads)."""
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)


class CrossAttentiveGru(nn.Module):
    """The fusion. `dims` says how many channels each stream has."""

    def __init__(self, config: CrossGruConfig, dims: Mapping[str, int]) -> None:
        super().__init__()
        self.config = config
        hidden = config.hidden
        self.enter = nn.ModuleDict({name: nn.Linear(dims[name], hidden) for name in config.streams})
        deep_dropout = config.dropout if config.layers > 1 else 0.0
        self.grus = nn.ModuleDict(
            {
                name: nn.GRU(hidden, hidden, config.layers, batch_first=True, dropout=deep_dropout)
                for name in config.streams
            }
        )
        stages = config.asked[:1] if config.attention == "single" else config.asked
        forward = stages if config.direction != "to_query" else ()
        backward = config.asked if config.direction != "from_query" else ()
        self.stages = self._attentions(forward)
        self.backward_stages = self._attentions(backward)
        self.dropout = nn.Dropout(config.dropout)

    def _attentions(self, names: tuple[str, ...]) -> nn.ModuleDict:
        config = self.config
        return nn.ModuleDict({name: CrossAttention(config.hidden, config.heads, config.dropout) for name in names})

    def forward(self, streams: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Fused:
        """streams: (B, T, D) each, valid: (B, T) each → Fused. Padding never reaches the result."""
        states = {name: self._states(name, streams[name], valid[name]) for name in self.config.streams}
        pooled = {name: pool(states[name], valid[name]) for name in self.config.streams}
        attended = self._attend(states, valid)
        asker = self.config.query if self.config.asked else self.config.streams[0]
        joined = [*pooled.values(), *(pool(sequence, valid[name]) for name, sequence in attended)]
        from_query = [sequence for name, sequence in attended if name == asker]
        sequence = from_query[-1] if from_query else states[asker]
        return Fused(torch.cat(joined, dim=-1), pooled, sequence)

    def _states(self, name: str, x: Tensor, valid: Tensor) -> Tensor:
        """(B, T, D) → (B, T, H). The GRU runs forward in time, and padding comes last: it can't reach data."""
        entered = self.dropout(self.enter[name](torch.where(valid[..., None], x, 0.0)))
        states, _ = self.grus[name](torch.where(valid[..., None], entered, 0.0))
        return torch.where(valid[..., None], states, 0.0)

    def _attend(self, states: dict[str, Tensor], valid: Mapping[str, Tensor]) -> list[tuple[str, Tensor]]:
        """The attended sequences, each with the stream whose steps it has."""
        config = self.config
        query, found = config.query, []
        if config.asked and self.stages:
            if config.attention == "single":
                keys = torch.cat([states[name] for name in config.asked], dim=1)
                usable = torch.cat([valid[name] for name in config.asked], dim=1)
                found.append((query, self.stages[config.asked[0]](states[query], keys, usable)))
            else:
                current = states[query]
                for name in config.asked:
                    current = self.stages[name](current, states[name], valid[name])
                    found.append((query, current))
        for name in self.backward_stages:
            found.append((name, self.backward_stages[name](states[name], states[query], valid[query])))
        return found


def pool(x: Tensor, valid: Tensor) -> Tensor:
    """Mean over the valid steps. x (B, T, H), valid (B, T) → (B, H); 0 where nothing is valid."""
    weights = valid.to(x.dtype)[..., None]
    return torch.where(valid[..., None], x, 0.0).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)


class CrossGruRetrieval(nn.Module):
    """The same fusion as a baseline for moment retrieval: called with snippets and a query, answers per snippet.

    The snippets are the image stream, their changes the motion stream, the query the text.
    """

    def __init__(self, config: CrossGruConfig, dim: int) -> None:
        super().__init__()
        self.fusion = CrossAttentiveGru(config, dict.fromkeys(STREAMS, dim))

    def forward(self, snippets: Tensor, query: Tensor, valid: Tensor | None = None) -> Tensor:
        """snippets (B, T, D), query (B, D) or (B, L, D), valid (B, T) or None → (B, T, H)."""
        words = query[:, None] if query.dim() == 2 else query
        if valid is None:
            valid = torch.ones(snippets.shape[:2], dtype=torch.bool, device=snippets.device)
        streams = {"image": snippets, "motion": differences(snippets), "caption": words}
        every_word = torch.ones(words.shape[:2], dtype=torch.bool, device=words.device)
        sequence: Tensor = self.fusion(streams, {"image": valid, "motion": valid, "caption": every_word}).sequence
        return sequence


def differences(x: Tensor) -> Tensor:
    """x (B, T, D) → what changed since the step before, (B, T, D); 0 at the first step."""
    return torch.diff(x, dim=1, prepend=x[:, :1])
