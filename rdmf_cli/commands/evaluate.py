"""`rdmf evaluate`: the figures of a prediction file, as reference evaluators compute them."""

from __future__ import annotations

import math
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rdmf_cli.commands import options
from rdmf_cli.errors import UsageError


class Protocol(StrEnum):
    """What is measured; the names of evaluation/protocols.py's table, which help may not import."""

    qvhighlights = "qvhighlights"
    charades = "charades"
    tacos = "tacos"
    activitynet = "activitynet"
    nlq = "nlq"
    tvsum = "tvsum"
    youtube = "youtube"
    classification = "classification"
    regression = "regression"


class ConventionName(StrEnum):
    """Whose evaluator is followed where they differ; the names of evaluation/conventions.py's table."""

    moment_detr = "moment_detr"
    cg_detr = "cg_detr"
    univtg = "univtg"


_ROLES = ("id", "label", "score")
_HOW = "What to measure"
_CSV = "Columns of CSV files"

Predictions = Annotated[
    Path, typer.Argument(metavar="PREDICTIONS", help="What a system says; gzip is read as is, '-' is stdin.")
]
Truth = Annotated[Path, typer.Argument(metavar="GROUND_TRUTH", help="What is true.")]
ProtocolChoice = Annotated[Protocol, typer.Option("--protocol", help="Which data set's rules.", rich_help_panel=_HOW)]
ConventionChoice = Annotated[
    ConventionName | None,
    typer.Option(
        "--convention",
        help="Whose evaluator to follow. Default: moment_detr; univtg for charades, tacos, activitynet, nlq.",
        rich_help_panel=_HOW,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        metavar="N",
        help="Score from which on it counts as positive. Default: 0.5; for relevance what the predictions say.",
        rich_help_panel=_HOW,
    ),
]
Common = Annotated[
    bool,
    typer.Option("--common", help="Measure what both files have instead of refusing.", rich_help_panel=_HOW),
]
AnySaliencyLength = Annotated[
    bool,
    typer.Option(
        "--any-saliency-length", help="Cut or fill saliency that does not fit the video.", rich_help_panel=_HOW
    ),
]
Ci = Annotated[bool, typer.Option("--ci", help="Add 95 % intervals (bootstrap).", rich_help_panel=_HOW)]
Against = Annotated[
    Path | None,
    typer.Option("--against", metavar="OTHER", help="Compare with these predictions, paired.", rich_help_panel=_HOW),
]
Columns = Annotated[
    list[str] | None,
    typer.Option("--column", metavar="ROLE=NAME", help="Which column is the id, label or score.", rich_help_panel=_CSV),
]
Where = Annotated[
    list[str] | None,
    typer.Option("--where", metavar="NAME=TEXT", help="Only rows with this text in this column.", rich_help_panel=_CSV),
]


def evaluate(
    predictions: Predictions,
    ground_truth: Truth,
    protocol: ProtocolChoice = Protocol.qvhighlights,
    convention: ConventionChoice = None,
    threshold: Threshold = None,
    common: Common = False,
    any_saliency_length: AnySaliencyLength = False,
    ci: Ci = False,
    against: Against = None,
    column: Columns = None,
    where: Where = None,
    as_json: options.Json = False,
) -> None:
    """Measure PREDICTIONS on GROUND_TRUTH, to the last digit of the published evaluators.

    The output of 'rdmf search --jsonl' is a prediction file.
    """
    from rdmf_cli.commands import console, evaluate_tables
    from rdmf_cli.evaluation.options import Options
    from rdmf_cli.evaluation.protocols import evaluate as measure

    if threshold is not None and not math.isfinite(threshold):
        raise UsageError(f"--threshold {threshold} makes no sense")
    chosen = Options(
        protocol=protocol.value,
        convention=convention.value if convention else None,
        common=common,
        any_saliency_length=any_saliency_length,
        threshold=threshold,
        columns=_assignments(column, "--column", _ROLES),
        where=_assignments(where, "--where"),
    )
    found = measure(predictions, ground_truth, chosen, with_ci=ci, against=against)
    for note in found.notes:
        console.note(note)
    if as_json:
        console.line(console.json_text(found.document))
        return
    for table in evaluate_tables.tables(found, protocol.value):
        console.line(table.title)  # a title of the table itself would be broken at the table's width
        console.print_table("", table.columns, table.rows)


def _assignments(texts: list[str] | None, option: str, names: tuple[str, ...] = ()) -> dict[str, str]:
    """NAME=TEXT, several times."""
    found: dict[str, str] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name or not value or (names and name not in names):
            allowed = f"one of {', '.join(names)}, then = and a column's name" if names else "NAME=TEXT"
            raise UsageError(f"{option} {text} makes no sense", hint=allowed)
        found[name] = value
    return found
