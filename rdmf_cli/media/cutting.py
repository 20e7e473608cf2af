"""A stretch of a video encoded anew by ffmpeg, exact to the frame; a copy could only start at a keyframe.

Sound and subtitles come along, all of them; the picture is upright, with square pixels, and keeps HDR.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ffmpeg

from rdmf_cli.errors import VideoError
from rdmf_cli.media.encoding import OnTime, encode, ignore
from rdmf_cli.media.ffmpeg import INPUT_OPTIONS, file_url
from rdmf_cli.media.probe import VideoInfo, probe
from rdmf_cli.media.tracks import Colour, Tracks
from rdmf_cli.timebase import format_time

# Seeking may land late in streams without an index; so we seek this much too early and drop decoded frames up to the
# start, which costs little. Where even that was too late, the stretch is cut again from the beginning of the file.
_RUN_UP_S = 10.0
_SUBTITLE_RUN_UP_S = 30.0  # a subtitle that is on screen at the start has begun before it
_AUDIO_BITS = 96_000  # per second and channel
_FORMATS = {".mp4": "mp4", ".mkv": "matroska"}

Options = dict[str, Any]


def cut(info: VideoInfo, tracks: Tracks, start_s: float, end_s: float, out: Path, on_time: OnTime = ignore) -> None:
    """Write the frames from `start_s` to before `end_s` to `out`, `.mp4` or `.mkv`: H.264 (HDR: H.265) and AAC.

    Seconds from the first presented frame; `out` is overwritten and may be left unfinished by a failure.
    Raises VideoError if the video can't be read or has no frame there, OutputError if `out` can't be written.
    """
    for run_up_s in (_RUN_UP_S, math.inf):
        patience_s = min(start_s, run_up_s)
        encode(
            arguments(info, tracks, start_s, end_s, out, run_up_s=run_up_s),
            info.path,
            out,
            on_time,
            patience_s=patience_s,
        )
        if start_s <= _RUN_UP_S or _starts_in_time(info, out):
            break
    check(info, start_s, out)


def check(info: VideoInfo, start_s: float, out: Path) -> None:
    """Raise VideoError if `out` has no frame: ffmpeg calls an empty file a success."""
    try:
        probe(out)
    except VideoError as error:
        raise VideoError(f"{info.path}: no frame at {format_time(start_s)}", hint="it may have ended before") from error


def arguments(
    info: VideoInfo, tracks: Tracks, start_s: float, end_s: float, out: Path, *, run_up_s: float
) -> list[str]:
    """Inputs, streams and output of an exact cut; it seeks to `run_up_s` before the start, inf: not at all."""
    source = opened(info, start_s, run_up_s)
    streams = [source[str(info.stream_index)]]
    options: Options = {
        **video_options(tracks.colour),
        "filter:v:0": ",".join([*window(info, start_s, end_s), *_square(info)]),
        "fps_mode": "passthrough",
        "enc_time_base:v": f"{info.time_base.numerator}:{info.time_base.denominator}",
        "map_chapters": -1,
        "format": _FORMATS[out.suffix],
    }
    for place, track in enumerate(tracks.audio):
        streams.append(source[str(track.index)])
        options |= _audio_options(place, track.channels, info, start_s, end_s)
    subtitles, more = _subtitles(info, tracks, start_s, end_s, out.suffix)
    if out.suffix == ".mp4":
        options["movflags"] = "+faststart"
    return list(ffmpeg.output(*streams, *subtitles, file_url(out), **options, **more).get_args())


def opened(info: VideoInfo, start_s: float, run_up_s: float, **options: Any) -> Any:
    """The input, on the container's own clock, read from `run_up_s` before the start."""
    seek_s = max(0.0, start_s - _nudge_s(info) - run_up_s)
    # copyts keeps the container's own clock. With it ffmpeg's accurate seeking adds the container's start twice and
    # drops everything, so `trim` alone decides.
    at = {"seek_timestamp": 1, "noaccurate_seek": None, "ss": f"{info.start_time_s + seek_s:.6f}"}
    return ffmpeg.input(file_url(info.path), copyts=None, **(at if seek_s > 0 else {}), **options, **INPUT_OPTIONS)


def window(info: VideoInfo, start_s: float, end_s: float) -> list[str]:
    """Filters that let pictures from `start_s` to before `end_s` through and set the clock to 0."""
    zero_s, nudge_s = info.start_time_s + start_s, _nudge_s(info)
    first_s, last_s = zero_s - nudge_s, zero_s - nudge_s + end_s - start_s
    return [f"trim=start={first_s:.6f}:end={last_s:.6f}", f"setpts=PTS-{zero_s:.6f}/TB"]


def sound_window(info: VideoInfo, start_s: float, end_s: float) -> list[str]:
    """The same for sound, exact to the sample; what is missing at the start or inside becomes silence."""
    zero_s = info.start_time_s + start_s
    return [
        f"atrim=start={zero_s:.6f}:end={zero_s + end_s - start_s:.6f}",
        f"asetpts=PTS-{zero_s:.6f}/TB",
        "aresample=async=1:first_pts=0",
    ]


def video_options(colour: Colour) -> Options:
    """The encoder, and what the numbers of its pictures mean. More than 8 bits become H.265, which keeps them."""
    options: Options = {"crf": 18}
    if colour.bits > 8 or colour.is_hdr:
        light = [f"{name}={value}" for name, value in (("master-display", colour.mastering), ("max-cll", colour.light))
                 if value]  # fmt: skip
        parameters = ["log-level=error", "repeat-headers=1", *(["hdr10=1"] if light else []), *light]
        options |= {"c:v": "libx265", "pix_fmt": "yuv420p10le", "tag:v": "hvc1", "x265-params": ":".join(parameters)}
    else:
        options |= {"c:v": "libx264", "pix_fmt": "yuv420p"}
    names = {"color_primaries": colour.primaries, "color_trc": colour.curve, "colorspace": colour.matrix}
    return options | {name: value for name, value in names.items() if value}


def _audio_options(place: int, channels: int, info: VideoInfo, start_s: float, end_s: float) -> Options:
    return {
        f"c:a:{place}": "aac",
        f"b:a:{place}": _AUDIO_BITS * max(1, min(channels, 8)),
        f"filter:a:{place}": ",".join(sound_window(info, start_s, end_s)),
    }


def _subtitles(
    info: VideoInfo, tracks: Tracks, start_s: float, end_s: float, container: str
) -> tuple[list[Any], Options]:
    """Subtitles from an input of their own, which is read only around the moment; with them the fonts.

    Filters don't take subtitles, so bitstream filters drop those outside and move the clock. One that is on screen
    at the start begins there.
    """
    if not tracks.subtitles:
        return [], {}
    seek_s = max(0.0, start_s - _SUBTITLE_RUN_UP_S)
    at = {"seek_timestamp": 1, "noaccurate_seek": None, "ss": f"{info.start_time_s + seek_s:.6f}"} if seek_s else {}
    source = ffmpeg.input(file_url(info.path), t=f"{end_s - seek_s:.6f}", **at, **INPUT_OPTIONS)
    zero_s = info.start_time_s + start_s
    end = f"{zero_s + end_s - start_s:.6f}"
    outside = f"gte(pts*tb,{end})+lte((pts+max(duration,0))*tb,{zero_s:.6f})"
    shifted = f"max(PTS*TB-{zero_s:.6f},0)/TB"
    length = f"(min(PTS*TB+DURATION*TB,{end})-max(PTS*TB,{zero_s:.6f}))/TB"
    options: Options = {"bsf:s": f"noise=drop='{outside}',setts=ts='{shifted}':duration='{length}'"}
    for place, track in enumerate(tracks.subtitles):
        fits = (track.codec == "mov_text") == (container == ".mp4")
        options[f"c:s:{place}"] = "copy" if fits else "mov_text" if container == ".mp4" else "srt"
    streams = [source[str(track.index)] for track in tracks.subtitles]
    if container == ".mkv" and tracks.has_fonts:
        streams.append(source["t"])
        options["c:t"] = "copy"
    return streams, options


def _square(info: VideoInfo) -> list[str]:
    """Filters for square pixels and even sides, where the picture has not got them."""
    if info.sample_aspect == 1 and info.coded_width % 2 == 0 and info.coded_height % 2 == 0:
        return []
    return ["scale=max(2\\,trunc(iw*sar/2)*2):max(2\\,trunc(ih/2)*2)", "setsar=1"]


def _nudge_s(info: VideoInfo) -> float:
    """A quarter frame early, so that rounding never drops the frame that is presented right at the start."""
    return float(1 / info.source_fps) / 4


def _starts_in_time(info: VideoInfo, out: Path) -> bool:
    """False if the first frame comes late, or none: seeking missed the start (or the rate varies, and it is right)."""
    try:
        return probe(out).start_time_s < 1.5 / info.source_fps
    except VideoError:
        return False
