"""Smart cutting: whole groups of pictures in the middle of a stretch are copied, only its edges are encoded anew.

For H.264 alone, whose parameter sets have numbers: the edges get a set of their own under another number, both sets
stand in the file's header, and every picture names the one it needs. Nothing is replaced in mid-stream, which players
take badly. H.265 encoders number no sets; others are better served by an exact cut.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import ffmpeg

from rdmf_cli.media.copying import mux, written
from rdmf_cli.media.cutting import opened as ffmpeg_input
from rdmf_cli.media.cutting import window
from rdmf_cli.media.encoding import OnTime, encode, ignore
from rdmf_cli.media.ffmpeg import file_url
from rdmf_cli.media.packets import Entry, Index, NoTimes, decoding_times, index_of, opened, picture_packets
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.media.tracks import Tracks

_OUR_SET = 30  # number of the edges' parameter sets, 0 to 31; encoders begin with 0
_RUN_UP_S = 10.0
_MOST_TRIES = 8  # keyframes looked at: where so many can't stand alone, none will
_IDR, _SPS, _PPS = 5, 7, 8  # kinds of NAL units
_START_CODE = b"\0\0\0\1"


@dataclass(frozen=True)
class _Plan:
    """Frames of a stretch by how they get into the clip; presentation ticks, in order, and entries to copy."""

    head: list[int]
    middle: list[Entry]
    tail: list[int]


def cut(info: VideoInfo, tracks: Tracks, start_s: float, end_s: float, out: Path, on_time: OnTime = ignore) -> str:
    """Cut the stretch as cutting.cut does, or say in a few words why this way is closed; then `out` is worthless.

    Raises VideoError if the video can't be read or has no frame there, OutputError if `out` can't be written.
    """
    reason = _refusal(info, tracks, out)
    if reason:
        return reason
    try:
        index = index_of(info, start_s, end_s)
    except NoTimes:
        return "its packets carry no times"
    plan = _plan(info, index)
    if plan is None:
        return "no whole group of pictures lies inside"
    with tempfile.TemporaryDirectory(prefix="rdmf-") as folder:
        edges = [Path(folder, "head.h264"), Path(folder, "tail.h264")]
        for ticks, edge in zip((plan.head, plan.tail), edges, strict=True):
            if ticks:
                _encode_edge(info, tracks, index, ticks, edge)
        counts = [_num_pictures(edge) for edge in edges]
        if counts != [len(plan.head), len(plan.tail)]:
            return "its packets and its frames don't agree"
        _join(info, tracks, index, plan, edges, out, on_time)
    return ""


def _refusal(info: VideoInfo, tracks: Tracks, out: Path) -> str:
    if tracks.video_codec != "h264":
        return f"smart cutting takes H.264, not {tracks.video_codec}"
    if info.pixel_format != "yuv420p":
        return f"smart cutting takes 8-bit 4:2:0 pictures, not {info.pixel_format}"
    if tracks.misfits(out.suffix, copied=True):
        return f"{out.suffix.removeprefix('.')} can't hold its streams as they are"
    return ""


def _plan(info: VideoInfo, index: Index) -> _Plan | None:
    """None if the stretch holds no whole group that can stand alone, or is interlaced."""
    places = [i for i, entry in enumerate(index.entries) if entry.is_key and entry.pts >= index.first]
    first = next((i for i in places[:_MOST_TRIES] if _stands_alone(info, index, index.entries[i])), None)
    if first is None:
        return None
    entries = index.entries
    last = _end_of_copy(index, first, places)
    middle = [entry for entry in entries[first:last] if entry.pts >= entries[first].pts]
    tail_from = min((entry.pts for entry in entries[last:]), default=index.end)
    if not middle or max(entry.pts for entry in middle) >= tail_from:
        return None
    inside = sorted(entry.pts for entry in entries if index.first <= entry.pts < index.end)
    head = [pts for pts in inside if pts < entries[first].pts]
    return _Plan(head, middle, [pts for pts in inside if pts >= tail_from])


def _end_of_copy(index: Index, first: int, places: list[int]) -> int:
    """Where in `index` the last whole group ends that lies inside the stretch; `first` if none does."""
    ends = [place for place in places if place > first] + ([len(index.entries)] if index.is_last else [])
    fits = (end for end in reversed(ends) if max(entry.pts for entry in index.entries[first:end]) < index.end)
    return next(fits, first)


def _stands_alone(info: VideoInfo, index: Index, entry: Entry) -> bool:
    """True for an IDR picture, with which a decoder may take up other parameter sets; and not of fields."""
    packet = next(picture_packets(info, index, [entry]), None)
    if packet is None or _IDR not in (_kind(unit) for unit in _units(bytes(packet), _length_size(packet.stream))):
        return False
    frames = packet.decode()
    context = packet.stream.codec_context
    frames += context.decode(None)
    context.flush_buffers()
    return bool(frames) and not frames[0].interlaced_frame


def _encode_edge(info: VideoInfo, tracks: Tracks, index: Index, ticks: list[int], out: Path) -> None:
    """The frames presented at `ticks` as a bare H.264 stream without reordering; upright or not as they are stored."""
    start_s, end_s = (float(tick * index.time_base) - info.start_time_s for tick in (ticks[0], ticks[-1] + 1))
    end_s += float(1 / info.source_fps) / 3  # the window closes a quarter frame early
    for run_up_s in (_RUN_UP_S, math.inf):
        source = ffmpeg_input(info, start_s, run_up_s, noautorotate=None)
        names = {"color_primaries": tracks.colour.primaries, "color_trc": tracks.colour.curve}
        names |= {"colorspace": tracks.colour.matrix}
        options = {
            "filter:v": ",".join(window(info, start_s, end_s)),
            "c:v": "libx264",
            "crf": 16,
            "bf": 0,
            "pix_fmt": "yuv420p",
            "x264-params": f"sps-id={_OUR_SET}:bframes=0:scenecut=0:keyint=infinite",
            "fps_mode": "passthrough",
            "format": "h264",
            **{name: value for name, value in names.items() if value},
        }
        arguments = ffmpeg.output(source[str(info.stream_index)], file_url(out), **options).get_args()
        encode(list(arguments), info.path, out, patience_s=min(start_s, run_up_s))
        if start_s <= _RUN_UP_S or _num_pictures(out) >= len(ticks):
            return


def _join(
    info: VideoInfo, tracks: Tracks, index: Index, plan: _Plan, edges: list[Path], out: Path, on_time: OnTime
) -> None:
    order = [*plan.head, *(entry.pts for entry in plan.middle), *plan.tail]
    times = decoding_times(order)
    start = min(order) * index.time_base
    end = Fraction(index.end) * index.time_base
    with opened(info) as source, written(out) as target:
        picture = source.streams[info.stream_index]
        packets = _pictures(info, index, plan, edges)
        dated = _dated(packets, order, times, picture)
        sets = _parameter_sets(picture.codec_context.extradata or b"") + _own_sets(edges)
        mux(info, tracks, target, out, dated, (start, end), on_time, extradata=sets)


def _pictures(info: VideoInfo, index: Index, plan: _Plan, edges: list[Path]) -> Iterator[tuple[bytes, bool]]:
    """Each picture with start codes, and whether it is a keyframe, in decoding order."""
    yield from _edge_pictures(edges[0])
    for packet in picture_packets(info, index, plan.middle):
        units = _units(bytes(packet), _length_size(packet.stream))
        yield b"".join(_START_CODE + unit for unit in units), bool(packet.is_keyframe)
    yield from _edge_pictures(edges[1])


def _dated(pictures: Iterator[tuple[bytes, bool]], order: list[int], times: list[int], stream: Any) -> Iterator[Any]:
    for (data, is_key), pts, dts in zip(pictures, order, times, strict=True):
        packet = av.Packet(data)
        packet.stream = stream
        packet.time_base = stream.time_base
        packet.pts, packet.dts, packet.is_keyframe = pts, dts, is_key
        yield packet


def _edge_pictures(edge: Path) -> Iterator[tuple[bytes, bool]]:
    if not edge.exists():
        return
    with av.open(file_url(edge), format="h264") as container:
        for packet in container.demux(video=0):
            if packet.size:
                yield bytes(packet), bool(packet.is_keyframe)


def _num_pictures(edge: Path) -> int:
    return sum(1 for _ in _edge_pictures(edge))


def _own_sets(edges: list[Path]) -> bytes:
    """The edges' parameter sets, with start codes; the same in both."""
    for edge in edges:
        for data, _ in _edge_pictures(edge):
            return b"".join(_START_CODE + unit for unit in _units(data, 0) if _kind(unit) in (_SPS, _PPS))
    return b""


def _parameter_sets(extradata: bytes) -> bytes:
    """Parameter sets of a stream's header, with start codes, from either of the two ways to write them."""
    if extradata[:1] != b"\1":
        return b"".join(_START_CODE + unit for unit in _units(extradata, 0) if _kind(unit) in (_SPS, _PPS))
    found, place = b"", 5
    for mask in (0x1F, 0xFF):
        count, place = extradata[place] & mask, place + 1
        for _ in range(count):
            length = int.from_bytes(extradata[place : place + 2])
            found += _START_CODE + extradata[place + 2 : place + 2 + length]
            place += 2 + length
    return found


def _length_size(stream: Any) -> int:
    """Bytes in which the length of a NAL unit is written; 0: start codes are between them."""
    extradata = stream.codec_context.extradata or b""
    return (extradata[4] & 3) + 1 if extradata[:1] == b"\1" and len(extradata) > 4 else 0


def _units(data: bytes, length_size: int) -> list[bytes]:
    """NAL units of a packet."""
    if not length_size:
        parts = data.replace(_START_CODE, b"\0\0\1").split(b"\0\0\1")[1:]
        return [part.rstrip(b"\0") for part in parts if part.rstrip(b"\0")]
    units, place = [], 0
    while place + length_size <= len(data):
        length = int.from_bytes(data[place : place + length_size])
        units.append(data[place + length_size : place + length_size + length])
        place += length_size + length
    return [unit for unit in units if unit]


def _kind(unit: bytes) -> int:
    """Kind of a NAL unit."""
    return unit[0] & 31
