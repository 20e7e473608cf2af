"""A stretch of a video encoded anew by ffmpeg, exact to the frame; a copy could only start at a keyframe."""

from __future__ import annotations

import contextlib
import math
import subprocess
import time
from pathlib import Path

import ffmpeg

from rdmf_cli.errors import OutputError, VideoError
from rdmf_cli.media.ffmpeg import INPUT_OPTIONS, Child, ffmpeg_path, file_url
from rdmf_cli.media.probe import VideoInfo, probe
from rdmf_cli.timebase import format_time

# Seeking may land late in streams without an index; so we seek this much too early and drop decoded frames up to the
# start, which costs little. Where even that was too late, the stretch is cut again from the beginning of the file.
_RUN_UP_S = 10.0
_STALL_S = 120.0  # no byte written for so long: hung. Generous, since the encoder looks ahead
_OUTPUT_TROUBLE = ("No space left", "Read-only file system", "File too large", "quota")


def cut(info: VideoInfo, start_s: float, end_s: float, out: Path) -> None:
    """Write the frames from `start_s` to before `end_s` to `out` as mp4: H.264 and, if there is sound, AAC.

    Seconds from the first presented frame; `out` is overwritten and may be left unfinished by a failure.
    Raises VideoError if the video can't be read or has no frame there, OutputError if `out` can't be written.
    """
    _encode(arguments(info, start_s, end_s, out, run_up_s=_RUN_UP_S), info, out)
    if start_s > _RUN_UP_S and not _starts_in_time(info, out):
        _encode(arguments(info, start_s, end_s, out, run_up_s=math.inf), info, out)
    try:
        probe(out)  # no frame there: ffmpeg calls an empty file a success
    except VideoError as error:
        raise VideoError(f"{info.path}: no frame at {format_time(start_s)}") from error


def arguments(info: VideoInfo, start_s: float, end_s: float, out: Path, *, run_up_s: float) -> list[str]:
    """The command line that cuts; it seeks to `run_up_s` before the start, inf: not at all."""
    # A quarter frame early, so that rounding never drops the frame that is presented right at the start.
    nudge_s = float(1 / info.source_fps) / 4
    seek_s = max(0.0, start_s - nudge_s - run_up_s)
    # copyts keeps the container's own clock. With it ffmpeg's accurate seeking adds the container's start twice and
    # drops everything, so `trim` alone decides.
    at = {"seek_timestamp": 1, "noaccurate_seek": None, "ss": f"{info.start_time_s + seek_s:.6f}"}
    source = ffmpeg.input(file_url(info.path), copyts=None, **(at if seek_s > 0 else {}), **INPUT_OPTIONS)
    zero_s = info.start_time_s + start_s
    window = {"start": f"{zero_s - nudge_s:.6f}", "end": f"{zero_s - nudge_s + end_s - start_s:.6f}"}
    picture = (
        source[str(info.stream_index)]
        .filter("trim", **window)
        .filter("setpts", f"PTS-{zero_s:.6f}/TB")
        .filter("scale", "max(2,trunc(iw*sar/2)*2)", "max(2,trunc(ih/2)*2)")  # square pixels, even sides
        .filter("setsar", "1")
    )
    options: dict[str, object] = {"vcodec": "libx264", "crf": 18, "pix_fmt": "yuv420p", "fps_mode": "passthrough"}
    streams = [picture]
    if info.has_audio:
        streams.append(source["a:0"].filter("atrim", **window).filter("asetpts", f"PTS-{zero_s:.6f}/TB"))
        options["acodec"] = "aac"
    options["enc_time_base:v"] = f"{info.time_base.numerator}:{info.time_base.denominator}"
    output = ffmpeg.output(*streams, file_url(out), format="mp4", movflags="+faststart", map_chapters=-1, **options)
    return [ffmpeg_path(), "-nostdin", "-hide_banner", "-loglevel", "level+warning", "-y", *output.get_args()]


def _starts_in_time(info: VideoInfo, out: Path) -> bool:
    """False if the first frame comes late, or none: seeking missed the start (or the rate varies, and it is right)."""
    try:
        return probe(out).start_time_s < 1.5 / info.source_fps
    except VideoError:
        return False


def _encode(command: list[str], info: VideoInfo, out: Path) -> None:
    """Run ffmpeg; kill it on every way out. Raises OutputError, VideoError."""
    child = Child(command, read_output=False)
    try:
        status = _wait(child, out)
        complaint = child.complaint()
    finally:
        child.stop()
    if status is None:
        raise VideoError(f"{info.path}: cutting a clip hung: nothing written for {_STALL_S:g} s")
    if status != 0:
        if any(trouble in complaint for trouble in _OUTPUT_TROUBLE):
            raise OutputError(f"{out.parent}: {complaint}", hint="choose another folder")
        raise VideoError(f"{info.path}: a clip can't be cut: {complaint or f'ffmpeg ended with {status}'}")


def _wait(child: Child, out: Path) -> int | None:
    """ffmpeg's exit status, or None if it stopped writing."""
    size, grown_at = -1, time.monotonic()
    while time.monotonic() - grown_at < _STALL_S:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(timeout_s=0.5)
        now = out.stat().st_size if out.exists() else 0
        if now != size:
            size, grown_at = now, time.monotonic()
    return None
