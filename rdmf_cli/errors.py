"""Everything that can go wrong for a user, as one tree. Only main.py turns these into text and an exit code.

RdmfError                    exit code
├── UsageError               2   the command line or a query makes no sense
├── VideoError               3   the video can't be read
├── ModelError               4   encoder, weights or model missing or wrong
├── StoreError               5   the feature store can't be used
├── OutputError              6   an output can't be written
└── SomeVideosFailed         7   some of several videos failed

Each says in one line what is wrong, and `hint` what to do about it.
"""

from __future__ import annotations

NOTHING_MATCHED = 1  # not an error: grep's exit code for "no match"
BUG = 70  # sysexits EX_SOFTWARE
INTERRUPTED = 130  # 128 + SIGINT; other signals give 128 + their number: 143 after SIGTERM


class RdmfError(Exception):
    """A problem that is explained to the user in one line."""

    exit_code = BUG

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(RdmfError):
    """The command line or a query makes no sense."""

    exit_code = 2


class VideoError(RdmfError):
    """A video can't be read."""

    exit_code = 3


class ModelError(RdmfError):
    """An encoder, its weights or a model is missing or wrong."""

    exit_code = 4


class StoreError(RdmfError):
    """The feature store can't be opened, read or written."""

    exit_code = 5


class OutputError(RdmfError):
    """An output file or stream can't be written."""

    exit_code = 6


class SomeVideosFailed(RdmfError):
    """Some of several videos failed; the others were answered."""

    exit_code = 7
