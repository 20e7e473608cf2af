"""Answers as `rdmf search --json` tells them, for the tests of exports."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from rdmf_cli.export.model import Answers, Selection
from rdmf_cli.export.reading import read_answers

NASTY = '=a <i>dog</i> & "cat"; {\\an8}\nTITLE: #1 – ゴール'


def document(
    *answers: dict[str, Any],
) -> dict[str, Any]:
    """A whole document of `answer`s; without any, two queries on one video of 29.97 frames a second."""
    return {
        "schema": "rdmf.search/1",
        "encoder": {"name": "lite", "dim": 256, "fingerprint": "ab12"},
        "model": {"name": "pattern", "kind": "pattern"},
        "results": list(answers) or [answer(), answer(query=NASTY, moments=[(3.0, 4.5, 0.6), (40.0, 58.233, 0.4)])],
        "timings_s": {"probe": 0.01, "decode": 0.8, "encode": 0.6, "fusion": 0.02, "total": 1.1},
    }


def answer(
    path: str | Path = "/videos/holiday.mp4",
    *,
    query: str = "a dog jumps",
    moments: list[tuple[float, float, float]] | None = None,
    relevance: float = 0.83,
    **video: Any,
) -> dict[str, Any]:
    """One entry of `results`; `moments` as (start_s, end_s, score), `video` replaces what is said of the video."""
    listed = [(15.015, 21.021, 0.91), (37.2, 46.8, 0.47)] if moments is None else moments
    return {
        "video": {
            "path": str(path),
            "id": "ab" * 16,
            "duration_s": 60.06,
            "width": 640,
            "height": 360,
            "source_fps": "30000/1001",
            "start_time_s": 0.0,
            "variable_rate": False,
            "has_audio": True,
            "timecode": "01:00:00;00",
        }
        | video,
        "query": {"text": query},
        "relevance": {"score": relevance, "cutoff": 0.5, "confident": relevance >= 0.5},
        "moments": [
            {"rank": rank, "start_s": start, "end_s": end, "score": score, "peak_s": (start + end) / 2}
            for rank, (start, end, score) in enumerate(listed, start=1)
        ],
        "saliency": {"times_s": [0.0, 0.5, 2.5], "values": [0.1, 0.3, 0.9]},
        "warnings": [],
    }


def answers_of(*answers: dict[str, Any]) -> Answers:
    return read_answers(copy.deepcopy(document(*answers)), "test")


def selection_of(*answers: dict[str, Any]) -> Selection:
    """What all answers, of one video, give to an export."""
    (selection,) = answers_of(*answers).selections(show_all=True)
    return selection
