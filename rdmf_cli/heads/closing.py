"""Moments of an endless pattern, each as soon as nothing that comes can change it: decode.py on what has closed.

A stretch is closed by a cut, or where v falls to the floor. Only what is open, and two snippets before it, is kept.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.heads.decode import DecodeConfig, Timeline, moments_of
from rdmf_cli.moments import Moment

Array = NDArray[np.float64]
_ROUNDING_S = 1e-6  # times are shifted to and fro
_CONTEXT = 2  # snippets on either side that a border may look at


@dataclass(frozen=True, eq=False)
class Stretch:
    """n snippets of one query. Times as in Timeline."""

    v: Array  # (n,)
    evidence: Array  # (n,)
    starts_s: Array  # (n,)
    cut_s: Array  # (n,) time of a cut before the snippet, nan where there is none

    def __getitem__(self, part: slice) -> Stretch:
        return Stretch(self.v[part], self.evidence[part], self.starts_s[part], self.cut_s[part])

    def __add__(self, other: Stretch) -> Stretch:
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Stretch(*(np.concatenate(pair) for pair in pairs))


class ClosingMoments:
    """The moments of one query, in order of time. A moment longer than `longest` snippets is told in pieces."""

    def __init__(self, config: DecodeConfig, *, longest: int) -> None:
        self._config, self._longest = config, longest
        self._kept: Stretch | None = None
        self._open = 0  # index into what is kept: everything before it has been told

    def push(self, stretch: Stretch, ahead: Stretch | None = None) -> list[Moment]:
        """The moments that have closed by it.

        `ahead`: what follows directly, if that begins with a cut. Its v need not be known, nothing looks across.
        """
        self._kept = stretch if self._kept is None else self._kept + stretch
        if ahead is not None and len(self._kept.v) > self._open:
            own, self._kept = len(self._kept.v), self._kept + ahead[:_CONTEXT]
            moments = self._close(own, _CONTEXT, float(self._kept.starts_s[-1]) + 1e-3)
            self._kept = self._kept[: self._open]  # the rest will come with its v
            return moments
        known = len(self._kept.v) - _CONTEXT  # the border at the end of a moment looks at what follows
        if known <= self._open:
            return []
        is_break = (self._kept.v <= self._config.floor) | ~np.isnan(self._kept.cut_s)
        breaks = np.flatnonzero(is_break[self._open + 1 : known + 1])
        if len(breaks):
            return self._close(self._open + 1 + int(breaks[-1]), _CONTEXT, float(self._kept.starts_s[-1]) + 1e-3)
        if known - self._open > self._longest:
            return self._close(known, 0, float(self._kept.starts_s[known]))
        return []

    def finish(self, end_s: float) -> list[Moment]:
        """The rest, at the end of the video, which is at `end_s`."""
        if self._kept is None or self._open >= len(self._kept.v):
            return []
        return self._close(len(self._kept.v), 0, end_s)

    def _close(self, stop: int, context: int, end_s: float) -> list[Moment]:
        """Tell what lies in [open, stop), from what is kept up to stop + context, where the world ends at `end_s`."""
        assert self._kept is not None
        kept, since_s = self._kept, float(self._kept.starts_s[self._open])
        until_s = float(kept.starts_s[stop]) if stop < len(kept.v) else end_s
        moments = _shifted_moments(kept[: stop + context], end_s, self._config)
        start = max(0, stop - context)  # none where a moment was cut in two: the next part begins there
        self._kept, self._open = kept[start:], stop - start
        mine = [moment for moment in moments if since_s - _ROUNDING_S <= moment.peak_s < until_s - _ROUNDING_S]
        return sorted(mine, key=lambda moment: moment.start_s)


def _shifted_moments(part: Stretch, end_s: float, config: DecodeConfig) -> list[Moment]:
    """decode.py takes the first snippet for the start of the video."""
    first_s = float(part.starts_s[0])
    timeline = Timeline(part.starts_s - first_s, part.cut_s - first_s, max(end_s - first_s, 1e-3))
    return [
        Moment(m.start_s + first_s, m.end_s + first_s, m.score, m.peak_s + first_s)
        for m, _ in moments_of(part.v, part.evidence, timeline, config)
    ]
