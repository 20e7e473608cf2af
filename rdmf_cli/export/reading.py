"""A JSON document → `Answers`, with one clear line about whatever is wrong in it."""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from rdmf_cli.errors import UsageError
from rdmf_cli.export.model import Answers, Hit, Result, Video
from rdmf_cli.moments import Moment, Relevance

FAMILY, VERSION = "rdmf.search", 1
_HINT = "rdmf search … --json > RESULT.json makes one"
_SCHEMA = re.compile(r"rdmf\.search/(\d{1,9})")
_RATE = re.compile(r"\d{1,9}(/\d{1,9})?")
_MOST = 1e9  # seconds (31 years) and pixels: more is nonsense and would overflow further on


class _Wrong(ValueError):
    """A value that is not what it should be, and where."""


@dataclass(frozen=True)
class _Node:
    """A value of the document that knows where it stands."""

    value: Any
    where: str

    def __getitem__(self, key: str) -> _Node:
        found = self.get(key)
        if found is None:
            raise _Wrong(f"{self.where or 'the document'} has no {key!r}")
        return found

    def get(self, key: str) -> _Node | None:
        """The value of `key`, None if it is missing."""
        if not isinstance(self.value, dict):
            raise _Wrong(f"{self.where or 'the document'} is no object")
        if key not in self.value:
            return None
        return _Node(self.value[key], f"{self.where}.{key}".lstrip("."))

    def items(self) -> list[_Node]:
        """The elements of a list."""
        if not isinstance(self.value, list):
            raise _Wrong(f"{self.where} is no list")
        return [_Node(item, f"{self.where}[{place}]") for place, item in enumerate(self.value)]

    def number(self, most: float = _MOST) -> float:
        """A number in [0, most]."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
            raise _Wrong(f"{self.where} is no number from 0 to {most:g}")
        return float(value)

    def count(self) -> int:
        """A whole number, at least 1."""
        value = self.number()
        if value < 1 or value != math.floor(value):
            raise _Wrong(f"{self.where} is no whole number above 0")
        return int(value)

    def text(self) -> str:
        """A text that is not empty."""
        if not isinstance(self.value, str) or not self.value or "\0" in self.value:
            raise _Wrong(f"{self.where} is no text")
        return self.value

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise _Wrong(f"{self.where} is neither true nor false")
        return self.value


def parse_answers(data: bytes, name: str) -> Answers:
    """Answers from the bytes of a file called `name`, UTF-8 or, as PowerShell writes, UTF-16. Raises UsageError."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        raise UsageError(f"{name}: not {_what(data)}", hint=_HINT) from None
    return read_answers(document, name)


def _what(data: bytes) -> str:
    if not data.strip():
        return "an answer of rdmf search: the file is empty"
    if b'"pred_relevant_windows"' in data[:100_000]:
        return "one JSON document: these are the lines of --jsonl, and --json is needed"
    return "an answer of rdmf search: no JSON"


def read_answers(document: Any, name: str) -> Answers:
    """Answers of a document; `name` says in errors what was read. Unknown keys are ignored. Raises UsageError."""
    schema = document.get("schema") if isinstance(document, dict) else None
    match = _SCHEMA.fullmatch(schema) if isinstance(schema, str) else None
    if match is None:
        raise UsageError(f"{name}: not an answer of rdmf search (no schema {FAMILY}/{VERSION})", hint=_HINT)
    if int(match[1]) != VERSION:
        newer = int(match[1]) > VERSION
        raise UsageError(
            f"{name}: {schema}, but this rdmf reads {FAMILY}/{VERSION}",
            hint="update rdmf, or search again with this one" if newer else "search again",
        )
    root = _Node(document, "")
    try:
        results = tuple(_result(node) for node in root["results"].items())
        failures = root.get("failures")
        failed = tuple(_path(node["path"].text()) for node in failures.items()) if failures is not None else ()
    except _Wrong as error:
        raise UsageError(f"{name}: damaged: {error}", hint="search again") from None
    return Answers(results, document, failed)


def _result(node: _Node) -> Result:
    query = node["query"]["text"].text()
    relevance = Relevance(node["relevance"]["score"].number(1), node["relevance"]["cutoff"].number(1))
    hits = tuple(Hit(query, item["rank"].count(), _moment(item), relevance) for item in node["moments"].items())
    curve = node["saliency"]
    times, values = ([item.number() for item in curve[key].items()] for key in ("times_s", "values"))
    if len(times) != len(values):
        raise _Wrong(f"{curve.where} has {len(times)} times but {len(values)} values")
    return Result(_video(node["video"]), query, relevance, hits)


def _video(node: _Node) -> Video:
    rate = node["source_fps"].text()
    if not _RATE.fullmatch(rate) or any(int(part) == 0 for part in rate.split("/")):
        raise _Wrong(f"{node.where}.source_fps is no frame rate")
    duration = node["duration_s"]
    if duration.number() == 0:
        raise _Wrong(f"{duration.where} is 0")
    flags = [node.get(key) for key in ("variable_rate", "has_audio")]
    timecode = node.get("timecode")
    return Video(
        path=_path(node["path"].text()),
        id=node["id"].text(),
        duration_s=duration.number(),
        width=node["width"].count(),
        height=node["height"].count(),
        source_fps=Fraction(rate),
        is_variable_rate=flags[0] is not None and flags[0].flag(),
        has_audio=flags[1] is not None and flags[1].flag(),
        timecode=timecode.text() if timecode is not None else None,
    )


def _moment(node: _Node) -> Moment:
    start_s, end_s = node["start_s"].number(), node["end_s"].number()
    if not start_s < end_s:
        raise _Wrong(f"{node.where} ends before it starts")
    return Moment(start_s, end_s, node["score"].number(1), node["peak_s"].number())


def _path(text: str) -> Path:
    """A file's path; in what no file can be called, half a surrogate pair, question marks take the place."""
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        text = text.encode("utf-8", "replace").decode("utf-8")
    return Path(text)
