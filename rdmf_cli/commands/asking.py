"""What is asked for, beyond plain words: pictures, negatives, queries from a file, filters. No models, no Rich."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdmf_cli.commands import inputs
from rdmf_cli.errors import UsageError
from rdmf_cli.timebase import parse_time

COLUMN = "query"
_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([hdw])")
_UNIT_S = {"h": 3600.0, "d": 86_400.0, "w": 604_800.0}
_AT_EXAMPLE = "for example: --at holiday.mp4@0:01:02.5"


@dataclass(frozen=True)
class Extras:
    """What comes on top of the text of a query."""

    image: Path | None = None
    at: str | None = None
    image_weight: float | None = None
    negatives: tuple[str, ...] = ()
    negative_weight: float | None = None

    @property
    def has_picture(self) -> bool:
        """True if a picture is part of the query."""
        return self.image is not None or self.at is not None

    def check(self) -> None:
        """Raise UsageError for what contradicts itself."""
        if self.image is not None and self.at is not None:
            raise UsageError("--image and --at exclude each other", hint="a query has one picture")
        if self.image_weight is not None and not self.has_picture:
            raise UsageError("--image-weight without a picture", hint="name one with --image or --at")
        if self.negative_weight is not None and not self.negatives:
            raise UsageError("--not-weight without --not", hint="say what should not be there: --not TEXT")
        if not all(text.strip() for text in self.negatives):
            raise UsageError("--not: the text is empty", hint="say what should not be there: --not 'a dog'")


@dataclass(frozen=True)
class Filters:
    """Which videos, and how many moments of each."""

    per_video: int = 2
    path_glob: tuple[str, ...] = ()
    min_length_s: float = 0.0
    since_s: float | None = None
    copies: bool = False


def filters(
    per_video: int, path_glob: list[str] | None, min_length: str | None, since: str | None, copies: bool
) -> Filters:
    """From the options as they were typed. Raises UsageError."""
    return Filters(per_video, tuple(path_glob or ()), min_length_s(min_length), since_s(since), copies)


def given(filters: Filters) -> dict[str, bool]:
    """Flag -> was it given."""
    return {
        "--per-video": filters.per_video != Filters.per_video,
        "--path-glob": bool(filters.path_glob),
        "--min-length": filters.min_length_s > 0,
        "--since": filters.since_s is not None,
        "--copies": filters.copies,
    }


def understand(
    words: list[str], queries: list[str], file: Path | None, extras: Extras, *, in_library: bool
) -> inputs.Asked:
    """Places and texts of a command line; [""] for a picture without words. Raises UsageError."""
    extras.check()
    if file is not None:
        if inputs.FROM_STDIN in (*words, *queries):
            raise UsageError("--queries and queries from stdin exclude each other")
        queries = [*queries, *queries_of(file)]
    if in_library:
        return _in_library(words, queries, extras)
    if extras.has_picture and not queries and words and os.path.exists(words[-1]):
        return inputs.Asked(tuple(words), ("",))
    return inputs.understand(words, queries)


def _in_library(words: list[str], queries: list[str], extras: Extras) -> inputs.Asked:
    """With --library there are no videos to name: all words are the query."""
    if len(words) > 1 or (words and queries):
        raise UsageError(
            f"--library searches all that is indexed; {words[0]!r} is too much",
            hint="put the query in quotes; --path-glob picks videos by their path",
        )
    if not words and not queries:
        if extras.has_picture:
            return inputs.Asked((), ("",))
        raise UsageError("no query: what should be looked for?", hint='for example: rdmf search --library "a red car"')
    # A place that stands for the library, so that one rule reads queries whatever they are asked of.
    asked = inputs.understand(["library"], queries or words)
    return inputs.Asked((), asked.queries)


def compose(texts: Sequence[str], extras: Extras) -> list[Any]:
    """Queries as the pipeline takes them: plain texts where there is nothing else. Raises UsageError."""
    if not extras.has_picture and not extras.negatives:
        return list(texts)
    from rdmf_cli.pipeline.query import IMAGE_WEIGHT, NEGATIVE_WEIGHT, Picture, Query

    picture = None
    if extras.image is not None:
        picture = Picture(extras.image)
    elif extras.at is not None:
        picture = Picture(*place_and_time(extras.at))
    image_weight = IMAGE_WEIGHT if extras.image_weight is None else extras.image_weight
    negative_weight = NEGATIVE_WEIGHT if extras.negative_weight is None else extras.negative_weight
    return [Query(text, picture, extras.negatives, image_weight, negative_weight) for text in texts]


def place_and_time(text: str) -> tuple[Path, float]:
    """`video.mp4@0:01:02` -> the path and seconds. Raises UsageError."""
    place, sign, when = text.rpartition("@")
    if not sign or not place or not when:
        raise UsageError(f"--at {text}: not a video and a time", hint=_AT_EXAMPLE)
    try:
        return Path(place), parse_time(when)
    except UsageError as error:
        raise UsageError(f"--at {text}: {error}", hint=_AT_EXAMPLE) from None


def since_s(text: str | None) -> float | None:
    """A date, or a time ago, as Unix time in s; None stays None. Raises UsageError."""
    if text is None:
        return None
    ago = _AGO.fullmatch(text.strip().lower())
    if ago:
        return time.time() - float(ago[1]) * _UNIT_S[ago[2]]
    from datetime import datetime

    try:
        return datetime.fromisoformat(text.strip()).timestamp()
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"--since {text}: not a date", hint="write 2025-12-31, or 12h, 7d, 4w for a time ago"
        ) from None


def min_length_s(text: str | None) -> float:
    """Seconds; 0 if nothing was asked for. Raises UsageError."""
    if text is None:
        return 0.0
    try:
        return parse_time(text)
    except UsageError as error:
        raise UsageError(f"--min-length {text}: {error}", hint=error.hint) from None


def queries_of(file: Path) -> list[str]:
    """The column `query` of a CSV file, rows without one skipped; comma, semicolon or tab. Raises UsageError."""
    import csv

    try:
        with file.open(encoding="utf-8-sig", errors="replace", newline="") as stream:
            header = stream.readline()
            delimiter = max(",;\t", key=header.count)
            stream.seek(0)
            rows = csv.DictReader(stream, delimiter=delimiter)
            names = {(name or "").strip().lower(): name for name in rows.fieldnames or []}
            if COLUMN not in names:
                found = ", ".join(name for name in names if name) or "none"
                raise UsageError(f"{file}: no column {COLUMN!r} (there is: {found})", hint="name it in the first line")
            queries = [(row.get(names[COLUMN]) or "").strip() for row in rows]
    except FileNotFoundError:
        raise UsageError(f"{file}: no such file", hint="check the name") from None
    except (OSError, csv.Error) as error:
        raise UsageError(f"{file}: can't be read: {getattr(error, 'strerror', None) or error}") from error
    queries = [query for query in queries if query]
    if not queries:
        raise UsageError(f"{file}: no queries in it")
    return queries


def check_places(options: dict[str, bool], *, in_library: bool) -> None:
    """Options that need --library, or that it has no use for. `options`: flag -> was it given. Raises UsageError."""
    for flag, is_given in options.items():
        if not is_given:
            continue
        if in_library:
            raise UsageError(f"--library and {flag} exclude each other", hint="the library has what was indexed")
        raise UsageError(f"{flag} goes with --library only", hint="or leave it out: the videos are named already")
