"""What the catalogue knows, as typed rows for people and for upkeep, and forgetting some of it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdmf_cli.store.catalogue import Catalogue

_PAGE = 500  # rows asked for at once, so that no list of a large library is held


@dataclass(frozen=True)
class SetRecord:
    """One feature set: what the catalogue says of a feature file."""

    fingerprint: str
    spec_key: str
    spec: dict[str, Any]  # encoder, fingerprint, dim, sampling; {} if it can't be read
    checksum: str
    num_rows: int
    created_s: float

    @property
    def encoder(self) -> str:
        """The encoder's name, for people."""
        return str(self.spec.get("encoder", "?"))


@dataclass(frozen=True)
class VideoRecord:
    """One video: where it lies, as far as known, and its feature sets."""

    fingerprint: str
    added_s: float
    duration_s: float | None  # as the container claims it
    paths: tuple[Path, ...] = ()
    sets: tuple[SetRecord, ...] = field(default=())


@dataclass(frozen=True)
class FailureRecord:
    """A file that could not be used."""

    path: Path
    message: str
    failed_s: float


def videos(catalogue: Catalogue) -> Iterator[VideoRecord]:
    """All videos, in order of their fingerprints."""
    last = ""
    while True:
        page = catalogue.rows(
            "SELECT fingerprint, added_s, duration_s FROM video WHERE fingerprint > ? ORDER BY fingerprint LIMIT ?",
            (last, _PAGE),
        )
        yield from (_video(catalogue, row) for row in page)
        if len(page) < _PAGE:
            return
        last = page[-1][0]


def video(catalogue: Catalogue, fingerprint: str) -> VideoRecord | None:
    """One video; None if it is not known."""
    rows = catalogue.rows("SELECT fingerprint, added_s, duration_s FROM video WHERE fingerprint = ?", (fingerprint,))
    return _video(catalogue, rows[0]) if rows else None


def paths_of(catalogue: Catalogue, fingerprint: str) -> tuple[Path, ...]:
    """Where a video is known to lie or to have lain."""
    rows = catalogue.rows("SELECT path FROM path WHERE fingerprint = ? ORDER BY path", (fingerprint,))
    return tuple(Path(os.fsdecode(row[0])) for row in rows)


def sets_of(catalogue: Catalogue, fingerprint: str) -> tuple[SetRecord, ...]:
    """The feature sets of a video."""
    rows = catalogue.rows(
        "SELECT fingerprint, spec_key, spec_json, checksum, num_rows, created_s FROM feature_set "
        "WHERE fingerprint = ? ORDER BY spec_key",
        (fingerprint,),
    )
    return tuple(SetRecord(row[0], row[1], spec_fields(row[2]), *row[3:]) for row in rows)


def failures(catalogue: Catalogue) -> list[FailureRecord]:
    """Files that could not be used."""
    rows = catalogue.rows("SELECT path, message, failed_s FROM failure ORDER BY path")
    return [FailureRecord(Path(os.fsdecode(path)), message, failed_s) for path, message, failed_s in rows]


def matching(catalogue: Catalogue, text: str) -> list[str]:
    """Fingerprints of the videos that `text` means: a path, a folder, or the beginning of an id (6 digits or more)."""
    place = os.fsencode(os.path.realpath(text))
    below = place.rstrip(os.fsencode(os.sep)) + os.fsencode(os.sep)
    rows = catalogue.rows(
        "SELECT DISTINCT fingerprint FROM path WHERE path = ? OR substr(path, 1, ?) = ? ORDER BY path",
        (place, len(below), below),
    )
    if not rows and len(text) >= 6 and all(sign in "0123456789abcdef" for sign in text.lower()):
        rows = catalogue.rows(
            "SELECT fingerprint FROM video WHERE substr(fingerprint, 1, ?) = ? ORDER BY fingerprint",
            (len(text), text.lower()),
        )
    return [str(row[0]) for row in rows]


def forget_path(catalogue: Catalogue, path: Path) -> None:
    """Forget that a video lies, or could not be read, at `path`."""
    with catalogue.writing():
        catalogue.execute("DELETE FROM path WHERE path = ?", (os.fsencode(path),))
        catalogue.execute("DELETE FROM failure WHERE path = ?", (os.fsencode(path),))


def _video(catalogue: Catalogue, row: tuple[Any, ...]) -> VideoRecord:
    fingerprint, added_s, duration_s = row
    return VideoRecord(
        fingerprint, added_s, duration_s, paths_of(catalogue, fingerprint), sets_of(catalogue, fingerprint)
    )


def spec_fields(text: str) -> dict[str, Any]:
    """The fields of a FeatureSpec as they were written down; {} if that is no JSON object."""
    try:
        values = json.loads(text)
    except (ValueError, TypeError):
        return {}
    return values if isinstance(values, dict) else {}
