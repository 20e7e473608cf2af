"""Which streams a file carries besides the picture, and which container can hold them."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import av
import av.error

from rdmf_cli.errors import VideoError
from rdmf_cli.media.ffmpeg import INPUT_OPTIONS, explain, file_url
from rdmf_cli.media.probe import VideoInfo

_OPEN_TIMEOUT_S = 30.0
_TEXT = {"mov_text", "subrip", "srt", "webvtt", "text"}  # plain enough for mp4's own kind of subtitle
_MKV_TEXT = {"ass", "ssa"}  # styled: mp4 would lose it
_PICTURES = {"hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle"}
_COPIED_INTO_MP4 = {
    "video": {"h264", "hevc", "av1", "vp9", "mpeg4", "mpeg2video", "mpeg1video"},
    "audio": {"aac", "mp3", "ac3", "eac3", "opus", "flac", "alac", "mp2"},
    "subtitle": {"mov_text"},
}
_HDR_CURVES = {16: "smpte2084", 18: "arib-std-b67"}
_PRIMARIES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020", 12: "smpte432"}
_CURVES = {1: "bt709", 6: "smpte170m", 13: "iec61966-2-1", 14: "bt2020-10", **_HDR_CURVES}
_MATRICES = {1: "bt709", 5: "bt470bg", 6: "smpte170m", 9: "bt2020nc", 10: "bt2020c"}
_RANGES = {1: "tv", 2: "pc"}


@dataclass(frozen=True)
class Track:
    """One audio or subtitle stream."""

    index: int  # in the file
    codec: str  # "" if this program can't read it
    channels: int = 0  # of sound


@dataclass(frozen=True)
class Colour:
    """How the numbers of a picture are meant; names as ffmpeg's options take them, "" unknown."""

    primaries: str = ""
    curve: str = ""
    matrix: str = ""
    range: str = ""
    bits: int = 8
    mastering: str = ""  # of the display it was graded on, as x265 takes it: G(x,y)B(x,y)R(x,y)WP(x,y)L(max,min)
    light: str = ""  # brightest pixel and brightest picture, nits: "1000,400"

    @property
    def is_hdr(self) -> bool:
        """True for PQ and HLG."""
        return self.curve in _HDR_CURVES.values()


@dataclass(frozen=True)
class Tracks:
    """The streams that a clip keeps."""

    audio: tuple[Track, ...]
    subtitles: tuple[Track, ...]
    colour: Colour
    video_codec: str
    has_fonts: bool = False
    lost: tuple[str, ...] = ()  # what no container of ours can hold, in words

    def container(self) -> str:
        """The container of an encoded clip: ".mp4", which plays everywhere, unless subtitles need ".mkv".

        Subtitles are copied wherever possible; all kinds but mp4's own fit into Matroska only.
        """
        return ".mp4" if all(track.codec == "mov_text" for track in self.subtitles) else ".mkv"

    def container_of_copy(self) -> str:
        """The same for a clip whose streams are copied: mp4 takes only some codecs, Matroska nearly all."""
        fits = self.video_codec in _COPIED_INTO_MP4["video"]
        fits &= all(track.codec in _COPIED_INTO_MP4["audio"] for track in self.audio)
        fits &= all(track.codec in _COPIED_INTO_MP4["subtitle"] for track in self.subtitles)
        return ".mp4" if fits else ".mkv"

    def misfits(self, container: str, *, copied: bool) -> list[str]:
        """Codecs that `container` can't hold."""
        if container == ".mkv":
            return [track.codec for track in self.subtitles if copied and track.codec == "mov_text"]
        if copied:
            kinds = {"video": [self.video_codec], "audio": [track.codec for track in self.audio]}
            kinds["subtitle"] = [track.codec for track in self.subtitles]
            return [codec for kind, codecs in kinds.items() for codec in codecs if codec not in _COPIED_INTO_MP4[kind]]
        return [track.codec for track in self.subtitles if track.codec in _PICTURES]

    def rewritten(self, container: str) -> bool:
        """True if an encoded clip in `container` has subtitles that can't be copied but only written anew."""
        return any((track.codec == "mov_text") != (container == ".mp4") for track in self.subtitles)


def tracks_of(info: VideoInfo) -> Tracks:
    """Streams of `info.path`, opened anew: it may have gone since. Raises VideoError."""
    try:
        with av.open(
            file_url(info.path), options=INPUT_OPTIONS, metadata_errors="replace", timeout=_OPEN_TIMEOUT_S
        ) as container:
            return _tracks(container, info)
    except av.error.FileNotFoundError as error:
        raise VideoError(f"{info.path}: no such file any more", hint="was it moved? search it again") from error
    except av.error.FFmpegError as error:
        raise VideoError(f"{info.path}: {explain([error.strerror or str(error)])}") from error


def _tracks(container: Any, info: VideoInfo) -> Tracks:
    if info.stream_index >= len(container.streams):
        raise VideoError(f"{info.path}: not the file that was searched", hint="search it again")
    subtitles, lost = [], []
    for stream in container.streams.subtitles:
        codec = _codec(stream)
        if codec in _TEXT | _MKV_TEXT | _PICTURES:
            subtitles.append(Track(stream.index, codec))
        else:
            lost.append(f"subtitles of the kind {codec or 'unknown'}")
    audio = [
        Track(stream.index, _codec(stream), stream.channels if stream.codec_context is not None else 0)
        for stream in container.streams.audio
    ]
    lost += ["sound of an unknown kind" for track in audio if not track.codec]
    return Tracks(
        audio=tuple(track for track in audio if track.codec),
        subtitles=tuple(subtitles),
        colour=_colour(container, container.streams[info.stream_index]),
        video_codec=_codec(container.streams[info.stream_index]),
        has_fonts=any(stream.type == "attachment" for stream in container.streams),
        lost=tuple(lost),
    )


def _codec(stream: Any) -> str:
    """ffmpeg's name of the codec, not of the program part that decodes it: av1, not libdav1d."""
    return stream.codec_context.codec.canonical_name if stream.codec_context is not None else ""


def _colour(container: Any, stream: Any) -> Colour:
    context = stream.codec_context
    if context is None:
        return Colour()
    bits = max((part.bits for part in context.format.components), default=8) if context.format else 8
    curve = _CURVES.get(int(context.color_trc), "")
    mastering, light = _light(container, stream) if curve in _HDR_CURVES.values() else ("", "")
    return Colour(
        primaries=_PRIMARIES.get(int(context.color_primaries), ""),
        curve=curve,
        matrix=_MATRICES.get(int(context.colorspace), ""),
        range=_RANGES.get(int(context.color_range), ""),
        bits=bits,
        mastering=mastering,
        light=light,
    )


def _light(container: Any, stream: Any) -> tuple[str, str]:
    """Mastering display and light level of the first frame, in x265's words; "" where the file has none."""
    with contextlib.suppress(av.error.FFmpegError, StopIteration, struct.error):
        frame = next(container.decode(stream))
        parts = {part.type.name: bytes(part) for part in frame.side_data}
        return _mastering(parts.get("MASTERING_DISPLAY_METADATA", b"")), _light_level(parts)
    return "", ""


def _mastering(data: bytes) -> str:
    """AVMasteringDisplayMetadata: ten rationals (R, G, B, white; darkest, brightest), then two flags."""
    if len(data) < 88:
        return ""
    numbers = struct.unpack_from("=20i2i", data)
    if not all(numbers[20:22]) or not all(numbers[1:20:2]):
        return ""
    values = [Fraction(top, bottom) for top, bottom in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
    red, green, blue, white = ([round(value * 50_000) for value in values[i : i + 2]] for i in (0, 2, 4, 6))
    darkest, brightest = (round(value * 10_000) for value in values[8:10])
    named = {"G": green, "B": blue, "R": red, "WP": white}
    points = "".join(f"{name}({x},{y})" for name, (x, y) in named.items())
    return f"{points}L({brightest},{darkest})"


def _light_level(parts: dict[str, bytes]) -> str:
    data = parts.get("CONTENT_LIGHT_LEVEL", b"")
    return ",".join(map(str, struct.unpack_from("=2I", data))) if len(data) >= 8 else ""
