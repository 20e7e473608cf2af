"""How good answers to examples are: one set of figures for training, the card and the benchmark.

The formulas are those of rdmf_cli/evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.evaluation.classification import auroc
from rdmf_cli.evaluation.conventions import TIOU_THRESHOLDS, LengthRange
from rdmf_cli.evaluation.highlights import hit_at_1
from rdmf_cli.evaluation.retrieval import MAX_WINDOWS, Windows, batch_average_precisions, best_tious, pad
from rdmf_cli.intervals import overlap_ratios
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.moments.answers import Said

Floats = NDArray[np.float64]

Figures = dict[str, float | None]

FIGURES = ("r1_50", "r1_70", "map", "map_short", "hit_at_1", "auroc", "border")
SHORT = LengthRange("short", 0.0, 10.0)  # seconds
_FOUND = 0.5  # tIoU from which the borders of an answer are compared with the truth's


def figures(said: Sequence[Said], examples: Sequence[Example]) -> Figures:
    """FIGURES of one answer per example; fractions, but `border` in sampling steps. None where nothing was asked.

    r1_50, r1_70, map: over examples with a true window; map_short: over those with one of at most 10 s, which alone
    count there. hit_at_1: the best snippet begins in a true window. auroc: relevance, matches against no
    matches. border: median distance of the first answer's two borders from the truth's, where they overlap by 0.5.
    """
    matched = np.array([len(example.windows) > 0 for example in examples], dtype=bool)
    asked = [(one, example) for one, example in zip(said, examples, strict=True) if len(example.windows)]
    result: Figures = dict.fromkeys(FIGURES)
    if asked:
        truths = pad([_windows_s(example) for _, example in asked], 2)
        rows = pad([one.rows for one, _ in asked], 3, limit=MAX_WINDOWS)
        first = best_tious(rows, truths)
        result["r1_50"], result["r1_70"] = float(np.mean(first >= 0.5)), float(np.mean(first >= 0.7))
        result["map"] = _mean_ap(rows, truths)
        short = truths.within(SHORT)
        member: NDArray[np.bool_] = np.any(short.valid, axis=1)
        if member.any():
            result["map_short"] = _mean_ap(rows.of(member), short.of(member))
        result["hit_at_1"] = float(np.mean([_is_hit(one, example) for one, example in asked]))
        spacings = np.array([example.spacing_s for _, example in asked])
        result["border"] = _border_error(rows, truths, spacings)
    if matched.any() and not matched.all():
        result["auroc"] = float(auroc([one.relevance for one in said], matched))
    return result


def _windows_s(example: Example) -> Floats:
    return np.asarray(example.windows, dtype=np.float64).reshape(-1, 2) * example.spacing_s


def _mean_ap(rows: Windows, truths: Windows) -> float:
    return float(np.mean(batch_average_precisions(rows, truths, TIOU_THRESHOLDS)))


def _is_hit(said: Said, example: Example) -> bool:
    # A snippet shows its first instant. A little later, because windows are float32.
    times_s = (np.arange(len(said.saliency)) + 1e-3) * example.spacing_s
    return hit_at_1(times_s, said.saliency, _windows_s(example))


def _border_error(rows: Windows, truths: Windows, spacings_s: Floats) -> float | None:
    """Median over both borders of every first answer that meets its best truth. spacings_s (Q,)."""
    overlaps = np.where(truths.valid, overlap_ratios(rows.rows[:, :1, :2], truths.rows)[:, 0], -1.0)  # (Q, M)
    best = overlaps.argmax(axis=1)
    queries = np.arange(len(best))
    met = rows.valid[:, 0] & (overlaps[queries, best] >= _FOUND)
    if not met.any():
        return None
    apart = np.abs(rows.rows[:, 0, :2] - truths.rows[queries, best]) / spacings_s[:, None]
    return float(np.median(apart[met]))


def main_figure(found: Figures) -> float:
    """What the best weights are chosen by: mAP; without any true window, the AUROC (none counts as 0)."""
    value = found["map"] if found["map"] is not None else found["auroc"]
    return 0.0 if value is None else value
