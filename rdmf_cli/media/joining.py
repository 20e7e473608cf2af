"""Stretches of different videos brought to one format, and joined into one file.

Each becomes a piece first: the reel's size, rate and sample format, an exact number of frames, and sound just as long,
silence if it has none. Joining is simple then, and whatever is odd about a source stays in its own ffmpeg.
"""

from __future__ import annotations

import math
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import ffmpeg

from rdmf_cli.errors import VideoError
from rdmf_cli.media.cutting import check, opened, sound_window, window
from rdmf_cli.media.encoding import OnTime, encode, ignore
from rdmf_cli.media.ffmpeg import ffmpeg_path, file_url
from rdmf_cli.media.probe import VideoInfo, probe
from rdmf_cli.media.tracks import Tracks

_RATES = [Fraction(n, d) for n, d in ((24000, 1001), (24, 1), (25, 1), (30000, 1001), (30, 1), (50, 1), (60000, 1001),
                                      (60, 1))]  # fmt: skip
_LARGEST_PX = (1920, 1080)
_SAMPLE_RATE = 48_000
_RUN_UP_S = 10.0
_LOUDNESS = "loudnorm=I=-16:TP=-1.5:LRA=11"  # LUFS as streaming services like it
_TO_SDR = (
    "zscale=t=linear:npl=100",
    "format=gbrpf32le",
    "zscale=p=bt709",
    "tonemap=tonemap=hable:desat=0",
    "zscale=t=bt709:m=bt709:r=tv",
)
# For pieces that only live until they are joined: fast, and nearly without loss.
_PIECE: dict[str, Any] = {
    "c:v": "libx264",
    "preset": "ultrafast",
    "crf": 10,
    "pix_fmt": "yuv420p",
    "c:a": "pcm_s16le",
    "format": "mov",
    "fps_mode": "passthrough",
    "map_chapters": -1,
    "map_metadata": -1,
}


@dataclass(frozen=True)
class ReelFormat:
    """What all pieces of a reel have in common."""

    width: int
    height: int
    rate: Fraction

    def num_frames(self, length_s: float) -> int:
        """Frames of a piece of so many seconds; at least two, so that it can be faded on both sides."""
        return max(2, round(length_s * self.rate))

    def num_samples(self, num_frames: int) -> int:
        """Samples of sound that last as long."""
        return round(num_frames / self.rate * _SAMPLE_RATE)


@dataclass(frozen=True)
class Piece:
    """A file in the reel's format."""

    file: Path
    num_frames: int


def format_of(lengths: list[tuple[VideoInfo, float]]) -> ReelFormat:
    """Size and rate that most seconds of the reel have; a common rate, and at most full HD."""
    sizes: defaultdict[tuple[int, int], float] = defaultdict(float)
    rates: defaultdict[Fraction, float] = defaultdict(float)
    for info, length_s in lengths:
        sizes[info.width, info.height] += length_s
        rates[min(_RATES, key=lambda rate: abs(rate - info.source_fps))] += length_s
    width, height = max(sizes, key=lambda size: sizes[size])
    largest = _LARGEST_PX if width >= height else _LARGEST_PX[::-1]
    scale = min(1.0, largest[0] / width, largest[1] / height)
    even_width, even_height = (max(16, 2 * round(side * scale / 2)) for side in (width, height))
    return ReelFormat(even_width, even_height, max(rates, key=lambda rate: rates[rate]))


def make_piece(
    info: VideoInfo,
    tracks: Tracks,
    start_s: float,
    end_s: float,
    reel: ReelFormat,
    out: Path,
    *,
    evenly_loud: bool,
    on_time: OnTime = ignore,
) -> Piece:
    """The frames from `start_s` to before `end_s` as a piece. Raises VideoError, OutputError."""
    num_frames = reel.num_frames(end_s - start_s)
    for run_up_s in (_RUN_UP_S, math.inf):
        source = opened(info, start_s, run_up_s)
        picture = ",".join([*window(info, start_s, end_s), *_fitted(tracks, reel, num_frames)])
        options: dict[str, Any] = {**_PIECE, "filter:v:0": picture}
        streams = [source[str(info.stream_index)]]
        if tracks.audio:
            streams.append(source[str(tracks.audio[0].index)])
            sound = sound_window(info, start_s, end_s)
        else:
            streams.append(_silence())
            sound = []
        options["filter:a:0"] = ",".join([*sound, *_even_sound(reel, num_frames, evenly_loud and bool(tracks.audio))])
        arguments = ffmpeg.output(*streams, file_url(out), **options).get_args()
        encode(list(arguments), info.path, out, on_time, patience_s=min(start_s, run_up_s))
        if start_s <= _RUN_UP_S or run_up_s == math.inf or _has_frames(out):
            break
    check(info, start_s, out)
    return Piece(out, num_frames)


def make_still(picture: Path, length_s: float, reel: ReelFormat, out: Path) -> Piece:
    """A picture of the reel's size, shown in silence, as a piece. Raises OutputError."""
    num_frames = reel.num_frames(length_s)
    still = {"format": "image2", "pattern_type": "none", "loop": 1, "framerate": str(reel.rate)}
    options = {
        **_PIECE,
        "filter:v:0": f"format=yuv420p,setsar=1,trim=end_frame={num_frames}",
        "filter:a:0": ",".join(_even_sound(reel, num_frames, False)),
    }
    streams = [ffmpeg.input(file_url(picture), **still)["v:0"], _silence()]
    encode(list(ffmpeg.output(*streams, file_url(out), **options).get_args()), picture, out)
    return Piece(out, num_frames)


def fades(pieces: list[Piece], reel: ReelFormat, crossfade_s: float) -> list[int]:
    """Frames that each piece shares with the next one, (N-1,): at most half of either."""
    wanted = round(crossfade_s * reel.rate)
    if wanted < 1:
        return [0] * (len(pieces) - 1)
    pairs = pairwise(pieces)
    return [max(1, min(wanted, one.num_frames // 2, other.num_frames // 2)) for one, other in pairs]


def join(pieces: list[Piece], reel: ReelFormat, crossfade_s: float, out: Path, on_time: OnTime = ignore) -> None:
    """All pieces, one after the other, as `out`: H.264 and AAC. Raises OutputError."""
    arguments: list[str] = []
    for piece in pieces:
        arguments += ["-threads", "1", "-f", "mov", "-i", file_url(piece.file)]
    graph = _graph(pieces, fades(pieces, reel, crossfade_s), reel)
    arguments += ["-filter_complex", graph, "-map", "[picture]", "-map", "[sound]"]
    arguments += ["-c:v", "libx264", "-crf", "18", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "192k"]
    arguments += ["-fps_mode", "passthrough", "-map_chapters", "-1", "-map_metadata", "-1"]
    container = ["-f", "mp4", "-movflags", "+faststart"] if out.suffix == ".mp4" else ["-f", "matroska"]
    encode([*arguments, *container, file_url(out)], out, out, on_time)


def can_map_tones() -> bool:
    """True if this ffmpeg can turn HDR into ordinary pictures; without, they come out pale."""
    return _has_filters(ffmpeg_path())


@lru_cache(maxsize=4)
def _has_filters(executable: str) -> bool:
    try:
        said = subprocess.run([executable, "-hide_banner", "-filters"], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=20, check=True).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return False
    return b" zscale " in said and b" tonemap " in said


def _graph(pieces: list[Piece], shared: list[int], reel: ReelFormat) -> str:
    form = "format=yuv420p[picture]"
    if not any(shared):
        ins = "".join(f"[{place}:v][{place}:a]" for place in range(len(pieces)))
        return f"{ins}concat=n={len(pieces)}:v=1:a=1[v][sound];[v]fps={reel.rate},{form}"
    steps = [f"[{place}:v]settb=1/90000,fps={reel.rate}[v{place}]" for place in range(len(pieces))]
    picture, sound, length = "[v0]", "[0:a]", pieces[0].num_frames
    for place, (piece, frames) in enumerate(zip(pieces[1:], shared, strict=True), start=1):
        fade_s, offset_s = float(frames / reel.rate), float((length - frames) / reel.rate)
        steps.append(f"{picture}[v{place}]xfade=fade:duration={fade_s:.6f}:offset={offset_s:.6f}[p{place}]")
        steps.append(f"{sound}[{place}:a]acrossfade=ns={reel.num_samples(frames)}[s{place}]")
        picture, sound, length = f"[p{place}]", f"[s{place}]", length + piece.num_frames - frames
    return ";".join([*steps, f"{picture}{form}", f"{sound}anull[sound]"])


def _fitted(tracks: Tracks, reel: ReelFormat, num_frames: int) -> list[str]:
    """Filters: the whole picture inside the reel's size, at its rate, for exactly so many frames."""
    size = f"{reel.width}:{reel.height}"
    return [
        *(_TO_SDR if tracks.colour.is_hdr and can_map_tones() else ()),
        "scale=max(2\\,iw*sar):ih",
        f"scale={size}:force_original_aspect_ratio=decrease:force_divisible_by=2:out_color_matrix=bt709:out_range=tv",
        f"pad={size}:(ow-iw)/2:(oh-ih)/2",
        "setsar=1",
        "format=yuv420p",
        f"fps={reel.rate}:start_time=0",
        "tpad=stop=-1:stop_mode=clone",
        f"trim=end_frame={num_frames}",
    ]


def _even_sound(reel: ReelFormat, num_frames: int, evenly_loud: bool) -> list[str]:
    """Filters: two channels at 48 kHz, exactly as long as so many frames."""
    samples = reel.num_samples(num_frames)
    form = f"aformat=sample_rates={_SAMPLE_RATE}:channel_layouts=stereo"
    return [form, *([_LOUDNESS, form] if evenly_loud else []), "apad", f"atrim=end_sample={samples}"]


def _silence() -> Any:
    return ffmpeg.input(f"anullsrc=r={_SAMPLE_RATE}:cl=stereo", format="lavfi")["a:0"]


def _has_frames(out: Path) -> bool:
    try:
        return probe(out).num_frames_claimed > 0
    except VideoError:
        return False
