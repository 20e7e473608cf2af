"""Moments of an endless fused sequence, each window of slots as soon as its moments have closed.

The head shares its slots out to windows of snippets and a slot looks at its neighbourhood only (anchors.py). So the
head runs on a moving piece of the sequence — some windows behind, the one that is due, and what follows it — and the
slots of the one that is due answer. It is due once `reach` snippets after it are known and none of its moments looks
beyond what is known, or after `longest` snippets in any case. Windows lie as they do in a whole video.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdmf_cli.heads.decode import Timeline
from rdmf_cli.heads.moment_decode import MomentDecodeConfig, moments_from
from rdmf_cli.heads.moments import Found, MomentHead
from rdmf_cli.moments import Moment

Array = NDArray[np.float64]
_LAST_S = 1e-3  # length of the newest snippet, while nobody knows it
_PATIENCE = 16  # snippets that come before a window whose moments were still open is looked at again


@dataclass(frozen=True, eq=False)
class FusedStretch:
    """n snippets of one query. Times as in Timeline."""

    sequence: Tensor  # (n, H)
    activity: Tensor  # (n,)
    lift: Tensor  # (n,) what joins the head's saliency logits (MomentNetwork.lift)
    is_cut: Tensor  # (n,) to the one before
    starts_s: Array  # (n,)
    cut_s: Array  # (n,) time of a cut before the snippet, nan where there is none

    def __getitem__(self, part: slice) -> FusedStretch:
        return FusedStretch(*(x[part] for x in vars(self).values()))

    def __add__(self, other: FusedStretch) -> FusedStretch:
        return FusedStretch(*(_joined(*pair) for pair in zip(vars(self).values(), vars(other).values(), strict=True)))


class ClosingWindows:
    """The moments of one query, window by window, in each by time. Scores are without relevance.

    reach
        Snippets after a window that have to be known, at least.
    longest
        Snippets on either side of a window that are looked at, at most; a longer moment is told in pieces.
    least_share
        Of the best score so far, from which on a moment is told.
    """

    def __init__(
        self,
        head: MomentHead,
        query_dim: int,
        config: MomentDecodeConfig,
        *,
        reach: int = 100,
        longest: int = 400,
        least_share: float = 0.0,
    ) -> None:
        self._head, self._config, self._least_share = head, config, least_share
        self._no_facts = torch.zeros(1, query_dim)  # only the relevance reads them
        self._reach, self._longest = reach, max(longest, reach)
        self._window = head.config.window
        self._behind = -(-longest // self._window) * self._window
        self._kept: FusedStretch | None = None
        self._due = 0  # index into what is kept, where the window that is due begins
        self._is_first = True  # nothing has been let go
        self._tried = 0  # how much was known when the window that is due was looked at
        self._best = 0.0
        self._told: list[Moment] = []  # that may come again from a later window

    @property
    def delay_snippets(self) -> int:
        """How far behind what was fed a moment ends when it is told, at most, unless one of its window is still open.

        Such a one may be another and longer moment; it is waited for `longest` snippets after the window.
        """
        return self._window + self._reach + _PATIENCE

    @torch.no_grad()
    def push(self, stretch: FusedStretch) -> list[Moment]:
        """n ≥ 0 snippets more; the moments of the windows that are due."""
        self._kept = stretch if self._kept is None else self._kept + stretch
        told: list[Moment] = []
        while (known := len(self._kept.starts_s)) >= self._due + self._window + self._reach:
            if self._tried and known - self._tried < _PATIENCE:
                break
            end_s = float(self._kept.starts_s[-1]) + _LAST_S
            moments, looks_at = self._answers(end_s)
            if looks_at > known and known < self._due + self._window + self._longest:
                self._tried = known
                break
            told += self._tell(moments)
        return told

    @torch.no_grad()
    def finish(self, end_s: float) -> list[Moment]:
        """The rest, at the end of the video, which is at `end_s`."""
        told: list[Moment] = []
        while self._kept is not None and self._due < len(self._kept.starts_s):
            told += self._tell(self._answers(end_s)[0])
        return told

    def _answers(self, end_s: float) -> tuple[list[Moment], float]:
        """Moments of the window that is due, best first; and how far they look, in snippets of what is kept."""
        assert self._kept is not None
        kept = self._kept[: self._due + self._window + self._longest]
        if len(kept.starts_s) < len(self._kept.starts_s):
            end_s = float(self._kept.starts_s[len(kept.starts_s)])
        found = self._head(
            kept.sequence[None],
            kept.activity[None],
            query=self._no_facts,
            valid=torch.ones(1, len(kept.starts_s), dtype=torch.bool),
            is_cut=kept.is_cut[None, 1:],
        )
        found = found._replace(saliency=found.saliency + kept.lift)
        first_s = 0.0 if self._is_first else float(kept.starts_s[0])
        timeline = Timeline(kept.starts_s - first_s, kept.cut_s - first_s, end_s - first_s)
        moments = [
            Moment(m.start_s + first_s, m.end_s + first_s, m.score, m.peak_s + first_s)
            for m in moments_from(self._own(found), 0, timeline, config=self._config)
        ]
        if not moments:
            return [], 0.0
        least = self._least_share * max(self._best, moments[0].score)
        moments = [moment for moment in moments if moment.score >= least]
        return moments, max((_looks_at(moment, kept.starts_s) for moment in moments), default=0.0)

    def _own(self, found: Found) -> Found:
        """The slots of the window that is due only."""
        per_window = self._head.config.num_slots
        # In a video shorter than a window all slots are its own.
        first = self._due // self._window * per_window
        own = slice(first, first + per_window)
        return found._replace(
            spans=found.spans[:, :, own],
            logits=found.logits[:, :, own],
            quality=found.quality[:, :, own],
            slot_valid=found.slot_valid[:, own],
        )

    def _tell(self, moments: list[Moment]) -> list[Moment]:
        """Go on to the next window."""
        assert self._kept is not None
        self._best = max([self._best, *(moment.score for moment in moments)])
        fresh = [m for m in moments if all(_iou(m, other) <= self._config.max_overlap for other in self._told)]
        self._due += self._window
        self._tried = 0
        gone = max(0, self._due - self._behind)
        if gone:
            self._kept, self._due, self._is_first = self._kept[gone:], self._due - gone, False
        first_s = float(self._kept.starts_s[0]) if len(self._kept.starts_s) else np.inf
        self._told = [moment for moment in self._told + fresh if moment.end_s > first_s]
        return sorted(fresh, key=lambda moment: moment.start_s)


def _looks_at(moment: Moment, starts_s: Array) -> float:
    """Snippet up to which a slot at the moment reads: half a width beyond its end, at least two (sampling.py)."""
    first, last = np.searchsorted(starts_s, [moment.start_s, moment.end_s])
    return float(last + max((last - first) / 2, 2.0))


def _iou(one: Moment, other: Moment) -> float:
    shared = max(0.0, min(one.end_s, other.end_s) - max(one.start_s, other.start_s))
    return shared / max(one.length_s + other.length_s - shared, 1e-9)


def _joined(one: Any, other: Any) -> Any:
    return torch.cat((one, other)) if isinstance(one, Tensor) else np.concatenate((one, other))
