"""catalogue.sqlite: which videos, paths, feature sets and failures are known. Plain SQL, short transactions."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rdmf_cli.errors import StoreError
from rdmf_cli.store import migrations

if TYPE_CHECKING:  # encoders/base is in the same row: known as a type, not imported
    from rdmf_cli.encoders.base import FeatureSpec

FILE_NAME = "catalogue.sqlite"
BUSY_S = 10.0  # how long to wait for another process; our own transactions take milliseconds
_CHECKSUM = re.compile(r"[0-9a-f]{64}")
_NO_ACCESS = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
# On a full disk SQLite can't even make the lock file that a writable catalogue needs, and calls it an I/O error.
_UNWRITABLE = _NO_ACCESS | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


class Catalogue:
    """One open catalogue. Usable from several threads; every method raises StoreError if SQLite fails."""

    def __init__(self, connection: sqlite3.Connection, file: Path, unwritable: str | None) -> None:
        self._connection = connection
        self._file = file
        self._lock = threading.RLock()
        self.unwritable = unwritable  # why it is open for reading only; None: it can be written

    @classmethod
    def open(cls, folder: Path) -> Catalogue:
        """Open or create `folder`/catalogue.sqlite; read-only if it exists and can't be written. Raises StoreError."""
        file = folder / FILE_NAME
        with explained(file):
            for suffix in ("", "-wal", "-shm", "-journal"):
                if Path(f"{file}{suffix}").is_symlink():
                    raise StoreError(f"{file}{suffix}: a link inside the store is not followed", hint="remove it")
            migrations.check_file(file)
            if not file.exists():
                return cls(_open_writable(file), file, None)
            if not (os.access(folder, os.W_OK) and os.access(file, os.W_OK)):
                return cls(_open_read_only(file), file, "no permission")
            try:
                return cls(_open_writable(file), file, None)
            except sqlite3.OperationalError as error:
                if _primary_code(error) not in _UNWRITABLE:
                    raise
                return cls(_open_read_only(file), file, str(error))

    def close(self) -> None:
        """Close the connection; nothing is pending."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One write transaction, with the catalogue's write lock held from the start; undone on an exception."""
        with self._lock, explained(self._file):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def fingerprint_at(self, path: Path, size_bytes: int, mtime_ns: int) -> str | None:
        """The fingerprint of a path whose size and time have not changed since it was taken."""
        return self._text(
            "SELECT fingerprint FROM path WHERE path = ? AND size_bytes = ? AND mtime_ns = ?",
            (os.fsencode(path), size_bytes, mtime_ns),
        )

    def put_path(self, path: Path, fingerprint: str, size_bytes: int, mtime_ns: int) -> None:
        """Remember the fingerprint of a path with this size and time."""
        now_s = time.time()
        with self.writing():
            self._put_video(fingerprint, now_s)
            self._connection.execute(
                "INSERT INTO path VALUES (?, ?, ?, ?, ?) ON CONFLICT (path) DO UPDATE SET "
                "fingerprint = excluded.fingerprint, size_bytes = excluded.size_bytes, "
                "mtime_ns = excluded.mtime_ns, seen_s = excluded.seen_s",
                (os.fsencode(path), fingerprint, size_bytes, mtime_ns, now_s),
            )

    def checksum_of(self, fingerprint: str, spec: FeatureSpec) -> str | None:
        """The checksum, which is also the file name, of a feature set; None if there is none (or no valid one)."""
        text = self._text(
            "SELECT checksum FROM feature_set WHERE fingerprint = ? AND spec_key = ?", (fingerprint, spec.key)
        )
        # It becomes a file name: what is not exactly a hash is not used.
        return text if text is not None and _CHECKSUM.fullmatch(text) else None

    def put_feature_set(self, fingerprint: str, spec: FeatureSpec, checksum: str, num_rows: int, path: Path) -> None:
        """Enter a feature set in place of an earlier one. To be called inside `writing`."""
        now_s = time.time()
        self._put_video(fingerprint, now_s)
        # Without size and time: the file may have changed since it was fingerprinted.
        self._connection.execute(
            "INSERT INTO path VALUES (?, ?, NULL, NULL, ?) ON CONFLICT (path) DO NOTHING",
            (os.fsencode(path), fingerprint, now_s),
        )
        self._connection.execute(
            "INSERT OR REPLACE INTO feature_set VALUES (?, ?, ?, ?, ?, ?)",
            (fingerprint, spec.key, json.dumps(asdict(spec)), checksum, num_rows, now_s),
        )
        self._connection.execute("DELETE FROM failure WHERE path = ?", (os.fsencode(path),))

    def is_used(self, checksum: str) -> bool:
        """Does any feature set live in the file of this name?"""
        return self._row("SELECT 1 FROM feature_set WHERE checksum = ?", (checksum,)) is not None

    def put_failure(self, path: Path, size_bytes: int, mtime_ns: int, message: str) -> None:
        """Remember that a file of this size and time can't be used, and why."""
        with self.writing():
            self._connection.execute(
                "INSERT OR REPLACE INTO failure VALUES (?, ?, ?, ?, ?)",
                (os.fsencode(path), size_bytes, mtime_ns, _utf8(message), time.time()),
            )

    def failure_at(self, path: Path, size_bytes: int, mtime_ns: int) -> str | None:
        """Why this unchanged file failed earlier; None if it did not."""
        return self._text(
            "SELECT message FROM failure WHERE path = ? AND size_bytes = ? AND mtime_ns = ?",
            (os.fsencode(path), size_bytes, mtime_ns),
        )

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query of a module of this package."""
        with self._lock, explained(self._file):
            return self._connection.execute(sql, values).fetchall()

    def _put_video(self, fingerprint: str, now_s: float) -> None:
        self._connection.execute("INSERT OR IGNORE INTO video VALUES (?, ?)", (fingerprint, now_s))

    def _row(self, sql: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        with self._lock, explained(self._file):
            row: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
            return row

    def _text(self, sql: str, values: tuple[Any, ...]) -> str | None:
        row = self._row(sql, values)
        return row[0] if row is not None and isinstance(row[0], str) else None


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into one line: StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _store_error(file, error) from error
    except OSError as error:
        raise StoreError(
            f"{file}: {error.strerror or error}", hint="check space and permissions, or name another store with --store"
        ) from error


def _utf8(text: str) -> str:
    """A message may quote a file name that is not UTF-8; SQLite would refuse it."""
    return text.encode("utf-8", "backslashreplace").decode()


def _store_error(file: Path, error: sqlite3.Error) -> StoreError:
    code = _primary_code(error)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"{file}: in use by another process", hint="try again when it is done")
    if code == sqlite3.SQLITE_FULL:
        return StoreError(f"{file}: no space left on the disk", hint="free some space, or use another --store")
    if code in _NO_ACCESS:
        return StoreError(f"{file}: can't be opened or written", hint="check permissions, or use another --store")
    return StoreError(
        f"{file}: the catalogue is damaged ({error})",
        hint="move the store away; everything in it can be made again from the videos",
    )


def _primary_code(error: sqlite3.Error) -> int:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF  # extended codes carry the reason in the higher bits


def _connect(file: Path, options: str) -> sqlite3.Connection:
    # As a URI: it also takes names that are not UTF-8. Own lock, own BEGIN: no hidden transactions.
    return sqlite3.connect(
        f"{file.as_uri()}?{options}", uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False
    )


def _open_writable(file: Path) -> sqlite3.Connection:
    connection = _connect(file, "mode=rwc")
    try:
        connection.execute("PRAGMA trusted_schema = OFF")  # somebody else's catalogue runs no functions of ours
        connection.execute("PRAGMA foreign_keys = ON")
        # A power cut may take the last entries but can't damage anything; features are made again.
        connection.execute("PRAGMA synchronous = NORMAL")
        migrations.migrate(connection, file)
        _use_wal(connection)  # only now: a database that is not ours stays as it is
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to write-ahead logging; SQLite does not wait here by itself when several processes create a store."""
    deadline_s = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
            return
        except sqlite3.OperationalError as error:
            if _primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                raise
            time.sleep(0.02)


def _open_read_only(file: Path) -> sqlite3.Connection:
    """A catalogue that we may only read. Where SQLite can't make its lock file: as immutable.

    Immutable leaves out what is only in the -wal file after a crash; features entered there are made again.
    """
    for options in ("mode=ro", "mode=ro&immutable=1"):
        connection = _connect(file, options)
        try:
            connection.execute("PRAGMA trusted_schema = OFF")
            if migrations.read_version(connection, file) != migrations.VERSION:
                raise StoreError(f"{file}: made by an older rdmf and can't be written", hint="use another --store")
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            return connection
        except BaseException as error:
            with contextlib.suppress(sqlite3.Error):
                connection.close()
            if not isinstance(error, sqlite3.OperationalError) or "immutable" in options:
                raise
    raise AssertionError("unreachable")
