"""Answers as documents: `--json`, and `--jsonl` in the form of QVHighlights predictions. See docs/json.md."""

from __future__ import annotations

import math
from typing import Any

from rdmf_cli.moments import Moment

CLIP_S = 2.0  # QVHighlights gives saliency per clip of two seconds
# A search without a trained model: the reaction-diffusion pattern alone.
PATTERN_MODEL = {"name": "pattern", "kind": "pattern"}


def shown(moments: tuple[Moment, ...], top: int, min_score: float) -> list[Moment]:
    """The moments that the user wants to see, best first."""
    return [moment for moment in moments if moment.score >= min_score][:top]


def search_document(outcome: Any, encoder: Any, model: dict[str, str], top: int, min_score: float) -> dict[str, Any]:
    """The one document of `--json`."""
    from rdmf_cli.pipeline.answer import SCHEMA

    document: dict[str, Any] = {
        "schema": SCHEMA,
        "encoder": {"name": encoder.name, "dim": encoder.dim, "fingerprint": encoder.fingerprint},
        "model": model,
        "results": [result(answer, top, min_score) for answer in outcome.answers],
        "timings_s": outcome.timings.to_json(),
    }
    if outcome.library is not None:
        document["library"] = outcome.library
    if outcome.failures:
        document["failures"] = [vars(failure) for failure in outcome.failures]
    return document


def result(answer: Any, top: int, min_score: float) -> dict[str, Any]:
    """One entry of `results`."""
    from rdmf_cli.pipeline.answer import answer_to_json

    # The moments are sorted by score, so those that are shown are the first ones.
    return answer_to_json(answer, top=len(shown(answer.moments, top, min_score)))


def prediction(answer: Any, query_id: int, top: int, min_score: float) -> dict[str, Any]:
    """One line of `--jsonl`: what `standalone_eval` of QVHighlights reads, and the relevance besides."""
    full = result(answer, top, min_score)
    return {
        "qid": query_id,
        "query": answer.query,
        "vid": answer.info.path.stem,
        "path": full["video"]["path"],
        "relevance": full["relevance"],
        "pred_relevant_windows": [[m["start_s"], m["end_s"], m["score"]] for m in full["moments"]],
        "pred_saliency_scores": clip_saliency(full["saliency"], answer.duration_s),
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
