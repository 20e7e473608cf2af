"""Agreement of numbers with numbers (valence, arousal): CCC, Pearson's r, MSE; unrounded.

    CCC = 2 cov(x, y) / (var(x) + var(y) + (mean(x) - mean(y))^2)

with moments over N, not N - 1 (Lin 1989), as the challenges on affect in the wild do. What would be 0/0 is NaN: Pearson
where one side is constant, CCC where both are the same constant.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def agreement(predicted: Floats, true: Floats, weights: Floats | None = None) -> dict[str, Floats]:
    """ccc, pearson and mse of predicted (N,) with true (N,), each (B,) for weights (B, N), one row without."""
    rows = np.ones((1, len(true))) if weights is None else weights
    total = rows.sum(axis=1)
    # About the overall mean first: moments of large numbers that vary little would cancel.
    x, y = predicted - true.mean(), true - true.mean()
    mean_x, mean_y = rows @ x / total, rows @ y / total
    spread_x = np.maximum(rows @ (x * x) / total - mean_x**2, 0.0)
    spread_y = np.maximum(rows @ (y * y) / total - mean_y**2, 0.0)
    if np.ptp(predicted) == 0:
        spread_x[:] = 0.0  # exactly, whatever the rounding of the mean left
    if np.ptp(true) == 0:
        spread_y[:] = 0.0
    together = np.where((spread_x > 0) & (spread_y > 0), rows @ (x * y) / total - mean_x * mean_y, 0.0)
    return {
        "ccc": _ratio(2 * together, spread_x + spread_y + (mean_x - mean_y) ** 2),
        "pearson": _ratio(together, np.sqrt(spread_x * spread_y)),
        "mse": rows @ ((x - y) ** 2) / total,
    }


def _ratio(part: Floats, whole: Floats) -> Floats:
    return np.divide(part, whole, out=np.full_like(part, np.nan), where=whole > 0)
