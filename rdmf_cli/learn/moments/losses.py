"""What training minimises: matched spans, their ranking, borders, saliency and relevance.

A slot that is matched to a true window (matcher.py) must take its place and say so; every slot must say how well it
lies (quality = IoU), which is what makes the ranking honest. Costs of places are relative to the window's width, so
that half a second counts in a moment of three seconds; a logarithmic term in snippets keeps pulling until the border
itself is met. Axes: B batch, T snippets, S slots, W windows (padded), L layers, E = T + 1 edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from rdmf_cli.heads.moments import Found
from rdmf_cli.heads.spans import overlap, pairwise_overlap
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.moments.matcher import assign

_NARROWEST = 2.0  # snippets; below it a width is no measure of what went wrong
_PARTNERS = 16  # snippets that each snippet is ranked against
_ROUNDING = 1e-3  # snippets: a border at 3.0000001 lies at edge 3


@dataclass(frozen=True)
class LossConfig:
    """Weights of the parts; ours (docs/experiments.md)."""

    distance: float = 2.0  # |border error| / width
    giou: float = 2.0
    border: float = 0.5  # log(1 + |border error in snippets| / border_scale)
    border_scale: float = 0.25
    classes: float = 2.0
    focal_gamma: float = 2.0
    focal_balance: float = 0.5  # weight of the matched slots; the others get 1 - it
    quality: float = 2.0
    boundary: float = 1.0
    saliency: float = 1.0
    ranking: float = 0.5
    contrast: float = 0.1
    margin: float = 0.5  # of the ranking, in logits
    relevance: float = 1.0
    actionness: float = 0.5
    auxiliary: float = 0.5  # of the layers before the last
    helper: float = 0.5  # weight of places of slots that are not matched but overlap a window by helper_overlap
    helper_overlap: float = 0.5

    def __post_init__(self) -> None:
        wrong = [name for name, value in vars(self).items() if not 0 <= value < float("inf")]
        if wrong:
            raise ValueError(f"{wrong[0]} is 0 or more and finite")
        if self.border_scale == 0 or self.focal_balance > 1:
            raise ValueError("border_scale is above 0, focal_balance at most 1")


class Targets(NamedTuple):
    """What is true of B padded items."""

    windows: Tensor  # (B, W, 2) start and end in snippets; the first num_windows of an item count
    num_windows: Tensor  # (B,) 0: nothing matches
    saliency: Tensor  # (B, T) in [0, 1], nan where nobody said and on padding


class Losses(NamedTuple):
    """The sum that is minimised, and its parts without their weights, detached, for the history."""

    total: Tensor  # ()
    parts: dict[str, Tensor]


def targets_of(examples: Sequence[Example], num_snippets: int) -> Targets:
    """Targets of some examples, padded to `num_snippets` as their batch is."""
    most = max((len(example.windows) for example in examples), default=0)
    windows = np.zeros((len(examples), max(most, 1), 2), dtype=np.float32)
    saliency = np.full((len(examples), num_snippets), np.nan, dtype=np.float32)
    for row, example in enumerate(examples):
        windows[row, : len(example.windows)] = example.windows
        saliency[row, : len(example.saliency)] = example.saliency
    counts = torch.tensor([len(example.windows) for example in examples])
    return Targets(torch.from_numpy(windows), counts, torch.from_numpy(saliency))


def moment_losses(found: Found, targets: Targets, *, valid: Tensor, config: LossConfig) -> Losses:
    """All parts of the loss. valid (B, T): that of the batch which `found` answers."""
    exists = torch.arange(targets.windows.shape[1], device=valid.device) < targets.num_windows[:, None]  # (B, W)
    match = match_slots(found, targets, config)  # (L, B, S)
    layers = found.spans.shape[0]
    weights = torch.full((layers,), config.auxiliary, device=valid.device)
    weights[-1] = 1.0
    parts = _place_losses(found.spans, match, found.slot_valid, targets.windows, exists, weights, config)
    parts["classes"] = _class_loss(found.logits, match, found.slot_valid, weights, config)
    parts["quality"] = _quality_loss(found, targets.windows, exists, weights)
    parts["boundary"] = _boundary_loss(found.boundary, targets.windows, exists, valid)
    shown = shows_moment(targets.windows, exists, valid.shape[1])
    parts["actionness"] = _balanced(found.actionness, shown, valid)
    known = valid & ~targets.saliency.isnan()
    saliency = targets.saliency.nan_to_num()
    parts["saliency"] = _balanced(found.saliency, saliency, known)
    parts["ranking"] = _ranking_loss(found.saliency, saliency, known, config.margin)
    parts["contrast"] = _contrast_loss(found.saliency, saliency, known)
    answers = (targets.num_windows > 0).to(found.relevance.dtype)
    parts["relevance"] = functional.binary_cross_entropy_with_logits(found.relevance, answers)
    total = torch.stack([getattr(config, name) * value for name, value in parts.items()]).sum()
    return Losses(total, {name: value.detach() for name, value in parts.items()})


@torch.no_grad()
def match_slots(found: Found, targets: Targets, config: LossConfig) -> Tensor:
    """The window of each slot in each layer, (L, B, S); -1 for none."""
    layers, num_items, num_slots = found.logits.shape
    windows = targets.windows[:, None]  # (B, 1, W, 2)
    spans = found.spans.detach().float()
    giou = pairwise_overlap(spans, targets.windows).giou  # (L, B, S, W)
    apart = (spans[..., None, :] - windows).abs().sum(dim=-1) / _width(windows)
    cost = config.distance * apart - config.giou * giou - config.classes * found.logits.float().sigmoid()[..., None]
    counts = targets.num_windows.cpu().numpy()
    chosen = assign(
        cost.flatten(0, 1).double().cpu().numpy(),
        np.tile(found.slot_valid.cpu().numpy(), (layers, 1)),
        np.tile(counts, layers),
    )
    return torch.from_numpy(chosen).reshape(layers, num_items, num_slots).to(found.logits.device)


def shows_moment(windows: Tensor, exists: Tensor, num_snippets: int) -> Tensor:
    """1 where a snippet shows a moment, else 0: windows (B, W, 2), exists (B, W) → (B, T).

    A snippet is seen at its first instant, as `rdmf search` samples.
    """
    instant = torch.arange(num_snippets, device=windows.device) + _ROUNDING
    start, end = windows[..., :1], windows[..., 1:]  # (B, W, 1)
    inside = (start <= instant) & (instant < end) & exists[..., None]
    return inside.any(dim=1).to(windows.dtype)


def _width(windows: Tensor) -> Tensor:
    return (windows[..., 1] - windows[..., 0]).clamp(min=_NARROWEST)


def _place_losses(
    spans: Tensor,
    match: Tensor,
    slot_valid: Tensor,
    windows: Tensor,
    exists: Tensor,
    layer_weights: Tensor,
    config: LossConfig,
) -> dict[str, Tensor]:
    """Distance, giou and border: the mean over the matched slots, and over those that lie well without a match."""
    iou = _known_iou(spans.detach(), windows, exists)
    best, nearest = iou.max(dim=-1)
    helps = (match < 0) & slot_valid & (best >= config.helper_overlap)
    weight = torch.where(match >= 0, 1.0, config.helper * helps) * layer_weights[:, None, None]
    index = torch.where(match >= 0, match, nearest)
    # (L, B, S, 2): the window of each slot
    aims = windows.expand(len(spans), -1, -1, -1).gather(2, index[..., None].expand(*index.shape, 2))
    apart = (spans - aims).abs()
    count = weight.sum().clamp(min=1)
    return {
        "distance": (weight * apart.sum(dim=-1) / _width(aims)).sum() / count,
        "giou": (weight * (1 - overlap(spans, aims).giou)).sum() / count,
        "border": (weight * torch.log1p(apart / config.border_scale).sum(dim=-1)).sum() / count,
    }


def _known_iou(spans: Tensor, windows: Tensor, exists: Tensor) -> Tensor:
    """(L, B, S, W): IoU with each window, 0 with padding."""
    return pairwise_overlap(spans, windows).iou * exists[:, None]


def _class_loss(logits: Tensor, match: Tensor, slot_valid: Tensor, weights: Tensor, config: LossConfig) -> Tensor:
    """Focal loss: the matched slots are moments, all others are not."""
    is_match = (match >= 0).to(logits.dtype)
    chance = logits.sigmoid()
    wrong = torch.where(match >= 0, 1 - chance, chance)
    balance = torch.where(match >= 0, config.focal_balance, 1 - config.focal_balance)
    loss = functional.binary_cross_entropy_with_logits(logits, is_match, reduction="none")
    loss = loss * balance * wrong**config.focal_gamma * slot_valid * weights[:, None, None]
    # Items without a moment count too: dividing by matches alone would blow up a batch that has few.
    return loss.sum() / (match[-1] >= 0).sum().clamp(min=match.shape[1])


def _quality_loss(found: Found, windows: Tensor, exists: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy of the quality with the IoU that the slot has with its nearest window."""
    iou = _known_iou(found.spans.detach(), windows, exists).amax(dim=-1)
    loss = functional.binary_cross_entropy_with_logits(found.quality, iou, reduction="none")
    loss = loss * found.slot_valid * weights[:, None, None]
    return loss.sum() / found.slot_valid.sum().clamp(min=1)


def boundary_targets(windows: Tensor, exists: Tensor, num_edges: int) -> Tensor:
    """1 at the edges where a window starts or ends, else 0: (B, E).

    A border inside snippet e − 1 belongs to edge e: the first frame behind it is that of snippet e.
    """
    borders = windows.flatten(1)  # (B, 2W)
    there = exists.repeat_interleave(2, dim=1).to(windows.dtype)
    edges = (borders - _ROUNDING).ceil().long().clamp(0, num_edges - 1)
    return windows.new_zeros(len(windows), num_edges).scatter_reduce(1, edges, there, "amax")


def _boundary_loss(boundary: Tensor, windows: Tensor, exists: Tensor, valid: Tensor) -> Tensor:
    """Cross-entropy weighted by the error itself: most edges are no borders, and soon known to be none."""
    target = boundary_targets(windows, exists, boundary.shape[1])
    there = torch.arange(target.shape[1], device=valid.device) <= valid.sum(dim=1, keepdim=True)
    loss = functional.binary_cross_entropy_with_logits(boundary, target, reduction="none")
    loss = loss * (boundary.sigmoid() - target).abs() * there
    return loss.sum() / (2 * exists.sum()).clamp(min=len(valid))


def _balanced(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """Cross-entropy where the target is known: the mean of each item, then over items, so that a long one is one."""
    loss = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    loss = torch.where(known, loss, 0.0).sum(dim=1) / known.sum(dim=1).clamp(min=1)
    return loss.mean()


def _ranking_loss(logits: Tensor, target: Tensor, known: Tensor, margin: float) -> Tensor:
    """Of two snippets of one item the more salient one must lead by `margin`, in proportion to how much it is more so.

    Each snippet meets _PARTNERS others, spread evenly over the item: no draw of chance, and linear in T.
    """
    length = known.sum(dim=1).clamp(min=1)[:, None, None]
    steps = torch.arange(1, _PARTNERS + 1, device=known.device)
    own = torch.arange(known.shape[1], device=known.device)
    partner = (own[:, None] + 1 + (steps * length) // (_PARTNERS + 1)) % length  # (B, T, P)

    def other(values: Tensor) -> Tensor:
        return values.gather(1, partner.flatten(1)).reshape(partner.shape)

    more = target[..., None] - other(target)
    more = more.clamp(min=0) * (known[..., None] & other(known))
    loss = more * functional.relu(margin - (logits[..., None] - other(logits)))
    return loss.sum() / more.sum().clamp(min=1)


def _contrast_loss(logits: Tensor, target: Tensor, known: Tensor) -> Tensor:
    """−log of the share of the salient snippets in the softmax over the item, where it has both kinds."""
    salient, rest = known & (target >= 0.5), known & (target < 0.5)
    applies = salient.any(dim=1) & rest.any(dim=1)
    lowest = torch.finfo(logits.dtype).min
    both = logits.masked_fill(~known, lowest).logsumexp(dim=1)
    some = logits.masked_fill(~salient, lowest).logsumexp(dim=1)
    return torch.where(applies, both - some, 0.0).sum() / applies.sum().clamp(min=1)
