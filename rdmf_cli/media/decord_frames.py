"""Frames by the decord library: in this process, without the ffmpeg program.

decord gives the presented frames in order, but its own times are 32-bit floats, count frames before an edit list, and
it repeats the last picture to reach the claimed count. So times and count are taken from the container (PyAV, no
decoding). What it can't do, by its nature: a decoder that hangs can't be killed, because it runs in our process, so
no time limit applies; a frame that is lost unnoticed shifts the ones after it; it loses the first frames of transport
streams, which are refused here rather than given wrong times. Only files that `probe` accepted get here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from itertools import pairwise
from math import floor
from typing import Any

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import VideoError
from rdmf_cli.media.colour import is_ordinary
from rdmf_cli.media.cuts import THUMB_HEIGHT_PX, THUMB_WIDTH_PX, ChangeSignal
from rdmf_cli.media.ffmpeg import INPUT_OPTIONS, file_url
from rdmf_cli.media.frames import GRID_TOLERANCE, STALL_S, DecodeReport, FrameBatch, Sample, Sampling, collect
from rdmf_cli.media.outcome import judge_end
from rdmf_cli.media.probe import VideoInfo

_RELIABLE = frozenset({"mov", "matroska", "webm", "avi"})
_MOST_FAILURES = 8  # in a row; PySceneDetect's figure
# Full-range BT.601, good enough for differences.
_TO_YUV = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], dtype=np.float32)


class DecordFrames:
    """A FrameSource; see there. `stall_s` is taken and not used: nothing can stop a hanging decord."""

    def __init__(self, info: VideoInfo, sampling: Sampling, *, stall_s: float = STALL_S) -> None:
        self.info = info
        self.sampling = sampling
        self.report = DecodeReport()

    def batches(self, batch_size: int) -> Iterator[FrameBatch]:
        """See FrameSource."""
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size}")
        self.report = DecodeReport()
        samples: list[Sample] = []
        for sample in self._samples(self.report):
            samples.append(sample)
            if len(samples) == batch_size:
                yield collect(samples)
                samples = []
        if samples:
            yield collect(samples)

    def close(self) -> None:
        """See FrameSource. Nothing runs between two batches."""

    def _samples(self, report: DecodeReport) -> Iterator[Sample]:
        signal = ChangeSignal()
        last_s = -1.0
        for time_s, frame in self._frames(report):
            report.frames_decoded += 1
            signal.add(time_s, thumbnail(frame))
            if report.frames_decoded == 1 or self._grid(time_s) > self._grid(last_s):
                change, change_time_s = signal.strongest(time_s)
                yield Sample(frame, time_s, change, change_time_s)
            last_s = time_s
        if not report.frames_decoded:
            raise VideoError(f"{self.info.path}: no frame could be decoded", hint="try the ffmpeg backend")
        stopped = f"{_MOST_FAILURES} failures in a row" if report.decode_failures >= _MOST_FAILURES else ""
        judge_end(report, self.info, last_s, stopped=stopped, said_early=False)

    def _grid(self, time_s: float) -> int:
        return floor(time_s * self.sampling.sample_fps + GRID_TOLERANCE)

    def _frames(self, report: DecodeReport) -> Iterator[tuple[float, NDArray[np.uint8]]]:
        """(time, picture at target size) of every presented frame."""
        began = time.monotonic()
        reader = self._open()
        failures = 0
        for time_s in self._times_s():
            try:
                frame = np.ascontiguousarray(reader.next().asnumpy(), dtype=np.uint8)
            except StopIteration:
                break
            except Exception:  # decord raises its own kinds and RuntimeError, without a common parent
                failures += 1
                report.decode_failures += 1
                if failures >= _MOST_FAILURES:
                    break
                continue
            failures = 0
            if frame.shape != (self.sampling.height_px, self.sampling.width_px, 3):
                raise VideoError("decord can't scale to so few pixels", hint="use the ffmpeg backend")
            report.decode_busy_s += time.monotonic() - began
            yield time_s, frame
            began = time.monotonic()

    def _open(self) -> Any:
        """decord's reader at target size. Raises VideoError."""
        if not any(name in _RELIABLE for name in self.info.container.split(",")):
            raise VideoError(
                f"{self.info.path}: decord loses frames in this container ({self.info.container})",
                hint="use the ffmpeg backend",
            )
        if not is_ordinary(self.info):
            raise VideoError(
                f"{self.info.path}: decord takes no HDR, interlaced or transparent video as it should",
                hint="use the ffmpeg backend",
            )
        try:
            import decord  # only where asked for: it has wheels for few machines
        except (ImportError, OSError) as error:
            raise VideoError("decord is not installed or does not load", hint="use the ffmpeg backend") from error
        decord.logging.set_level(decord.logging.FATAL)
        try:
            return decord.VideoReader(
                str(self.info.path.absolute()),
                ctx=decord.cpu(0),
                width=self.sampling.width_px,
                height=self.sampling.height_px,
                num_threads=1,  # more of them lose frames or hang (decord#373)
            )
        except Exception as error:
            raise VideoError(f"{self.info.path}: decord can't open it", hint="use the ffmpeg backend") from error

    def _times_s(self) -> list[float]:
        """Seconds from the first presented frame of every presented frame, in order: exact, from the container."""
        time_base = self.info.time_base
        start_tick = round(self.info.start_time_s / float(time_base))
        found: list[int] = []
        with (
            contextlib.suppress(av.error.FFmpegError),  # a file cut off: what was read counts
            av.open(file_url(self.info.path), options=INPUT_OPTIONS, metadata_errors="replace") as container,
        ):
            for packet in container.demux(container.streams[self.info.stream_index]):
                if packet.pts is not None and not packet.is_discard and packet.pts >= start_tick:
                    found.append(packet.pts)
        return [float((tick - start_tick) * time_base) for tick in sorted(found)]


def thumbnail(frame: NDArray[np.uint8]) -> bytes:
    """frame (H, W, 3) RGB -> its thumbnail as ChangeSignal wants it."""
    height, width = frame.shape[:2]
    rows = _edges(height, THUMB_HEIGHT_PX)
    columns = _edges(width, THUMB_WIDTH_PX)
    summed = np.add.reduceat(np.add.reduceat(frame.astype(np.float32), rows[:-1], axis=0), columns[:-1], axis=1)
    areas = np.outer(_lengths(rows), _lengths(columns))[..., None]
    yuv = (summed / areas) @ _TO_YUV.T + np.array([0, 128, 128], dtype=np.float32)
    return np.clip(yuv, 0, 255).astype(np.uint8).transpose(2, 0, 1).tobytes()


def _edges(length: int, pieces: int) -> NDArray[np.int64]:
    """Edges of `pieces` stretches of 0..length; where there are fewer pixels than pieces, pixels repeat."""
    edges = np.linspace(0, length, pieces + 1).astype(np.int64)
    edges[:-1] = np.minimum(edges[:-1], length - 1)
    return edges


def _lengths(edges: NDArray[np.int64]) -> NDArray[np.float32]:
    # reduceat takes one element where two edges are equal
    return np.array([max(1, later - earlier) for earlier, later in pairwise(edges)], dtype=np.float32)
