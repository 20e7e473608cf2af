"""Names of files made from names of videos and from queries; safe on every file system."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

_PART_BYTES = 60  # of a name's parts; 255 is what most file systems hold


def plain(text: str, most_bytes: int = _PART_BYTES) -> str:
    """Letters and digits of any script, other stretches as one hyphen, cut to `most_bytes` of UTF-8; may be empty."""
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(sign if sign.isalnum() or unicodedata.category(sign)[0] == "M" else " " for sign in composed)
    return "-".join(kept.split()).encode()[:most_bytes].decode("utf-8", "ignore").strip("-")


def default_name(videos: Sequence[Path], queries: Sequence[str], suffix: str) -> str:
    """`holiday-a-dog-jumps.srt`; with several queries `holiday-moments.srt`, with several videos without the video."""
    video = plain(videos[0].stem) if len(videos) == 1 else ""
    query = plain(queries[0]) if len(queries) == 1 else ""
    parts = [part for part in (video, query) if part]
    if len(parts) < 2:
        parts.append("moments")  # never a bare word, which on Windows might be a device (con, nul)
    return "-".join(parts) + suffix


def beside(base: Path, videos: Sequence[Path]) -> dict[Path, Path]:
    """A name for each video's file: `out.srt` alone, otherwise `out-holiday.srt`."""
    if len(videos) == 1:
        return {videos[0]: base}
    stem, dot, suffix = base.name.partition(".") if not base.name.startswith(".") else (base.name, "", "")
    return _apart({video: f"{stem}-{plain(video.stem) or 'video'}" for video in videos}, base.parent, dot + suffix)


def inside(folder: Path, videos: Sequence[Path], queries: Sequence[str], suffix: str) -> dict[Path, Path]:
    """A name in `folder` for each video's file, as if it had been searched alone."""
    return _apart({video: default_name([video], queries, "") for video in videos}, folder, suffix)


def _apart(stems: dict[Path, str], folder: Path, suffix: str) -> dict[Path, Path]:
    """Files of these stems; those that some file system would take for one get a number."""
    names: dict[Path, Path] = {}
    taken: set[str] = set()
    for video, stem in stems.items():
        name, number = stem, 2
        while name.casefold() in taken:
            name, number = f"{stem}-{number}", number + 1
        taken.add(name.casefold())
        names[video] = folder / f"{name}{suffix}"
    return names
