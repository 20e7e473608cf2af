"""A stretch of a video copied packet by packet, without encoding: it can only start at a keyframe.

PyAV takes the file apart and puts it together again. So every packet that is kept is known, and with it how far the
clip is off; ffmpeg's own `-c copy` does not tell, and seeks late in streams without an index.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import av.error

from rdmf_cli.errors import OutputError, RdmfError
from rdmf_cli.media.encoding import OnTime, ignore
from rdmf_cli.media.packets import Entry, Index, decoding_times, index_of, opened, other_packets, picture_packets
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.media.tracks import Tracks

_FORMATS = {".mp4": "mp4", ".mkv": "matroska"}
_DISK = {errno.ENOSPC, errno.EROFS, errno.EFBIG, errno.EDQUOT, errno.EACCES, errno.EIO}


def copy(
    info: VideoInfo, tracks: Tracks, start_s: float, end_s: float, out: Path, on_time: OnTime = ignore
) -> tuple[float, float]:
    """Copy the stretch from the last keyframe at or before `start_s` to `end_s`; (its real start, its real end), s.

    A frame after the end comes along if earlier ones need it; without such the real end is `end_s`. Raises VideoError
    if the video can't be read or has no frame there, OutputError if `out` can't hold the streams or be written.
    """
    index = index_of(info, start_s, end_s)
    chosen = _needed(index)
    zero = index.key * index.time_base
    last = max((entry.pts + entry.duration for entry in chosen if entry.pts >= index.end), default=index.end)
    end = max(last * index.time_base, Fraction(info.start_time_s + end_s))
    with written(out) as target:
        mux(info, tracks, target, out, _dated(info, index, chosen), (zero, end), on_time)
    late_s = float(last * index.time_base) - info.start_time_s - end_s if last > index.end else 0.0
    return float(zero) - info.start_time_s, end_s + late_s


def mux(
    info: VideoInfo,
    tracks: Tracks,
    target: Any,
    out: Path,
    pictures: Iterable[Any],
    stretch: tuple[Fraction, Fraction],
    on_time: OnTime,
    *,
    extradata: bytes | None = None,
) -> None:
    """Write `pictures`, and sound and subtitles of the file, to `target`, with the stretch's start as time 0.

    `stretch` is in seconds of the container's clock; `extradata` replaces the picture's parameter sets.
    """
    zero, end = stretch
    misfits = set(tracks.misfits(out.suffix, copied=True))
    kept = [track.index for track in (*tracks.audio, *tracks.subtitles) if track.codec not in misfits]
    with opened(info) as source:  # only for what it says of its streams
        try:
            places = {index: _added(target, source.streams[index]) for index in (info.stream_index, *kept)}
            if extradata is not None:
                places[info.stream_index].codec_context.extradata = extradata
            if out.suffix == ".mkv":
                _add_fonts(source, target)
        except (av.error.FFmpegError, ValueError) as error:
            raise _output_error(out, error) from error
        others = other_packets(info, kept, zero, end, with_run_up=out.suffix == ".mp4")
        for packet in heapq.merge(pictures, others, key=_decoded_at):
            if packet.stream.index == info.stream_index:
                on_time(max(0.0, float(packet.pts * packet.time_base - zero)))
            _write(packet, places, target, zero, out)


def _decoded_at(packet: Any) -> Fraction:
    return Fraction(packet.dts * packet.time_base)


def _write(packet: Any, places: dict[int, Any], target: Any, zero: Fraction, out: Path) -> None:
    shift = round(zero / packet.time_base)
    packet.pts -= shift
    packet.dts -= shift
    packet.stream = places[packet.stream.index]
    try:
        target.mux_one(packet)
    except (av.error.FFmpegError, ValueError) as error:
        raise _output_error(out, error) from error


@contextlib.contextmanager
def written(out: Path) -> Iterator[Any]:
    """A new file in the container that its suffix names. What goes wrong with it is an OutputError."""
    options = {"movflags": "+faststart"} if out.suffix == ".mp4" else {}
    try:
        target = av.open(f"file:{out.absolute()}", "w", format=_FORMATS[out.suffix], options=options)
    except av.error.FFmpegError as error:
        raise _output_error(out, error) from error
    try:
        yield target
    except BaseException:
        with contextlib.suppress(av.error.FFmpegError, ValueError):
            target.close()
        raise
    try:
        target.close()  # writes the index
    except (av.error.FFmpegError, ValueError) as error:
        raise _output_error(out, error) from error


def _dated(info: VideoInfo, index: Index, chosen: list[Entry]) -> Iterator[Any]:
    """The packets of `chosen` with decoding times anew: some files have none, or not for the first ones."""
    times = decoding_times([entry.pts for entry in chosen])
    for packet, dts in zip(picture_packets(info, index, chosen), times, strict=True):
        packet.dts = dts
        yield packet


def _needed(index: Index) -> list[Entry]:
    """Entries to copy: those of the stretch, and later frames only where the file puts them before earlier ones."""
    kept: list[Entry] = []
    waiting: list[Entry] = []
    for entry in index.entries:
        if entry.pts < index.key:
            continue  # leads in an open group: it needs the group before, and is presented before the start
        waiting.append(entry)
        if entry.pts < index.end:
            kept += waiting
            waiting = []
    return kept


def _added(target: Any, stream: Any) -> Any:
    """The stream of `target` that takes the packets of `stream`, with its language, title and disposition."""
    added = target.add_stream_from_template(stream, opaque=True)
    added.time_base = stream.time_base
    for name in ("language", "title"):
        if name in stream.metadata:
            added.metadata[name] = stream.metadata[name]
    added.disposition = stream.disposition
    return added


def _add_fonts(source: Any, target: Any) -> None:
    """Fonts of styled subtitles; only Matroska has room for them."""
    for stream in source.streams:
        if stream.type == "attachment":
            target.add_attachment(stream.name, stream.mimetype, stream.data)


def _output_error(out: Path, error: Exception) -> RdmfError:
    """One line for what libav says while writing `out`."""
    reason = getattr(error, "strerror", None) or str(error)
    if getattr(error, "errno", None) in _DISK:
        return OutputError(f"{out.parent}: {reason}", hint="choose another folder")
    kind = out.suffix.removeprefix(".")
    return OutputError(f"its streams can't be copied into {kind}: {reason}", hint="cut without --copy and --smart")
