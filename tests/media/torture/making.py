"""Difficult but honest videos, each with what a player shows: numbers burnt into the pictures, and when.

`CORPUS` maps a name to a `Case`. Pictures are those of tests/videos.py: their number can be read from any decoded
frame, so neither the container's times nor the decoder's are believed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from tests import videos
from tests.videos import RATE, make, raw, run_ffmpeg

SMALL = (64, 36)
FFV1 = ("-c:v", "ffv1", "-level", "3", "-g", "1")
X264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "12", "-pix_fmt", "yuv420p")


@dataclass(frozen=True)
class Case:
    """A file and what it shows: (number, seconds from the first presented frame), or `refused` and part of why."""

    make: Callable[[], Path]
    shown: tuple[tuple[int, float], ...] = ()
    refused: str = ""
    tolerance_s: float = 0.0006  # Matroska and FLV count whole milliseconds


def steady(count: int, rate: float = RATE, first: int = 0) -> tuple[tuple[int, float], ...]:
    """Numbers from `first` on at an even rate."""
    return tuple((first + k, k / rate) for k in range(count))


def timed(name: str, frames: list[tuple[int, float]], *options: str, size: tuple[int, int] = SMALL) -> Path:
    """A video of the numbers in `frames` at exactly these seconds; ticks of 1/1000 s."""
    path = videos.folder() / name
    pictures = b"".join(videos.picture(number, *size).tobytes() for number, _ in frames)
    steps = "+".join(f"eq(N,{k})*{round(time_s * 1000)}" for k, (_, time_s) in enumerate(frames))
    source = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{size[0]}x{size[1]}", "-r", "1000", "-i", "-")
    codec = () if "-c:v" in options else X264
    late = ("-vf", f"settb=1/1000,setpts='{steps}'", "-fps_mode", "passthrough", "-enc_time_base", "1:1000")
    run_ffmpeg(*source, *late, *codec, *options, path, stdin=pictures)
    return path


def in_pixels(pixels: str) -> Path:
    """Five frames in one pixel format: in Matroska by FFV1 where it can, else raw in NUT."""
    by_ffv1 = pixels not in _ONLY_RAW
    codec = FFV1 if by_ffv1 else ("-c:v", "rawvideo")
    name = f"pixels-{pixels}.{'mkv' if by_ffv1 else 'nut'}"
    return make(name, *codec, "-pix_fmt", pixels, count=5, size=SMALL)


_ONLY_RAW = frozenset({"nv12", "rgb565le", "monob", "pal8", "yuv440p", "rgb24", "uyvy422"})
PIXELS = [
    "yuv420p",
    "yuvj420p",
    "yuv422p",
    "yuv444p",
    "yuv410p",
    "yuv411p",
    "yuv440p",
    "nv12",
    "uyvy422",
    "yuv420p10le",
    "yuv422p10le",
    "yuv444p10le",
    "yuv420p12le",
    "yuv444p16le",
    "gray",
    "gray10le",
    "gray16le",
    "rgb24",
    "rgb565le",
    "gbrp",
    "gbrp10le",
    "gbrp16le",
    "bgr0",
    "monob",
    "yuva420p",
    "yuva422p",
    "yuva444p",
    "yuva444p10le",
    "bgra",
    "rgba64le",
    "ya8",
    "pal8",
]


@cache
def by_codec(name: str, *options: str) -> Path:
    """Ten frames by a lossy codec."""
    return make(name, *options, count=10, size=SMALL)


def late_start(seconds: float, name: str, *options: str) -> Path:
    return make(name, *X264, "-output_ts_offset", str(seconds), *options, count=12, size=SMALL)


def open_group() -> Path:
    """A transport stream that begins in the middle: its first B-frames refer to what was cut off."""
    return make("open-whole.ts", *_open_options(), count=40, size=SMALL)


def _open_options() -> tuple[str, ...]:
    return (*X264, "-bf", "3", "-g", "10", "-x264-params", "open-gop=1:scenecut=0:b-adapt=0")


def open_group_cut() -> Path:
    """The same without its first second: it begins at a keyframe that is followed by B-frames of the group before."""
    data = open_group().read_bytes()
    packets = [data[i : i + 188] for i in range(0, len(data), 188)]
    random_access = [k for k, p in enumerate(packets) if p[3] & 0x20 and p[4] > 0 and p[5] & 0x40]
    first = random_access[2]
    tables = [p for p in packets[:first] if ((p[1] & 0x1F) << 8 | p[2]) in (0, 0x1000)][:2]
    path = videos.folder() / "open-cut.ts"
    path.write_bytes(b"".join(tables + packets[first:]))
    return path


def edit_with_delay() -> Path:
    """An empty edit of two seconds first: the picture starts late."""
    whole = make("edit-whole.mp4", *X264, "-bf", "2", count=12, size=SMALL)
    return videos.remake(whole, "edit-delay.mp4", "-itsoffset", "2")


def edit_in_group() -> Path:
    """Presentation starts in the middle of a group with B-frames."""
    whole = make("edit-b.mp4", *X264, "-bf", "2", "-g", "30", count=30, size=SMALL)
    return videos.remake(whole, "edit-middle.mp4", "-ss", str(7 / RATE), after=("-c", "copy"))


def two_streams() -> Path:
    """The first stream shows only zeros; the second is marked as the one to play."""
    path = videos.folder() / "two.mkv"
    grey = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", "64x36", "-r", str(RATE))
    zeros = videos.folder() / "zeros.raw"
    zeros.write_bytes(videos.picture(0, *SMALL).tobytes() * 8)
    marks = ("-disposition:v:0", "0", "-disposition:v:1", "default")
    maps = ("-map", "0", "-map", "1", *X264, *marks)
    run_ffmpeg(*grey, "-i", zeros, *grey, "-i", "-", *maps, path, stdin=raw(8, *SMALL))
    return path


def cover_first() -> Path:
    """Matroska with a picture attached before a video."""
    cover = videos.folder() / "cover.jpg"
    run_ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", cover)
    video = make("cover-video.mkv", *X264, count=8, size=SMALL)
    path = videos.folder() / "cover.mkv"
    attached = ("-attach", cover, "-metadata:s:t", "mimetype=image/jpeg", "-metadata:s:t", "filename=cover.jpg")
    run_ffmpeg("-i", video, *attached, "-c", "copy", path)
    return path


def other_sizes(codec: tuple[str, ...], name: str) -> Path:
    """The picture's size changes twice."""
    parts = []
    for number, size in enumerate(((64, 36), (96, 64), (48, 80))):
        part = videos.folder() / f"{name}-{number}.ts"
        pictures = b"".join(videos.picture(4 * number + k, *size).tobytes() for k in range(4))
        source = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{size[0]}x{size[1]}", "-r", str(RATE), "-i", "-")
        late = ("-output_ts_offset", str(1 + 4 * number / RATE), "-muxdelay", "0", "-muxpreload", "0")
        run_ffmpeg(*source, *codec, *late, part, stdin=pictures)
        parts.append(part.read_bytes())
    path = videos.folder() / f"{name}.ts"
    path.write_bytes(b"".join(parts))
    return path


def without_index(name: str, source: Path, mark: bytes) -> Path:
    """`source` cut off at the last place where its index, which begins with `mark`, stands."""
    data = source.read_bytes()
    path = videos.folder() / name
    path.write_bytes(data[: data.rindex(mark)])
    return path


def fragmented() -> Path:
    flags = ("-movflags", "frag_keyframe+empty_moov+default_base_moof")
    return make("fragments.mp4", *X264, "-g", "5", *flags, count=20, size=SMALL)


def fragmented_cut() -> Path:
    """Still being written: the third fragment is there in part only."""
    data = fragmented().read_bytes()
    places = [i for i in range(len(data)) if data[i : i + 4] == b"moof"]
    path = videos.folder() / "fragments-cut.mp4"
    path.write_bytes(data[: places[2] + 20])
    return path


def unfinished_mp4() -> Path:
    """An mp4 as its writer leaves it on the disk before the end: data without an index."""
    data = make("finished.mp4", *X264, count=20, size=SMALL).read_bytes()
    path = videos.folder() / "unfinished.mp4"
    path.write_bytes(data[: data.index(b"moov") - 4])
    return path


def unfinished_mkv() -> Path:
    """A Matroska file as a recorder leaves it: length unknown, no index, last frame in part."""
    live = make("live.mkv", *X264, "-bf", "0", "-g", "5", "-live", "1", count=20, size=SMALL)
    path = videos.folder() / "unfinished.mkv"
    path.write_bytes(live.read_bytes()[:-40])
    return path


@cache
def turned(rotation: int, hflip: bool, vflip: bool) -> Path:
    """Stored upright; players turn it counterclockwise by `rotation` degrees, after mirroring it."""
    source = make("upright.mp4", *X264, count=2, size=(64, 36))
    flips = (("-display_hflip",) if hflip else ()) + (("-display_vflip",) if vflip else ())
    return videos.remake(source, f"turned-{rotation}{hflip:d}{vflip:d}.mp4", "-display_rotation", str(rotation), *flips)


def sized(width: int, height: int) -> Path:
    """Three frames of an odd size; a picture too small for bars is all 40, 120 or 200."""
    path = videos.folder() / f"size-{width}x{height}.mkv"
    pictures = [np.full((height, width), 40 + 80 * k, np.uint8).tobytes() for k in range(3)]
    source = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{width}x{height}", "-r", str(RATE), "-i", "-")
    run_ffmpeg(*source, *FFV1, path, stdin=b"".join(pictures))
    return path


_NEGATIVE = ("-avoid_negative_ts", "disabled")
_GAP = [(k, k / RATE) for k in range(6)] + [(6 + k, 600 + k / RATE) for k in range(6)]
_UNEVEN = [(0, 0.0), (1, 0.001), (2, 0.5), (3, 0.517), (4, 3.0), (5, 3.9), (6, 30.0), (7, 30.04)]

CORPUS: dict[str, Case] = {
    **{f"pixels {name}": Case(lambda name=name: in_pixels(name), steady(5)) for name in PIXELS},  # type: ignore[misc]
    "h264 10 bit": Case(lambda: by_codec("h10.mp4", "-c:v", "libx264", "-pix_fmt", "yuv422p10le"), steady(10)),
    "hevc 12 bit": Case(
        lambda: by_codec("h12.mp4", "-c:v", "libx265", "-x265-params", "log-level=none", "-pix_fmt", "yuv444p12le"),
        steady(10),
    ),
    "av1": Case(lambda: by_codec("av1.mp4", "-c:v", "libsvtav1", "-preset", "12", "-crf", "20"), steady(10)),
    "vp9": Case(lambda: by_codec("vp9.webm", "-c:v", "libvpx-vp9", "-b:v", "1M"), steady(10)),
    "mpeg-4 asp": Case(lambda: by_codec("asp.avi", "-c:v", "mpeg4", "-q:v", "2", "-bf", "2"), steady(10)),
    "theora": Case(lambda: by_codec("theora.ogv", "-c:v", "libtheora", "-q:v", "10"), steady(10)),
    "wmv": Case(lambda: by_codec("wmv.wmv", "-c:v", "wmv2", "-q:v", "2"), steady(10)),
    "motion jpeg": Case(lambda: by_codec("mj.avi", "-c:v", "mjpeg", "-q:v", "2", "-pix_fmt", "yuvj420p"), steady(10)),
    "gif": Case(lambda: by_codec("g.gif", "-c:v", "gif"), steady(10)),
    "raw h264": Case(lambda: by_codec("raw.h264", *X264), steady(10)),
    "variable rate, gap of ten minutes": Case(lambda: timed("gap.mkv", _GAP), tuple(_GAP)),
    "variable rate, gap in mp4": Case(lambda: timed("gap.mp4", _GAP), tuple(_GAP)),
    "variable rate, very uneven": Case(lambda: timed("uneven.mp4", _UNEVEN), tuple(_UNEVEN)),
    "negative start": Case(lambda: late_start(-5, "negative.mkv", *_NEGATIVE), steady(12)),
    "negative start, read as a huge one": Case(lambda: late_start(-5, "negative.flv", *_NEGATIVE), steady(12)),
    "start after eleven days": Case(lambda: late_start(1e6, "huge.mkv"), steady(12), tolerance_s=0.002),
    "start in the year 2038": Case(lambda: late_start(2147483648, "2038.mkv"), steady(12), tolerance_s=0.002),
    "clock that wraps round": Case(lambda: late_start(95443.5 - 1.4, "wrap.ts"), steady(12)),
    "open group": Case(open_group, steady(40)),
    "empty edit": Case(edit_with_delay, steady(12)),
    "edit within a group": Case(edit_in_group, steady(23, first=7)),
    "one frame": Case(lambda: make("single.mkv", *X264, count=1, size=SMALL), steady(1)),
    "240 frames a second": Case(lambda: timed_evenly("240.mp4", 48, 240), steady(48, 240)),
    "a frame every ten seconds": Case(lambda: timed_evenly("slow.mp4", 5, 0.1), steady(5, 0.1)),
    "two video streams": Case(two_streams, steady(8)),
    "attached picture": Case(cover_first, steady(8)),
    # ffmpeg's MPEG-2 decoder drops the last picture before a change of size; all others keep their times.
    "mpeg-2 changes its size": Case(
        lambda: other_sizes(("-c:v", "mpeg2video", "-q:v", "2"), "mpeg2-sizes"),
        tuple((number, time_s) for number, time_s in steady(12) if number not in (3, 7)),
    ),
    "h264 changes its size": Case(lambda: other_sizes(X264, "h264-sizes"), steady(12)),
    "avi without index": Case(
        lambda: without_index(
            "no-idx.avi", make("idx.avi", "-c:v", "mpeg4", "-q:v", "2", count=8, size=SMALL), b"idx1"
        ),
        steady(8),
    ),
    "mkv without index": Case(
        lambda: without_index("no-cues.mkv", make("cues.mkv", *X264, count=8, size=SMALL), b"\x1c\x53\xbb\x6b"),
        steady(8),
    ),
    "mp4 without index": Case(
        lambda: without_index("no-moov.mp4", make("moov.mp4", *X264, count=8, size=SMALL), b"moov"), refused="cut off"
    ),
    "fragmented": Case(fragmented, steady(20)),
    "fragmented, being written": Case(fragmented_cut, steady(10)),
    "mp4, being written": Case(unfinished_mp4, refused="cut off"),
    "mkv, being written": Case(unfinished_mkv, steady(19)),
}


def timed_evenly(name: str, count: int, rate: float) -> Path:
    path = videos.folder() / name
    source = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", "64x36", "-r", str(rate), "-i", "-")
    run_ffmpeg(*source, *X264, path, stdin=raw(count, *SMALL))
    return path
