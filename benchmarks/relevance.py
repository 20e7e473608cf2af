"""Fits the two constants of the relevance score (rdmf_cli/pipeline/calibration.py) to queries with known answers.

They are product constants, fitted once with the built-in encoder; `python -m benchmarks.accuracy --fit-relevance`
prints what a fit to the given queries would be. Fitted and measured on the same queries, AUROC does not change (the
score is a rising function of the statistic), but a hit rate at the cut-off would look better than it is.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.learn.reliability import fit_logistic
from rdmf_cli.pipeline import calibration as product

Floats = NDArray[np.float64]
_CERTAIN = 1e-15  # probabilities closer to 0 or 1 can't be turned back into a statistic


def fit_relevance(
    calibration: product.Calibration,
    embeddings: NDArray[np.float32],
    reaches: NDArray[np.float32],
    features: Sequence[NDArray[np.float32]],
    answered: NDArray[np.bool_],
) -> dict[str, float]:
    """Slope and midpoint, in deviations, that tell answered queries from the others.

    embeddings (Q, D) with their reaches (Q,), and the features (T, D) of each query's video, unit rows; answered (Q,).
    """
    chances = np.array(
        [
            calibration.relevance(query[None] @ rows.T, reach[None])[0]
            for query, reach, rows in zip(embeddings, reaches, features, strict=True)
        ]
    )
    chances = np.clip(chances, _CERTAIN, 1 - _CERTAIN)
    # Back through the product's own logistic, so that its statistic stays in one place.
    deviations = product.MIDPOINT + np.log(chances / (1 - chances)) / product._SLOPE
    slope, midpoint = fit_logistic(deviations, answered)
    return {"slope": slope, "midpoint": midpoint, "slope_now": product._SLOPE, "midpoint_now": product.MIDPOINT}
