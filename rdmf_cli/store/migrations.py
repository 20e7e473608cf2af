"""The schema of catalogue.sqlite, as numbered steps. Append; never edit a step that was released.

`PRAGMA user_version` counts the steps that a catalogue has seen. There is no way back: a catalogue with more steps
than we know was made by a newer rdmf and is refused.
"""

from __future__ import annotations

import sqlite3
import struct
from pathlib import Path

from rdmf_cli.errors import StoreError

APPLICATION_ID = 0x52444D46  # "RDMF": tells our database from anybody else's

# Paths are BLOBs (os.fsencode): file names that are not UTF-8 exist, and TEXT can't hold them.
# A feature set's file has no column: its name is its checksum, so there is no stored path that could be trusted.
STEPS: tuple[tuple[str, ...], ...] = (
    (
        """CREATE TABLE video (
            fingerprint TEXT PRIMARY KEY,
            added_s REAL NOT NULL
        )""",
        """CREATE TABLE path (
            path BLOB PRIMARY KEY,
            fingerprint TEXT NOT NULL REFERENCES video ON DELETE CASCADE,
            size_bytes INTEGER,  -- as last fingerprinted; NULL: not known, fingerprint again
            mtime_ns INTEGER,
            seen_s REAL NOT NULL
        )""",
        "CREATE INDEX path_of_video ON path (fingerprint)",
        """CREATE TABLE feature_set (
            fingerprint TEXT NOT NULL REFERENCES video ON DELETE CASCADE,
            spec_key TEXT NOT NULL,
            spec_json TEXT NOT NULL,
            checksum TEXT NOT NULL,
            num_rows INTEGER NOT NULL,
            created_s REAL NOT NULL,
            PRIMARY KEY (fingerprint, spec_key)
        )""",
        "CREATE INDEX feature_set_of_file ON feature_set (checksum)",
        """CREATE TABLE failure (
            path BLOB PRIMARY KEY,
            size_bytes INTEGER NOT NULL,
            mtime_ns INTEGER NOT NULL,
            message TEXT NOT NULL,
            failed_s REAL NOT NULL
        )""",
    ),
    (
        # Seals: a hash of the row's other columns, so that a flipped bit is found (`rdmf library verify`); NULL in rows
        # from before this step. SQLite's own integrity check sees structure and indexed columns only.
        "ALTER TABLE video ADD COLUMN duration_s REAL",  # as the container claims it; NULL: not known
        "ALTER TABLE video ADD COLUMN seal BLOB",
        "ALTER TABLE path ADD COLUMN seal BLOB",
        "ALTER TABLE feature_set ADD COLUMN seal BLOB",
        "ALTER TABLE failure ADD COLUMN seal BLOB",
        """CREATE TABLE claim (
            fingerprint TEXT NOT NULL,
            spec_key TEXT NOT NULL,
            owner TEXT NOT NULL,
            expires_s REAL NOT NULL,
            PRIMARY KEY (fingerprint, spec_key)
        )""",
    ),
)
VERSION = len(STEPS)

_HEADER = struct.Struct(">60xI4xI28x")  # SQLite's file header: user_version at 60, application_id at 68
_MAGIC = b"SQLite format 3\x00"


def check_file(file: Path) -> None:
    """Refuse a file that is not ours or too new, by its header alone: opening it with SQLite could already write.

    Raises StoreError, OSError. A missing or empty file is fine: it is about to be made.
    """
    if not file.exists():
        return
    if not file.is_file():  # a planted pipe would hang us
        raise StoreError(f"{file}: not a file", hint="name another store with --store, or move it away")
    with file.open("rb") as stream:
        header = stream.read(_HEADER.size)
    if not header:
        return
    if len(header) < _HEADER.size or not header.startswith(_MAGIC):
        raise StoreError(f"{file}: not a catalogue of rdmf", hint="name another store with --store, or move it away")
    version, application = _HEADER.unpack(header)
    _refuse(file, version, application)


def migrate(connection: sqlite3.Connection, file: Path) -> None:
    """Bring a catalogue to VERSION, all steps or none. Raises StoreError if it is not ours or newer."""
    if read_version(connection, file) == VERSION:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = read_version(connection, file)  # again: another process may have been faster
        if version == 0 and connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise StoreError(f"{file}: not a catalogue of rdmf", hint="name another store with --store")
        for step in STEPS[version:]:
            for statement in step:
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def read_version(connection: sqlite3.Connection, file: Path) -> int:
    """Steps this catalogue has seen. Raises StoreError if it is not ours or newer than we are."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    _refuse(file, version, application)
    return version


def _refuse(file: Path, version: int, application: int) -> None:
    if application not in (0, APPLICATION_ID) or (application == 0 and version != 0):
        raise StoreError(f"{file}: not a catalogue of rdmf", hint="name another store with --store, or move it away")
    if version > VERSION:
        raise StoreError(
            f"{file}: made by a newer rdmf (schema {version}, this one knows {VERSION})",
            hint="update rdmf, or name another store with --store",
        )
