"""The tables of `rdmf evaluate`: what stands in which column. No Rich."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_RANGES = ("full", "long", "middle", "short")
_MOMENTS = {  # row -> where in a range's block; what a convention lacks is left out
    "R1@.3": ("MR-R1", "0.3"),
    "R1@.5": ("MR-R1", "0.5"),
    "R1@.7": ("MR-R1", "0.7"),
    "R5@.3": ("MR-R5", "0.3"),
    "R5@.5": ("MR-R5", "0.5"),
    "R5@.7": ("MR-R5", "0.7"),
    "mAP": ("MR-mAP", "average"),
    "mAP@.5": ("MR-mAP", "0.5"),
    "mAP@.75": ("MR-mAP", "0.75"),
    "mIoU": ("MR-mIoU",),
}


@dataclass(frozen=True)
class Table:
    """A title, headers and cells; columns of numbers are already aligned."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def tables(found: Any, protocol: str) -> Iterator[Table]:
    """Everything that one evaluation shows."""
    document = found.document
    if protocol in ("tvsum", "youtube"):
        rows = [[name, _count(found.counts.get(name)), _cell(value, 3)] for name, value in found.brief.items()]
        yield _aligned("mAP by domain, percent", ["domain", "videos", "mAP"], rows)
    elif protocol == "classification":
        yield from _classes(document)
    elif protocol == "regression":
        rows = [[name, *(_cell(value, 4) for value in part.values())] for name, part in _parts(document)]
        yield _aligned(f"Agreement, {found.counts['rows']} rows", ["", "CCC", "Pearson", "MSE"], rows)
    else:
        yield from _queries(found)
    digits = 4 if found.decimals is None else found.decimals
    if "ci" in document:
        rows = [
            [name, _cell(found.brief[name], digits), *(_cell(end, digits) for end in limits)]
            for name, limits in document["ci"]["intervals"].items()
        ]
        yield _aligned("95 % intervals", ["", "value", "low", "high"], rows)
    if "against" in document:
        yield _against(found, digits)


def _queries(found: Any) -> Iterator[Table]:
    document = found.document
    if "full" in document:
        rows = [["queries", *(_count(found.counts[name]) for name in _RANGES)]]
        rows += [
            [figure, *(_cell(_at(document[name], place), 2) for name in _RANGES)]
            for figure, place in _MOMENTS.items()
            if _at(document["full"], place) is not _NOTHING
        ]
        yield _aligned(f"Moments by length, percent (as {found.convention} counts)", ["", *_RANGES], rows)
    levels = [name for name in document if name.startswith("HL-min-")]
    if levels:
        title = f"Highlights of {found.counts['highlights']} queries, percent"
        rows = [
            [name.removeprefix("HL-min-"), _cell(document[name]["HL-mAP"], 2), _cell(document[name]["HL-Hit1"], 2)]
            for name in levels
        ]
        yield _aligned(title, ["positive from", "mAP", "HIT@1"], rows)
    if "no-match" in document:
        part = document["no-match"]
        counts = f"{found.counts['match']} queries with a match, {found.counts['no match']} without"
        names = ("AUROC", "F1-no-match", "F1-match", "cutoff")
        cells = ["-" if part[name] is None else f"{part[name]:.2f}" for name in names]
        yield _aligned(f"Relevance, percent: {counts}", ["", *names], [["", *cells]])


def _classes(document: dict[str, Any]) -> Iterator[Table]:
    names = ("accuracy", "precision", "recall", "binary_f1", "macro_f1", "roc_auc")
    title = f"Classification of {document['n']} clips, positive from {document['threshold']:g}"
    yield _aligned(title, ["", *names], [["", *(_cell(document[name], 4) for name in names)]])
    (true_negative, false_positive), (false_negative, true_positive) = document["confusion_matrix"]
    rows = [["0", str(true_negative), str(false_positive)], ["1", str(false_negative), str(true_positive)]]
    yield _aligned("Confusion matrix", ["label", "called 0", "called 1"], rows)


def _against(found: Any, digits: int) -> Table:
    part = found.document["against"]
    rows = [
        [name, _cell(found.brief[name], digits), _cell(row["other"], digits)]
        + [_cell(row[key], digits, sign=True) for key in ("difference", "low", "high")]
        for name, row in part["differences"].items()
    ]
    more = f", McNemar p = {part['mcnemar_p']:.4g}" if "mcnemar_p" in part else ""
    title = f"Against {part['file']}, paired, with the difference's 95 % interval{more}"
    return _aligned(title, ["", "this", "other", "difference", "low", "high"], rows)


_NOTHING = object()


def _at(block: Any, place: tuple[str, ...]) -> Any:
    """A figure of a block; _NOTHING if it has none there."""
    for key in place:
        block = block.get(key, _NOTHING) if isinstance(block, dict) else _NOTHING
    return block


def _parts(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    return ((name, part) for name, part in document.items() if name not in ("ci", "against"))


def _cell(value: Any, digits: int, *, sign: bool = False) -> str:
    if value is None or value is _NOTHING:
        return "-"
    return f"{value:{'+' if sign else ''}.{digits}f}"


def _count(value: int | None) -> str:
    return "" if value is None else str(value)


def _aligned(title: str, columns: list[str], rows: list[list[str]]) -> Table:
    """Numbers to the right, under headers to the right."""
    widths = [max(len(row[place]) for row in [columns, *rows]) for place in range(len(columns))]

    def padded(cells: list[str]) -> list[str]:
        return [cells[0], *(cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))]

    return Table(title, padded(columns), [padded(row) for row in rows])
