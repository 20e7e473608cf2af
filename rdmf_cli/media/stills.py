"""Single frames of a video at given times, as a player shows them then."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import av.container
import av.error
import av.video.frame
import av.video.stream
import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.media.colour import still
from rdmf_cli.media.ffmpeg import INPUT_OPTIONS, explain, file_url
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.timebase import format_time

_OPEN_TIMEOUT_S = 30.0
_GOES_ON_S = 3.0  # a time so little ahead is reached by decoding on; seeking would decode the same frames again
_RUN_UP_S = 10.0  # where seeking landed too late, it is tried again so much earlier
_HALF_FRAME = 0.5  # how far beyond its last frame a video may be asked, in frames: times are typed by people
_LATE_S = 2e-3  # times are printed in milliseconds: the frame that starts right there counts


@dataclass(frozen=True)
class Still:
    """One frame and when it is presented, in seconds from the first presented frame."""

    time_s: float
    picture: NDArray[np.uint8]  # (H, W, 3) RGB, upright, pixels square


def stills(
    info: VideoInfo, times_s: list[float], *, box_px: tuple[int, int], is_exact: bool = True
) -> list[Still | None]:
    """For each time the frame that is on screen then, scaled to fit into `box_px` (width, height); None: undecodable.

    Times outside the video give its first or last frame. `is_exact` False takes the keyframe before, which is much
    quicker. One decoder runs over the times in order, so memory does not grow with their number but for the pictures.
    Raises VideoError if the video can't be opened any more.
    """
    found: dict[float, Still | None] = {}
    with _walking(info, is_exact=is_exact) as walker:
        for time_s in sorted(set(times_s)):
            frame = walker.at(time_s)
            found[time_s] = Still(walker.time_of(frame), _picture(frame, info, box_px)) if frame is not None else None
    return [found[time_s] for time_s in times_s]


def frame_at(info: VideoInfo, time_s: float, height_px: int, width_px: int) -> NDArray[np.uint8]:
    """The frame on screen at `time_s`, squashed to a size as samples are: (H, W, 3) RGB, upright.

    Raises UsageError if the video ends before, VideoError if the frame can't be decoded.
    """
    with _walking(info, is_exact=True) as walker:
        frame = walker.at(time_s)
        if frame is None:
            raise VideoError(f"{info.path}: the frame at {format_time(time_s)} can't be decoded")
        end_s = walker.time_of(frame) + float(1 / info.source_fps)
        if walker.is_at_the_end and time_s >= end_s + _HALF_FRAME * float(1 / info.source_fps):
            raise UsageError(
                f"{info.path}: there is no frame at {format_time(time_s)}",
                hint=f"the video ends at {format_time(end_s)}",
            )
        return _upright(frame, info, width_px, height_px)


@contextlib.contextmanager
def _walking(info: VideoInfo, *, is_exact: bool) -> Iterator[_Walker]:
    with _opened(info.path) as container:
        stream = container.streams[info.stream_index]
        if not isinstance(stream, av.video.stream.VideoStream):
            raise VideoError(f"{info.path}: not the video that was searched", hint="search it again")
        yield _Walker(container, stream, info, is_exact=is_exact)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[av.container.InputContainer]:
    try:
        if not path.is_file():
            raise VideoError(f"{path}: not there any more", hint="search it where it is now")
        with av.open(
            file_url(path), options=INPUT_OPTIONS, metadata_errors="replace", timeout=_OPEN_TIMEOUT_S
        ) as container:
            yield container
    except (av.error.FFmpegError, OSError, IndexError) as error:
        reason = explain([getattr(error, "strerror", None) or str(error)])
        raise VideoError(f"{path}: no pictures can be taken from it: {reason}") from error


class _Walker:
    """Goes forward through the frames and keeps two: the one on screen and the one after it."""

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: av.video.stream.VideoStream,
        info: VideoInfo,
        *,
        is_exact: bool,
    ) -> None:
        self._container, self._stream, self._info, self._is_exact = container, stream, info, is_exact
        # Threads that decode whole frames look several packets ahead, too many for one keyframe.
        stream.thread_type = "AUTO" if is_exact else "SLICE"
        if not is_exact:
            stream.codec_context.skip_frame = "NONKEY"
        self._frames = self._decode()
        self._shown: av.video.frame.VideoFrame | None = None
        self._next = next(self._frames, None)

    @property
    def is_at_the_end(self) -> bool:
        """True if nothing comes after the frame on screen."""
        return self._next is None

    def time_of(self, frame: av.video.frame.VideoFrame) -> float:
        """Seconds from the first presented frame."""
        assert frame.pts is not None
        return float(frame.pts * frame.time_base) - self._info.start_time_s

    def at(self, time_s: float) -> av.video.frame.VideoFrame | None:
        """The frame on screen at `time_s`, or the keyframe where seeking lands."""
        if self._is_near(time_s):
            return self._advanced(time_s)
        for run_up_s in (0.0, _RUN_UP_S, None):
            self._seek(None if run_up_s is None else time_s - run_up_s)
            if self._next is not None and (not self._is_exact or self._is_due(self._next, time_s)):
                break
        return self._advanced(time_s) if self._is_exact else self._next

    def _advanced(self, time_s: float) -> av.video.frame.VideoFrame | None:
        while self._next is not None and self._is_due(self._next, time_s):
            self._shown, self._next = self._next, next(self._frames, None)
        return self._shown or self._next

    def _is_due(self, frame: av.video.frame.VideoFrame, time_s: float) -> bool:
        return self.time_of(frame) <= time_s + _LATE_S

    def _is_near(self, time_s: float) -> bool:
        """True if going on is quicker than seeking, or there is nowhere to go: the frame on screen lasts until then."""
        at = self._shown or self._next
        if not self._is_exact or at is None or not self._is_due(at, time_s):
            return False
        lasts = self._shown is not None and (self._next is None or not self._is_due(self._next, time_s))
        return lasts or time_s - self.time_of(at) <= _GOES_ON_S

    def _seek(self, time_s: float | None) -> None:
        """To the keyframe before `time_s`; None: to the very beginning."""
        wanted_s = self._info.start_time_s + max(0.0, time_s or 0.0)
        ticks = int(wanted_s / self._info.time_base)
        with contextlib.suppress(av.error.FFmpegError):  # not every container can seek; then it goes on from here
            self._container.seek(ticks if time_s is not None else 0, stream=self._stream, backward=True)
        self._frames = self._decode()
        self._shown, self._next = None, next(self._frames, None)

    def _decode(self) -> Iterator[av.video.frame.VideoFrame]:
        """Frames that are presented, in order; damaged packets are passed over."""
        newest_s = -1.0
        for packet in self._container.demux(self._stream):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue
            for frame in frames:
                if frame.pts is None or self.time_of(frame) < max(newest_s, -_LATE_S):
                    continue
                newest_s = self.time_of(frame)
                yield frame


def _picture(frame: av.video.frame.VideoFrame, info: VideoInfo, box_px: tuple[int, int]) -> NDArray[np.uint8]:
    """As a player shows it: pixels square, turned, and small enough for the box."""
    return _upright(frame, info, *fitted((info.width, info.height), box_px))


def _upright(frame: av.video.frame.VideoFrame, info: VideoInfo, width_px: int, height_px: int) -> NDArray[np.uint8]:
    """Scaled to this size, and turned as a player does."""
    stored = (height_px, width_px) if info.rotation in (90, 270) else (width_px, height_px)
    small = still(frame, info, *stored)
    return np.ascontiguousarray(np.rot90(small, -(info.rotation // 90)))


def fitted(size_px: tuple[int, int], box_px: tuple[int, int]) -> tuple[int, int]:
    """(width, height) of `size_px` scaled to fit into the box, each at least 1 px."""
    scale = min(box_px[0] / size_px[0], box_px[1] / size_px[1])
    return max(1, round(size_px[0] * scale)), max(1, round(size_px[1] * scale))
