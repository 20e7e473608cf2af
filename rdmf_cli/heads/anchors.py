"""Where slots start: peaks of an activity, found at several scales at once.

A candidate is a stretch [m - w/2, m + w/2) for every snippet m and a ladder of widths w. Its strength is that of a
matched filter for a box in noise,

    strength = √w · (mean inside − mean of the flanks),    flanks of w/2 on either side

so a lone peak and the whole of a long moment can both win. Where a cut is near, a stretch begins or ends on it: most
moments do, and a slot that starts there has nothing left to move. Greedy suppression of overlaps leaves `num_slots`
in each window of `window` snippets. Every snippet belongs to one window and a stretch may reach beyond its own: the
windows only share out the slots, so a video of any length gets its due and none is cut at a window's end.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Anchors(NamedTuple):
    """Spans that slots start from; windows one after the other, within a window the strongest first."""

    spans: Tensor  # (B, S, 2) start and end in snippets; S = windows · num_slots
    slot_valid: Tensor  # (B, S) bool; every item has at least one


# What lies beyond the video counts as this share of the video's mean, and as at most so much. As 0 it would make the
# whole of every video the strongest stretch; as the mean itself, a video that is alike throughout would not be one.
_BEYOND, _MOST_BEYOND = 0.9, 0.5
_CUT_REACH = 3  # a border moves onto a cut within a third of the width, so that the two never meet


def ladder(longest: int) -> list[int]:
    """Widths in snippets from 1 up to the first that is at least `longest`: 1, 2, 3, 4, 6, 8, 12, 16, …"""
    widths = [1]
    while widths[-1] < longest:
        power = 2 ** (len(widths) // 2)
        widths.append(2 * power if len(widths) % 2 else 3 * power // 2)
    return widths


@torch.no_grad()
def find_anchors(
    activity: Tensor,
    valid: Tensor,
    is_cut: Tensor | None = None,
    *,
    num_slots: int,
    window: int,
    max_width: int = 768,
    max_overlap: float = 0.5,
) -> Anchors:
    """activity (B, T) ≥ 0, valid (B, T), is_cut (B, T-1) → the anchors. No gradient: they are places, not values.

    Two anchors of a window overlap by at most `max_overlap` (IoU). Slots that nothing is left for are not valid.
    """
    num_items, num_snippets = activity.shape
    span = min(window, num_snippets)
    num_windows = -(-num_snippets // span)
    starts, ends, strength = _candidates(activity, valid, is_cut, min(max_width, num_snippets))
    padding = num_windows * span - num_snippets

    def by_window(values: Tensor, filler: float) -> Tensor:  # (B, K, T) → (B · windows, K · span)
        padded = torch.nn.functional.pad(values, (0, padding), value=filler)
        shape = (num_items, -1, num_windows, span)
        return padded.reshape(shape).transpose(1, 2).reshape(num_items * num_windows, -1)

    starts, ends = by_window(starts, 0.0), by_window(ends, 0.0)
    strength = by_window(strength, -torch.inf)
    chosen, found = [], []
    for _ in range(num_slots):
        best_strength, best = strength.max(dim=1, keepdim=True)
        start, end = starts.gather(1, best), ends.gather(1, best)
        shared = (torch.minimum(ends, end) - torch.maximum(starts, start)).clamp(min=0)
        union = (ends - starts) + (end - start) - shared
        strength = strength.masked_fill(shared > max_overlap * union, -torch.inf)
        chosen.append(torch.cat([start, end], dim=1))
        found.append(best_strength.squeeze(1) > -torch.inf)
    spans, slot_valid = torch.stack(chosen, dim=1), torch.stack(found, dim=1)
    total = (num_items, num_windows * num_slots)
    unused = torch.tensor([0.0, 1.0], dtype=spans.dtype, device=spans.device)
    spans = torch.where(slot_valid[..., None], spans, unused)
    return Anchors(spans.reshape(*total, 2).to(activity.dtype), slot_valid.reshape(total))


def _candidates(activity: Tensor, valid: Tensor, is_cut: Tensor | None, longest: int) -> tuple[Tensor, Tensor, Tensor]:
    """Starts, ends and strengths, each (B, K, T) for K widths; the strength of padding is -inf."""
    rungs = ladder(longest)
    widths = torch.tensor(rungs, device=activity.device)[:, None]  # (K, 1)
    narrower = torch.tensor([0, *rungs[:-1]], device=activity.device)[:, None]
    num_snippets = activity.shape[1]
    length = valid.sum(dim=1)[:, None, None]  # (B, 1, 1)
    middle = torch.arange(num_snippets, device=activity.device)
    first = middle - widths // 2  # (K, T)
    starts = first.clamp(min=0).minimum(length)  # (B, K, T)
    ends = (first + widths).minimum(length)
    if is_cut is not None:
        nearest = _nearest_cut(is_cut & valid[:, 1:], length[:, 0])
        starts, ends = (_on_cuts(edges, nearest, widths // _CUT_REACH) for edges in (starts, ends))
    flank = (widths // 2).clamp(min=1)
    # In float64: a sum over a day of snippets must still tell one snippet from the next.
    sums = torch.nn.functional.pad(torch.where(valid, activity, 0.0).double().cumsum(dim=1), (1, 0))  # (B, T+1)

    def until(places: Tensor) -> Tensor:
        return sums.gather(1, places.clamp(0, num_snippets).flatten(1)).reshape(places.shape)

    at_start, at_end = until(starts), until(ends)
    before, after = starts.minimum(flank), (length - ends).minimum(flank)  # how much of the flanks is video
    around = (until(ends + after) - at_end) + (at_start - until(starts - before))
    beyond = (_BEYOND * sums[:, -1:] / length[:, 0].clamp(min=1)).clamp(max=_MOST_BEYOND)[:, None]
    around = around + beyond * (2 * flank - before - after)
    size = (ends - starts).clamp(min=1)
    strength = size.sqrt() * ((at_end - at_start) / size - around / (2 * flank))
    # One width is enough for the whole of an item, however long the others of its batch are.
    strength = torch.where(valid[:, None, :] & (narrower < length), strength, -torch.inf)
    return starts.float(), ends.float(), strength.float()


def _nearest_cut(is_cut: Tensor, length: Tensor) -> Tensor:
    """The edge with a cut that is nearest to each edge; the video's two ends count. (B, T-1), (B, 1) → (B, T+1)."""
    edges = torch.arange(is_cut.shape[1] + 2, device=is_cut.device)
    there = torch.nn.functional.pad(is_cut, (1, 1)) | (edges == 0) | (edges == length)
    before = torch.where(there, edges, 0).cummax(dim=1).values
    # Beyond the end there is no next cut: as far as it gets.
    after = torch.where(there, edges, 2 * len(edges)).flip(1).cummin(dim=1).values.flip(1)
    return torch.where(after - edges < edges - before, after, before)


def _on_cuts(edges: Tensor, nearest: Tensor, reach: Tensor) -> Tensor:
    """edges (B, K, T), each on the nearest cut if that is within reach (K, 1)."""
    cuts = nearest.gather(1, edges.flatten(1)).reshape(edges.shape)
    return torch.where((cuts - edges).abs() <= reach, cuts, edges)
