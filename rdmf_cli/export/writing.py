"""Output files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from rdmf_cli.errors import OutputError


@contextlib.contextmanager
def staged(out: Path, force: bool) -> Iterator[Path]:
    """A path beside `out`, with its suffix, to write to; it becomes `out` if the block ends without an exception.

    Raises OutputError if `out` can't be written, or is there already and `force` is false.
    """
    ready(out, force)
    partial = out.with_name(f".rdmf-{uuid.uuid4().hex[:12]}{out.suffix}")
    try:
        partial.open("xb").close()
        yield partial
        ready(out, force)  # it may have come meanwhile
        os.replace(partial, out)
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror or error}", hint="choose another place") from error
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()


def ready(out: Path, force: bool) -> None:
    """Raise OutputError if `out` can be seen to be no place to write to, or is there already without `force`."""
    try:
        if out.is_dir():
            raise OutputError(f"{out}: a folder, not a file name")
        if not out.parent.is_dir():
            raise OutputError(f"{out.parent}: no such folder", hint="create it first")
        if not force and os.path.lexists(out):
            raise OutputError(f"{out}: is there already", hint="--force replaces it")
        if not os.access(out.parent, os.W_OK | os.X_OK):
            raise OutputError(f"{out.parent}: nothing may be written there", hint="choose another folder")
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror or error}", hint="choose another name") from error
