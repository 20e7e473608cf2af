"""What a video is: size as displayed, rate, times, and its identity by content. Nothing here decodes beyond a frame."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import av.container
import av.error
import av.packet
import av.stream
import av.video.frame
import av.video.stream

from rdmf_cli.errors import VideoError
from rdmf_cli.media.ffmpeg import INPUT_OPTIONS, explain, file_url
from rdmf_cli.media.limits import check_size, limits
from rdmf_cli.media.sniff import VIDEO_SUFFIXES, lacks_index, read_head, sniff

_PIECE_BYTES = 1 << 20  # of head, middle and tail that go into the fingerprint
_RATE_PACKETS = 240  # looked at to tell a variable rate
_OPEN_TIMEOUT_S = 30.0
_REORDERED = 16  # packets: the longest that H.264 and H.265 let frames be out of order
_SURE_GAPS = 8  # equal ones; coarse ticks would have shown unequal ones by then
_MOST_PACKETS = 5000  # tried until one decodes
_RATES_DIFFER = Fraction(1, 50)
_FALLBACK_RATE = Fraction(25)
_AV_TIME_BASE = 1_000_000
_HDR = {16: "pq", 18: "hlg"}  # ffmpeg's numbers of transfer functions: SMPTE ST 2084, ARIB STD-B67
_PROGRESSIVE = 1  # ffmpeg's field orders: 0 unknown, 1 progressive, from 2 on interlaced
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_TIMECODE = re.compile(r"\d\d:\d\d:\d\d[:;.,]\d\d")


@dataclass(frozen=True)
class VideoInfo:
    """What is known of a video before decoding it. Claims of the container may be wrong; see DecodeReport."""

    path: Path
    stream_index: int  # of the real video stream; cover art is none
    width: int  # as displayed, px: after rotation and pixel shape
    height: int
    coded_width: int  # as stored, px
    coded_height: int
    rotation: int  # degrees clockwise that a player turns the stored picture: 0, 90, 180, 270
    sample_aspect: Fraction  # width / height of a stored pixel
    source_fps: Fraction  # exact where the container says so; the average if the rate is variable
    time_base: Fraction  # seconds per tick of the stream
    duration_s: float  # from the first presented frame to the claimed end of the video
    start_time_s: float  # of the first presented frame, in container time
    is_variable_rate: bool
    codec: str
    pixel_format: str
    container: str  # ffmpeg's name of the format
    has_audio: bool
    num_frames_claimed: int  # 0: the container does not say
    hdr: str = ""  # "pq", "hlg", or "": standard dynamic range
    has_alpha: bool = False
    is_interlaced: bool = False
    decoder: str = ""  # of ffmpeg, where its own choice would lose the transparency
    timecode: str | None = None  # of the first frame, as the camera named it: `hh:mm:ss:ff`, `;` for drop-frame


def probe(path: Path) -> VideoInfo:
    """Open `path`, decode its first frame, tell what it is. Raises VideoError with one clear line."""
    _check_file(path)
    try:
        with av.open(
            file_url(path), options=INPUT_OPTIONS, metadata_errors="replace", timeout=_OPEN_TIMEOUT_S
        ) as container:
            stream = _video_stream(container, path)
            return _describe(path, container, stream)
    except av.error.FFmpegError as error:
        raise _explained(path, error) from error
    except (ArithmeticError, IndexError, MemoryError, ValueError) as error:
        # PyAV and Fraction meet rates of 1/0, streams out of nowhere, sizes beyond all memory.
        raise VideoError(f"{path}: what it says of itself makes no sense", hint="the file is damaged") from error


def _check_file(path: Path) -> None:
    """Say plainly what the operating system alone can tell. Raises VideoError."""
    try:
        if path.is_dir():
            raise VideoError(f"{path}: a folder, not a video", hint="rdmf index takes folders")
        if not path.exists():
            raise VideoError(f"{path}: no such file", hint="check the name; quote names with spaces")
        if not path.is_file():
            raise VideoError(f"{path}: not a plain file")
        if path.stat().st_size == 0:
            raise VideoError(f"{path}: the file is empty")
        kind = sniff(read_head(path))
    except PermissionError as error:
        raise VideoError(f"{path}: permission denied", hint="check who may read the file") from error
    except OSError as error:
        raise VideoError(f"{path}: {error.strerror or error}") from error
    if kind == "playlist":
        raise VideoError(f"{path}: a playlist, not a video", hint="name the video files themselves")
    if kind in ("text", "image", "archive", "document"):
        raise VideoError(f"{path}: {'an' if kind[0] in 'aeiou' else 'a'} {kind} file, not a video")
    if kind == "audio":
        raise VideoError(f"{path}: audio only, no video in it")


def _explained(path: Path, error: av.error.FFmpegError) -> VideoError:
    with contextlib.suppress(OSError):
        if lacks_index(path):
            return VideoError(
                f"{path}: the file is cut off: its index (moov) is missing", hint="copy or record it again"
            )
    reason = explain([error.strerror or str(error)])
    hint = "if it plays elsewhere, convert it: ffmpeg -i IN -c copy OUT.mkv"
    return VideoError(f"{path}: {reason}", hint=hint)


def _video_stream(container: av.container.InputContainer, path: Path) -> av.video.stream.VideoStream:
    """The first real video stream, the one marked as default before others."""
    art = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & art]
    if not streams:
        if container.streams.audio:
            raise VideoError(f"{path}: audio only, no video in it")
        if not container.streams:
            raise VideoError(f"{path}: nothing in it can be read", hint="the file is cut off or damaged")
        raise VideoError(f"{path}: no video in it")
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise VideoError(f"{path}: the video's codec is unknown", hint="convert it to H.264")
    return max(decodable, key=lambda stream: bool(stream.disposition & av.stream.Disposition.default))


def _describe(path: Path, container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> VideoInfo:
    time_base = stream.time_base
    check_size(str(path), stream.codec_context.width, stream.codec_context.height)
    stream.codec_context.options = {"max_pixels": str(limits().pixels)}
    frame, ticks = _look_in(container, stream)
    if frame is None or time_base is None:
        raise VideoError(f"{path}: no frame of the video can be decoded", hint="the file is damaged or cut off")
    check_size(str(path), frame.width, frame.height)
    first_tick = frame.pts if frame.pts is not None else (stream.start_time or 0)
    source_fps, is_variable = _rate(stream, ticks, time_base)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    rotation = round(-frame.rotation) % 360
    width, height = _displayed(frame.width, frame.height, aspect, rotation)
    return VideoInfo(
        path=path,
        stream_index=stream.index,
        width=width,
        height=height,
        coded_width=frame.width,
        coded_height=frame.height,
        rotation=rotation,
        sample_aspect=aspect,
        source_fps=source_fps,
        time_base=time_base,
        duration_s=_duration_s(container, stream, first_tick * time_base, source_fps),
        start_time_s=float(first_tick * time_base),
        is_variable_rate=is_variable,
        codec=stream.codec_context.name,
        pixel_format=frame.format.name,
        container=container.format.name,
        has_audio=bool(container.streams.audio),
        num_frames_claimed=stream.frames,
        hdr=_HDR.get(frame.color_trc, ""),
        has_alpha=_has_alpha(stream, frame),
        is_interlaced=frame.interlaced_frame or stream.codec_context.field_order > _PROGRESSIVE,
        decoder=_ALPHA_DECODERS[stream.codec_context.name] if _hides_alpha(stream) else "",
        timecode=_timecode(container, stream),
    )


def _has_alpha(stream: av.video.stream.VideoStream, frame: av.video.frame.VideoFrame) -> bool:
    """True if pictures may be transparent; a palette may hold transparent colours."""
    pixel = frame.format
    return pixel.has_palette or any(part.is_alpha for part in pixel.components) or _hides_alpha(stream)


def _hides_alpha(stream: av.video.stream.VideoStream) -> bool:
    """True for VP8 and VP9 with transparency: it is a second stream that only some decoders read."""
    return stream.codec_context.name in _ALPHA_DECODERS and stream.metadata.get("alpha_mode") == "1"


def _timecode(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> str | None:
    """What the file says is the timecode of its first frame: on the video, in a track of its own, or for all of it."""
    for place in (stream, *container.streams.data, container):
        tags = {name.casefold(): text for name, text in place.metadata.items()}  # Matroska writes it in capitals
        text = str(tags.get("timecode", "")).strip()
        if _TIMECODE.fullmatch(text):
            return text
    return None


def _look_in(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream
) -> tuple[av.video.frame.VideoFrame | None, list[int]]:
    """The first presented frame, and the presentation ticks of the first packets, sorted.

    One pass and no seeking, which streams without an index can't do. Broken packets are passed over.
    """
    first: av.video.frame.VideoFrame | None = None
    ticks: list[int] = []
    for count, packet in enumerate(_packets(container, stream)):
        if packet.pts is not None and not packet.is_discard:
            ticks.append(packet.pts)
        if first is None:
            try:
                first = next(iter(packet.decode()), None)
            except av.error.FFmpegError:
                continue
        if (first is not None and len(ticks) >= _RATE_PACKETS) or count >= _MOST_PACKETS:
            break
    return first, sorted(ticks)


def _packets(container: av.container.InputContainer, stream: av.video.stream.VideoStream) -> Iterator[av.packet.Packet]:
    """Packets of `stream`; where others turn up that were not there when the file was opened, it goes on after them."""
    for _ in range(_MOST_PACKETS):
        try:
            yield from container.demux(stream)
            return
        except IndexError:  # PyAV looks up the new stream in its list of the old ones
            continue


def _rate(stream: av.video.stream.VideoStream, ticks: list[int], time_base: Fraction) -> tuple[Fraction, bool]:
    """(frames per second, whether the rate varies), from the container's claims and the first packets.

    Containers with coarse ticks (Matroska: 1 ms) make gaps of 33 and 34: that is rounding, not a variable rate. The
    last few packets are left out: frames that come before them may not have been read yet.
    """
    average = next(filter(_is_rate, (stream.average_rate, stream.guessed_rate)), _FALLBACK_RATE)
    guessed = next(filter(_is_rate, (stream.guessed_rate, stream.base_rate)), average)
    seen = ticks[: max(len(ticks) - _REORDERED, 2)]
    gaps = [later - earlier for earlier, later in pairwise(seen)]
    if not gaps or seen[-1] == seen[0]:
        return average, False
    spread, typical = max(gaps) - min(gaps), sorted(gaps)[len(gaps) // 2]
    measured = len(gaps) / ((seen[-1] - seen[0]) * time_base)
    # Only where the container counts its frames is the average exact enough to tell of gaps further on.
    uneven = stream.frames > _REORDERED and abs(average / measured - 1) > _RATES_DIFFER
    if spread > max(2, 0.2 * typical) or uneven:
        return average, True
    if spread == 0 and len(gaps) >= _SURE_GAPS:
        return measured, False
    doubt = Fraction(2, seen[-1] - seen[0])  # relative: a tick at either end
    fitting = (rate for rate in (guessed, average) if abs(rate / measured - 1) <= doubt)
    return next(fitting, measured.limit_denominator(1001)), False


def _is_rate(rate: Fraction | None) -> bool:
    return rate is not None and rate > 0


def _displayed(width: int, height: int, aspect: Fraction, rotation: int) -> tuple[int, int]:
    """Size in px as a player shows it: pixels made square by stretching the width, then turned."""
    shown = (max(1, round(width * aspect)), height)
    return (shown[1], shown[0]) if rotation in (90, 270) else shown


def _duration_s(
    container: av.container.InputContainer, stream: av.video.stream.VideoStream, start_s: Fraction, fps: Fraction
) -> float:
    """Seconds from `start_s` to the claimed end: the stream's own claim, else the container's, else one frame."""
    if stream.duration and stream.time_base:
        begin_s = (stream.start_time or 0) * stream.time_base
        return float(max(begin_s + stream.duration * stream.time_base - start_s, 1 / fps))
    if container.duration:
        begin_s = Fraction(container.start_time or 0, _AV_TIME_BASE)
        return float(max(begin_s + Fraction(container.duration, _AV_TIME_BASE) - start_s, 1 / fps))
    return float(stream.frames / fps if stream.frames else 1 / fps)


def fingerprint(path: Path) -> str:
    """Identity by content, without reading all of a large file: size and hash of head, middle and tail. 32 hex digits.

    Two files that differ elsewhere only would be taken for one; `full_hash` tells them apart. Raises VideoError.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.blake2b(str(size).encode(), digest_size=16)
            for offset in (0, max(0, size // 2 - _PIECE_BYTES // 2), max(0, size - _PIECE_BYTES)):
                file.seek(offset)
                digest.update(file.read(_PIECE_BYTES))
    except OSError as error:
        raise VideoError(f"{path}: {error.strerror or error}") from error
    return digest.hexdigest()


def full_hash(path: Path) -> str:
    """Hash of every byte, 32 hex digits; reads the whole file. Raises VideoError."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        with path.open("rb") as file:
            while piece := file.read(_PIECE_BYTES):
                digest.update(piece)
    except OSError as error:
        raise VideoError(f"{path}: {error.strerror or error}") from error
    return digest.hexdigest()


def find_videos(folder: Path) -> list[Path]:
    """All videos below `folder`, in natural order (clip2 before clip10).

    A file counts by its first bytes, so a wrong suffix hides no video and a text file named .mp4 is passed over.
    Files without a video suffix count only if their content is a container of pictures beyond doubt. Hidden files and
    folders are skipped, links to folders are not followed; folders that may not be read are passed over.
    Raises VideoError if `folder` is none.
    """
    if not folder.is_dir():
        raise VideoError(f"{folder}: no such folder")
    return sorted(_videos_in(folder), key=lambda path: natural_key(str(path.relative_to(folder))))


def _videos_in(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder, followlinks=False):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if not name.startswith(".") and _looks_like_video(path):
                yield path


def _looks_like_video(path: Path) -> bool:
    try:
        if not path.is_file():
            return False  # pipes and devices would block; broken links
        return sniff(read_head(path), known_suffix=path.suffix.lower() in VIDEO_SUFFIXES) == "video"
    except OSError:
        # Named like a video but unreadable: keep it, so that reading it says why.
        return path.suffix.lower() in VIDEO_SUFFIXES


def natural_key(text: str) -> list[tuple[bool, int, str]]:
    """Sort key that puts numbers in order of value: a2 < a10."""
    parts = re.findall(r"\d+|\D+", text.casefold())
    return [(not part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]
