"""Which file a label means: videos of a folder by path, or by name without suffix, as data sets name them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.evaluation.lines import Line

VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".webm", ".mov", ".m4v", ".mpg")


def index_videos(folder: Path) -> dict[str, Path]:
    """Every file below `folder` by its path from there, videos also by their name with and without suffix."""
    if not folder.is_dir():
        raise UsageError(f"{folder}: no such folder of videos")
    found: dict[str, Path] = {}
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            found.setdefault(path.relative_to(folder).as_posix(), path)
            if path.suffix.lower() in VIDEO_SUFFIXES:
                found.setdefault(path.name, path)
                found.setdefault(path.stem, path)
    return found


def find_labelled(
    wanted: Mapping[str, Line], there: Mapping[str, Path], *, endings: tuple[str, ...] = ()
) -> dict[str, Path]:
    """The file of each video that a label names; `endings` are cut off names that are not there as they are.

    Raises VideoError that names the first missing one, with the line that tells of it, and how many more there are.
    """
    paths: dict[str, Path] = {}
    missing = []
    for name in wanted:
        plain = next((name.removesuffix(ending) for ending in endings if name.endswith(ending)), name)
        path = there.get(name) or there.get(plain)
        if path is None and Path(name).is_absolute() and Path(name).is_file():
            path = Path(name)
        if path is None:
            missing.append(name)
        else:
            paths[name] = path
    if missing:
        line = wanted[missing[0]]
        more = f" (and for {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise VideoError(
            f"{line.file}, line {line.number}: labels for a video that is not there: {missing[0]}{more}",
            hint="data.videos in the recipe names the folder of the videos",
        )
    return paths
