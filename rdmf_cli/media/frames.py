"""Frames of a video at a chosen rate and size, with their true times: the contract, and the table of decoders.

Sampling rule: grid points lie at k / sample_fps seconds from the first presented frame; for each the first frame at
or after it is taken, once. So a gap in a variable-rate video gives fewer frames, never the same one twice, and the
first frame always comes. Every frame carries the time at which a player shows it.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError
from rdmf_cli.media.probe import VideoInfo, probe

SAMPLER_VERSION = 1  # part of FeatureSpec.sampling: raise it when the same video would give other frames
GRID_TOLERANCE = 1e-5  # in grid steps: a frame a rounding error before its grid point still belongs to it
STALL_S = 30.0

_BACKENDS = {
    "ffmpeg": "rdmf_cli.media.ffmpeg_frames:FfmpegFrames",
    "decord": "rdmf_cli.media.decord_frames:DecordFrames",
}
BACKENDS = tuple(_BACKENDS)


@dataclass(frozen=True)
class Sampling:
    """Which frames, and at which size they arrive: squashed to it, whatever their own shape."""

    sample_fps: float
    height_px: int
    width_px: int

    def __post_init__(self) -> None:
        if not (0 < self.sample_fps <= 1000 and self.height_px > 0 and self.width_px > 0):
            raise ValueError(f"not a sampling: {self}")


@dataclass(frozen=True)
class FrameBatch:
    """N frames in order of time. Seconds count from the first presented frame of the video."""

    frames: NDArray[np.uint8]  # (N, H, W, 3) RGB, upright
    times_s: NDArray[np.float64]  # (N,) when each is presented
    change: NDArray[np.float32]  # (N,) in [0, 1]: strongest picture change since the sample before; first of all: 0
    change_time_s: NDArray[np.float64]  # (N,) when it happened: time of the first frame after the change


@dataclass
class DecodeReport:
    """What happened while decoding; complete once `batches` is exhausted."""

    frames_decoded: int = 0  # all frames, not only samples
    decode_failures: int = 0  # packets or pictures that could not be decoded properly
    truncated: bool = False  # the file promises more than could be decoded
    warnings: list[str] = field(default_factory=list)
    duration_s: float = 0.0  # end of the last frame that was presented
    decode_busy_s: float = 0.0  # how long the consumer had to wait for frames: decoding was the bottleneck


class FrameSource(Protocol):
    """A video being decoded. `batches` may be called again and then starts over; `close` may always be called."""

    info: VideoInfo
    sampling: Sampling
    report: DecodeReport

    def batches(self, batch_size: int) -> Iterator[FrameBatch]:
        """Batches of `batch_size` frames, the last one shorter. Decodes ahead of the consumer, in bounded memory.

        Closing the iterator early stops the decoder. Raises VideoError if not one frame can be decoded or the decoder
        hangs before the first; later trouble ends the frames early and is told in `report`.
        """
        ...

    def close(self) -> None:
        """Stop decoding and free everything."""
        ...


def default_sample_fps(duration_s: float) -> float:
    """2 frames a second up to ten minutes, 1 beyond: moments of a long video may be found more coarsely."""
    return 2.0 if duration_s <= 600 else 1.0


def open_frames(
    video: Path | VideoInfo, sampling: Sampling, *, backend: str = "ffmpeg", stall_s: float = STALL_S
) -> FrameSource:
    """Frames of `video`; nothing is decoded before `batches`.

    `stall_s`: a decoder that gives nothing for so long is killed. Raises VideoError, and UsageError for an unknown
    backend.
    """
    if backend not in _BACKENDS:
        raise UsageError(f"unknown decoder: {backend}", hint=f"one of {', '.join(_BACKENDS)}")
    info = video if isinstance(video, VideoInfo) else probe(video)
    module, name = _BACKENDS[backend].split(":")
    source = getattr(importlib.import_module(module), name)
    return cast(FrameSource, source(info, sampling, stall_s=stall_s))


def collect(samples: list[Sample]) -> FrameBatch:
    """Samples, at least one, as one batch."""
    return FrameBatch(
        frames=np.stack([sample.frame for sample in samples]),
        times_s=np.array([sample.time_s for sample in samples], dtype=np.float64),
        change=np.array([sample.change for sample in samples], dtype=np.float32),
        change_time_s=np.array([sample.change_time_s for sample in samples], dtype=np.float64),
    )


@dataclass(frozen=True)
class Sample:
    """One row of a FrameBatch."""

    frame: NDArray[np.uint8]  # (H, W, 3)
    time_s: float
    change: float
    change_time_s: float
