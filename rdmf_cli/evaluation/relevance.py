"""Does the relevance score tell queries that the video answers from those it does not? Fractions, unrounded.

AUROC: the chance that a query with a match is rated above one without. F1 at the cut-off, `score >= cutoff` being a
match, of either side: `F1-no-match` takes queries without a match as the positives, `F1-match` the others.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.evaluation import classification
from rdmf_cli.evaluation.bootstrap import Statistic

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

FIGURES = ("AUROC", "F1-no-match", "F1-match")


def no_match(scores: Floats, answerable: Bools, called: Bools) -> dict[str, float]:
    """FIGURES of scores (Q,); answerable (Q,): the video answers the query; called (Q,): the system says so."""
    counts = classification.confusion(~answerable, ~called)
    figures = (
        classification.auroc(scores, answerable),
        classification.figures(counts)["binary_f1"][0],
        classification.figures(counts[:, ::-1])["binary_f1"][0],
    )
    return {name: float(value) for name, value in zip(FIGURES, figures, strict=True)}


def statistic(scores: Floats, answerable: Bools, called: Bools) -> Statistic:
    """FIGURES for weights (B, Q) -> (B, 3)."""
    areas = classification.weighted_auroc(scores, answerable)

    def figures(weights: Floats) -> Floats:
        counts = classification.confusion(~answerable, ~called, weights)
        f1 = [classification.figures(table)["binary_f1"] for table in (counts, counts[:, ::-1])]
        return np.stack([areas(weights), *f1], axis=1)

    return figures
