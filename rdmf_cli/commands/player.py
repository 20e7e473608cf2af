"""`--open N`: a moment in a player that is on this machine. Arguments are lists, so no name of a file is a command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from rdmf_cli.errors import OutputError, VideoError

_SOON_S = 1.0  # a player that can't open a window ends within it
_running: list[subprocess.Popen[bytes]] = []  # players outlive us; keeping them here keeps Python from complaining


@dataclass(frozen=True)
class Player:
    """A program and its command line for one moment."""

    name: str
    arguments: tuple[str, ...]  # empty: the system opens the file itself (Windows)
    starts_there: bool  # False: it opens the file at its beginning


def play(video: Path, start_s: float, container_start_s: float) -> Player:
    """Open `video` at `start_s` and go on; the player stays open when this program ends.

    `container_start_s`: time of the first presented frame on the container's clock.
    Raises VideoError if the file is gone, OutputError if there is no player or it ends at once with a failure.
    """
    if not video.is_file():
        raise VideoError(f"{video}: not there any more", hint="search it where it is now")
    player = choose(video, start_s, container_start_s)
    try:
        if not player.arguments:
            os.startfile(video.absolute())  # type: ignore[attr-defined,unused-ignore]
            return player
        process = subprocess.Popen(
            player.arguments,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C at the prompt must not end it
        )
    except OSError as error:
        raise OutputError(f"{player.name} does not start: {error.strerror or error}") from error
    _running.append(process)
    try:
        status = process.wait(_SOON_S)
    except subprocess.TimeoutExpired:
        return player
    if status != 0:
        raise OutputError(f"{player.name} ended at once with status {status}", hint="does it play the video by itself?")
    return player


def choose(video: Path, start_s: float, container_start_s: float) -> Player:
    """The best player on PATH. Raises OutputError if there is none."""
    file = str(video.absolute())  # begins with / or a drive, so it is never an option
    if found := shutil.which("mpv"):
        return Player("mpv", (found, *_mpv_start(start_s, container_start_s), "--", file), True)
    if found := shutil.which("vlc"):
        return Player("VLC", (found, f"--start-time={start_s:.3f}", file), True)
    if sys.platform == "win32":
        return Player("the system's player", (), False)
    opener = "open" if sys.platform == "darwin" else "xdg-open"
    if found := shutil.which(opener):
        return Player("the system's player", (found, file), False)
    raise OutputError("no player found to open the video with", hint="install mpv or VLC")


def _mpv_start(start_s: float, container_start_s: float) -> tuple[str, ...]:
    """The container's own clock where it can be used: the sound may begin before the picture does."""
    if container_start_s < 0:
        return (f"--start={start_s:.3f}",)
    return ("--rebase-start-time=no", f"--start={container_start_s + start_s:.3f}")
