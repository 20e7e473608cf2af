"""Who answers for which moment: the cheapest one-to-one assignment of slots to true windows.

Exact, and small: most items have one or two windows, which numpy settles for a whole batch at once; what has more goes
through the Hungarian algorithm, row by row. SciPy has it too, but is no dependency of ours; a test compares the two.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_NEVER = 1e9  # cost of what must not be chosen; finite, so that sums stay numbers


def assign(cost: Floats, slot_valid: NDArray[np.bool_], num_windows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The window of each slot, -1 for none, such that the sum of costs is least and no window is given twice.

    cost (N, S, W), finite; slot_valid (N, S); num_windows (N,): that many of the W count, the first ones → (N, S).
    With more windows than valid slots, the windows that cost least get one.
    """
    cost = np.where(slot_valid[..., None], cost, _NEVER)
    chosen = np.full(cost.shape[:2], -1, dtype=np.int64)
    ones, twos = np.flatnonzero(num_windows == 1), np.flatnonzero(num_windows == 2)
    if len(ones):
        chosen[ones, cost[ones, :, 0].argmin(axis=1)] = 0
    if len(twos) and cost.shape[1] > 1:
        pairs = cost[twos, :, None, 0] + cost[twos, None, :, 1]  # (n, S, S)
        slots = np.arange(cost.shape[1])
        pairs[:, slots, slots] = 2 * _NEVER + 1
        first, second = np.divmod(pairs.reshape(len(twos), -1).argmin(axis=1), cost.shape[1])
        chosen[twos, first], chosen[twos, second] = 0, 1
    else:
        twos = twos[:0]
    for item in np.setdiff1d(np.flatnonzero(num_windows > 0), np.concatenate([ones, twos])):
        slots, windows = cheapest(cost[item, :, : num_windows[item]])
        chosen[item, slots] = windows
    return np.where(slot_valid, chosen, -1)


def cheapest(cost: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cheapest assignment of rows to columns: cost (N, M), finite → min(N, M) row and column numbers.

    The Hungarian algorithm with potentials, one shortest augmenting path for each row, O(N² M).

    References
    ----------
    Kuhn 1955; Jonker and Volgenant 1987 for the shortest paths.
    """
    if cost.shape[0] > cost.shape[1]:
        columns, rows = cheapest(cost.T)
        return rows, columns
    num_rows, num_columns = cost.shape
    row_price, column_price = np.zeros(num_rows), np.zeros(num_columns)
    owner = np.full(num_columns, -1, dtype=np.int64)  # the row that has a column
    for new_row in range(num_rows):
        distance, came_from = np.full(num_columns, np.inf), np.full(num_columns, -1, dtype=np.int64)
        done = np.zeros(num_columns, dtype=np.bool_)
        row, column, travelled = new_row, -1, 0.0
        while row >= 0:
            reduced = travelled + cost[row] - row_price[row] - column_price
            better = ~done & (reduced < distance)
            distance[better], came_from[better] = reduced[better], column
            column = int(np.where(done, np.inf, distance).argmin())
            travelled, row = float(distance[column]), int(owner[column])
            done[column] = True
        row_price[new_row] += travelled
        passed = done & (owner >= 0)
        row_price[owner[passed]] += travelled - distance[passed]
        column_price[done] -= travelled - distance[done]
        while column >= 0:
            before = int(came_from[column])
            owner[column] = new_row if before < 0 else owner[before]
            column = before
    columns = np.flatnonzero(owner >= 0)
    return owner[columns], columns
