"""What following a video takes from the caller, and what stands between its snippets and its moments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.moments import Moment, Relevance

Rows = NDArray[np.float32]
Array = NDArray[np.float64]


@dataclass(frozen=True)
class FollowOptions:
    """What a caller may choose about following."""

    sample_fps: float = 2.0
    batch_size: int = 4  # frames encoded at once; more cost less, and wait longer
    lag_s: float = 4.0  # a snippet is judged so long after it was seen; a learned model waits for its inputs, too
    warm_up_s: float = 20.0  # and not before so much has been seen
    longest_s: float = 1800.0  # a longer moment is told in pieces; with a learned model, pieces are shorter
    chunk: int = 4  # snippets for which the fusion is run again, at least
    tolerance: float = 0.5  # of a learned fusion (fusion/streaming.py); measured in docs/streaming.md

    @property
    def spacing_s(self) -> float:
        """Distance of snippets."""
        return 1 / self.sample_fps


class Following(Protocol):
    """Snippets in, moments out, for all queries of a run. A moment comes with the number of its query."""

    closes_at_cuts: bool  # a moment is told when its shot ends

    @property
    def delay_snippets(self) -> int:
        """How far behind what was fed a moment ends when it is told, at most.

        With a learned model later while another moment near it is still open (heads/closing_windows.py).
        """
        ...

    def see(self, features: Rows) -> None:
        """features (N, D) of frames, as soon as they are there."""
        ...

    def push(self, features: Rows, starts_s: Array, cut_s: Array) -> list[tuple[int, Moment]]:
        """n ≥ 1 snippets on an even grid: features (n, D), times (n,) as in Timeline."""
        ...

    def finish(self, end_s: float) -> list[tuple[int, Moment]]:
        """The rest, at the end of the video; something was fed."""
        ...

    def relevance(self, number: int) -> Relevance:
        """Of query `number`, by all that is known now."""
        ...

    def score(self, moment: Moment, relevance: Relevance) -> float:
        """Of a moment that came out, as a search has it, given the relevance of its query."""
        ...
