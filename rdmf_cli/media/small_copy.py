"""A clip made small, in what every browser plays: H.264 with 8 bits, AAC."""

from __future__ import annotations

import subprocess
from pathlib import Path

import ffmpeg

from rdmf_cli.errors import OutputError, VideoError
from rdmf_cli.media.ffmpeg import INPUT_OPTIONS, Child, ffmpeg_path, file_url

_HUNG_S = 3600.0  # clips last seconds or minutes


def shrink(source: Path, out: Path, height_px: int) -> None:
    """Encode `source` anew to `out`, an mp4 of at most `height_px`. Raises VideoError, OutputError."""
    read = ffmpeg.input(file_url(source), **INPUT_OPTIONS)
    output = ffmpeg.output(
        read,
        file_url(out),
        format="mp4",
        vf=f"scale=-2:'trunc(min({height_px},ih)/2)*2',setsar=1",
        vcodec="libx264",
        preset="veryfast",
        crf=27,
        pix_fmt="yuv420p",
        acodec="aac",
        audio_bitrate="96k",
        movflags="+faststart",
        fps_mode="passthrough",
    )
    child = Child(
        [ffmpeg_path(), "-nostdin", "-hide_banner", "-loglevel", "level+warning", "-y", *output.get_args()],
        read_output=False,
    )
    try:
        status = child.wait(timeout_s=_HUNG_S)
        complaint = child.complaint()
    except subprocess.TimeoutExpired:
        status, complaint = 1, f"nothing came for {_HUNG_S:g} s"
    finally:
        child.stop()
    if "No space left" in complaint:
        raise OutputError(f"{out.parent}: {complaint}", hint="free some room there, or name another folder by TMPDIR")
    if status != 0:
        raise VideoError(f"{source}: can't be made smaller: {complaint or f'ffmpeg ended with {status}'}")
