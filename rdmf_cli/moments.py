"""The answer: moments of a video, in seconds from the first presented frame. Half-open: start included, end not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Moment:
    """One stretch of a video that answers a query.

    `score` in [0, 1] ranks moments of one answer; `peak_s` is where the query fits best.
    """

    start_s: float
    end_s: float
    score: float
    peak_s: float

    def __post_init__(self) -> None:
        if not self.start_s < self.end_s:
            raise ValueError(f"a moment ends after it starts: {self.start_s} .. {self.end_s}")

    @property
    def length_s(self) -> float:
        """Length in seconds, above 0."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class Relevance:
    """Does this video answer this query at all? `score` in [0, 1]; confident at or above `cutoff`."""

    score: float
    cutoff: float

    @property
    def confident(self) -> bool:
        """True if the answer may be shown as a match."""
        return self.score >= self.cutoff
