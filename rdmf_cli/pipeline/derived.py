"""What is derived from the store and can always be made again: the index of all snippets that library search uses."""

from __future__ import annotations

import shutil

from rdmf_cli.errors import StoreError
from rdmf_cli.store import Store

FOLDER = "library"


def drop_derived(store: Store) -> bool:
    """Throw away everything derived; True if there was something. Raises StoreError."""
    store.need_writable()
    folder = store.folder / FOLDER
    if folder.is_symlink():
        raise StoreError(f"{folder}: a link inside the store is not followed", hint="remove the link")
    if not folder.exists():
        return False
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}", hint="check who may write there") from error
    return True
