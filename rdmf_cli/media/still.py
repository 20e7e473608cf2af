"""One frame of a video, at a time."""

from __future__ import annotations

import contextlib
from fractions import Fraction

import av
import av.error
import av.video.reformatter
import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.media.ffmpeg import INPUT_OPTIONS, explain, file_url
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.timebase import format_time

_TURNS = {0: 0, 90: 3, 180: 2, 270: 1}  # degrees clockwise -> quarter turns counterclockwise
_HALF_FRAME = 0.5  # how far before its time a frame may still count as shown, in frames: times are typed by people


def frame_at(info: VideoInfo, time_s: float, height_px: int, width_px: int) -> NDArray[np.uint8]:
    """The frame that a player shows `time_s` seconds after the first one, as samples are: (H, W, 3) RGB, upright.

    Raises UsageError if the video ends before, VideoError if the frame can't be decoded.
    """
    try:
        with av.open(file_url(info.path), options=INPUT_OPTIONS, metadata_errors="replace", timeout=30.0) as container:
            frame, end_s = _shown_at(container, info, time_s)
    except av.error.FFmpegError as error:
        raise VideoError(f"{info.path}: {explain([error.strerror or str(error)])}") from error
    if time_s >= end_s + _HALF_FRAME * float(1 / info.source_fps):
        raise UsageError(
            f"{info.path}: there is no frame at {format_time(time_s)}",
            hint=f"the video ends at {format_time(end_s)}",
        )
    if frame is None:
        raise VideoError(f"{info.path}: the frame at {format_time(time_s)} can't be decoded")
    turns = _TURNS[info.rotation]
    size = (height_px, width_px) if turns % 2 == 0 else (width_px, height_px)
    small = frame.reformat(size[1], size[0], "rgb24", interpolation=av.video.reformatter.Interpolation.AREA)
    return np.ascontiguousarray(np.rot90(small.to_ndarray(), turns))


def _shown_at(
    container: av.container.InputContainer, info: VideoInfo, time_s: float
) -> tuple[av.VideoFrame | None, float]:
    """The last frame that begins at or before the time, and the end of the video as far as it was looked at.

    Frames before the keyframe that the seek lands on are not decoded; where seeking fails, all are.
    """
    stream = container.streams[info.stream_index]
    target = Fraction(info.start_time_s).limit_denominator(10**6) + Fraction(time_s).limit_denominator(10**6)
    with contextlib.suppress(av.error.FFmpegError):
        container.seek(int(target / info.time_base), stream=stream, backward=True)
    frame_s = 1 / info.source_fps
    shown: av.VideoFrame | None = None
    end_s = 0.0
    for packet in container.demux(stream):
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            continue  # broken packets are passed over
        for frame in frames:
            if frame.pts is None:
                continue
            begins = frame.pts * info.time_base
            if shown is not None and begins > target + frame_s / 1000:
                return shown, float("inf")
            shown = frame
            end_s = float(begins + frame_s) - info.start_time_s
    return shown, max(end_s, 0.0)
