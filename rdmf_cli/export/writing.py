"""Output files appear whole or not at all, and never in the place of another file unless that is wanted."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rdmf_cli.errors import OutputError

_ELSEWHERE = "choose another folder"


def check_target(out: Path, force: bool) -> None:
    """Refuse what `staged` would refuse; called before hours of work. Raises OutputError."""
    try:
        if out.is_dir():
            raise OutputError(f"{out}: a folder, not a file name")
        if not out.parent.is_dir():
            raise OutputError(f"{out.parent}: no such folder", hint="create it first")
        if os.path.lexists(out):
            if not force:
                raise OutputError(f"{out}: already exists", hint="--force replaces it")
            if not out.is_file():  # a device or a pipe would be replaced by a plain file
                raise OutputError(f"{out}: not a plain file", hint="choose another name")
        if not os.access(out.parent, os.W_OK):
            raise OutputError(f"{out.parent}: no permission to write there", hint=_ELSEWHERE)
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror or error}", hint="choose another name") from error


@contextmanager
def staged(out: Path, force: bool) -> Iterator[Path]:
    """A temporary name beside `out`, with its suffix, that becomes `out` when the body ends well.

    Whatever goes wrong, nothing is left behind and an existing `out` stays as it was.
    Raises OutputError, also for what the operating system says inside the body (disk full).
    """
    check_target(out, force)
    partial = out.with_name(f".rdmf-{uuid.uuid4().hex[:12]}{out.suffix}")
    try:
        partial.open("xb").close()
        yield partial
        check_target(out, force)  # somebody else may have written it meanwhile
        os.replace(partial, out)
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror or error}", hint=_ELSEWHERE) from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def write(out: Path, content: bytes, *, force: bool) -> None:
    """Write a whole file at once. Raises OutputError."""
    with staged(out, force) as partial, partial.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())  # some file systems tell only now that they are full
