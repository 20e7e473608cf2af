"""Curves over time → answers: what `classify` and `affect` share with each other and, in form, with a search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.pipeline.answer import Answer

_NEAR_BEST = 0.9  # of the best score: what counts as one of the best stretches where none is good enough


@dataclass(frozen=True, eq=False)
class Curve:
    """A score in [0, 1] over M stretches of a video, each up to the start of the next."""

    label: str  # what is scored: takes the place of the query
    times_s: NDArray[np.float64]  # (M,)
    scores: NDArray[np.float32]  # (M,)


def answer_of(
    info: VideoInfo, video_id: str, duration_s: float, curve: Curve, threshold: float, warnings: tuple[str, ...]
) -> Answer:
    """The answer of a video for one label: its moments are the runs of stretches that score `threshold` or more.

    The relevance is the best score: the video is a match if any stretch is. A moment's score is the mean over it. As a
    search lists moments whether it is confident or not, a video without such a stretch gives its best ones.
    """
    scores = np.clip(curve.scores, 0, 1)
    best = float(scores.max(initial=0.0))
    return Answer(
        info=info,
        video_id=video_id,
        duration_s=duration_s,
        query=curve.label,
        relevance=Relevance(best, threshold),
        moments=tuple(runs(curve.times_s, scores, duration_s, min(threshold, _NEAR_BEST * best))),
        times_s=curve.times_s,
        saliency=scores.astype(np.float32),
        warnings=warnings,
    )


def runs(
    times_s: NDArray[np.float64], scores: NDArray[np.float32], duration_s: float, threshold: float
) -> list[Moment]:
    """Moments of scores (M,) at or above a threshold, best first; equal ones by time."""
    on = scores >= threshold
    edges = np.flatnonzero(np.diff(np.concatenate([[False], on, [False]]).astype(np.int8)))
    ends_s = np.append(times_s[1:], max(duration_s, float(times_s[-1]) + 1e-3))
    found = []
    for first, stop in edges.reshape(-1, 2):
        inside = scores[first:stop]
        peak = first + int(inside.argmax())
        middle_s = float((times_s[peak] + ends_s[peak]) / 2)
        found.append(Moment(float(times_s[first]), float(ends_s[stop - 1]), float(inside.mean()), middle_s))
    return sorted(found, key=lambda moment: (-moment.score, moment.start_s))
