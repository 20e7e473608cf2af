"""Packets of a file, encoded as they are: which frames they hold, where groups of pictures begin, and how to read a
stretch of them although seeking may land late in streams without an index."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error

from rdmf_cli.errors import VideoError
from rdmf_cli.media.ffmpeg import INPUT_OPTIONS, explain, file_url
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.timebase import format_time

_OPEN_TIMEOUT_S = 30.0
_BACK_OFF_S = (0.0, 10.0, 60.0, math.inf)  # inf: read from the start
_SPREAD_S = 5.0  # how far packets of one time may lie apart in a file
_SUBTITLE_S = 30.0  # how long before the stretch a subtitle may begin that is on screen in it


class NoTimes(VideoError):
    """The packets of a file don't say when they are presented (bare streams), so they can't be copied."""


@dataclass(frozen=True)
class Entry:
    """One packet of the picture, in ticks of its stream."""

    pts: int
    dts: int | None  # Matroska has none; libav guesses them, but not the first ones
    duration: int
    is_key: bool


@dataclass(frozen=True)
class Index:
    """Packets of the picture in the order of the file, from a keyframe to the end of a stretch."""

    entries: tuple[Entry, ...]
    time_base: Fraction
    seek_s: float  # where to seek for them, seconds from the first presented frame; -inf: read from the start
    first: int  # tick from which on frames belong to the stretch
    end: int  # tick from which on they don't
    is_last: bool  # the file has no more pictures after these

    @property
    def key(self) -> int:
        """pts of the keyframe that the stretch begins with."""
        return self.entries[0].pts


@contextlib.contextmanager
def opened(info: VideoInfo) -> Iterator[Any]:
    """The file through the fence. Raises VideoError, also for what goes wrong while it is read inside."""
    try:
        with av.open(
            file_url(info.path), options=INPUT_OPTIONS, metadata_errors="replace", timeout=_OPEN_TIMEOUT_S
        ) as container:
            yield container
    except av.error.FFmpegError as error:
        raise VideoError(f"{info.path}: {explain([error.strerror or str(error)])}") from error


def index_of(info: VideoInfo, start_s: float, end_s: float) -> Index:
    """Packets for the frames from `start_s` to before `end_s`, from the last keyframe that is not later.

    Raises VideoError if there is no frame, NoTimes if the packets carry no times.
    """
    nudge_s = float(1 / info.source_fps) / 4
    first, end = (math.ceil((info.start_time_s + time_s - nudge_s) / info.time_base) for time_s in (start_s, end_s))
    for back_off_s in _BACK_OFF_S:
        seek_s = start_s - back_off_s if start_s > back_off_s else -math.inf
        entries, is_last = _entries(info, seek_s, first, end)
        if (entries and entries[0].pts <= first) or seek_s == -math.inf:
            break
    if not any(first <= entry.pts < end for entry in entries):
        raise VideoError(f"{info.path}: no frame at {format_time(start_s)}", hint="it may have ended before")
    return Index(tuple(entries), info.time_base, seek_s, first, end, is_last)


def _entries(info: VideoInfo, seek_s: float, first: int, end: int) -> tuple[list[Entry], bool]:
    entries: list[Entry] = []
    with opened(info) as source:
        picture = source.streams[info.stream_index]
        _seek(source, picture, info, seek_s)
        for packet in source.demux(picture):
            if packet.pts is None:
                if packet.size:
                    raise NoTimes(f"{info.path}: its packets carry no times", hint="cut without --copy")
                continue
            if packet.is_keyframe and packet.pts <= first:
                entries = []
            if entries or packet.is_keyframe:
                length = packet.duration or max(1, round(1 / info.source_fps / info.time_base))
                entries.append(Entry(packet.pts, packet.dts, length, bool(packet.is_keyframe)))
            if packet.dts is not None and packet.dts >= end:
                return entries, False  # what follows is presented later still
    return entries, True


def decoding_times(order: list[int]) -> list[int]:
    """Decoding times for presentation times in decoding order: rising, and never after the presentation."""
    rising = sorted(order)
    shift = max((early - pts for early, pts in zip(rising, order, strict=True)), default=0)
    return [tick - shift for tick in rising]


def picture_packets(info: VideoInfo, index: Index, chosen: list[Entry]) -> Iterator[Any]:
    """The packets of `chosen`, entries of `index` in its order."""
    wanted = iter(chosen)
    entry = next(wanted, None)
    with opened(info) as source:
        picture = source.streams[info.stream_index]
        _seek(source, picture, info, index.seek_s)
        for packet in source.demux(picture):
            if entry is None:
                return
            if (packet.pts, packet.dts) == (entry.pts, entry.dts):
                yield packet
                entry = next(wanted, None)
        if entry is not None:
            raise VideoError(f"{info.path}: has changed while it was cut")


def other_packets(
    info: VideoInfo, places: list[int], start: Fraction, end: Fraction, *, with_run_up: bool
) -> Iterator[Any]:
    """Packets of the streams `places`, sound and subtitles, from `start` to before `end` on the container's clock, s.

    `with_run_up`: packets of sound that end at the start or reach into it come along; decoders need them to begin
    without a click, and mp4 says how much of them is not played. A subtitle that is on screen at the start, or still
    at the end, is shortened to fit.
    """
    if not places:
        return
    with opened(info) as source:
        streams = [source.streams[place] for place in places]
        early_s = _SUBTITLE_S if any(stream.type == "subtitle" for stream in streams) else _SPREAD_S
        seek_s = float(start) - info.start_time_s - early_s
        _seek(source, source.streams[info.stream_index], info, seek_s if seek_s > 0 else -math.inf)
        for packet in source.demux(*streams):
            if packet.pts is None or packet.dts is None:
                continue
            time_s = packet.pts * packet.time_base
            if time_s > end + Fraction(_SPREAD_S):
                return
            if packet.stream.type == "subtitle":
                if packet.size and _fitted(packet, start, end):
                    yield packet
            elif start <= time_s + (packet.duration or 0) * packet.time_base * with_run_up and time_s < end:
                yield packet


def _fitted(packet: Any, start: Fraction, end: Fraction) -> bool:
    """Shorten a subtitle to the stretch; False if nothing of it is inside."""
    base = packet.time_base
    begin_s = packet.pts * base
    end_s = begin_s + (packet.duration or 0) * base
    if begin_s >= end or (end_s <= start if packet.duration else begin_s < start):
        return False
    shown = max(begin_s, start)
    packet.pts = packet.dts = math.ceil(shown / base)
    if packet.duration:
        packet.duration = max(1, math.floor((min(end_s, end) - shown) / base))
    return True


def _seek(source: Any, picture: Any, info: VideoInfo, seek_s: float) -> None:
    """Go, in a file just opened, to a keyframe that hopefully lies at or before `seek_s`; -inf: stay at the start."""
    if seek_s > 0:
        with contextlib.suppress(av.error.PermissionError):  # no keyframe before it: stay
            source.seek(math.floor((info.start_time_s + seek_s) / picture.time_base), stream=picture, backward=True)
