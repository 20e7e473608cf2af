"""Protocols with queries: moments, highlights and "no match" of QVHighlights and its relatives."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError
from rdmf_cli.evaluation import highlights, relevance, report
from rdmf_cli.evaluation.bootstrap import Statistic, side_by_side
from rdmf_cli.evaluation.conventions import CONVENTIONS, Convention
from rdmf_cli.evaluation.formats import Prediction, Truth, read_predictions, read_truths
from rdmf_cli.evaluation.matching import pair_queries
from rdmf_cli.evaluation.options import Options
from rdmf_cli.evaluation.report import Brief, Evaluation
from rdmf_cli.evaluation.retrieval import figures_by_range, pad

Floats = NDArray[np.float64]
Pairs = list[tuple[Prediction, Truth]]

# One true window per query and no labels of clips; their published files follow UniVTG.
ONE_WINDOW = ("charades", "tacos", "activitynet", "nlq")
_EMPTY = {"null": "no figures", "zeros": "zeros stand there", "full": "the figures of all stand there"}
_LENGTH_SLACK = 1  # clips: features and videos rarely end together, in published files either


@dataclass
class _Parts:
    """What has been measured so far."""

    document: dict[str, object] = field(default_factory=dict)
    brief: Brief = field(default_factory=dict)
    statistics: list[Statistic] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def evaluate_queries(predictions: Path, truth: Path, options: Options) -> Evaluation:
    """Moments, highlights and relevance, as far as both files have them."""
    is_single = options.protocol in ONE_WINDOW
    convention = CONVENTIONS[options.convention or ("univtg" if is_single else "moment_detr")]
    truths = read_truths(truth)
    if is_single:
        _check_single(truths, options.protocol)
    pairs, notes = pair_queries(read_predictions(predictions), truths, common=options.common)
    parts = _Parts()
    parts.notes += notes
    _add_moments(parts, pairs, convention)
    if not is_single:
        _add_highlights(parts, pairs, convention, options.any_saliency_length)
    _add_relevance(parts, pairs, options.threshold)
    if not parts.brief:
        raise UsageError(f"{predictions} and {truth}: nothing can be measured: {'; '.join(parts.notes)}")
    return Evaluation(
        document={"brief": parts.brief, **parts.document},
        brief=parts.brief,
        statistic=side_by_side(*parts.statistics),
        keys=[f"{true.line.number}" if true.key is None else true.key for _, true in pairs],
        counts=parts.counts,
        convention=convention.name,
        notes=parts.notes,
    )


def _check_single(truths: list[Truth], protocol: str) -> None:
    for one in truths:
        if one.windows is None or len(one.windows) != 1:
            count = 0 if one.windows is None else len(one.windows)
            raise one.line.error(
                f"{count} true windows; {protocol} has one", "--protocol qvhighlights takes any number"
            )


def _add_moments(parts: _Parts, pairs: Pairs, convention: Convention) -> None:
    """R1, R5, mIoU and mAP of the queries that have a true window."""
    if pairs[0][0].windows is None:
        parts.notes.append("no predicted windows: only highlights are measured")
        return
    true = pad([_rows(one.windows, 2) for _, one in pairs], 2)
    if not true.valid.any():
        parts.notes.append("no query has a true window")
        return
    predicted = pad([_rows(one.windows, 3) for one, _ in pairs], 3, limit=10)
    figures = figures_by_range(predicted, true, convention)
    document = report.retrieval_document(figures, convention)
    parts.document |= document
    parts.brief |= report.retrieval_brief(document, convention)
    parts.statistics.append(report.stacked(report.retrieval_values(figures, convention)))
    parts.counts |= {name: int(part.member.sum()) for name, part in figures.items()}
    parts.notes += _moment_notes(pairs, np.any(predicted.valid, axis=1) | ~np.any(true.valid, axis=1), convention)
    empty = [limits.name for limits in convention.ranges if not true.within(limits).valid.any()]
    parts.notes += [f"no true window is of the range '{name}': {_EMPTY[convention.empty]}" for name in empty]


def _moment_notes(pairs: Pairs, answered: NDArray[np.bool_], convention: Convention) -> list[str]:
    notes = []
    if not answered.all():
        first = int(np.flatnonzero(~answered)[0])
        where = f"first: line {pairs[first][0].line.number}"
        notes.append(f"without a predicted window, counted as 0: {_queries(~answered)} ({where})")
    limit_s = convention.full.low_s
    zero = sum(
        bool((one.windows[:, 1] - one.windows[:, 0] <= limit_s).any()) for _, one in pairs if one.windows is not None
    )
    if zero and not convention.full.is_everything:
        notes.append(f"true windows of length 0, which {convention.name} leaves out: in {_queries(zero)}")
    return notes


def _add_highlights(parts: _Parts, pairs: Pairs, convention: Convention, any_length: bool) -> None:
    """HL-mAP and HIT@1 of the queries whose clips have labels."""
    labelled = [(one, true) for one, true in pairs if true.labels is not None]
    if not labelled or pairs[0][0].saliency is None:
        if labelled:
            parts.notes.append("no saliency scores: highlights are not measured")
        elif pairs[0][0].saliency is not None:
            parts.notes.append("the ground truth has no labels of clips: highlights are not measured")
        return
    for _, true in pairs:
        if true.labels is None and true.windows is not None and len(true.windows):
            raise true.line.error("'saliency_scores' or 'relevant_clip_ids' are missing; other lines have them")
    parts.notes += _check_lengths(labelled, any_length)
    scores = [_rows(one.saliency, 0) for one, _ in labelled]
    labels = [true.labels for _, true in labelled if true.labels is not None]
    precisions, best = highlights.highlight_precisions(scores, labels), highlights.best_labels(scores, labels)
    document = report.highlight_document(precisions, best)
    parts.document |= document
    parts.brief |= report.highlight_brief(document, convention)
    has_labels = np.array([true.labels is not None for _, true in pairs])
    parts.statistics.append(
        report.stacked([report.spread(has_labels, values) for values in report.highlight_values(precisions, best)])
    )
    parts.counts["highlights"] = len(labelled)
    if len(labelled) < len(pairs):
        parts.notes.append(f"no labels of clips, not in the highlights: {_queries(len(pairs) - len(labelled))}")


def _check_lengths(labelled: Pairs, any_length: bool) -> list[str]:
    """Raise for a wrong number of saliency scores; say what is cut and filled."""
    short = long = 0
    for one, true in labelled:
        given, clips = len(_rows(one.saliency, 0)), len(_rows(true.labels, 0))
        short, long = short + (given < clips), long + (given > clips)
        if abs(given - clips) > _LENGTH_SLACK and not any_length:
            duration = f"{true.duration_s:g} s" if true.duration_s is not None else "the video"
            raise one.line.error(
                f"{given} 'pred_saliency_scores' for the {clips} clips of {duration}",
                "one score per clip of 2 s; --any-saliency-length cuts and fills them as reference evaluators do",
            )
    notes = [f"saliency ends before the video, the rest counts as 0.0: {_queries(short)}"] if short else []
    return notes + ([f"saliency goes on after the last whole clip and is cut: {_queries(long)}"] if long else [])


def _add_relevance(parts: _Parts, pairs: Pairs, threshold: float | None) -> None:
    """AUROC and F1 of the relevance score, if there are queries without a match."""
    answerable = np.array([true.windows is not None and len(true.windows) > 0 for _, true in pairs])
    missing = int((~answerable).sum())
    if not missing or not answerable.any():
        return
    absent = [one for one, _ in pairs if one.relevance is None]
    if len(absent) == len(pairs):
        parts.notes.append(
            f"no match, and left out because the predictions have no relevance score: {_queries(missing)}"
        )
        return
    if absent:
        raise absent[0].line.error("'relevance' is missing; other lines have it")
    scores = np.array([one.relevance for one, _ in pairs], dtype=np.float64)
    cutoffs = np.array([_cutoff(one, threshold) for one, _ in pairs])
    figures = relevance.no_match(scores, answerable, scores >= cutoffs)
    document = {name: report.percent(value) for name, value in figures.items()}
    single = float(cutoffs[0]) if (cutoffs == cutoffs[0]).all() else None
    parts.document["no-match"] = {**document, "cutoff": single}
    parts.brief |= {f"NM-{name}": value for name, value in document.items()}
    parts.statistics.append(relevance.statistic(scores, answerable, scores >= cutoffs))
    parts.counts |= {"match": int(answerable.sum()), "no match": missing}


def _cutoff(one: Prediction, threshold: float | None) -> float:
    if threshold is not None:
        return threshold
    if one.cutoff is None:
        raise one.line.error("'relevance' has no cut-off", "--threshold sets one for all")
    return one.cutoff


def _queries(which: int | NDArray[np.bool_]) -> str:
    """How many, with the word."""
    count = int(np.sum(which))
    return f"{count} {'query' if count == 1 else 'queries'}"


def _rows(values: NDArray[np.float64] | NDArray[np.int64] | None, columns: int) -> Floats:
    """The values of a field that may be absent."""
    return np.zeros((0, columns)) if values is None else values.astype(np.float64, copy=False)
