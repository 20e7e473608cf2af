"""A moment as a video file of its own, cut exactly."""

from __future__ import annotations

import contextlib
import os
import unicodedata
import uuid
from pathlib import Path

from rdmf_cli.errors import OutputError
from rdmf_cli.media.cutting import cut
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.moments import Moment
from rdmf_cli.timebase import format_time

_NAME_BYTES = 120


def cut_clip(info: VideoInfo, moment: Moment, out: Path) -> None:
    """Write the frames of `moment` (start included, end not) to `out` as mp4: H.264 and, if there is sound, AAC.

    An existing `out` is replaced once the clip is whole; a failure leaves it as it was.
    Raises OutputError if `out` can't be written, VideoError if the video can't be read or has no frame there.
    """
    _check_target(info, out)
    partial = out.with_name(f".rdmf-{uuid.uuid4().hex[:12]}.mp4")
    try:
        partial.open("xb").close()
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror or error}", hint="choose another folder") from error
    try:
        cut(info, moment.start_s, moment.end_s, partial)
        os.replace(partial, out)
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def clip_name(video: Path, rank: int, moment: Moment, query: str) -> str:
    """`dog-01-0h00m12.500s-a-dog-runs.mp4`: safe on all file systems, at most 124 bytes, no two alike per `rank`."""
    hours, minutes, seconds = format_time(moment.start_s).split(":")
    stem = _plain(video.stem, _NAME_BYTES // 3) or "video"
    start = f"{stem}-{rank:02d}-{hours}h{minutes}m{seconds}s"
    words = _plain(query, _NAME_BYTES - len(start.encode()) - 1)
    return f"{start}-{words}.mp4" if words else f"{start}.mp4"


def _plain(text: str, most_bytes: int) -> str:
    """Letters and digits of any script, other stretches as one hyphen, cut to `most_bytes` of UTF-8."""
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(sign if sign.isalnum() or unicodedata.category(sign)[0] == "M" else " " for sign in composed)
    joined = "-".join(kept.split())
    return joined.encode()[: max(0, most_bytes)].decode("utf-8", "ignore").strip("-")


def _check_target(info: VideoInfo, out: Path) -> None:
    try:
        if out.is_dir():
            raise OutputError(f"{out}: a folder, not a file name")
        if not out.parent.is_dir():
            raise OutputError(f"{out.parent}: no such folder", hint="create it first")
        if out.exists() and info.path.exists() and out.samefile(info.path):
            raise OutputError(f"{out}: this is the video itself", hint="choose another name")
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror or error}", hint="choose another name") from error
