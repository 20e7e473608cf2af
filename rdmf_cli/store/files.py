"""Files that are either complete or not there, and folders that can't lead out of the store."""

from __future__ import annotations

import contextlib
import os
import stat
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rdmf_cli.errors import StoreError

STALE_S = 86_400.0  # an unfinished file this old belongs to nobody any more
UNFINISHED = ".partial"  # how names of files end that are still being written
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


def real_folder(root: Path, *parts: str, create: bool = False) -> Path:
    """`root/parts`, none of them a link, so that a store from elsewhere can't point us outside. Raises StoreError."""
    folder = root
    for part in parts:
        parent, folder = folder, folder / part
        if create:
            with contextlib.suppress(FileExistsError):
                folder.mkdir()
                sync_folder(parent)
        if folder.is_symlink():
            raise StoreError(f"{folder}: a link inside the store is not followed", hint="remove the link")
    return folder


def read_file(file: Path) -> bytes | None:
    """All of a plain file, None if it is missing. Raises OSError; a link, pipe or device counts as one."""
    try:
        descriptor = os.open(file, _READ)  # O_NONBLOCK: a planted pipe must not hang us
    except FileNotFoundError:
        return None
    with os.fdopen(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"not a plain file: {file}")
        return stream.read()


@contextmanager
def staged(folder: Path, chunks: Iterable[bytes]) -> Iterator[Path]:
    """A temporary file in `folder`, written and fsynced; gone afterwards unless `publish` took it. Raises OSError."""
    temporary = folder / f"{uuid.uuid4().hex}{UNFINISHED}"
    try:
        _write_synced(temporary, chunks)
        yield temporary
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def publish(temporary: Path, final: Path) -> None:
    """Give a staged file its name, in one step and to stay. Raises OSError."""
    os.replace(temporary, final)
    sync_folder(final.parent)


def write_file(final: Path, chunks: Iterable[bytes]) -> None:
    """Write a file that is complete or not there at all. Raises OSError."""
    with staged(final.parent, chunks) as temporary:
        publish(temporary, final)


def sweep(folder: Path) -> None:
    """Remove unfinished files that a killed process left in `folder` more than a day ago."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(folder)):
            stale = (
                entry.name.endswith(UNFINISHED) and time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE_S
            )
            if stale:
                os.unlink(entry.path)


def sync_folder(folder: Path) -> None:
    """Make a rename or a new folder survive a power cut. Windows has no such call and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write_synced(file: Path, chunks: Iterable[bytes]) -> None:
    # Not mkstemp: its 0600 would lock the group out of a shared store; 0666 leaves it to the umask.
    with os.fdopen(os.open(file, _WRITE, 0o666), "wb") as stream:
        for chunk in chunks:
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())
