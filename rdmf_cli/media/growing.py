"""A video that is still being written, or that comes through a pipe: its bytes as they come, and frames from them.

Any container that can be read from front to back will do: MPEG-TS, Matroska, WebM, FLV, fragmented MP4. An ordinary MP4
has its index at its end and can't be followed.
"""

from __future__ import annotations

import contextlib
import os
import select
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from rdmf_cli.errors import VideoError
from rdmf_cli.media.probe import VideoInfo, probe

IDLE_S = 15.0  # a file that has not grown for so long is taken for finished
_PIECE_BYTES = 1 << 16
_TICK_S = 0.2
_LEAST_HEAD_BYTES = 1 << 12  # before that a failed look may only mean that too little is there
_MOST_HEAD_BYTES = 1 << 25


class Growing:
    """The bytes of a file that grows, or of a stream, until it is over or `stop` is called from anywhere."""

    def __init__(self, source: Path | IO[bytes], *, idle_s: float = IDLE_S) -> None:
        self._stopped = threading.Event()
        self._idle_s = idle_s
        self.is_file = isinstance(source, Path)
        self.name = source if isinstance(source, Path) else Path("-")
        self._stream = _opened(source) if isinstance(source, Path) else source

    def stop(self) -> None:
        """No more: what reads sees the end. Idempotent."""
        self._stopped.set()

    def __iter__(self) -> Iterator[bytes]:
        """Pieces as they come; blocks in between. Goes on where the last reader left off."""
        last_s = time.monotonic()
        while not self._stopped.is_set():
            piece = self._read()
            if piece:
                last_s = time.monotonic()
                yield piece
            elif piece is not None and not self.is_file:
                return  # the writer has closed the pipe
            elif self.is_file:
                if time.monotonic() - last_s > self._idle_s:
                    return
                self._stopped.wait(_TICK_S)

    def close(self) -> None:
        """Stop, and close the file."""
        self.stop()
        if self.is_file:
            self._stream.close()

    def _read(self) -> bytes | None:
        """What is there now; b"" at the end, None if a pipe has nothing yet."""
        if self.is_file:
            return self._stream.read(_PIECE_BYTES)
        if os.name == "posix" and not select.select([self._stream], [], [], _TICK_S)[0]:
            return None
        return os.read(self._stream.fileno(), _PIECE_BYTES)


def _opened(path: Path) -> IO[bytes]:
    try:
        if path.is_dir():
            raise VideoError(f"{path}: a folder; --follow takes one file that grows, or - for a pipe")
        return path.open("rb", buffering=0)
    except FileNotFoundError:
        raise VideoError(f"{path}: no such file", hint="check the name; quote names with spaces") from None
    except OSError as error:
        raise VideoError(f"{path}: {error.strerror or error}") from error


def look(growing: Growing) -> tuple[VideoInfo, Iterator[bytes]] | None:
    """What the video is, as soon as enough of it is there, and all its bytes from the first on.

    None if it was stopped before anything could be told. Raises VideoError for what is no video, or can't be followed.
    """
    pieces = iter(growing)
    head, tried = bytearray(), 0
    for piece in pieces:
        head += piece
        if len(head) < 2 * tried or len(head) < _LEAST_HEAD_BYTES:
            continue
        tried = len(head)
        with contextlib.suppress(VideoError):
            return _described(head, growing), _chained(head, pieces)
        if len(head) > _MOST_HEAD_BYTES:
            break
    if not head:
        if growing._stopped.is_set():
            return None
        raise VideoError(f"{growing.name}: nothing came")
    return _described(head, growing), _chained(head, pieces)


def _described(head: bytes | bytearray, growing: Growing) -> VideoInfo:
    """Probe the beginning, in a file of its own."""
    suffix = growing.name.suffix
    with tempfile.TemporaryDirectory(prefix="rdmf-head-") as folder:
        file = Path(folder) / f"head{suffix}"
        file.write_bytes(head)
        try:
            info = probe(file)
        except VideoError as error:
            text = str(error).replace(str(file), str(growing.name))
            hint = "MPEG-TS, Matroska and fragmented MP4 can be followed; an MP4 has its index at its end"
            raise VideoError(text, hint=hint) from error
    return replace(info, path=growing.name)


def _chained(head: bytes | bytearray, pieces: Iterator[bytes]) -> Iterator[bytes]:
    yield bytes(head)
    yield from pieces
