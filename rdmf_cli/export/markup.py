"""Text from outside on its way into HTML, and links to files."""

from __future__ import annotations

import html
import os
from pathlib import Path
from urllib.parse import quote

from rdmf_cli.export.finding import legible

Markup = str  # HTML that is finished: everything from outside in it is escaped


def escaped(text: str) -> Markup:
    """Any text as text, also between quotes."""
    return html.escape(legible(text), quote=True)


def attributes(**values: str) -> Markup:
    """` name="value"` for each that is not empty; data_rank becomes data-rank."""
    return "".join(f' {name.replace("_", "-")}="{html.escape(value)}"' for name, value in values.items() if value)


def media_link(video: Path, folder: Path) -> str:
    """The URL of `video` as seen from a page in `folder`: relative, so that both can be moved together.

    Whatever the name is, it stays a path: `javascript:x.mp4`, `a#b?c.mp4`, bytes that are no text.
    """
    there, here = os.path.abspath(video), os.path.abspath(folder)
    try:
        relative = Path(os.path.relpath(there, here))
    except ValueError:  # on another drive of Windows
        return Path(there).as_uri()
    return quote(os.fsencode(f"./{relative.as_posix()}"))
