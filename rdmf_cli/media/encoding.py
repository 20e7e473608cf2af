"""ffmpeg writing a file: watched by its own reports, killed on every way out, explained where it fails."""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO

from rdmf_cli.errors import OutputError, VideoError
from rdmf_cli.media.ffmpeg import Child, ffmpeg_path

OnTime = Callable[[float], None]  # hears how many seconds of the output are written

_STALL_S = 120.0  # nothing written for so long: hung. Generous, since the encoder looks ahead
_TICK_S = 0.5
_OUTPUT_TROUBLE = ("No space left", "Read-only file system", "File too large", "quota")


def command(arguments: list[str]) -> list[str]:
    """The whole command line around inputs, streams and outputs."""
    start = [ffmpeg_path(), "-nostdin", "-hide_banner", "-loglevel", "level+warning", "-nostats"]
    return [*start, "-progress", "pipe:1", "-stats_period", str(_TICK_S), "-y", *arguments]


def ignore(done_s: float) -> None:
    """An OnTime that listens to nothing."""


def encode(arguments: list[str], source: Path, out: Path, on_time: OnTime = ignore, *, patience_s: float = 0.0) -> None:
    """Run ffmpeg, which writes `out` from `source`.

    `patience_s`: how much longer than usual it may write nothing, because it decodes what comes before. Raises
    OutputError if the disk is the trouble, VideoError for all else.
    """
    child = Child(command(arguments))
    try:
        status = _wait(child, out, on_time, _STALL_S + patience_s)
        complaint = child.complaint()
    finally:
        child.stop()
    if status is None:
        raise VideoError(f"{source}: cutting a clip hung: nothing written for {_STALL_S + patience_s:g} s")
    if any(trouble in complaint for trouble in _OUTPUT_TROUBLE):  # ffmpeg 5.1 calls a file without its end a success
        raise OutputError(f"{out.parent}: {complaint.rpartition(': ')[2]}", hint="choose another folder")
    if status != 0:
        if "Unknown encoder" in complaint or "Encoder not found" in complaint:
            raise OutputError(f"this ffmpeg can't write clips: {complaint}", hint="install one with libx264")
        raise VideoError(f"{source}: a clip can't be cut: {complaint or f'ffmpeg ended with {status}'}")


class _Reports:
    """ffmpeg's reports, read by a thread so that its pipe never fills."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self.done_s = 0.0
        self._thread = threading.Thread(target=self._read, args=(pipe,), name="rdmf-ffmpeg-progress", daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(timeout=5)

    def _read(self, pipe: IO[bytes]) -> None:
        rest = b""
        with contextlib.suppress(ValueError, OSError):
            while piece := pipe.read(1 << 12):
                *lines, rest = (rest + piece).split(b"\n")
                for line in lines:
                    name, _, value = line.partition(b"=")
                    if name == b"out_time_us" and value.strip().isdigit():  # N/A, or negative, before the first frame
                        self.done_s = int(value) / 1e6


def _wait(child: Child, out: Path, on_time: OnTime, stall_s: float) -> int | None:
    """ffmpeg's exit status, or None if it stopped writing."""
    reports = _Reports(child.output)
    seen, moved_at = (-1, -1.0), time.monotonic()
    try:
        while time.monotonic() - moved_at < stall_s:
            with contextlib.suppress(subprocess.TimeoutExpired):
                status = child.wait(timeout_s=_TICK_S)
                reports.join()
                on_time(reports.done_s)
                return status
            now = (out.stat().st_size if out.exists() else 0, reports.done_s)
            if now != seen:
                seen, moved_at = now, time.monotonic()
                on_time(reports.done_s)
        return None
    finally:
        child.kill()
        reports.join()  # Child.stop closes the pipe that it reads
