"""catalogue.sqlite: which videos, paths, feature sets and failures are known. Plain SQL, short transactions."""

from __future__ import annotations

import contextlib
import hashlib
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
_DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR, sqlite3.SQLITE_SCHEMA})
_CHECKSUM = re.compile(r"[0-9a-f]{64}")
_NO_ACCESS = frozenset({sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM})
# On a full disk SQLite can't even make the lock file that a writable catalogue needs, and calls it an I/O error.
_UNWRITABLE = _NO_ACCESS | {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR}


class DamagedCatalogue(StoreError):
    """SQLite can't make sense of the catalogue."""


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
    def writing(self, *, lasting: bool = False) -> Iterator[None]:
        """One write transaction, with the catalogue's write lock held from the start; undone on an exception.

        `lasting`: what it says, and all that was said before, survives a power cut. For what took long to make.
        """
        with self._lock, explained(self._file):
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
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

    def video_at(self, path: Path, size_bytes: int, mtime_ns: int) -> tuple[str, float | None] | None:
        """Fingerprint and claimed duration of what lies at a path, if size and time have not changed."""
        row = self._row(
            "SELECT path.fingerprint, video.duration_s FROM path JOIN video USING (fingerprint) "
            "WHERE path = ? AND size_bytes = ? AND mtime_ns = ?",
            (os.fsencode(path), size_bytes, mtime_ns),
        )
        return None if row is None else (row[0], row[1])

    def put_path(self, path: Path, fingerprint: str, size_bytes: int, mtime_ns: int) -> None:
        """Remember the fingerprint of a path with this size and time."""
        now_s = time.time()
        with self.writing():
            self._put_video(fingerprint, now_s)
            self.execute(
                "INSERT OR REPLACE INTO path (path, fingerprint, size_bytes, mtime_ns, seen_s, seal) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                sealed(os.fsencode(path), fingerprint, size_bytes, mtime_ns, now_s),
            )
            self.execute("DELETE FROM failure WHERE path = ?", (os.fsencode(path),))

    def checksum_of(self, fingerprint: str, spec: FeatureSpec) -> str | None:
        """The checksum, which is also the file name, of a feature set; None if there is none (or no valid one)."""
        text = self._text(
            "SELECT checksum FROM feature_set WHERE fingerprint = ? AND spec_key = ?", (fingerprint, spec.key)
        )
        # It becomes a file name: what is not exactly a hash is not used.
        return text if text is not None and _CHECKSUM.fullmatch(text) else None

    def put_feature_set(
        self, fingerprint: str, spec: FeatureSpec, checksum: str, num_rows: int, path: Path | None
    ) -> None:
        """Enter a feature set in place of an earlier one. To be called inside `writing`."""
        now_s = time.time()
        self._put_video(fingerprint, now_s)
        if path is not None:
            self.put_place(path, fingerprint)
            self.execute("DELETE FROM failure WHERE path = ?", (os.fsencode(path),))
        self.execute(
            "INSERT OR REPLACE INTO feature_set "
            "(fingerprint, spec_key, spec_json, checksum, num_rows, created_s, seal) VALUES (?, ?, ?, ?, ?, ?, ?)",
            sealed(fingerprint, spec.key, json.dumps(asdict(spec)), checksum, num_rows, now_s),
        )

    def put_place(self, path: Path, fingerprint: str) -> None:
        """Say where a known video lies, unless that path is known already. To be called inside `writing`.

        Without size and time: the file may have changed since it was fingerprinted, or lie on another machine.
        """
        self.execute(
            "INSERT OR IGNORE INTO path (path, fingerprint, size_bytes, mtime_ns, seen_s, seal) "
            "VALUES (?, ?, ?, ?, ?, ?)",
            sealed(os.fsencode(path), fingerprint, None, None, time.time()),
        )

    def put_duration(self, fingerprint: str, duration_s: float) -> None:
        """Remember how long the container says the video is: it decides how densely it is sampled."""
        with self.writing():
            self._put_video(fingerprint, time.time())
            row = self._row("SELECT added_s FROM video WHERE fingerprint = ?", (fingerprint,))
            added_s = float(row[0]) if row else 0.0
            _, _, length_s, seal = sealed(fingerprint, added_s, float(duration_s))
            self.execute(
                "UPDATE video SET duration_s = ?, seal = ? WHERE fingerprint = ?", (length_s, seal, fingerprint)
            )

    def duration_of(self, fingerprint: str) -> float | None:
        """What `put_duration` was told; None if nothing."""
        row = self._row("SELECT duration_s FROM video WHERE fingerprint = ?", (fingerprint,))
        return row[0] if row is not None and isinstance(row[0], float) else None

    def is_used(self, checksum: str) -> bool:
        """Does any feature set live in the file of this name?"""
        return self._row("SELECT 1 FROM feature_set WHERE checksum = ?", (checksum,)) is not None

    def put_failure(self, path: Path, size_bytes: int, mtime_ns: int, message: str) -> None:
        """Remember that a file of this size and time can't be used, and why."""
        with self.writing():
            self.execute(
                "INSERT OR REPLACE INTO failure (path, size_bytes, mtime_ns, message, failed_s, seal) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                sealed(os.fsencode(path), size_bytes, mtime_ns, _utf8(message), time.time()),
            )

    def failure_at(self, path: Path, size_bytes: int, mtime_ns: int) -> str | None:
        """Why this unchanged file failed earlier; None if it did not."""
        return self._text(
            "SELECT message FROM failure WHERE path = ? AND size_bytes = ? AND mtime_ns = ?",
            (os.fsencode(path), size_bytes, mtime_ns),
        )

    def execute(self, sql: str, values: tuple[Any, ...] = ()) -> int:
        """One statement of a module of this package, inside `writing`; how many rows it touched."""
        return self._connection.execute(sql, values).rowcount

    def rows(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of a query of a module of this package."""
        with self._lock, explained(self._file):
            return self._connection.execute(sql, values).fetchall()

    def _put_video(self, fingerprint: str, now_s: float) -> None:
        self.execute(
            "INSERT OR IGNORE INTO video (fingerprint, added_s, duration_s, seal) VALUES (?, ?, ?, ?)",
            sealed(fingerprint, now_s, None),
        )

    def _row(self, sql: str, values: tuple[Any, ...]) -> tuple[Any, ...] | None:
        with self._lock, explained(self._file):
            row: tuple[Any, ...] | None = self._connection.execute(sql, values).fetchone()
            return row

    def _text(self, sql: str, values: tuple[Any, ...]) -> str | None:
        row = self._row(sql, values)
        return row[0] if row is not None and isinstance(row[0], str) else None


def sealed(*values: Any) -> tuple[Any, ...]:
    """A row's values and, behind them, their seal: 8 bytes that change with any of them."""
    text = repr(values).encode("utf-8", "surrogatepass")
    return (*values, hashlib.blake2b(text, digest_size=8).digest())


@contextmanager
def explained(file: Path) -> Iterator[None]:
    """Turn what SQLite and the system say into one line: StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _store_error(file, error) from error
    except UnicodeDecodeError as error:  # SQLite's message quotes damaged text, and Python can't read it
        raise _damaged(file, "its text is not readable") from error
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
    return _damaged(file, str(error), certain=code in _DAMAGED)


def _damaged(file: Path, reason: str, *, certain: bool = True) -> StoreError:
    return (DamagedCatalogue if certain else StoreError)(
        f"{file}: the catalogue is damaged ({reason})",
        hint="'rdmf library verify' makes a new one from the feature files; nothing has to be encoded again",
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
        # A power cut may take the last entries but can't damage anything; see `writing` for those that must stay.
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
