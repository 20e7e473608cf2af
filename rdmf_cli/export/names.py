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


def per_video(base: Path, videos: Sequence[Path]) -> dict[Path, Path]:
    """A name for each video's file: `out.srt` alone, otherwise `out-holiday.srt`; those called alike get a number."""
    if len(videos) == 1:
        return {videos[0]: base}
    names: dict[Path, Path] = {}
    taken: set[str] = set()
    stem, dot, suffix = base.name.partition(".") if not base.name.startswith(".") else (base.name, "", "")
    for video in videos:
        name = start = f"{stem}-{plain(video.stem) or 'video'}"
        number = 2
        while name.casefold() in taken:
            name, number = f"{start}-{number}", number + 1
        taken.add(name.casefold())
        names[video] = base.with_name(f"{name}{dot}{suffix}")
    return names
