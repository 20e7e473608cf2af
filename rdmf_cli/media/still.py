"""One frame of a video, at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction

import av
import av.container
import av.error
import av.video.stream
import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.media.colour import still
from rdmf_cli.media.ffmpeg import INPUT_OPTIONS, explain, file_url
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.timebase import format_time

_TURNS = {0: 0, 90: 3, 180: 2, 270: 1}  # degrees clockwise -> quarter turns counterclockwise
# How far before the time the seek aims, until it lands before it; last without a seek. ffmpeg may land too late:
# streams have no index, and where the rate varies the nearest keyframe in decoding order may be shown later.
_BACK_S = (Fraction(0), Fraction(2), Fraction(15), None)
_TOLERANCE = Fraction(1, 100_000)  # s; times that people type are rounded
_HALF_FRAME = 0.5  # how far before its time a frame may still count as shown, in frames: times are typed by people


def frame_at(info: VideoInfo, time_s: float, height_px: int, width_px: int) -> NDArray[np.uint8]:
    """The frame that a player shows `time_s` seconds after the first one, as samples are: (H, W, 3) RGB, upright.

    Raises UsageError if the video ends before, VideoError if the frame can't be decoded.
    """
    frame, end_s = None, 0.0
    for back_s in _BACK_S:
        try:
            with av.open(
                file_url(info.path), options=INPUT_OPTIONS, metadata_errors="replace", timeout=30.0
            ) as container:
                frame, end_s = _shown_at(container, info, time_s, back_s)
        except av.error.FFmpegError as error:
            raise VideoError(f"{info.path}: {explain([error.strerror or str(error)])}") from error
        if frame is not None:
            break
    if time_s >= end_s + _HALF_FRAME * float(1 / info.source_fps):
        raise UsageError(
            f"{info.path}: there is no frame at {format_time(time_s)}",
            hint=f"the video ends at {format_time(end_s)}",
        )
    if frame is None:
        raise VideoError(f"{info.path}: the frame at {format_time(time_s)} can't be decoded")
    turns = _TURNS[info.rotation]
    size = (height_px, width_px) if turns % 2 == 0 else (width_px, height_px)
    return np.ascontiguousarray(np.rot90(still(frame, info, size[1], size[0]), turns))


def _shown_at(
    container: av.container.InputContainer, info: VideoInfo, time_s: float, back_s: Fraction | None
) -> tuple[av.VideoFrame | None, float]:
    """The last frame that begins at or before the time, and the end of the video as far as it was looked at.

    None if the seek, `back_s` before the time, landed beyond it; None as `back_s`: from the beginning, without a seek.
    """
    stream = container.streams[info.stream_index]
    start = Fraction(info.start_time_s).limit_denominator(10**6)
    target = start + Fraction(time_s).limit_denominator(10**6)
    if back_s is not None:
        with contextlib.suppress(av.error.FFmpegError):
            container.seek(int((target - back_s) / info.time_base), stream=stream, backward=True)
    shown: av.VideoFrame | None = None
    end = Fraction(0)
    for frame in _frames(container, stream):
        begins = frame.pts * info.time_base
        if begins > target + _TOLERANCE:
            return shown, float("inf")
        shown, end = frame, begins + 1 / info.source_fps
    return shown, max(float(end - start), 0.0)


def _frames(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> Iterator[av.VideoFrame]:
    """Decoded frames that have a time; broken packets are passed over."""
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue
        yield from (frame for frame in frames if frame.pts is not None)
