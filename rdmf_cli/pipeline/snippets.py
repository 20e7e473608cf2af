"""Stored samples of a video → snippets on an even grid, which is what fusion works on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.heads.decode import Timeline
from rdmf_cli.media.cuts import CUT_THRESHOLD
from rdmf_cli.store import VideoFeatures

_MAX_FILL = 100_000  # snippets that gaps may add: a claimed gap of days must not become memory


def snippets_of(video: VideoFeatures, sample_fps: float) -> tuple[NDArray[np.float32], Timeline]:
    """Features (T, D) and their timeline.

    Samples are even but where a video shows one frame for longer than a grid step (variable rate, slides). There the
    frame that is on screen is repeated, so that a step along T always means the same time.
    """
    cells = np.floor(video.times_s * sample_fps + 1e-3).astype(np.int64)
    ends = np.append(cells[1:], max(int(video.duration_s * sample_fps - 1e-3), cells[-1]) + 1)
    repeats = np.maximum(ends - cells, 1)
    if repeats.sum() - len(cells) > _MAX_FILL:
        repeats = np.minimum(repeats, max(1, _MAX_FILL // len(cells)))
    rows = np.repeat(np.arange(len(cells)), repeats)
    is_first = np.diff(rows, prepend=-1) > 0
    steps = np.arange(len(rows)) - np.flatnonzero(is_first)[rows]  # 0 on the sample itself, 1, 2, … on its repeats
    # A frame may come late in its grid cell; what repeats it starts with the following cells.
    starts_s = np.where(is_first, video.times_s[rows], (cells[rows] + steps) / sample_fps)
    cut_s = np.where(is_first & (video.change[rows] >= CUT_THRESHOLD), video.change_time_s[rows], np.nan)
    cut_s[0] = np.nan
    return video.features[rows], Timeline(starts_s, cut_s, max(video.duration_s, float(starts_s[-1]) + 1e-3))
