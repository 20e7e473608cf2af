"""Fits the two constants of the relevance score (rdmf_cli/pipeline/calibration.py) to queries with known answers.

They are product constants, fitted once with the built-in encoder; `python -m benchmarks.accuracy --fit-relevance`
prints what a fit to the given queries would be. Fitted and measured on the same queries, AUROC does not change (the
score is a rising function of the statistic), but a hit rate at the cut-off would look better than it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.pipeline import calibration as product

Floats = NDArray[np.float64]
_CERTAIN = 1e-15  # probabilities closer to 0 or 1 can't be turned back into a statistic


def fit_relevance(
    calibration: product.Calibration,
    embeddings: NDArray[np.float32],
    features: Sequence[NDArray[np.float32]],
    answered: NDArray[np.bool_],
) -> dict[str, float]:
    """Slope and midpoint, in deviations, that tell answered queries from the others.

    embeddings (Q, D) and the features (T, D) of each query's video, unit rows; answered (Q,).
    """
    chances = np.array(
        [
            calibration.relevance(query[None], query[None] @ rows.T)[0]
            for query, rows in zip(embeddings, features, strict=True)
        ]
    )
    chances = np.clip(chances, _CERTAIN, 1 - _CERTAIN)
    # Back through the product's own logistic, so that its statistic stays in one place.
    deviations = product._MIDPOINT + np.log(chances / (1 - chances)) / product._SLOPE
    slope, midpoint = fit_logistic(deviations, answered)
    return {"slope": slope, "midpoint": midpoint, "slope_now": product._SLOPE, "midpoint_now": product._MIDPOINT}


def fit_logistic(values: Floats, positive: NDArray[np.bool_]) -> tuple[float, float]:
    """(slope, midpoint) of 1 / (1 + exp(-slope (value - midpoint))), by maximum likelihood (Newton's method).

    Both kinds count the same in total, so the midpoint does not depend on how many of each were asked. A small ridge
    on the slope (as if one query in each kind were labelled at random) keeps separable data finite.
    """
    weights = np.where(positive, 0.5 / positive.sum(), 0.5 / (~positive).sum()) * len(values)
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
