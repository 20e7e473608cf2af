"""Files of predictions and ground truth, checked line by line; foreign names end here.

QVHighlights and all that took over its layout (Charades-STA, TACoS, ActivityNet; `rdmf search --jsonl`), Charades-STA's
own text, TVSum and YouTube Highlights, CSV with a column of scores. Anything wrong is a UsageError naming the line.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError
from rdmf_cli.evaluation.highlights import num_clips
from rdmf_cli.evaluation.lines import Line, as_json, json_lines, name_of, text_lines

Floats = NDArray[np.float64]

_LONGEST_S = 1e6  # eleven days: beyond it a duration is a mistake, and its clips would fill the memory
_CHARADES = re.compile(r"(?P<video>\S+)\s+(?P<start>\S+)\s+(?P<end>\S+?)\s*##(?P<query>.*)")


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true about one query (or, without windows, about one video)."""

    line: Line
    key: str | None  # qid; None where the format has none
    video: str
    query: str
    duration_s: float | None = None
    windows: Floats | None = None  # (M, 2) seconds; of length 0: nothing in the video answers the query
    labels: NDArray[np.int64] | None = None  # (clips, 3), 0 where no annotator was asked


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a system says about one query."""

    line: Line
    key: str
    videos: tuple[str, ...]  # names under which the ground truth may know the video, the likeliest first
    query: str
    is_search: bool  # a line of `rdmf search --jsonl`, whose qid counts the lines of one run
    windows: Floats | None = None  # (K, 3): start s, end s, score
    saliency: Floats | None = None  # (any,) one score per clip
    relevance: float | None = None
    cutoff: float | None = None  # from which relevance on the system shows a match


@dataclass(frozen=True, eq=False)
class Clips:
    """One video of TVSum or YouTube Highlights: its scores or its labels."""

    line: Line
    key: str
    values: Floats  # (clips,) or (clips, annotators)
    domain: str = ""


# --- QVHighlights and relatives ---------------------------------------------------------------------------------------


def read_truths(path: Path) -> list[Truth]:
    """Ground truth: JSON lines in the layout of QVHighlights, or the text lines of Charades-STA."""
    texts = list(text_lines(path))
    if "##" in texts[0][1] and not texts[0][1].lstrip().startswith("{"):
        return [_charades_truth(path, number, text.strip()) for number, text in texts]
    return [_truth(line) for line in as_json(path, texts)]


def read_predictions(path: Path) -> list[Prediction]:
    """Predictions in the layout of QVHighlights. All lines have windows or none has; the same for the scores."""
    found = [_prediction(line) for line in json_lines(path)]
    for name, field in (("pred_relevant_windows", "windows"), ("pred_saliency_scores", "saliency")):
        absent = [one for one in found if getattr(one, field) is None]
        if absent and len(absent) < len(found):
            raise absent[0].line.error(f"'{name}' is missing; other lines have it")
    if found[0].windows is None and found[0].saliency is None:
        raise found[0].line.error("neither 'pred_relevant_windows' nor 'pred_saliency_scores'")
    return found


def plain(text: str) -> str:
    """A query without the white space that no two files agree on."""
    return " ".join(text.split())


def _truth(line: Line) -> Truth:
    if "pred_relevant_windows" in line.values:
        raise line.error("this is a prediction, not ground truth", "predictions come first, then ground truth")
    if line.values.get("relevant_windows") is None:
        is_clips = line.values.get("label") is not None
        hint = "for TVSum and YouTube Highlights: --protocol tvsum, --protocol youtube" if is_clips else ""
        raise line.error("'relevant_windows' is missing: a file without labels?", hint)
    duration_s = _duration(line)
    return Truth(
        line=line,
        key=identifier(line, "qid"),
        video=str(line.values.get("vid", "")),
        query=plain(str(line.values.get("query", ""))),
        duration_s=duration_s,
        windows=_intervals(line, "relevant_windows", 2),
        labels=_labels(line, duration_s),
    )


def _labels(line: Line, duration_s: float | None) -> NDArray[np.int64] | None:
    """(clips, 3) from the labels of the relevant clips; all others are 0."""
    if line.values.get("saliency_scores") is None or line.values.get("relevant_clip_ids") is None:
        return None
    if duration_s is None:
        raise line.error("'duration' is missing, but 'saliency_scores' are there")
    places, given = line.numbers("relevant_clip_ids"), line.numbers("saliency_scores", 3)
    count = num_clips(duration_s)
    if len(places) != len(given):
        raise line.error(f"{len(given)} 'saliency_scores' for {len(places)} 'relevant_clip_ids'")
    if not ((given == np.clip(np.rint(given), 0, 4)).all() and (places == np.rint(places)).all()):
        raise line.error("'saliency_scores' are whole numbers from 0 to 4, 'relevant_clip_ids' whole numbers")
    if count == 0 or (len(places) and (places.min() < 0 or places.max() >= count or len(set(places)) < len(places))):
        raise line.error(f"'relevant_clip_ids' are not different clips of the {count} that {duration_s:g} s hold")
    labels = np.zeros((count, 3), dtype=np.int64)
    labels[places.astype(np.int64)] = given
    return labels


def _prediction(line: Line) -> Prediction:
    if "pred_relevant_windows" not in line.values and "relevant_windows" in line.values:
        raise line.error("this is ground truth, not a prediction", "predictions come first, then ground truth")
    video, relevance = str(line.values.get("vid", "")), line.values.get("relevance")
    is_search = "path" in line.values and isinstance(relevance, dict)
    file_name = re.split(r"[\\/]", str(line.values.get("path", "")))[-1]
    score, cutoff = _relevance(line, relevance)
    return Prediction(
        line=line,
        key=identifier(line, "qid"),
        videos=(file_name, video) if is_search else (video,),
        query=plain(str(line.values.get("query", ""))),
        is_search=is_search,
        windows=_intervals(line, "pred_relevant_windows", 3) if "pred_relevant_windows" in line.values else None,
        saliency=line.numbers("pred_saliency_scores") if "pred_saliency_scores" in line.values else None,
        relevance=score,
        cutoff=cutoff,
    )


def _relevance(line: Line, value: Any) -> tuple[float | None, float | None]:
    """Score and cut-off: from `rdmf search`, or a bare number without a cut-off."""
    if value is None:
        return None, None
    if not isinstance(value, dict):
        return _number(line, value, "relevance"), None
    cutoff = value.get("cutoff")
    score = _number(line, value.get("score"), "relevance.score")
    return score, None if cutoff is None else _number(line, cutoff, "relevance.cutoff")


def _charades_truth(path: Path, number: int, text: str) -> Truth:
    """`VIDEO START END##QUERY`; no qid and no duration."""
    match = _CHARADES.match(text)
    line = Line(name_of(path), number, {})
    if match is None:
        raise line.error("not 'VIDEO START END##QUERY'")
    times = [_number(line, match[name], name) for name in ("start", "end")]
    if times[1] < times[0]:
        raise line.error(f"the window ends before it starts: {times}")
    return Truth(line, None, match["video"], plain(match["query"]), windows=np.array([times]))


def _intervals(line: Line, key: str, columns: int) -> Floats:
    """Windows of finite times that do not end before they start."""
    value = line.values.get(key)
    if columns == 3 and isinstance(value, list) and any(isinstance(row, list) and len(row) == 2 for row in value):
        raise line.error(f"a window of '{key}' has no score: [start s, end s, score]")
    rows = line.numbers(key, columns)
    backwards = rows[:, 1] < rows[:, 0]
    if backwards.any():
        raise line.error(f"a window of '{key}' ends before it starts: {rows[backwards][0, :2].tolist()}")
    return rows


def _duration(line: Line) -> float | None:
    if line.values.get("duration") is None:
        return None
    value = _number(line, line.values["duration"], "duration")
    if not 0 < value <= _LONGEST_S:
        raise line.error(f"'duration' is {value:g} s")
    return value


def identifier(line: Line, name: str) -> str:
    """An identifier as text: 7 and "7" are the same."""
    value = line.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str) or value == "":
        raise line.error(f"'{name}' is neither a whole number nor text")
    return str(value)


def _number(line: Line, value: Any, name: str) -> float:
    """A finite number, also as text."""
    try:
        if isinstance(value, bool):
            raise ValueError
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        shown = "missing" if value in (None, "") else f"not a number: {value!r:.40}"
        raise line.error(f"'{name}' is {shown}") from None
    if not np.isfinite(number):
        raise line.error(f"'{name}' is not finite: {value}")
    return number


# --- TVSum, YouTube Highlights ----------------------------------------------------------------------------------------


def read_clip_labels(path: Path, *, one_annotator: bool) -> list[Clips]:
    """Ground truth: `label` per clip, of 20 annotators (TVSum) or one (YouTube), and the video's `domain`."""
    found: list[Clips] = []
    for line in json_lines(path):
        label = line.get("label")
        width = len(label[0]) if isinstance(label, list) and label and isinstance(label[0], list) else 0
        if width == 0 or (width == 1) != one_annotator:
            raise line.error(
                f"'label' has {width or 'no'} annotators", "one: --protocol youtube; more: --protocol tvsum"
            )
        values = line.numbers("label", width)
        if found and values.shape[1] != found[0].values.shape[1]:
            raise line.error(f"'label' has {width} annotators, the first line {found[0].values.shape[1]}")
        found.append(Clips(line, identifier(line, "vid"), values, str(line.get("domain"))))
    return found


def read_clip_scores(path: Path) -> list[Clips]:
    """Predictions: a score per clip, called `pred` or `pred_saliency_scores`."""
    found = []
    for line in json_lines(path):
        name = "pred" if "pred" in line.values else "pred_saliency_scores"
        found.append(Clips(line, identifier(line, "vid"), line.numbers(name)))
    return found


# --- CSV --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of numbers with a name for each row."""

    lines: list[Line]
    keys: list[str]
    values: Floats  # (rows, columns)


def read_table(lines: list[Line], key: str, columns: Sequence[str]) -> Table:
    """The named columns of the rows of a CSV file."""
    for name in (key, *columns):
        if name not in lines[0].values:
            has = ", ".join(lines[0].values)
            raise UsageError(f"{lines[0].file}: no column '{name}'", hint=f"it has: {has}; --column names them")
    values = np.array([[_number(line, line.values[name].strip(), name) for name in columns] for line in lines])
    return Table(lines, [identifier(line, key) for line in lines], values)
