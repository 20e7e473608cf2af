"""How strongly the picture changes from one frame to the next, from tiny thumbnails of all frames.

A hard cut changes the picture at its places and in its colours, and much more than the frames before did. Camera
motion changes places only; flicker and fades change colours a little; fast motion changes as much in every frame.
So the measure is the geometric mean of two parts, each in [0, 1]:

    jump_j   = max(0, d_j - d_{j-1})      d = mean |difference| of Y, U and V, summed over the three, cut off at 1
    colour_j = half the L1 distance of 16-bin histograms, mean over Y, U and V
    change_j = sqrt(jump_j · colour_j)

d_j - d_{j-1} is the idea of ffmpeg's scdet. Either part alone mixes cuts with handheld sports shots (measured on four
compilations with 26 exact cuts, docs/decisions/0003-cut-signal.md); the product separates them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

THUMB_HEIGHT_PX = 18
THUMB_WIDTH_PX = 32
THUMB_BYTES = 3 * THUMB_HEIGHT_PX * THUMB_WIDTH_PX

# At or above it a change counts as a hard cut. Real cuts measured 0.194 and more, the strongest shot without a cut
# 0.168 (handheld, fast pans) where no segment had inner cuts.
CUT_THRESHOLD = 0.18

_BINS = 16
_PIXELS = THUMB_HEIGHT_PX * THUMB_WIDTH_PX


class ChangeSignal:
    """Collects thumbnails in order of time and says where, since it was last asked, the picture changed most."""

    def __init__(self) -> None:
        self._times_s: list[float] = []
        self._thumbs: list[bytes] = []
        self._last: NDArray[np.uint8] | None = None  # (3, P), the newest picture already asked about
        self._last_difference = 0.0

    def add(self, time_s: float, thumb: bytes) -> None:
        """One more frame: its time and its thumbnail, planar YUV 4:4:4, THUMB_BYTES long."""
        self._times_s.append(time_s)
        self._thumbs.append(thumb)

    def strongest(self, until_s: float) -> tuple[float, float]:
        """(change in [0, 1], time in seconds of the first frame after it) over the frames up to `until_s`, included.

        Frames are compared with the one before; those asked about are forgotten. Nothing new: (0, until_s).
        """
        count = int(np.searchsorted(np.asarray(self._times_s), until_s + 1e-9, side="right"))
        if count == 0:
            return 0.0, until_s
        times_s, self._times_s = self._times_s[:count], self._times_s[count:]
        raw, self._thumbs = self._thumbs[:count], self._thumbs[count:]
        pictures = np.frombuffer(b"".join(raw), np.uint8).reshape(count, 3, _PIXELS)
        if self._last is None:
            times_s, pairs = times_s[1:], pictures
        else:
            pairs = np.concatenate([self._last[None], pictures])
        self._last = pairs[-1]
        if len(pairs) < 2:
            return 0.0, until_s
        change, self._last_difference = picture_changes(pairs, self._last_difference)
        best = int(np.argmax(change))
        return float(change[best]), times_s[best]


def picture_changes(pictures: NDArray[np.uint8], difference_before: float = 0.0) -> tuple[NDArray[np.float32], float]:
    """Changes between neighbours.

    pictures (N, 3, P) uint8 in YUV, N >= 2; `difference_before` is d of the pair before the first
    -> changes (N - 1,) in [0, 1], and d of the last pair, to go on with.
    """
    apart = np.abs(np.diff(pictures.astype(np.int16), axis=0))  # (N-1, 3, P)
    difference = np.minimum(apart.mean(axis=2).sum(axis=1) / 255.0, 1.0)
    before = np.concatenate([[difference_before], difference[:-1]])
    jump = np.maximum(difference - before, 0.0)
    histograms = _histograms(pictures)
    colour = np.abs(np.diff(histograms, axis=0)).sum(axis=2).mean(axis=1) / 2.0
    return np.sqrt(jump * colour).astype(np.float32), float(difference[-1])


def _histograms(pictures: NDArray[np.uint8]) -> NDArray[np.float64]:
    """pictures (N, 3, P) -> (N, 3, 16), each row sums to 1."""
    count, planes, pixels = pictures.shape
    rows = np.arange(count * planes, dtype=np.int64).reshape(count, planes, 1) * _BINS
    flat = (rows + (pictures >> 4)).ravel()
    counted = np.bincount(flat, minlength=count * planes * _BINS).reshape(count, planes, _BINS)
    return np.asarray(counted / pixels, dtype=np.float64)
