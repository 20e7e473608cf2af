"""What the words of a command line mean: which are videos, which the query. No Rich, no models."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from rdmf_cli.errors import UsageError, VideoError

FROM_STDIN = "-"
_EXAMPLE = 'rdmf search holiday.mp4 "a dog jumps into the water"'


@dataclass(frozen=True)
class Asked:
    """Videos or folders, and queries in the order asked."""

    places: tuple[str, ...]
    queries: tuple[str, ...]


def understand(words: list[str], queries: list[str]) -> Asked:
    """Split VIDEO… QUERY; with `queries` from --query all words are videos. Raises UsageError.

    A query that is `-` stands for the lines of stdin.
    """
    places = words if queries else words[:-1]
    wanted = queries or words[-1:]
    if not words or not places:
        missing = "no video" if queries else "no query: what should be looked for?"
        raise UsageError(missing, hint=f"for example: {_EXAMPLE}")
    if not queries and wanted[0] not in (FROM_STDIN, "") and os.path.exists(wanted[0]):
        raise UsageError(
            f"no query: the last word, {wanted[0]}, is a file or folder",
            hint="put what you look for last, or behind --query",
        )
    if list(wanted).count(FROM_STDIN) > 1:
        raise UsageError("stdin can be read only once", hint=f"give {FROM_STDIN} once")
    found: list[str] = []
    for query in wanted:
        found += _lines_of_stdin() if query == FROM_STDIN else [query.strip()]
    if not all(found):
        raise UsageError("the query is empty", hint=f"for example: {_EXAMPLE}")
    return Asked(tuple(places), tuple(found))


def _lines_of_stdin() -> list[str]:
    """Queries, one per line, empty lines skipped; whatever bytes come, this reads them."""
    if sys.stdin is None:
        raise UsageError("no queries on stdin")
    stream = getattr(sys.stdin, "buffer", None)
    text = stream.read().decode("utf-8-sig", "replace") if stream is not None else sys.stdin.read()
    queries = [line.strip() for line in text.splitlines() if line.strip()]
    if not queries:
        raise UsageError("no queries on stdin", hint="one query per line")
    return queries


def find(places: tuple[str, ...]) -> list[Path]:
    """The videos of files and folders, each once, in the order named.

    Files that don't exist stay in, so that the search says why among the answers of the others; if none exists, that
    is said at once, before anything slow is loaded. Raises VideoError, also for a folder without videos.
    """
    paths = [Path(place) for place in places]
    if not any(os.path.exists(path) for path in paths):  # Path.exists raises for names that are too long
        if "://" in places[0]:
            raise VideoError(f"{places[0]}: an address, not a file", hint="fetch the video first; rdmf works offline")
        more = f" (nor {len(paths) - 1} more)" if len(paths) > 1 else ""
        raise VideoError(f"{places[0]}: no such file{more}", hint="check the name; quote names with spaces")
    found: dict[Path, None] = {}
    for path in paths:
        found.update(dict.fromkeys(_videos_in(path) if os.path.isdir(path) else [path]))
    return list(found)


def _videos_in(folder: Path) -> list[Path]:
    from rdmf_cli.media.probe import find_videos

    videos = find_videos(folder)
    if not videos:
        raise VideoError(f"{folder}: no videos in this folder")
    return videos
