"""Protocols on CSV files of scores: classification (violence) and regression (valence, arousal)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError
from rdmf_cli.evaluation import classification
from rdmf_cli.evaluation.bootstrap import Statistic
from rdmf_cli.evaluation.formats import Table, read_table
from rdmf_cli.evaluation.lines import Line, csv_lines
from rdmf_cli.evaluation.matching import pair
from rdmf_cli.evaluation.options import Options
from rdmf_cli.evaluation.regression import agreement
from rdmf_cli.evaluation.report import Evaluation

Floats = NDArray[np.float64]

# Names of columns that are understood without --column, the first that is there.
KNOWN = {
    "id": ("id", "clip_id", "video_id", "qid", "vid", "video", "name"),
    "label": ("label", "true_label", "target"),
    "score": ("score", "prob", "probability", "score_violence", "prediction"),
}
_AGREEMENT = ("ccc", "pearson", "mse")


def evaluate_classes(predictions: Path, truth: Path, options: Options) -> Evaluation:
    """Accuracy, precision, recall, both F1, AUROC and the confusion matrix at a threshold."""
    given_lines, asked_lines = csv_lines(predictions), csv_lines(truth)
    _check_where(given_lines[0], asked_lines[0], options.where)
    given, asked = _read(given_lines, ["score"], options), _read(asked_lines, ["label"], options)
    for line, label in zip(asked.lines, asked.values[:, 0], strict=True):
        if label not in (0, 1):
            raise line.error(f"the label is {label:g}; 1 is the positive class, 0 the other")
    pairs, notes = _pairs(given, asked, options.common)
    places, true_places = np.array(pairs).T
    scores, positive = given.values[places, 0], asked.values[true_places, 0] == 1
    threshold = 0.5 if options.threshold is None else options.threshold
    called = scores >= threshold
    area = classification.auroc(scores, positive) if positive.any() and not positive.all() else None
    if area is None:
        notes.append("all labels are the same: no AUROC")
    document = class_document(scores, positive, threshold)
    brief = {name: document[name] for name in ("accuracy", "precision", "recall", "binary_f1", "macro_f1", "roc_auc")}
    return Evaluation(
        document=document,
        brief=brief,
        statistic=_class_statistic(scores, positive, called),
        keys=[asked.keys[place] for place in true_places],
        counts={"positive": int(positive.sum()), "negative": int((~positive).sum())},
        unit="clips",
        scale=1.0,
        decimals=None,
        notes=notes,
        correct=called == positive,
    )


def class_document(scores: Floats, positive: NDArray[np.bool_], threshold: float) -> dict[str, Any]:
    """Every figure of scores (N,), by the keys of published files; `_thr050` is at 0.5."""
    counts, at_half = (classification.confusion(positive, scores >= limit) for limit in (threshold, 0.5))
    figures, half = (classification.figures(table) for table in (counts, at_half))
    is_mixed = bool(positive.any() and not positive.all())
    return {
        "n": len(scores),
        "correct": int(counts[0, 0] + counts[0, 3]),
        **{name: float(value[0]) for name, value in figures.items()},
        "roc_auc": classification.auroc(scores, positive) if is_mixed else None,
        "threshold": threshold,
        "confusion_matrix": _matrix(counts),
        **{name: int(count) for name, count in zip(("tn", "fp", "fn", "tp"), counts[0], strict=True)},
        "macro_f1_thr050": float(half["macro_f1"][0]),
        "accuracy_thr050": float(half["accuracy"][0]),
        "confusion_matrix_thr050": _matrix(at_half),
    }


def evaluate_numbers(predictions: Path, truth: Path, options: Options) -> Evaluation:
    """CCC, Pearson's r and MSE of each column that both files have, and their mean over columns."""
    given_lines, asked_lines = csv_lines(predictions), csv_lines(truth)
    _check_where(given_lines[0], asked_lines[0], options.where)
    columns = _targets(given_lines[0], asked_lines[0], options.columns)
    given = _read(given_lines, [own for own, _ in columns.values()], options, named=True)
    asked = _read(asked_lines, [true for _, true in columns.values()], options, named=True)
    pairs, notes = _pairs(given, asked, options.common)
    places, true_places = np.array(pairs).T
    statistic = _number_statistic(given.values[places], asked.values[true_places])
    rows = statistic(np.ones((1, len(pairs))))[0].reshape(-1, len(_AGREEMENT)).tolist()
    names = [*columns, "mean"] if len(columns) > 1 else list(columns)
    document = {
        name: {figure: None if np.isnan(value) else value for figure, value in zip(_AGREEMENT, row, strict=True)}
        for name, row in zip(names, rows, strict=True)
    }
    brief = {f"{name} {figure}": value for name, row in document.items() for figure, value in row.items()}
    notes += [f"{name}: 0/0, one side is constant" for name, value in brief.items() if value is None]
    return Evaluation(
        document=document,
        brief=brief,
        statistic=statistic,
        keys=[asked.keys[place] for place in true_places],
        counts={"rows": len(pairs)},
        unit="rows",
        scale=1.0,
        decimals=None,
        notes=notes,
    )


def _targets(given: Line, asked: Line, columns: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What is predicted: name -> (column of the predictions, column of the ground truth)."""
    if "score" in columns or "label" in columns:
        own, true = columns.get("score") or _known(given, "score"), columns.get("label") or _known(asked, "label")
        return {true: (own, true)}
    ids = {columns.get("id"), *KNOWN["id"]}
    shared = [name for name in asked.values if name in given.values and name not in ids]
    if not shared or given.file == asked.file:
        raise UsageError(
            "which columns are predicted?",
            hint="both files have columns of one name, or --column score=… --column label=…",
        )
    return {name: (name, name) for name in shared}


def _check_where(given: Line, asked: Line, where: Mapping[str, str]) -> None:
    """--where applies to the file, or files, that have the column; to one at least."""
    for name in where:
        if name not in given.values and name not in asked.values:
            raise UsageError(f"--where {name}=…: neither file has that column")


def _read(lines: list[Line], roles: list[str], options: Options, *, named: bool = False) -> Table:
    """Columns by role, or by their own names if `named`, of the rows that --where keeps."""
    where = {name: text for name, text in options.where.items() if name in lines[0].values}
    kept = [line for line in lines if all(line.values[name].strip() == text for name, text in where.items())]
    if not kept:
        raise UsageError(f"{lines[0].file}: no row has {', '.join(f'{name}={text}' for name, text in where.items())}")
    names = roles if named else [options.columns.get(role) or _known(lines[0], role) for role in roles]
    return read_table(kept, options.columns.get("id") or _known(lines[0], "id"), names)


def _known(line: Line, role: str) -> str:
    """The column that plays a role, by its name."""
    found = next((name for name in KNOWN[role] if name in line.values), None)
    if found is None:
        has = ", ".join(line.values)
        raise UsageError(f"{line.file}: which column is the {role}?", hint=f"--column {role}=NAME; it has: {has}")
    return found


def _pairs(given: Table, asked: Table, common: bool) -> tuple[list[tuple[int, int]], list[str]]:
    """Rows of the two tables that belong together."""
    return pair(_keyed(given), _keyed(asked), common=common)


def _keyed(table: Table) -> list[tuple[Hashable, Line, int]]:
    return [(f"id {key}", line, place) for place, (key, line) in enumerate(zip(table.keys, table.lines, strict=True))]


def _class_statistic(scores: Floats, positive: NDArray[np.bool_], called: NDArray[np.bool_]) -> Statistic:
    areas = classification.weighted_auroc(scores, positive)

    def statistic(weights: Floats) -> Floats:
        figures = classification.figures(classification.confusion(positive, called, weights))
        return np.stack([*figures.values(), areas(weights)], axis=1)

    return statistic


def _number_statistic(predicted: Floats, true: Floats) -> Statistic:
    """The figures of each column, then their mean if there are several. predicted, true (N, columns)."""

    def statistic(weights: Floats) -> Floats:
        each = [
            np.stack(list(agreement(own, asked, weights).values()), axis=1)
            for own, asked in zip(predicted.T, true.T, strict=True)
        ]
        return np.concatenate([*each, np.mean(each, axis=0)] if len(each) > 1 else each, axis=1)

    return statistic


def _matrix(counts: Floats) -> list[list[int]]:
    """[[true negatives, false positives], [false negatives, true positives]]"""
    return [[int(count) for count in row] for row in counts[0].reshape(2, 2)]
