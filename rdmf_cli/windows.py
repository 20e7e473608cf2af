"""Windows that slide over a video, and the rows of each stream that fall into them. Numpy only.

A window is 64 frames long at a nominal 30 frames a second, whatever the file's own rate: so it means the same length of
time in every video. Streams lie on even grids of their own, which are fixed by how many of their rows a window shows.
Axes: T rows of a stream in a video, D channels, N windows, K rows of a stream in a window.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
_ROUNDING = 1e-6  # of a row: 0.2133 s x 7.5 must not fall into the row before


@dataclass(frozen=True)
class StreamConfig:
    """How a video becomes windows and streams. Stored with the weights; part of a recipe."""

    window_frames: int = 64
    stride_frames: int = 32
    frame_rate: float = 30.0  # nominal frames per second of the window
    motion_frames: int = 16  # per window
    image_frames: int = 16
    caption_frames: int = 4
    motion: str = "differences"  # of image features; or the folder or hf:ID of a video encoder
    captions: str = "phrases"  # nearest of the phrase bank; or the folder or hf:ID of a captioning model

    def __post_init__(self) -> None:
        counts = (self.motion_frames, self.image_frames, self.caption_frames)
        if not 1 <= self.stride_frames <= self.window_frames <= 100_000:
            raise ValueError("1 ≤ stride_frames ≤ window_frames ≤ 100000 must hold")
        if not 0 < self.frame_rate <= 1000:
            raise ValueError(f"frame_rate lies in (0, 1000], not {self.frame_rate:g}")
        if min(counts) < 1 or max(counts) > self.window_frames:
            raise ValueError(
                f"a window of {self.window_frames} frames can't show {', '.join(map(str, counts))} of them"
            )

    @property
    def window_s(self) -> float:
        """Length of a window, seconds."""
        return self.window_frames / self.frame_rate

    @property
    def stride_s(self) -> float:
        """From one window to the next, seconds."""
        return self.stride_frames / self.frame_rate

    def fps(self, frames: int) -> float:
        """Rate at which `frames` per window are sampled."""
        return frames / self.window_s


@dataclass(frozen=True, eq=False)
class StreamRows:
    """One stream of a video: row i stands for the stretch from i / fps seconds on."""

    rows: Floats  # (T, D)
    fps: float
    per_window: int  # K

    def gather(self, starts_s: NDArray[np.float64]) -> tuple[Floats, NDArray[np.bool_]]:
        """Rows of the windows that start then: (N, K, D), and which of them exist, (N, K)."""
        first = np.floor(starts_s * self.fps + _ROUNDING).astype(np.int64)
        places = first[:, None] + np.arange(self.per_window)
        valid = places < len(self.rows)
        found = self.rows[np.minimum(places, len(self.rows) - 1)]
        return np.where(valid[..., None], found, np.float32(0)), valid


@dataclass(frozen=True, eq=False)
class VideoStreams:
    """All streams of one video that could be had."""

    streams: Mapping[str, StreamRows]
    duration_s: float
    source_fps: float  # of the file: which frame a per-frame label means
    window_s: float
    stride_s: float

    @property
    def num_windows(self) -> int:
        """Enough that the last one reaches the end; a video shorter than a window has one."""
        return max(1, math.ceil((self.duration_s - self.window_s) / self.stride_s - _ROUNDING) + 1)

    @property
    def starts_s(self) -> NDArray[np.float64]:
        """(N,) where each window starts."""
        return np.arange(self.num_windows, dtype=np.float64) * self.stride_s

    @property
    def ends_s(self) -> NDArray[np.float64]:
        """(N,) where each window ends: not beyond the video."""
        return np.minimum(self.starts_s + self.window_s, max(self.duration_s, _ROUNDING))

    def gather(self, name: str, windows: NDArray[np.int64]) -> tuple[Floats, NDArray[np.bool_]]:
        """Rows of one stream in some windows: (N, K, D) and (N, K)."""
        return self.streams[name].gather(windows.astype(np.float64) * self.stride_s)


def over_time(scores: Floats, video: VideoStreams) -> tuple[NDArray[np.float64], Floats]:
    """Scores of overlapping windows (N, C) → starts (M,) and means (M, C) of the strides that the video consists of.

    Each stride takes the mean of the windows that reach into it.
    """
    num_steps = max(1, math.ceil(video.duration_s / video.stride_s - _ROUNDING))
    reach = max(1, math.ceil(video.window_s / video.stride_s - _ROUNDING))  # strides in a window
    total, count = np.zeros((num_steps + reach, scores.shape[1])), np.zeros((num_steps + reach, 1))
    for step in range(reach):
        total[step : step + len(scores)] += scores[: num_steps + reach - step]
        count[step : step + len(scores)] += 1
    total, count = total[:num_steps], count[:num_steps]
    return np.arange(num_steps, dtype=np.float64) * video.stride_s, (total / np.maximum(count, 1)).astype(np.float32)
