"""Answers as documents: `--json`, and `--jsonl` in the form of QVHighlights predictions. See docs/json.md."""

from __future__ import annotations

from typing import Any

from rdmf_cli.moments import Moment


def model_of(mode: Any) -> dict[str, str]:
    """`model` of the JSON: what brought query and video together (a Mode of pipeline/modes.py)."""
    return {"name": mode.name, "kind": mode.kind}


def facts_of(mode: Any) -> tuple[str, ...]:
    """The same for a heading: a trained model by its name; neither the default one nor pattern mode needs mention."""
    return () if mode.kind == "pattern" or mode.is_default else (f"model {mode.name}",)


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
    from rdmf_cli.export.tables import prediction as of_result

    return of_result(result(answer, top, min_score), query_id)
