"""Moments that people marked, in the layout of QVHighlights (JSON lines); its names end here. No torch.

    {"qid": 9769, "vid": "j7rJstUseKg_360.0_510.0", "query": "…", "duration": 150, "relevant_windows": [[72, 82]],
     "relevant_clip_ids": [36, …], "saliency_scores": [[4, 3, 2], …]}

Times are seconds. The last two are optional: labels from 0 to 4 by three annotators for clips of 2 s; a clip that is
not named counts as 0. `relevant_windows` of [] says that nothing in the video answers. Charades-STA, TACoS and
ActivityNet Captions are circulated in the same layout. Whatever is wrong is one line that names the file and the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError
from rdmf_cli.evaluation.formats import Truth, identifier, plain, read_truths
from rdmf_cli.evaluation.lines import Line, json_lines

Floats = NDArray[np.float64]

_HIGHEST_LABEL = 4
_SLACK_S = 0.05  # durations are rounded; a window that ends this little behind the video ends with it


@dataclass(frozen=True, eq=False)
class Asked:
    """One query on one video."""

    line: Line  # where it stands
    query_id: str
    video: str
    query: str


@dataclass(frozen=True, eq=False)
class Annotation(Asked):
    """One query on one video, and what answers it."""

    duration_s: float
    windows_s: Floats  # (W, 2) in [0, duration_s], each longer than 0; W = 0: nothing answers
    saliency: Floats | None  # (clips,) of 2 s each, mean label in [0, 1]; None: nobody labelled clips


def read_annotations(file: Path, *, allow_no_match: bool = True) -> list[Annotation]:
    """All annotations of a file, gzip or not, in its order.

    Parameters
    ----------
    allow_no_match
        False: a query without a window is an error, for training that can't learn from it.

    Raises
    ------
    UsageError
        The file can't be read, or a line is wrong: no JSON, a value missing, not finite or of another kind, a window
        that is empty, backwards or outside the video, a qid that another line has.
    """
    found: list[Annotation] = []
    lines: dict[str, int] = {}
    for truth in read_truths(file):
        one = _annotation(truth, allow_no_match)
        earlier = lines.setdefault(one.query_id, one.line.number)
        if earlier != one.line.number:
            raise one.line.error(f"'qid' {one.query_id} is that of line {earlier}, too")
        found.append(one)
    return found


def read_queries(file: Path) -> list[Asked]:
    """Only what is asked: annotations, checked as above, or a file of which no line has labels (a test set)."""
    lines = json_lines(file)
    if any("relevant_windows" in line.values for line in lines):
        return list(read_annotations(file))
    return [_asked(line, identifier(line, "qid")) for line in lines]


def check_disjoint(training: list[Annotation], validation: list[Annotation]) -> None:
    """Raise UsageError if a video is in both: figures on videos that were learned from say nothing."""
    known = {one.video: one.line for one in training}
    for one in validation:
        if one.video in known:
            other = known[one.video]
            raise one.line.error(
                f"the video {one.video!r} is in the training, too ({other.file}, line {other.number})",
                "all queries of a video belong in one of the two files",
            )


def split_by_video(
    annotations: list[Annotation], validation_share: float, seed: int = 0
) -> tuple[list[Annotation], list[Annotation]]:
    """Training and validation without a video in common, for annotations that come without a split.

    validation_share: of the videos, in (0, 1); each side gets at least one. Raises UsageError for a single video.
    """
    videos = sorted({one.video for one in annotations})
    if len(videos) < 2:
        raise UsageError(
            f"{annotations[0].line.file if annotations else 'the annotations'}: a single video can't be split",
            hint="training needs annotations of at least two videos",
        )
    count = min(max(round(validation_share * len(videos)), 1), len(videos) - 1)
    drawn = np.random.default_rng(seed).permutation(len(videos))[:count]
    held = {videos[place] for place in drawn}
    return [one for one in annotations if one.video not in held], [one for one in annotations if one.video in held]


def _asked(line: Line, query_id: str) -> Asked:
    for name in ("vid", "query"):
        if not isinstance(line.get(name), str):
            raise line.error(f"'{name}' is not text: {line.get(name)!r:.40}")
        if not line.get(name).strip():
            raise line.error(f"'{name}' is empty")
    return Asked(line, query_id, line.get("vid"), plain(line.get("query")))


def _annotation(truth: Truth, allow_no_match: bool) -> Annotation:
    line, duration_s = truth.line, truth.duration_s
    if truth.key is None:
        raise line.error("Charades-STA's own text has neither ids nor durations", "convert it to JSON lines")
    asked = _asked(line, truth.key)
    if duration_s is None:
        raise line.error("'duration' is missing")
    windows_s = np.zeros((0, 2)) if truth.windows is None else truth.windows
    if not len(windows_s) and not allow_no_match:
        raise line.error("no window in 'relevant_windows': nothing to learn a moment from", "leave the line out")
    _check_windows(line, windows_s, duration_s)
    return Annotation(
        **vars(asked),
        duration_s=duration_s,
        windows_s=windows_s.clip(0, duration_s),
        saliency=None if truth.labels is None else truth.labels.mean(axis=1) / _HIGHEST_LABEL,
    )


def _check_windows(line: Line, windows_s: Floats, duration_s: float) -> None:
    for start_s, end_s in windows_s.tolist():
        if start_s >= end_s:  # backwards ones are refused by the reader
            raise line.error(f"a window is empty: [{start_s:g}, {end_s:g}]")
        if start_s < 0 or end_s > duration_s + _SLACK_S or start_s >= duration_s:
            raise line.error(f"a window is outside the video of {duration_s:g} s: [{start_s:g}, {end_s:g}]")
