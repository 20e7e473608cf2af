"""Answers as rows: JSON, JSON lines of QVHighlights, CSV, and the CSV of LosslessCut."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

from rdmf_cli.export.escape import cell
from rdmf_cli.export.model import Answers, Hit, Selection, Video
from rdmf_cli.timebase import format_time

CLIP_S = 2.0  # QVHighlights gives saliency per clip of two seconds
COLUMNS = (
    "video",
    "query",
    "rank",
    "start_s",
    "end_s",
    "length_s",
    "start",
    "end",
    "peak_s",
    "score",
    "relevance",
    "confident",
)


def json_text(answers: Answers, selections: Sequence[Selection]) -> str:
    """The document itself, on one line; it holds all answers, whatever was selected."""
    return json.dumps(answers.document, ensure_ascii=False) + "\n"


def jsonl_text(answers: Answers, selections: Sequence[Selection]) -> str:
    """A QVHighlights prediction per video and query; they hold all answers, whatever was selected."""
    results = answers.document["results"]
    lines = [json.dumps(prediction(result, number), ensure_ascii=False) for number, result in enumerate(results, 1)]
    return "".join(f"{line}\n" for line in lines)


def prediction(result: dict[str, Any], query_id: int) -> dict[str, Any]:
    """One entry of `results` with the keys of a QVHighlights submission, and path and relevance besides."""
    video = result["video"]
    return {
        "qid": query_id,
        "query": result["query"]["text"],
        "vid": PurePath(video["path"]).stem,
        "path": video["path"],
        "relevance": result["relevance"],
        "pred_relevant_windows": [[m["start_s"], m["end_s"], m["score"]] for m in result["moments"]],
        "pred_saliency_scores": clip_saliency(result["saliency"], video["duration_s"]),
    }


def clip_saliency(saliency: dict[str, list[float]], duration_s: float) -> list[float]:
    """Mean saliency of each two-second clip; a clip without a snippet takes that of the clip before."""
    num_clips = max(1, math.ceil(duration_s / CLIP_S - 1e-6))
    parts: list[list[float]] = [[] for _ in range(num_clips)]
    for time_s, value in zip(saliency["times_s"], saliency["values"], strict=True):
        parts[min(num_clips - 1, int(time_s / CLIP_S))].append(value)
    scores: list[float] = []
    for part in parts:
        before = scores[-1] if scores else 0.0
        scores.append(round(sum(part) / len(part), 4) if part else before)
    return scores


def csv_text(answers: Answers, selections: Sequence[Selection]) -> str:
    """A header and a row per moment, in the order asked and best first; times in seconds and as h:mm:ss.mmm."""
    rows = [_row(selection.video, hit) for selection in selections for hit in selection.hits]
    return _csv([COLUMNS, *rows])


def _row(video: Video, hit: Hit) -> list[str]:
    moment = hit.moment
    return [
        cell(str(video.path)),
        cell(hit.query),
        str(hit.rank),
        f"{moment.start_s:.3f}",
        f"{moment.end_s:.3f}",
        f"{moment.length_s:.3f}",
        format_time(moment.start_s),
        format_time(moment.end_s),
        f"{moment.peak_s:.3f}",
        f"{moment.score:.4f}",
        f"{hit.relevance.score:.4f}",
        "yes" if hit.relevance.confident else "no",
    ]


def losslesscut_text(selection: Selection) -> str:
    """`start,end,label` in seconds, no header: what LosslessCut imports as CSV segments."""
    moments = ((hit.moment, hit.query) for hit in selection.chronological())
    return _csv([f"{moment.start_s:.3f}", f"{moment.end_s:.3f}", cell(query)] for moment, query in moments)


def _csv(rows: Iterable[Sequence[str]]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue()
