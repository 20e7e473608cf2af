"""Files as numbered lines: JSON objects, plain text, CSV rows. gzip is read as is, `-` is stdin.

Whatever is wrong becomes a UsageError that names the file and the line.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError

Floats = NDArray[np.float64]

FROM_STDIN = "-"
_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Line:
    """One JSON object or CSV row, and where it stands."""

    file: str
    number: int  # from 1
    values: dict[str, Any]

    def error(self, what: str, hint: str = "") -> UsageError:
        """`what` is wrong here."""
        return wrong(self.file, self.number, what, hint)

    def get(self, key: str) -> Any:
        """A value that must be there."""
        if self.values.get(key) is None:
            raise self.error(f"'{key}' is missing")
        return self.values[key]

    def numbers(self, key: str, columns: int | None = None) -> Floats:
        """A list of finite numbers (N,), or of rows of `columns` of them (N, columns)."""
        value = self.get(key)
        shape = "a list of numbers" if columns is None else f"a list of lists of {columns} numbers"
        if not isinstance(value, list):
            raise self.error(f"'{key}' is not {shape}")
        if not value:
            return np.zeros((0,) if columns is None else (0, columns))
        try:
            found = np.asarray(value)
        except ValueError:  # lists of different lengths
            raise self.error(f"'{key}' is not {shape}") from None
        if found.dtype.kind not in "if" or found.shape != (len(value), *([columns] if columns else [])):
            raise self.error(f"'{key}' is not {shape}{_missing(value)}")
        if not np.isfinite(found).all():
            raise self.error(f"'{key}' holds a number that is not finite (NaN or infinite)")
        return found.astype(np.float64)


def wrong(file: str, number: int, what: str, hint: str = "") -> UsageError:
    """The error for a line."""
    return UsageError(f"{file}, line {number}: {what}", hint=hint)


def json_lines(path: Path) -> list[Line]:
    """Every object of a JSON Lines file; blank lines are skipped."""
    return as_json(path, list(text_lines(path)))


def as_json(path: Path, texts: list[tuple[int, str]]) -> list[Line]:
    """Numbered texts of the file `path`, each a JSON object."""
    file = name_of(path)
    return [Line(file, number, _object(file, number, text)) for number, text in texts]


def csv_lines(path: Path) -> list[Line]:
    """Every row of a CSV file with a header, keyed by it."""
    file = name_of(path)
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    header: list[str] = []
    rows: list[Line] = []
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip() for cell in cells]
                if len(set(header)) < len(header):
                    raise wrong(file, reader.line_num, "two columns have the same name")
                continue
            if len(cells) != len(header):
                raise wrong(file, reader.line_num, f"{len(cells)} values for {len(header)} columns")
            rows.append(Line(file, reader.line_num, dict(zip(header, cells, strict=True))))
    except csv.Error as error:
        raise wrong(file, reader.line_num, f"not CSV: {error}") from None
    if not rows:
        raise UsageError(f"{file}: the file is empty" if not header else f"{file}: a header, but no rows")
    return rows


def text_lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines that are not blank, numbered from 1. Raises UsageError if there are none."""
    some = False
    for number, text in enumerate(_text(path).split("\n"), start=1):
        if text.strip():
            some = True
            yield number, text
    if not some:
        raise UsageError(f"{name_of(path)}: the file is empty")


def _text(path: Path) -> str:
    """The whole file, unpacked."""
    data = _bytes(path)
    try:
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
        return data.decode("utf-8-sig")
    except (EOFError, OSError, zlib.error) as error:
        raise UsageError(f"{name_of(path)}: damaged gzip: {error}") from None
    except UnicodeDecodeError as error:
        raise wrong(name_of(path), data[: error.start].count(b"\n") + 1, "not UTF-8 text") from None


def _bytes(path: Path) -> bytes:
    try:
        if str(path) == FROM_STDIN:
            return sys.stdin.buffer.read()
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"{name_of(path)} can't be read: {reason}") from None


def _object(file: str, number: int, text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise wrong(file, number, f"not JSON: {error.msg} at column {error.colno}") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists within lists within ...
        raise wrong(file, number, f"not JSON that can be read: {error}") from None
    if not isinstance(value, dict):
        raise wrong(file, number, "not a JSON object")
    return value


def name_of(path: Path) -> str:
    """What to call a file in messages."""
    return "stdin" if str(path) == FROM_STDIN else str(path)


def _missing(rows: list[Any]) -> str:
    """What to say about a null among the numbers: `null` is how most programs write a missing score."""
    flat = [item for row in rows for item in (row if isinstance(row, list) else [row])]
    return ": one is missing (null)" if None in flat else ""
