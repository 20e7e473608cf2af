"""From a pattern at rest to moments: connected components of v with borders on cuts or between snippets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.moments import Moment

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Timeline:
    """Where T snippets lie. Snippet i is the stretch from starts_s[i] to the next start; the last ends at end_s."""

    starts_s: Array  # (T,) increasing
    cut_s: Array  # (T,) time of a hard cut between snippet i-1 and i, nan where there is none
    end_s: float

    @property
    def is_cut(self) -> NDArray[np.bool_]:
        """(T-1,) True where a cut lies between neighbours."""
        return ~np.isnan(self.cut_s[1:])

    @cached_property  # asked for at every border
    def spacing_s(self) -> float:
        """Typical distance of snippets."""
        return float(np.median(np.diff(self.starts_s))) if len(self.starts_s) > 1 else max(self.end_s, 1e-3)


@dataclass(frozen=True)
class DecodeConfig:
    """Constants of the decoding; ours (docs/experiments.md)."""

    floor: float = 0.05  # of v: below it there is no pattern
    level: float = 0.5  # a moment reaches down to this part of its local peak
    peak_share: float = 0.5  # of the best snippet in the strength; the rest is the mean over the moment
    length_bonus: float = 0.15  # strength per e-fold of length: of two equal peaks the longer one is surer


def moments_of(v: Array, evidence: Array, timeline: Timeline, config: DecodeConfig) -> list[tuple[Moment, float]]:
    """Moments of one query with their strengths, strongest first. v, evidence (T,).

    A moment never crosses a hard cut: evidence does not flow across it (conductance 0), so the two sides are two
    patterns. `Moment.score` is the strength on a logistic curve; callers may weigh it further.
    """
    found = []
    for first, last in _runs(v > config.floor, timeline.is_cut):
        level = config.level * v[first : last + 1].max()
        for start, end in _runs(v[first : last + 1] >= level):
            found.append(_moment(first + start, first + end, level, v, evidence, timeline, config))
    moments = [(moment, strength) for moment, strength in found if moment is not None]
    return sorted(moments, key=lambda item: (-item[1], item[0].start_s))


def _moment(
    first: int, last: int, level: float, v: Array, evidence: Array, timeline: Timeline, config: DecodeConfig
) -> tuple[Moment | None, float]:
    inside = evidence[first : last + 1]
    strength = config.peak_share * inside.max() + (1 - config.peak_share) * inside.mean()
    strength += config.length_bonus * np.log(last - first + 1)
    start_s = _border(first, level, v, timeline, is_start=True)
    end_s = _border(last + 1, level, v, timeline, is_start=False)
    if end_s - start_s < 1e-3:
        return None, 0.0
    peak_s = float(timeline.starts_s[first + int(inside.argmax())])
    score = 1 / (1 + np.exp(-(strength - 1)))
    return Moment(start_s, end_s, float(score), min(max(peak_s, start_s), end_s)), float(strength)


def _border(index: int, level: float, v: Array, timeline: Timeline, *, is_start: bool) -> float:
    """Time of the border between snippets index-1 and index: a cut near it, else where v crosses `level`."""
    last = len(v)
    if index == 0:
        return 0.0
    if index == last:
        return timeline.end_s
    if not np.isnan(timeline.cut_s[index]):
        return float(timeline.cut_s[index])
    inside, outside = (index, index - 1) if is_start else (index - 1, index)
    share = (v[inside] - level) / max(v[inside] - v[outside], 1e-12)  # of the way from inside to outside
    starts = timeline.starts_s
    crossing = starts[inside] + float(np.clip(share, 0, 1)) * (starts[outside] - starts[inside])
    return _snapped(float(crossing), index - 1 if is_start else index + 1, timeline)


def _snapped(border_s: float, outside: int, timeline: Timeline) -> float:
    """The cut before snippet `outside`, one further out than the border, if it is within one snippet; or the border.

    Cuts further in don't count: only a moment of one snippet can have one there, and it is its other border.
    """
    if not 0 < outside < len(timeline.cut_s):
        return border_s
    cut = float(timeline.cut_s[outside])
    return cut if abs(cut - border_s) <= timeline.spacing_s else border_s


def _runs(on: NDArray[np.bool_], breaks: NDArray[np.bool_] | None = None) -> list[tuple[int, int]]:
    """First and last index of every run of True. `breaks` (T-1,): True where a run ends whatever follows."""
    joined = on[1:] & on[:-1]
    if breaks is not None:
        joined &= ~breaks
    firsts = on & ~np.concatenate(([False], joined))
    lasts = on & ~np.concatenate((joined, [False]))
    return list(zip(np.flatnonzero(firsts), np.flatnonzero(lasts), strict=True))
