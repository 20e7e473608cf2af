"""From moments to the stretches that are cut: padded, joined where they are close, the best ones only."""

from __future__ import annotations

from rdmf_cli.intervals import merge
from rdmf_cli.moments import Moment

SHORTEST_S = 0.04  # what is left of a moment after shortening is at least about one frame


def arrange(
    moments: list[Moment],
    duration_s: float,
    *,
    pad_s: float = 0.0,
    merge_gap_s: float | None = None,
    max_clips: int | None = None,
) -> list[Moment]:
    """Stretches of one video to cut, best first.

    Each moment grows by `pad_s` on both sides, inside [0, duration_s]; those that then overlap or lie at most
    `merge_gap_s` apart become one, with the score and peak of the best (None: all stay as they are). A moment behind
    the end is left alone, so that cutting it says so.
    """
    padded = [_padded(moment, duration_s, pad_s) for moment in moments]
    if merge_gap_s is not None and padded:
        padded = _merged(padded, merge_gap_s)
    return sorted(padded, key=lambda moment: -moment.score)[:max_clips]


def fill(moments: list[Moment], length_s: float) -> list[Moment]:
    """The best moments, in their order, that together last `length_s`; the last one is shortened around its peak."""
    chosen: list[Moment] = []
    left_s = length_s
    for moment in moments:
        if left_s < SHORTEST_S:
            break
        chosen.append(shortened(moment, left_s))
        left_s -= chosen[-1].length_s
    return chosen


def shortened(moment: Moment, length_s: float) -> Moment:
    """At most `length_s` of `moment`, with its peak as near the middle as may be."""
    if moment.length_s <= length_s:
        return moment
    start_s = min(max(moment.start_s, moment.peak_s - length_s / 2), moment.end_s - length_s)
    return Moment(start_s, start_s + length_s, moment.score, min(max(moment.peak_s, start_s), start_s + length_s))


def _padded(moment: Moment, duration_s: float, pad_s: float) -> Moment:
    if pad_s <= 0 or moment.start_s >= duration_s:
        return moment
    start_s, end_s = max(0.0, moment.start_s - pad_s), min(max(duration_s, moment.end_s), moment.end_s + pad_s)
    return Moment(start_s, end_s, moment.score, moment.peak_s)


def _merged(moments: list[Moment], gap_s: float) -> list[Moment]:
    joined = []
    for start_s, end_s in merge([(moment.start_s, moment.end_s) for moment in moments], gap_s).tolist():
        best = max((m for m in moments if start_s <= m.start_s and m.end_s <= end_s), key=lambda m: m.score)
        joined.append(Moment(start_s, end_s, best.score, best.peak_s))
    return joined
