"""Frames that repeat the one before: static shots, slides, surveillance. Encoding them again would say the same again.

A frame repeats the last one that was encoded if every block of BLOCK_PX x BLOCK_PX pixels, in every colour, differs
from it by at most LIMIT of 255 on average. So a small thing that moves in a still picture is never passed over: it
changes its own block by far more. Compared is with the last *encoded* frame and not with the last one seen, so slow
changes add up and can't drift past the limit. What this does to features: docs/decisions/0007-repeated-frames.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BLOCK_PX = 8
LIMIT = 3.0  # of 255, mean absolute difference within a block
_COARSE = 7  # every so many pixels for the first look; odd, so that it does not walk along the blocks' borders


class Repeats:
    """Told the frames of one video in order; says which of them have to be encoded."""

    def __init__(self, limit: float = LIMIT) -> None:
        self._limit = limit
        self._kept: NDArray[np.uint8] | None = None

    def new(self, frames: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """frames (N, H, W, 3) -> (N,), False where a frame repeats the last one that was True, here or earlier."""
        is_new = np.ones(len(frames), dtype=np.bool_)
        for place, frame in enumerate(frames):
            if self._kept is not None and largest_difference(self._kept, frame, self._limit) <= self._limit:
                is_new[place] = False
            else:
                self._kept = frame.copy()  # a view would keep its whole batch in memory
        return is_new


def largest_difference(one: NDArray[np.uint8], other: NDArray[np.uint8], enough: float = np.inf) -> float:
    """Largest mean absolute difference of any block and colour, [0, 255]. one, other (H, W, 3).

    Stops looking closely once a few pixels show that it is more than `enough`.
    """
    coarse = np.abs(one[::_COARSE, ::_COARSE].astype(np.int16) - other[::_COARSE, ::_COARSE])
    if (mean := float(coarse.mean())) > 2 * enough:  # the whole differs that much, so some block does, too
        return mean
    apart = np.maximum(one, other) - np.minimum(one, other)  # (H, W, 3) uint8: no wrap-around, no wider type
    rows = np.arange(0, apart.shape[0], BLOCK_PX)
    columns = np.arange(0, apart.shape[1], BLOCK_PX)
    sums = np.add.reduceat(np.add.reduceat(apart, rows, axis=0, dtype=np.uint32), columns, axis=1)
    heights = np.diff(np.append(rows, apart.shape[0]))
    widths = np.diff(np.append(columns, apart.shape[1]))
    return float((sums / (heights[:, None, None] * widths[None, :, None])).max())


def spread(encoded: NDArray[np.float32], is_new: NDArray[np.bool_], last: NDArray[np.float32]) -> NDArray[np.float32]:
    """One row per frame: its own if it was encoded, else that of the frame it repeats.

    encoded (M, D) of the M frames that are new; is_new (N,); last (D,) row before the first frame -> (N, D)
    """
    rows = np.concatenate([last[None], encoded])
    return np.asarray(rows[np.cumsum(is_new)], dtype=np.float32)
