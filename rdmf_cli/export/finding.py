"""What a picture or page shows of an answer, and the texts and outlines that all of them share."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.moments import Moment, Relevance

MANY_CUTS = 120  # with more, ticks are drawn finer, else they would be one black bar


@dataclass(frozen=True)
class Finding:
    """One video and one query: the curve, and the moments that are to be seen."""

    info: VideoInfo
    duration_s: float
    query: str
    relevance: Relevance
    moments: tuple[Moment, ...]  # those to show, best first
    times_s: NDArray[np.float64]  # (T,) one per snippet
    saliency: NDArray[np.float32]  # (T,) in [0, 1]
    cuts_s: tuple[float, ...] = ()  # where shots meet

    @property
    def name(self) -> str:
        """The file's name, fit to be shown."""
        return legible(self.info.path.name)

    @property
    def verdict(self) -> str:
        """What keeps the answer from being a match; "" if it is one. Moments may be shown all the same (--all)."""
        score, cutoff = self.relevance.score, self.relevance.cutoff
        if not self.relevance.confident:
            return f"no confident match (relevance {score:.2f} < {cutoff:.2f})"
        return "" if self.moments else "no moment scores high enough to be shown"


def legible(text: str) -> str:
    """`text` fit for any file format and font: on one line, bytes that are no text and control characters as \\xNN.

    Signs that turn the direction of writing are dropped: a name could pretend to be another one.
    """
    valid = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(_legible_sign(sign) for sign in valid)


def _legible_sign(sign: str) -> str:
    kind = unicodedata.category(sign)
    if kind in ("Zs", "Zl", "Zp") or sign in "\t\n\r":
        return " "
    if kind == "Cc" or sign in "\ufffe\uffff":
        return f"\\x{ord(sign):02x}"
    return "" if sign in "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069" else sign


def by_video(findings: list[Finding]) -> list[list[Finding]]:
    """Findings grouped by their video, in the order in which videos and queries came."""
    groups: dict[object, list[Finding]] = {}
    for finding in findings:
        groups.setdefault(finding.info.path, []).append(finding)
    return list(groups.values())


def apart(places: list[float], least: float, most: float) -> list[float]:
    """Places on a line from 0 to `most`, moved as little as needed to stand `least` apart, in the order given.

    Where there are too many for that they close up, but keep their order.
    """
    order = sorted(range(len(places)), key=lambda index: places[index])
    least = min(least, most / max(1, len(places)))
    moved = dict(enumerate(places))
    for before, index in zip([None, *order], order, strict=False):
        moved[index] = max(moved[index], least / 2 if before is None else moved[before] + least)
    for after, index in zip([None, *reversed(order)], reversed(order), strict=False):
        moved[index] = min(moved[index], most - least / 2 if after is None else moved[after] - least)
    return [moved[index] for index in range(len(places))]


def outline(finding: Finding, most_steps: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The curve as steps: edges (N + 1,) in seconds from 0 to the end, heights (N,) in [0, 1]; N <= most_steps.

    A snippet reaches from its time to that of the next. With more snippets than steps each step is as high as its
    highest snippet, so no peak is lost.
    """
    duration_s = max(finding.duration_s, 1e-3)
    starts = np.asarray(finding.times_s, dtype=np.float64)
    heights = np.clip(np.nan_to_num(np.asarray(finding.saliency, dtype=np.float64)), 0, 1)
    keep = starts < duration_s
    starts, heights = starts[keep], heights[keep]
    if not len(starts):
        return np.array([0.0, duration_s]), np.zeros(1)
    if len(starts) > most_steps:
        first = np.unique(np.linspace(0, len(starts), most_steps, endpoint=False).astype(np.int64))
        starts, heights = starts[first], np.maximum.reduceat(heights, first)
    edges = np.append(starts, duration_s)
    edges[0] = 0.0
    return edges, heights


def within(
    edges: NDArray[np.float64], heights: NDArray[np.float64], start_s: float, end_s: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The steps of an outline from `start_s` to `end_s`, at least one."""
    end_s = min(end_s, float(edges[-1]))
    first = min(max(0, int(np.searchsorted(edges, start_s, side="right")) - 1), len(heights) - 1)
    last = max(first + 1, int(np.searchsorted(edges, end_s, side="left")))
    inside = edges[first : last + 1].copy()
    inside[0], inside[-1] = min(start_s, end_s), end_s
    return inside, heights[first:last]
