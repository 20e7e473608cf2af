"""What the learned fusion is trained on: one query on one timeline, as arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Example:
    """One query on one timeline of T snippets. Snippet i covers [i, i + 1) in units of `spacing_s`."""

    name: str
    values: NDArray[np.float32]  # (T, len(INPUT_NAMES)) of fusion/inputs.py
    query: NDArray[np.float32]  # (len(QUERY_NAMES),)
    distance: NDArray[np.float32]  # (T-1,)
    is_cut: NDArray[np.bool_]  # (T-1,)
    spacing_s: float
    windows: NDArray[np.float32]  # (W, 2) start and end in snippets, not rounded; W = 0: nothing matches
    saliency: NDArray[np.float32]  # (T,) in [0, 1], nan where nobody said
    features: NDArray[np.float16] | None = None  # (T, E), only for input = "features"
    words: NDArray[np.float16] | None = None  # (E,)
    text: str = ""
    # (T-1,) where each cut of is_cut lies, in snippets: between edge i and edge i + 1 for is_cut[i]; nan where there is
    # none. Frames show cuts more exactly than snippets do, so answers are decoded with it; the network never sees it.
    cut_at: NDArray[np.float32] | None = None
