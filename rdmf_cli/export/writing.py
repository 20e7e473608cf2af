"""Files that are whole or not there, and never replace another one unasked. Every output of an export passes here.

A file is written under a temporary name in its own folder and gets its name once it is complete, so neither a full
disk nor Ctrl-C leaves half of one.
"""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rdmf_cli.errors import OutputError


def check_target(final: Path, *, force: bool) -> None:
    """Say early what would stop `final` from being written: no folder, no permission, a file that is there.

    Raises OutputError. With `force` a plain file may be there.
    """
    folder = final.parent
    try:
        if not folder.is_dir():
            raise OutputError(f"{folder}: no such folder", hint="create it first")
        if final.is_dir():
            raise OutputError(f"{final}: a folder, not a file name")
        if os.path.lexists(final):
            if not final.is_file():  # a device, a pipe, a link that leads nowhere
                raise OutputError(f"{final}: not a plain file", hint="choose another name")
            if not force:
                raise _exists(final)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f"{folder}: the folder is read-only", hint="choose another folder")
    except (OSError, ValueError) as error:
        raise _failed(final, error) from error


@contextmanager
def whole_file(final: Path, *, force: bool = False) -> Iterator[Path]:
    """An empty file with a temporary name and the suffix of `final`, to be filled; it becomes `final` when all is well.

    If the block raises, nothing is left and a file that was there before stays as it was. Raises OutputError.
    """
    check_target(final, force=force)
    if final.is_symlink():  # the file that it leads to is replaced, not the link
        final = Path(os.path.realpath(final))
    temporary = final.with_name(f".rdmf-{uuid.uuid4().hex[:12]}{final.suffix}")
    try:
        temporary.open("xb").close()
        yield temporary
        _publish(temporary, final, force=force)
    except OSError as error:  # also from the block: the disk is full
        raise _failed(final, error) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def write_text(final: Path, text: str, *, force: bool = False) -> None:
    """Write `text` as UTF-8 to `final`. Raises OutputError."""
    write_bytes(final, encoded(text), force=force)


def write_bytes(final: Path, content: bytes, *, force: bool = False) -> None:
    """Write `content` to `final`. Raises OutputError."""
    with whole_file(final, force=force) as temporary, temporary.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())  # some file systems tell only now that they are full


def encoded(text: str) -> bytes:
    """UTF-8. Halves of surrogate pairs, of which only JSON has any, become the `\\udcff` that JSON reads back."""
    return text.encode("utf-8", "backslashreplace")


def _publish(temporary: Path, final: Path, *, force: bool) -> None:
    if force:
        os.replace(temporary, final)
        return
    try:
        os.link(temporary, final)  # unlike a rename it fails if another program was faster
    except FileExistsError:
        raise _exists(final) from None
    except OSError:  # a file system without links
        if os.path.lexists(final):
            raise _exists(final) from None
        os.replace(temporary, final)


def _exists(final: Path) -> OutputError:
    return OutputError(f"{final}: already exists", hint="--force replaces it")


def _failed(final: Path, error: Exception) -> OutputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else error
    return OutputError(f"{final}: {reason}", hint="choose another name or folder")
