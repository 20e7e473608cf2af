"""Moments of many videos in one ranking: near-identical ones are one hit, and no video crowds out the others. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.moments import Moment

_MOST_ROWS = 32  # of a moment that are compared; a longer one is thinned out


@dataclass(frozen=True, eq=False)
class Candidate:
    """One moment of one video."""

    video_id: str
    moment: Moment
    score: float  # in [0, 1], comparable between videos; the moment's own is not quite
    rows: NDArray[np.float32]  # (R, D) features inside the moment, unit length


@dataclass(eq=False)
class Ranked:
    """A hit, and the moments of other videos that show the same."""

    candidate: Candidate
    also: list[Candidate] = field(default_factory=list)


def rank(candidates: Iterable[Candidate], top: int, per_video: int, alike: float) -> list[Ranked]:
    """At most `top` hits, best first, at most `per_video` of one video (0: any number).

    alike: cosine from which pictures count as the same; above 1 nothing is merged. A moment that shows what a better
    hit of another video shows already becomes a note at that hit. Moments of one video are never merged: they are
    apart because they are different scenes.
    """
    hits: list[Ranked] = []
    counts: Counter[str] = Counter()
    for candidate in sorted(candidates, key=lambda candidate: -candidate.score):
        twin = next((hit for hit in hits if shows_the_same(hit.candidate, candidate, alike)), None)
        if twin is not None:
            if all(other.video_id != candidate.video_id for other in twin.also):
                twin.also.append(candidate)
            continue
        if len(hits) < top and (per_video == 0 or counts[candidate.video_id] < per_video):
            counts[candidate.video_id] += 1
            hits.append(Ranked(candidate))
    return hits


def shows_the_same(a: Candidate, b: Candidate, alike: float) -> bool:
    """True if all that the shorter moment shows is in the longer one, too, and they are of different videos."""
    if a.video_id == b.video_id or alike > 1 or not len(a.rows) or not len(b.rows):
        return False
    cosines = thinned(a.rows) @ thinned(b.rows).T
    best = cosines.max(axis=1 if len(a.rows) <= len(b.rows) else 0)
    return float(best.mean()) >= alike


def thinned(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """At most `_MOST_ROWS` of the rows, evenly."""
    if len(rows) <= _MOST_ROWS:
        return rows
    thin: NDArray[np.float32] = rows[np.linspace(0, len(rows) - 1, _MOST_ROWS).round().astype(int)]
    return thin
