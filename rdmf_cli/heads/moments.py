"""The head: from the fused sequence to moments, saliency, borders and relevance.

Slots start at peaks of activity and saliency together (anchors.py). Each looks at its own neighbourhood only, through
bins that go with its width, and moves: first its two borders by a share of the width, then each border among the
snippet edges around it, by attention over these few edges. So a border can lie anywhere inside a snippet. Slots of one
window see each other, which is how one of two on the same moment learns to step back. Cost is linear in the length of
the video.

Axes: B batch, T snippets, H channels of the sequence, S slots, L layers (outputs), E = T + 1 edges. Edge e lies
between the snippets e − 1 and e. Spans are start and end in snippets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rdmf_cli.heads.anchors import find_anchors
from rdmf_cli.heads.sampling import BINS, bin_edges, bin_means, integral, rows_at
from rdmf_cli.heads.spans import pairwise_overlap

PADDED_LOGIT = -20.0  # of padding: as good as 0 after the sigmoid, and finite
MIN_WIDTH = 0.05  # snippets
_OUTWARDS, _INWARDS = 0.75, 0.45  # how far a coarse step moves a border, in widths
_ACTIVITY_FLOOR = 0.02  # keeps the logarithm's slope in bounds where nothing is active


@dataclass(frozen=True)
class HeadConfig:
    """Shape of the head. Stored with the weights."""

    num_slots: int = 16  # in each window
    window: int = 100  # snippets that share these slots
    hidden: int = 64  # of a slot
    value_dim: int = 32  # of what a slot reads of the sequence
    edge_dim: int = 32
    coarse_layers: int = 2  # that move borders by a share of the width
    border_reach: tuple[int, ...] = (8, 3)  # edges on either side; one layer each, after the coarse ones
    attention_heads: int = 2
    max_width: int = 768  # of an anchor, in snippets
    max_overlap: float = 0.5  # IoU of two anchors
    dropout: float = 0.0

    def __post_init__(self) -> None:
        if min(self.num_slots, self.window, self.hidden, self.value_dim, self.edge_dim, self.max_width) < 1:
            raise ValueError("num_slots, window, hidden, value_dim, edge_dim and max_width are at least 1")
        if self.coarse_layers < 0 or self.num_layers < 1 or min(self.border_reach, default=1) < 1:
            raise ValueError("the head needs a layer, and a border_reach of at least 1 edge")
        if self.attention_heads < 1 or self.hidden % self.attention_heads:
            raise ValueError(f"hidden ({self.hidden}) must be a multiple of attention_heads ({self.attention_heads})")
        if not 0 <= self.dropout < 1 or not 0 < self.max_overlap <= 1:
            raise ValueError("dropout lies in [0, 1), max_overlap in (0, 1]")

    @property
    def num_layers(self) -> int:
        """L, the outputs that are trained."""
        return self.coarse_layers + len(self.border_reach)


class Found(NamedTuple):
    """What the head says. The last layer is the answer; the others are there to be trained."""

    spans: Tensor  # (L, B, S, 2) start and end in snippets, start < end; may lie a little outside the video
    logits: Tensor  # (L, B, S) is this slot one of the moments
    quality: Tensor  # (L, B, S) logit of its IoU with the nearest moment
    slot_valid: Tensor  # (B, S) bool
    saliency: Tensor  # (B, T) logit, PADDED_LOGIT on padding
    boundary: Tensor  # (B, E) logit: a moment starts or ends at this edge
    relevance: Tensor  # (B,) logit: this video answers this query at all
    actionness: Tensor  # (B, T) logit of 1 − exp(−activity); training it makes the activity peak inside moments


class Scene(NamedTuple):
    """What slots read, made once for all layers."""

    sums: Tensor  # (B, T+1, value_dim) float64
    edges: Tensor  # (B, E, edge_dim)
    length: Tensor  # (B, 1) snippets
    slot_valid: Tensor  # (B, S)


class MomentHead(nn.Module):
    """(B, T, H) and activity (B, T) → Found. `dim` is H, `query_dim` the number of facts about a query."""

    def __init__(self, config: HeadConfig, dim: int, query_dim: int) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.LayerNorm(dim)
        self.value = nn.Linear(dim, config.value_dim)
        self.edge = nn.Sequential(nn.Linear(2 * dim + 2, config.edge_dim), nn.GELU())
        self.boundary = _rare(nn.Linear(config.edge_dim, 1))
        self.saliency = nn.Sequential(nn.Linear(dim, config.hidden), nn.GELU(), _rare(nn.Linear(config.hidden, 1)))
        self.relevance = RelevanceHead(dim, query_dim, config.hidden)
        self.first_look = Look(config)
        self.movers = nn.ModuleList(
            [CoarseStep(config.hidden) for _ in range(config.coarse_layers)]
            + [BorderStep(config.hidden, config.edge_dim, reach) for reach in config.border_reach]
        )
        self.looks = nn.ModuleList([Look(config) for _ in range(config.num_layers)])
        self.verdict = nn.Sequential(nn.LayerNorm(config.hidden), _rare(nn.Linear(config.hidden, 2)))

    def forward(self, sequence: Tensor, activity: Tensor, *, query: Tensor, valid: Tensor, is_cut: Tensor) -> Found:
        """sequence (B, T, H), activity (B, T) ≥ 0, query (B, query_dim), valid (B, T), is_cut (B, T-1) → Found."""
        x = torch.where(valid[..., None], self.norm(sequence), 0.0)
        saliency = self.saliency(x).squeeze(-1).masked_fill(~valid, PADDED_LOGIT)
        actionness = chance_logit(activity).masked_fill(~valid, PADDED_LOGIT)
        edges = self._edges(x, valid, is_cut)
        length = valid.sum(dim=1, keepdim=True)
        beyond = torch.arange(edges.shape[1], device=x.device) > length
        boundary = self.boundary(edges).squeeze(-1).masked_fill(beyond, PADDED_LOGIT)
        # The activity alone is what the reaction says. Where it is coarse still, saliency helps it out.
        spans, slot_valid = find_anchors(
            ((saliency.detach() + actionness.detach()) / 2).sigmoid(),
            valid,
            is_cut,
            num_slots=self.config.num_slots,
            window=self.config.window,
            max_width=self.config.max_width,
            max_overlap=self.config.max_overlap,
        )
        scene = Scene(integral(self.value(x), valid), edges, length.to(x.dtype), slot_valid)
        moved, verdicts = self._refine(spans, scene)
        relevance = self.relevance(x, saliency, actionness, query, valid)
        return Found(moved, verdicts[..., 0], verdicts[..., 1], slot_valid, saliency, boundary, relevance, actionness)

    def _edges(self, x: Tensor, valid: Tensor, is_cut: Tensor) -> Tensor:
        """(B, E, edge_dim): what lies left and right of each edge, whether a cut does, whether the video ends there."""
        pad = nn.functional.pad
        cut = pad(is_cut & valid[:, 1:], (1, 1)).to(x.dtype)
        ends = (pad(valid, (1, 0)) ^ pad(valid, (0, 1))).to(x.dtype)  # one side only is video
        flags = torch.stack([cut, ends], dim=-1)
        found: Tensor = self.edge(torch.cat([pad(x, (0, 0, 1, 0)), pad(x, (0, 0, 0, 1)), flags], dim=-1))
        return found

    def _refine(self, spans: Tensor, scene: Scene) -> tuple[Tensor, Tensor]:
        """Anchors (B, S, 2) → spans (L, B, S, 2) and verdicts (L, B, S, 2) of all layers.

        Gradients stop between layers, as usual with iterative boxes: each learns to mend what it is given.
        """
        state = self.first_look(torch.zeros((), dtype=spans.dtype, device=spans.device), spans, scene)
        moved, verdicts = [], []
        for mover, look in zip(self.movers, self.looks, strict=True):
            proposed = ordered(mover(state, spans, scene))
            spans = _inside(proposed.detach(), scene.length)
            state = look(state, spans, scene)
            moved.append(proposed)
            verdicts.append(self.verdict(state))
        return torch.stack(moved), torch.stack(verdicts)


class Look(nn.Module):
    """A slot reads its neighbourhood and what the other slots of its window are at."""

    def __init__(self, config: HeadConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.num_slots, self.heads = config.num_slots, config.attention_heads
        self.enter = nn.Linear(BINS * config.value_dim + 5, hidden)
        self.norm, self.last_norm = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.ask = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.nearness = nn.Parameter(torch.ones(self.heads))
        self.deepen = nn.Sequential(nn.Linear(hidden, 2 * hidden), nn.GELU(), nn.Linear(2 * hidden, hidden))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, state: Tensor, spans: Tensor, scene: Scene) -> Tensor:
        """state (B, S, hidden) or a scalar 0, spans (B, S, 2) → (B, S, hidden)."""
        bins = bin_means(scene.sums, bin_edges(spans)).to(spans.dtype).flatten(2)
        state = state + self.dropout(self.enter(torch.cat([bins, _geometry(spans, scene.length)], dim=-1)))
        state = state + self._others(self.norm(state), spans, scene.slot_valid)
        deeper: Tensor = state + self.dropout(self.deepen(self.last_norm(state)))
        return deeper

    def _others(self, x: Tensor, spans: Tensor, slot_valid: Tensor) -> Tensor:
        """Attention among the slots of each window, drawn to those that overlap. (B, S, hidden) → the same."""
        groups = slot_valid.reshape(-1, self.num_slots)  # (G, s)
        near = pairwise_overlap(*(2 * [spans.reshape(-1, self.num_slots, 2)])).iou[:, None]  # (G, 1, s, s)
        usable = groups | ~groups.any(dim=1, keepdim=True)  # a window without slots: anything, but no NaN
        bias = (self.nearness[:, None, None] * near).masked_fill(~usable[:, None, None, :], -torch.inf)
        q, k, v = self.ask(x).reshape(len(groups), self.num_slots, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5 + bias).softmax(dim=-1)
        mixed: Tensor = self.out((weights @ v).transpose(1, 2).reshape(x.shape))
        return mixed


class CoarseStep(nn.Module):
    """Moves each border outwards by up to three quarters of the width, inwards by less than half.

    Were both allowed to pass the middle, slots could learn to close, and at no width there is no gradient back: one
    training in some ended so (docs/experiments.md).
    """

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.move = nn.Sequential(
            nn.LayerNorm(hidden), nn.Linear(hidden, hidden), nn.GELU(), _still(nn.Linear(hidden, 2))
        )

    def forward(self, state: Tensor, spans: Tensor, scene: Scene) -> Tensor:
        """state (B, S, hidden), spans (B, S, 2) → (B, S, 2)."""
        width = spans[..., 1:] - spans[..., :1]
        move = self.move(state).tanh()
        is_outward = move * move.new_tensor([-1.0, 1.0]) > 0
        # Of a width of at least 1 on the way out: one snippet can still become its neighbour.
        moved: Tensor = spans + move * torch.where(is_outward, _OUTWARDS * width.clamp(min=1.0), _INWARDS * width)
        return moved


class BorderStep(nn.Module):
    """Moves each border among the edges around it: the mean of their places under attention, each with an offset.

    An offset is what takes a border inside a snippet; staying where it is competes with the edges.
    """

    def __init__(self, hidden: int, edge_dim: int, reach: int) -> None:
        super().__init__()
        self.reach = reach
        self.norm = nn.LayerNorm(hidden)
        self.ask = nn.Linear(hidden, 2 * edge_dim)  # for the start and for the end
        self.place = nn.Linear(3, edge_dim)
        self.judge = nn.Linear(edge_dim, 2)
        self.stay = nn.Linear(hidden, 2)

    def forward(self, state: Tensor, spans: Tensor, scene: Scene) -> Tensor:
        """state (B, S, hidden), spans (B, S, 2) → (B, S, 2)."""
        x = self.norm(state)
        steps = torch.arange(1 - self.reach, self.reach + 1, device=spans.device)
        places = spans.floor()[..., None] + steps  # (B, S, 2, 2 reach)
        apart = places - spans[..., None]
        exists = (places >= 0) & (places <= scene.length[..., None, None])
        index = places.clamp(0, scene.edges.shape[1] - 1).long()
        edges = rows_at(scene.edges, index.flatten(1)).reshape(*places.shape, -1)
        near = self.place(torch.stack([apart, apart.abs(), torch.exp(-apart.abs())], dim=-1))
        asked = self.ask(x).unflatten(-1, (2, -1))[..., None, :]
        judged = self.judge(nn.functional.gelu(edges + near + asked))
        logits = judged[..., 0].masked_fill(~exists, -torch.inf)
        weights = torch.cat([logits, self.stay(x)[..., None]], dim=-1).softmax(dim=-1)
        moves = apart + judged[..., 1].tanh()
        moved: Tensor = spans + (weights[..., :-1] * moves).sum(dim=-1)
        return moved


class RelevanceHead(nn.Module):
    """Is the thing asked for in this video at all. Pools the sequence by maximum, by mean and by saliency."""

    def __init__(self, dim: int, query_dim: int, hidden: int) -> None:
        super().__init__()
        self.enter = nn.Linear(dim, hidden)
        self.judge = nn.Sequential(nn.Linear(3 * hidden + query_dim + 2, hidden), nn.GELU(), nn.Linear(hidden, 1))

    def forward(self, x: Tensor, saliency: Tensor, actionness: Tensor, query: Tensor, valid: Tensor) -> Tensor:
        """x (B, T, H), saliency and actionness (B, T), query (B, query_dim), valid (B, T) → (B,) logits."""
        entered = self.entered(x)
        most = entered.masked_fill(~valid[..., None], -torch.inf).amax(dim=1)
        weights = valid.to(x.dtype)
        mean = (entered * weights[..., None]).sum(dim=1) / weights.sum(dim=1, keepdim=True).clamp(min=1)
        salient = saliency.masked_fill(~valid, -torch.inf).softmax(dim=1)
        chosen = (entered * salient[..., None]).sum(dim=1)
        peaks = torch.stack([saliency.amax(dim=1), actionness.amax(dim=1)], dim=-1)
        return self.judged(most, mean, chosen, peaks, query)

    def entered(self, x: Tensor) -> Tensor:
        """What is pooled: (B, T, H) → (B, T, hidden)."""
        return nn.functional.gelu(self.enter(x))

    def judged(self, most: Tensor, mean: Tensor, chosen: Tensor, peaks: Tensor, query: Tensor) -> Tensor:
        """The three poolings (B, hidden), peaks (B, 2) of saliency and actionness, query (B, query_dim) → (B,)."""
        found: Tensor = self.judge(torch.cat([most, mean, chosen, peaks, query], dim=-1)).squeeze(-1)
        return found


def chance_logit(activity: Tensor) -> Tensor:
    """Logit of 1 − exp(−activity), the chance of at least one event of a rate: log(exp(activity) − 1). activity ≥ 0."""
    raised = activity.clamp(min=0) + _ACTIVITY_FLOOR
    return raised + torch.log(-torch.expm1(-raised))


def ordered(spans: Tensor) -> Tensor:
    """(..., 2) with the end at least MIN_WIDTH after the start: the lacking width is added on both sides."""
    start, end = spans.unbind(-1)
    lacking = (MIN_WIDTH - (end - start)).clamp(min=0) / 2
    return torch.stack([start - lacking, end + lacking], dim=-1)


def _inside(spans: Tensor, length: Tensor) -> Tensor:
    """spans (B, S, 2) moved into [0, length]; length (B, 1)."""
    start = spans[..., 0].clamp(min=0).minimum(length - MIN_WIDTH)
    end = spans[..., 1].minimum(length).maximum(start + MIN_WIDTH)
    return torch.stack([start, end], dim=-1)


def _geometry(spans: Tensor, length: Tensor) -> Tensor:
    """(B, S, 5): log width, distances to both ends of the video, and where between edges the borders lie."""
    start, end = spans.unbind(-1)
    left, right = torch.log1p(start.clamp(min=0)), torch.log1p((length - end).clamp(min=0))
    return torch.stack([(end - start).log(), left, right, start - start.floor(), end - end.floor()], dim=-1)


@torch.no_grad()
def _rare(layer: nn.Linear) -> nn.Linear:
    """Most slots, edges and snippets are no moment: start there, or the first steps go into learning just that."""
    layer.bias.fill_(-2.0)
    return layer


@torch.no_grad()
def _still(layer: nn.Linear) -> nn.Linear:
    """Start with small moves: anchors are better than chance."""
    layer.weight.mul_(0.1)
    layer.bias.zero_()
    return layer
