"""Is everything in the store what was written? Looks at every byte: catalogue, feature files, cache.

What each part is protected by: pages of the catalogue by SQLite's own structure check, its schema by comparison with
the one that the numbered steps make, its rows by their seals, feature files by their name, which is their SHA-256,
cached arrays by the hash behind them.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdmf_cli.errors import StoreError
from rdmf_cli.store import arrays, files, migrations
from rdmf_cli.store.catalogue import FILE_NAME, Catalogue, explained, sealed
from rdmf_cli.store.features import DamagedFile, identity, unpack
from rdmf_cli.store.folder import Store
from rdmf_cli.store.records import SetRecord

_FEATURE_FILE = re.compile(r"[0-9a-f]{64}\.faiss")
_SEALED = {
    "video": ("fingerprint", "added_s", "duration_s"),
    "path": ("path", "fingerprint", "size_bytes", "mtime_ns", "seen_s"),
    "feature_set": ("fingerprint", "spec_key", "spec_json", "checksum", "num_rows", "created_s"),
    "failure": ("path", "size_bytes", "mtime_ns", "message", "failed_s"),
}
_PAGE = 5000  # rows held at once
MakeSpec = Callable[[dict[str, Any]], Any]  # fields from a file -> FeatureSpec, which this row may not import


@dataclass(frozen=True)
class BrokenRow:
    """A row whose seal does not fit."""

    table: str
    rowid: int
    what: str  # for people


def structure_problems(catalogue: Catalogue) -> list[str]:
    """What SQLite finds wrong with its file, and where the schema is not ours. Raises StoreError if it can't even."""
    found = [str(row[0]) for row in catalogue.rows("PRAGMA integrity_check") if row[0] != "ok"]
    found += [f"a row of {row[0]} belongs to nothing" for row in catalogue.rows("PRAGMA foreign_key_check")]
    schema = set(catalogue.rows("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"))
    return found + ([] if schema == _our_schema() else ["the schema is not the one that rdmf makes"])


def broken_rows(catalogue: Catalogue) -> list[BrokenRow]:
    """Rows that are not what was written."""
    found = []
    for table, columns in _SEALED.items():
        for rowid, seal, *values in _all_rows(catalogue, table, ("seal", *columns)):
            if seal is not None and sealed(*values)[-1] != seal:
                name = os.fsdecode(values[0]) if isinstance(values[0], bytes) else str(values[0])
                found.append(BrokenRow(table, rowid, f"{table} entry of {name} is damaged"))
    return found


def drop_row(catalogue: Catalogue, row: BrokenRow) -> None:
    """Forget a broken row; of a video only what it says, because its features hang on it."""
    with catalogue.writing():
        if row.table != "video":
            catalogue.execute(f"DELETE FROM {row.table} WHERE rowid = ?", (row.rowid,))
            return
        [(fingerprint,)] = catalogue.rows("SELECT fingerprint FROM video WHERE rowid = ?", (row.rowid,))
        values = sealed(fingerprint, time.time(), None)
        catalogue.execute(
            "UPDATE video SET added_s = ?, duration_s = ?, seal = ? WHERE rowid = ?", (*values[1:], row.rowid)
        )


def set_problem(store: Store, record: SetRecord, make_spec: MakeSpec) -> str | None:
    """What is wrong with a feature set: reads its file back. None: nothing."""
    try:
        spec = make_spec(record.spec)
    except (TypeError, ValueError):
        return "the catalogue does not say under which encoder"
    if spec.key != record.spec_key:
        return "the catalogue contradicts itself about the encoder"
    try:
        features = unpack(store.read(record.checksum), record.fingerprint, spec)
    except DamagedFile as problem:
        return str(problem)
    if len(features.features) != record.num_rows:
        return f"{len(features.features)} rows, {record.num_rows} expected"
    return None


def feature_files(folder: Path) -> Iterator[Path]:
    """All files under features/ that have a feature file's name."""
    for place in sorted(_entries(folder / "features")):
        yield from (file for file in sorted(_entries(place)) if _FEATURE_FILE.fullmatch(file.name))


def sweep_leftovers(store: Store) -> int:
    """Remove feature files that nothing tells of, as a killed process leaves them; how many there were."""
    swept = 0
    for file in feature_files(store.folder):
        if not store.catalogue.is_used(file.stem):
            swept += store.remove_unused(file.stem)
    for place in _entries(store.folder / "features"):
        files.sweep(place)
    return swept


def cache_problems(store: Store) -> list[Path]:
    """Cached arrays that are not what was written."""
    found = []
    for file in sorted(_entries(store.folder / "cache")):
        if file.name.endswith(files.UNFINISHED):
            continue
        with contextlib.suppress(OSError):
            if not arrays.is_whole(file.name, files.read_file(file) or b""):
                found.append(file)
    return found


def adopt(store: Store, file: Path, make_spec: MakeSpec) -> bool:
    """Enter a feature file of this store by what it says of itself; False if it is damaged or doesn't say enough."""
    try:
        found = identity(store.read(file.stem))
        spec = make_spec(found.spec)
    except (DamagedFile, TypeError, ValueError):
        return False
    # Where the video lies nobody knows until `rdmf index` comes by again.
    return store.enter(found.fingerprint, spec, file.stem, None)


def salvage(folder: Path, make_spec: MakeSpec) -> tuple[Path, int, int]:
    """Put a damaged catalogue aside and make a new one from the feature files and what can still be read.

    -> where the old one is now, feature sets kept, feature files that were damaged. Raises StoreError.
    """
    aside = folder / f"damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    with explained(folder):
        aside.mkdir()
        for suffix in ("-wal", "-shm", "-journal", ""):
            with contextlib.suppress(FileNotFoundError):
                os.replace(folder / f"{FILE_NAME}{suffix}", aside / f"{FILE_NAME}{suffix}")
    kept = lost = 0
    with Store.open(folder) as store:
        for file in feature_files(store.folder):
            if adopt(store, file, make_spec):
                kept += 1
            else:
                lost += 1
        for path, fingerprint in _places_in(aside / FILE_NAME):
            with contextlib.suppress(StoreError), store.catalogue.writing():
                store.catalogue.put_place(path, fingerprint)
    return aside, kept, lost


def _places_in(file: Path) -> list[tuple[Path, str]]:
    """What can be read from a damaged catalogue about where videos lie; only rows whose seal fits."""
    found: list[tuple[Path, str]] = []
    with contextlib.suppress(sqlite3.Error, TypeError):
        connection = sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)
        try:
            for *values, seal in connection.execute(f"SELECT {', '.join(_SEALED['path'])}, seal FROM path"):
                if sealed(*values)[-1] == seal:
                    found.append((Path(os.fsdecode(values[0])), values[1]))
        finally:
            connection.close()
    return found


def _all_rows(catalogue: Catalogue, table: str, columns: tuple[str, ...]) -> Iterator[tuple[Any, ...]]:
    """(rowid, *columns) of a table, in pages."""
    sql = f"SELECT rowid, {', '.join(columns)} FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT {_PAGE}"
    page = catalogue.rows(sql, (-1,))
    while page:
        yield from page
        page = catalogue.rows(sql, (page[-1][0],))


def _our_schema() -> set[tuple[Any, ...]]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for step in migrations.STEPS:
        for statement in step:
            connection.execute(statement)
    found = set(
        connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    )
    connection.close()
    return found


def _entries(folder: Path) -> list[Path]:
    """What lies in a real folder of the store; nothing if there is none."""
    if folder.is_symlink():
        raise StoreError(f"{folder}: a link inside the store is not followed", hint="remove the link")
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StoreError(f"{folder}: {error.strerror or error}", hint="check who may read the store") from error
