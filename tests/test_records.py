"""Dataclasses from tables: strict, and back again."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field

import pytest

from rdmf_cli.records import from_table, to_table, toml_text


@dataclass(frozen=True)
class Inner:
    name: str
    share: float = 0.5
    places: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        if self.share > 1:
            raise ValueError("share is at most 1")


@dataclass(frozen=True)
class Outer:
    inner: Inner
    other: Inner | None = None
    is_on: bool = False
    words: tuple[str, ...] = field(default=("a",))


def test_there_and_back():
    record = Outer(Inner('quo"te\n\x7f☃\\', 1e-05, (3,)), is_on=True)
    assert from_table(Outer, to_table(record)) == record
    assert from_table(Outer, tomllib.loads(toml_text(to_table(record)))) == record


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({}, "inner is missing"),
        ({"inner": {}}, "inner.name is missing"),
        ({"inner": {"name": "x", "shar": 1}}, "unknown key inner.shar"),
        ({"inner": {"name": 3}}, "inner.name must be a text, not 3"),
        ({"inner": {"name": "x", "share": "half"}}, "inner.share must be a number"),
        ({"inner": {"name": "x", "share": True}}, "inner.share must be a number"),
        ({"inner": {"name": "x", "share": 2}}, "inner: share is at most 1"),
        ({"inner": {"name": "x", "places": 3}}, "inner.places must be a list"),
        ({"inner": {"name": "x", "places": [1.5]}}, "inner.places must be a whole number"),
        ({"inner": {"name": "x"}, "is_on": 1}, "is_on must be true or false"),
        ({"inner": 5}, "inner is no table"),
    ],
)
def test_what_is_wrong_is_named(table, told):
    with pytest.raises(ValueError, match=told.replace("(", r"\(")):
        from_table(Outer, table)


def test_whole_numbers_do_for_numbers():
    assert from_table(Inner, {"name": "x", "share": 1}).share == 1.0
