"""Fusions to measure the reaction-diffusion fusion against: the same inputs, the same outputs, similar size.

- `none`: every snippet for itself but for local mixing;
- `self_attention`: a transformer encoder over [query token, snippets] (Moment-DETR: Lei et al. 2021);
- `query_dependent`: snippets ask the query's tokens by cross-attention, then an encoder with a saliency token
  (QD-DETR: Moon et al. 2023);
- `cross_gru`: cross-attentive GRUs (Kim and Kim 2025), fusion/cross_gru.py.

The query's tokens are its facts, `Batch.query`: what the encoder-agnostic input knows of it. Where the video meets the
words themselves is in the inputs already. Axes as in parts.py.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rdmf_cli.fusion.config import Fused, FusionConfig
from rdmf_cli.fusion.cross_gru import CrossAttention, CrossGruConfig, CrossGruRetrieval
from rdmf_cli.fusion.inputs import MAX_INPUT, Batch
from rdmf_cli.fusion.learned import ReactionDiffusionFusion
from rdmf_cli.fusion.parts import Embedding, LocalMixing, keep_valid

_NUM_TOKENS = 4  # that the query's facts become, where snippets ask them


def build_fusion(config: FusionConfig) -> nn.Module:
    """The fusion that `config.kind` names: a module from `Batch` to `Fused`."""
    makers: dict[str, Callable[[FusionConfig], nn.Module]] = {
        "rdmf": ReactionDiffusionFusion,
        "none": LocalFusion,
        "self_attention": SelfAttentionFusion,
        "query_dependent": QueryDependentFusion,
        "cross_gru": CrossGruFusion,
    }
    return makers[config.kind](config)


class _Baseline(nn.Module, ABC):
    """Embedding, whatever a subclass does with it, and the way out: sequence and a learned activity per snippet."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.norm = nn.LayerNorm(config.hidden)
        self.activity = nn.Linear(config.hidden, 1)

    def forward(self, batch: Batch, num_steps: int | None = None) -> Fused:
        """num_steps is there so that every fusion is called alike; nothing here has steps."""
        x = keep_valid(self.norm(self.fuse(self.embedding(batch), batch)), batch.valid)
        # softplus: 1 − exp(−activity) is the sigmoid of the linear map.
        activity = nn.functional.softplus(self.activity(x).squeeze(-1))
        return Fused(x, None, None, torch.where(batch.valid, activity, 0.0))

    @abstractmethod
    def fuse(self, x: Tensor, batch: Batch) -> Tensor:
        """x (B, T, H) → (B, T, H); padding may hold anything finite after it."""


class LocalFusion(_Baseline):
    """`none`: local mixing only, twice a block: RDMF without its reactions."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        self.mixings = nn.ModuleList(LocalMixing(config) for _ in range(2 * config.blocks))

    def fuse(self, x: Tensor, batch: Batch) -> Tensor:
        """x (B, T, H) → (B, T, H)."""
        for mixing in self.mixings:
            x = mixing(x, batch.valid)
        return x


class _EncoderLayer(nn.Module):
    """Pre-norm transformer layer: self-attention and a feed-forward network of width 2 H."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.heads = config.heads
        self.attention_norm, self.feed_norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.project = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.feed = nn.Sequential(
            nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Dropout(config.dropout), nn.Linear(2 * hidden, hidden)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, positions: Tensor, valid: Tensor) -> Tensor:
        """x (B, N, H), positions (N, H), valid (B, N) with at least one True per row → (B, N, H)."""
        normed = self.attention_norm(x)
        # As in DETR: queries and keys know where they are, values don't.
        weight, bias = self.project.weight, self.project.bias
        hidden = x.shape[-1]
        ask, offer = nn.functional.linear(normed + positions, weight[: 2 * hidden], bias[: 2 * hidden]).chunk(2, dim=-1)
        tell = nn.functional.linear(normed, weight[2 * hidden :], bias[2 * hidden :])
        q, k, v = (part.reshape(*part.shape[:2], self.heads, -1).transpose(1, 2) for part in (ask, offer, tell))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=valid[:, None, None, :])
        x = x + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        result: Tensor = x + self.dropout(self.feed(self.feed_norm(x)))
        return result


class SelfAttentionFusion(_Baseline):
    """`self_attention`: static, the query is one more token."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        self.query = nn.Linear(config.num_facts, config.hidden)
        self.kind = nn.Parameter(torch.zeros(2, config.hidden))  # added to query and snippets
        self.layers = nn.ModuleList(_EncoderLayer(config) for _ in range(config.blocks))

    def fuse(self, x: Tensor, batch: Batch) -> Tensor:
        """x (B, T, H) → (B, T, H)."""
        token = self.query(batch.query / (MAX_INPUT / 2))[:, None] + self.kind[0]
        return _encoded(self.layers, x + self.kind[1], token, batch.valid)


class QueryDependentFusion(_Baseline):
    """`query_dependent`: every snippet is rewritten by what it asks of the query, then the encoder."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        self.tokens = nn.Linear(config.num_facts, _NUM_TOKENS * config.hidden)
        self.ask = nn.ModuleList(
            CrossAttention(config.hidden, config.heads, config.dropout) for _ in range(config.blocks)
        )
        self.saliency = nn.Parameter(torch.randn(config.hidden) * 0.02)
        self.layers = nn.ModuleList(_EncoderLayer(config) for _ in range(config.blocks))

    def fuse(self, x: Tensor, batch: Batch) -> Tensor:
        """x (B, T, H) → (B, T, H)."""
        tokens = self.tokens(batch.query / (MAX_INPUT / 2)).reshape(len(x), _NUM_TOKENS, -1)
        known = batch.valid.new_ones(tokens.shape[:2])
        for ask in self.ask:
            x = ask(x, tokens, known)
        return _encoded(self.layers, x, self.saliency.expand(len(x), 1, -1), batch.valid)


class CrossGruFusion(_Baseline):
    """`cross_gru`: snippets, their changes and the query as three streams."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__(config)
        shape = CrossGruConfig(hidden=config.hidden, heads=config.heads, dropout=config.dropout)
        self.query = nn.Linear(config.num_facts, config.hidden)
        self.gru = CrossGruRetrieval(shape, config.hidden)

    def fuse(self, x: Tensor, batch: Batch) -> Tensor:
        """x (B, T, H) → (B, T, H)."""
        fused: Tensor = self.gru(x, self.query(batch.query / (MAX_INPUT / 2)), batch.valid)
        return fused


def _encoded(layers: nn.ModuleList, x: Tensor, token: Tensor, valid: Tensor) -> Tensor:
    """Encode [token, snippets], give back the snippets. x (B, T, H), token (B, 1, H), valid (B, T)."""
    positions = torch.cat((x.new_zeros(1, x.shape[-1]), sine_positions(x)))
    x, valid = torch.cat((token, x), dim=1), nn.functional.pad(valid, (1, 0), value=True)
    for layer in layers:
        x = layer(x, positions, valid)
    return x[:, 1:]


def sine_positions(x: Tensor) -> Tensor:
    """Sinusoidal positions of the snippets of x (B, T, H): (T, H)."""
    num_snippets, hidden = x.shape[1:]
    half = (hidden + 1) // 2
    rates = torch.exp(torch.arange(half, device=x.device, dtype=x.dtype) * (-math.log(10000.0) / half))
    angles = torch.arange(num_snippets, device=x.device, dtype=x.dtype)[:, None] * rates
    return torch.cat((angles.sin(), angles.cos()), dim=1)[:, :hidden]
