"""Scores that are probabilities: a logistic fitted to known answers, and how well it keeps its word."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rdmf_cli.learn.curves import own_style

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_BINS = 10


def even_weights(positive: Bools) -> Floats:
    """(N,) such that both kinds count the same in total, and all together N."""
    share = np.where(positive, 0.5 / max(positive.sum(), 1), 0.5 / max((~positive).sum(), 1))
    return np.asarray(share * len(positive), dtype=np.float64)


def fit_logistic(values: Floats, positive: Bools) -> tuple[float, float]:
    """(slope, midpoint) of 1 / (1 + exp(-slope (value - midpoint))), by maximum likelihood (Newton's method).

    Both kinds count the same in total, so the midpoint does not depend on how many of each were asked. A small ridge
    on the slope (as if one query in each kind were labelled at random) keeps separable data finite.
    """
    weights = even_weights(positive)
    centre, scale = float(values.mean()), float(values.std()) or 1.0
    inputs = np.stack([(values - centre) / scale, np.ones(len(values))], axis=1)  # (N, 2)
    ridge = np.diag([1.0, 0.0])
    theta = np.zeros(2)
    for _ in range(50):
        chance = 1 / (1 + np.exp(-inputs @ theta))
        gradient = inputs.T @ (weights * (positive - chance)) - ridge @ theta
        curvature = (inputs * (weights * chance * (1 - chance))[:, None]).T @ inputs + ridge
        theta = theta + np.linalg.solve(curvature, gradient)
    slope, offset = theta
    return float(slope / scale), float(centre - scale * offset / slope)


def fit_scale(logits: ArrayLike, positive: ArrayLike) -> tuple[float, float]:
    """(slope, offset) such that sigmoid(slope · logit + offset) is a probability where as many queries match as don't.

    (1, 0) if all are of one kind.
    """
    values, matched = np.asarray(logits, dtype=np.float64), np.asarray(positive, dtype=bool)
    if matched.all() or not matched.any():
        return 1.0, 0.0
    slope, midpoint = fit_logistic(values, matched)
    if not np.isfinite([slope, midpoint]).all() or slope <= 0:  # a score that says nothing stays as it is
        return 1.0, 0.0
    return slope, -slope * midpoint


def probabilities(logits: ArrayLike, scale: tuple[float, float]) -> Floats:
    """sigmoid(slope · logit + offset), (N,) in (0, 1)."""
    slope, offset = scale
    return np.asarray(1 / (1 + np.exp(-np.clip(slope * np.asarray(logits) + offset, -60, 60))), dtype=np.float64)


def cutoff_for(chances: ArrayLike, positive: ArrayLike, false_alarms: float) -> float:
    """The probability in [0.5, 1] from which on an answer counts, so that of no match only `false_alarms` do.

    One half, where both mistakes are equally common, if that is enough.
    """
    others = np.asarray(chances, dtype=np.float64)[~np.asarray(positive, dtype=bool)]
    if false_alarms >= 1 or not len(others):
        return 0.5
    return max(0.5, float(np.quantile(others, 1 - false_alarms)))


def reliability(logits: ArrayLike, positive: ArrayLike) -> dict[str, Any]:
    """How well the fitted probabilities keep their word: {"bins": [{"said", "true", "count"}], "error"}.

    Each half is judged with the logistic that was fitted to the other one, so that the table does not flatter. Bins
    are tenths of probability, empty ones are left out. Both kinds of query weigh the same, as in the fit; `error` is
    the mean distance of said and true by that weight (ECE), `count` the plain number of queries.
    """
    values, matched = np.asarray(logits, dtype=np.float64), np.asarray(positive, dtype=bool)
    chances = np.zeros(len(values))
    # Every other one of each kind: halves of one mixture.
    order = np.argsort(matched, kind="stable")
    halves = order[::2], order[1::2]
    for own, other in (halves, halves[::-1]):
        chances[own] = probabilities(values[own], fit_scale(values[other], matched[other]))
    weights = even_weights(matched)
    place = np.minimum((chances * _BINS).astype(int), _BINS - 1)
    bins, error = [], 0.0
    for own in (place == number for number in range(_BINS)):
        if own.any():
            said, true = (float(np.average(x[own], weights=weights[own])) for x in (chances, matched))
            bins.append({"said": said, "true": true, "count": int(own.sum())})
            error += abs(said - true) * float(weights[own].sum() / weights.sum())
    return {"bins": bins, "error": error}


def diagram(bins: Sequence[dict[str, Any]]) -> bytes | None:
    """Reliability diagram as PNG; None where matplotlib is missing."""
    with own_style() as figures:
        if figures is None:
            return None
        drawn = figures.Figure(figsize=(4.2, 4.2), layout="constrained")
        axes = drawn.add_subplot()
        axes.plot([0, 1], [0, 1], linestyle=":", color="0.6")
        axes.plot([row["said"] for row in bins], [row["true"] for row in bins], color="tab:blue")
        largest = max((row["count"] for row in bins), default=1)
        axes.scatter(
            [row["said"] for row in bins],
            [row["true"] for row in bins],
            s=[12 + 160 * row["count"] / largest for row in bins],
            color="tab:blue",
        )
        axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="probability said", ylabel="share that matches", aspect="equal")
        file = io.BytesIO()
        drawn.savefig(file, format="png", dpi=120)
        return file.getvalue()
