"""Figures as documents with the keys, the nesting and the rounding of the published files, and their intervals.

Percent with two decimals: Python's correctly rounded text of the double, as reference evaluators print. Where a range
of length has no query, see conventions.py.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError
from rdmf_cli.evaluation import bootstrap
from rdmf_cli.evaluation.bootstrap import Statistic
from rdmf_cli.evaluation.conventions import EMPTY_THRESHOLDS, TIOU_THRESHOLDS, Convention
from rdmf_cli.evaluation.highlights import LEVELS
from rdmf_cli.evaluation.retrieval import RangeFigures

Floats = NDArray[np.float64]
Brief = dict[str, float | None]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """One prediction file, measured."""

    document: dict[str, Any]  # as published
    brief: Brief  # the main figures, as in the document
    statistic: Statistic  # weights (B, Q) -> the figures of `brief` as fractions (B, F)
    keys: list[str]  # what was counted, Q in number, in order
    counts: dict[str, int]  # how many queries stand behind each part
    convention: str = ""  # where there are several
    groups: dict[str, int] = field(default_factory=dict)  # parts with figures of their own: how many of Q
    unit: str = "queries"
    scale: float = 100.0  # from a fraction to what is shown
    decimals: int | None = 2
    notes: list[str] = field(default_factory=list)
    correct: NDArray[np.bool_] | None = None  # classification: which clips were called right

    def shown(self, fraction: float) -> float | None:
        """A figure as the document writes it; None for NaN."""
        return None if math.isnan(fraction) else rounded(self.scale * fraction, self.decimals)


def rounded(value: float, decimals: int | None) -> float:
    """The double nearest to the text with so many decimals."""
    return float(value) if decimals is None else float(f"{value:.{decimals}f}")


def percent(fraction: float) -> float:
    """As reference evaluators print it."""
    return rounded(100 * fraction, 2)


# --- moment retrieval -------------------------------------------------------------------------------------------------


def retrieval_document(figures: dict[str, RangeFigures], convention: Convention) -> dict[str, Any]:
    """{"full": {"MR-mAP": ..., "MR-R1": ...}, "long": ...}, in the convention's order."""
    return {
        name: _block(part, convention) if part.member.any() else _empty_block(convention)
        for name, part in figures.items()
    }


def _block(part: RangeFigures, convention: Convention) -> dict[str, Any]:
    by_threshold = part.average_precision.mean(axis=0)
    precision = {str(limit): percent(value) for limit, value in zip(TIOU_THRESHOLDS, by_threshold, strict=True)}
    block: dict[str, Any] = {"MR-mIoU": percent(part.first_tiou.mean())} if convention.has_miou else {}
    block["MR-mAP"] = {**precision, "average": percent(by_threshold.mean())}
    block["MR-R1"] = _recalls(part.first_tiou, convention)
    if convention.has_r5:
        block["MR-R5"] = _recalls(part.first_five_tiou, convention)
    return block


def _recalls(tious: Floats, convention: Convention) -> dict[str, float]:
    return {str(limit): percent((tious >= limit).mean()) for limit in convention.r1_thresholds}


def _empty_block(convention: Convention) -> dict[str, Any]:
    if convention.empty == "zeros":  # CG-DETR: other thresholds, and no mIoU
        zeros = {str(limit): 0.0 for limit in EMPTY_THRESHOLDS}
        return {"MR-mAP": {**zeros, "average": 0.0}, "MR-R1": {**zeros, "average": 0.0}}
    nothing = dict.fromkeys(map(str, convention.r1_thresholds))
    return {"MR-mAP": {**dict.fromkeys(map(str, TIOU_THRESHOLDS)), "average": None}, "MR-R1": nothing}


def retrieval_brief(document: dict[str, Any], convention: Convention) -> Brief:
    """The main figures, by the convention's keys."""
    full, end = document["full"], convention.suffix
    brief: Brief = {f"MR-full-R1@{t}{end}": full["MR-R1"][str(t)] for t in convention.brief_r1}
    if convention.has_r5:
        brief |= {f"MR-full-R5@{t}{end}": full["MR-R5"][str(t)] for t in convention.brief_r1}
    for key, name in (("average", ""), ("0.5", "@0.5"), ("0.75", "@0.75")):
        brief[f"MR-full-mAP{name}{end}"] = full["MR-mAP"][key]
    if convention.has_miou:
        brief[f"MR-full-mIoU{end}"] = full["MR-mIoU"]
    for name in ("long", "middle", "short"):
        brief[f"MR-{name}-mAP"] = document[name]["MR-mAP"]["average"]
        if convention.has_r5:  # only UniVTG has it for each range
            brief[f"MR-{name}-mIoU"] = document[name]["MR-mIoU"]
    return brief


def retrieval_values(figures: dict[str, RangeFigures], convention: Convention) -> list[Floats]:
    """What each figure of `retrieval_brief` is the mean of: (Q,) each, NaN where a query does not count."""
    full = figures["full"]
    precision = full.average_precision
    values = [spread(full.member, full.first_tiou >= limit) for limit in convention.brief_r1]
    if convention.has_r5:
        values += [spread(full.member, full.first_five_tiou >= limit) for limit in convention.brief_r1]
    places = [TIOU_THRESHOLDS.index(limit) for limit in (0.5, 0.75)]
    values += [
        spread(full.member, precision.mean(axis=1)),
        *(spread(full.member, precision[:, place]) for place in places),
    ]
    if convention.has_miou:
        values.append(spread(full.member, full.first_tiou))
    for name in ("long", "middle", "short"):
        values.append(spread(figures[name].member, figures[name].average_precision.mean(axis=1)))
        if convention.has_r5:
            values.append(spread(figures[name].member, figures[name].first_tiou))
    return values


def spread(member: NDArray[np.bool_], values: NDArray[Any]) -> Floats:
    """Values of the queries (R,) where `member` (Q,) is True, among all: (Q,), NaN elsewhere."""
    among_all = np.full(len(member), np.nan)
    among_all[member] = values
    return among_all


# --- highlights -------------------------------------------------------------------------------------------------------


def highlight_document(precisions: dict[str, Floats], best: NDArray[np.int64]) -> dict[str, Any]:
    """{"HL-min-Fair": {"HL-mAP", "HL-Hit1"}, ...}. precisions: (Q, 3) by level; best (Q,): label of the best clip."""
    return {
        f"HL-min-{name}": {"HL-mAP": percent(precisions[name].mean()), "HL-Hit1": percent((best >= level).mean())}
        for name, level in LEVELS.items()
    }


def highlight_brief(document: dict[str, Any], convention: Convention) -> Brief:
    """The main figures; UniVTG marks those of VeryGood."""
    brief: Brief = {}
    for name in LEVELS:
        end = convention.suffix if name == "VeryGood" else ""
        brief[f"HL-min-{name}-mAP{end}"] = document[f"HL-min-{name}"]["HL-mAP"]
        brief[f"HL-min-{name}-Hit1{end}"] = document[f"HL-min-{name}"]["HL-Hit1"]
    return brief


def highlight_values(precisions: dict[str, Floats], best: NDArray[np.int64]) -> list[Floats]:
    """What each figure of `highlight_brief` is the mean of: (Q,) each."""
    values: list[Floats] = []
    for name, level in LEVELS.items():
        values += [precisions[name].mean(axis=1), (best >= level).astype(np.float64)]
    return values


# --- intervals --------------------------------------------------------------------------------------------------------


def with_intervals(evaluation: Evaluation) -> dict[str, Any]:
    """The part `ci` of the document: {"intervals": {figure: [low, high]}} and how it was made."""
    _check_enough(evaluation, "--ci")
    low, high = bootstrap.interval(evaluation.statistic, len(evaluation.keys))
    limits = {
        name: _pair(evaluation, *both)
        for name, *both in zip(evaluation.brief, low.tolist(), high.tolist(), strict=True)
    }
    return {**_made(evaluation), "intervals": limits}


def compared(first: Evaluation, second: Evaluation) -> dict[str, Any]:
    """The part `against`: first - second on the same queries, with the interval of a paired bootstrap."""
    if list(first.brief) != list(second.brief):
        apart = sorted(set(first.brief) ^ set(second.brief))
        raise UsageError(f"the two prediction files allow different figures: only one gives {', '.join(apart[:3])}")
    if first.keys != second.keys:
        raise UsageError("the two prediction files answer different queries", hint="use files of the same queries")
    _check_enough(first, "--against")
    apart_of = bootstrap.difference(first.statistic, second.statistic)
    ones = np.ones((1, len(first.keys)))
    low, high = bootstrap.interval(apart_of, len(first.keys))
    rows = zip(first.brief, apart_of(ones)[0].tolist(), low.tolist(), high.tolist(), strict=True)
    differences = {
        name: {
            "other": second.brief[name],
            "difference": first.shown(apart),
            **dict(zip(("low", "high"), _pair(first, *both), strict=True)),
        }
        for name, apart, *both in rows
    }
    return {**_made(first), "differences": differences}


def _check_enough(evaluation: Evaluation, option: str) -> None:
    """One query, or one video of a domain, drawn again and again, would look certain."""
    if len(evaluation.keys) < 2:
        raise UsageError(f"{option} needs two or more {evaluation.unit}, not {len(evaluation.keys)}")
    single = [name for name, count in evaluation.groups.items() if count < 2]
    if single:
        raise UsageError(f"{option} needs two or more {evaluation.unit} in every domain; {', '.join(single)} has one")


def _pair(evaluation: Evaluation, low: float, high: float) -> list[float | None]:
    return [evaluation.shown(low), evaluation.shown(high)]


def _made(evaluation: Evaluation) -> dict[str, Any]:
    how = {"level_percent": 95, "resampled": evaluation.unit, "resamples": bootstrap.NUM_RESAMPLES}
    return {**how, "seed": bootstrap.SEED}


def stacked(values: Sequence[Floats]) -> Statistic:
    """Means of columns (Q,) each."""
    return bootstrap.means(np.stack(values, axis=1))
