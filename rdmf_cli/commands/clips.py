"""`--clips DIR`: moments as files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rdmf_cli.errors import OutputError
from rdmf_cli.moments import Moment


def prepare(folder: Path) -> None:
    """Make `folder`, before an hour is spent on searching. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}", hint="name another folder with --clips") from error


def cut_all(answer: Any, moments: list[Moment], folder: Path, taken: set[str]) -> Iterator[Path]:
    """Cut `moments` of one answer, best first, and tell each file once it is written. Raises OutputError, VideoError.

    Files of an earlier run are replaced; names of this run, `taken`, are not used twice (two videos may be called
    alike).
    """
    from rdmf_cli.export.clips import clip_name, cut_clip

    for rank, moment in enumerate(moments, start=1):
        file = folder / _free(clip_name(answer.info.path, rank, moment, answer.query), taken)
        cut_clip(answer.info, moment, file)
        yield file


def _free(name: str, taken: set[str]) -> str:
    stem, dot, suffix = name.rpartition(".")
    number = 2
    while name.casefold() in taken:
        name = f"{stem}-{number}{dot}{suffix}"
        number += 1
    taken.add(name.casefold())
    return name
