"""What the learned fusion reads of each snippet: numbers that do not depend on the encoder or on its dimension.

Axes: Q queries, T snippets, N = len(INPUT_NAMES) inputs, S = len(QUERY_NAMES) facts of a query, B items of a batch.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

INPUT_NAMES: tuple[str, ...] = ()
QUERY_NAMES: tuple[str, ...] = ()


class Inputs(NamedTuple):
    """One video as the learned fusion takes it."""

    values: Tensor  # (Q, T, N) per query and snippet, of the order of 1
    query: Tensor  # (Q, S) per query: what is known of it and of the video as a whole
    distance: Tensor  # (T-1,) of neighbours, in units of the video's median
    is_cut: Tensor  # (T-1,) bool
    spacing_s: float


class Batch(NamedTuple):
    """B padded items. Padding comes last and is False in `valid`; what it holds never matters."""

    values: Tensor  # (B, T, N)
    query: Tensor  # (B, S)
    distance: Tensor  # (B, T-1)
    is_cut: Tensor  # (B, T-1) bool
    valid: Tensor  # (B, T) bool
    spacing_s: Tensor  # (B,)
    features: Tensor | None = None  # (B, T, E), for models with input = "features"
    words: Tensor | None = None  # (B, E)
