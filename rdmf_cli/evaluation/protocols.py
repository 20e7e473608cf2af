"""The use case of `rdmf evaluate`: measure a prediction file, on request with intervals and against another one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from rdmf_cli.errors import UsageError
from rdmf_cli.evaluation import report
from rdmf_cli.evaluation.classification import mcnemar_p
from rdmf_cli.evaluation.clips import evaluate_clips
from rdmf_cli.evaluation.lines import FROM_STDIN
from rdmf_cli.evaluation.options import Options
from rdmf_cli.evaluation.queries import evaluate_queries
from rdmf_cli.evaluation.report import Evaluation
from rdmf_cli.evaluation.scores import evaluate_classes, evaluate_numbers

Measure = Callable[[Path, Path, Options], Evaluation]

PROTOCOLS: dict[str, Measure] = {
    "qvhighlights": evaluate_queries,
    "charades": evaluate_queries,
    "tacos": evaluate_queries,
    "activitynet": evaluate_queries,
    "nlq": evaluate_queries,
    "tvsum": evaluate_clips,
    "youtube": evaluate_clips,
    "classification": evaluate_classes,
    "regression": evaluate_numbers,
}

# Options that mean something to each of these; --common, --ci and --against do everywhere.
_USED: dict[Measure, tuple[str, ...]] = {
    evaluate_queries: ("convention", "threshold", "any_saliency_length"),
    evaluate_clips: (),
    evaluate_classes: ("threshold", "columns", "where"),
    evaluate_numbers: ("columns", "where"),
}
_FLAGS = {
    "convention": "--convention",
    "threshold": "--threshold",
    "any_saliency_length": "--any-saliency-length",
    "columns": "--column",
    "where": "--where",
}


def evaluate(
    predictions: Path,
    truth: Path,
    options: Options | None = None,
    *,
    with_ci: bool = False,
    against: Path | None = None,
) -> Evaluation:
    """Measure `predictions` on `truth`; `ci` and `against` join the document. Raises UsageError for bad input."""
    chosen = options or Options()
    if [str(predictions), str(truth), str(against)].count(FROM_STDIN) > 1:
        raise UsageError("stdin can be read only once", hint=f"give {FROM_STDIN} once")
    measure = PROTOCOLS[chosen.protocol]
    for name, flag in _FLAGS.items():
        if getattr(chosen, name) != getattr(Options(), name) and name not in _USED[measure]:
            raise UsageError(f"{flag} means nothing to the protocol {chosen.protocol}")
    if against is not None and str(truth) == FROM_STDIN:
        raise UsageError("with --against the ground truth is read twice and can't come from stdin")
    found = measure(predictions, truth, chosen)
    if with_ci:
        found.document["ci"] = report.with_intervals(found)
    if against is not None:
        other = measure(against, truth, chosen)
        found.document["against"] = {"file": str(against), **report.compared(found, other)}
        found.notes.extend(f"{against}: {note}" for note in other.notes)
        if found.correct is not None and other.correct is not None:
            found.document["against"]["mcnemar_p"] = mcnemar_p(found.correct, other.correct)
    return found
