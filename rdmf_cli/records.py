"""Frozen dataclasses ↔ plain tables (TOML, JSON), strictly: an unknown key or a value of another type is an error."""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def from_table(kind: type[T], table: object, where: str = "") -> T:
    """A dataclass from a table; nested dataclasses from nested tables. Missing keys take their defaults.

    `where` says in errors what is being read. Raises ValueError, in one line that names the key.
    """
    if not isinstance(table, dict):
        raise ValueError(f"{where or 'this'} is no table")
    hints = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]  # a dataclass
    unknown = [key for key in table if key not in fields]
    if unknown:
        raise ValueError(f"unknown key {_join(where, str(unknown[0]))}; known: {', '.join(fields)}")
    for name, field in fields.items():
        if name not in table and field.default is field.default_factory is dataclasses.MISSING:
            raise ValueError(f"{_join(where, name)} is missing")
    values = {name: _value(hints[name], value, _join(where, name)) for name, value in table.items()}
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}" if where else str(error)) from None


def to_table(record: Any) -> dict[str, Any]:
    """A dataclass as a table of lists, texts and numbers; what is None is left out."""
    table: dict[str, Any] = {}
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        if dataclasses.is_dataclass(value):
            table[field.name] = to_table(value)
        elif value is not None:
            table[field.name] = list(value) if isinstance(value, tuple) else value
    return table


def toml_text(table: dict[str, Any]) -> str:
    """A table of plain values and one level of tables as TOML. The standard library only reads TOML."""
    plain = [f"{key} = {_toml(value)}" for key, value in table.items() if not isinstance(value, dict)]
    parts = ["\n".join(plain)] if plain else []
    for key, inner in table.items():
        if isinstance(inner, dict):
            parts.append("\n".join([f"[{key}]", *(f"{name} = {_toml(value)}" for name, value in inner.items())]))
    return "\n\n".join(parts) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, str):
        # TOML's basic strings escape as JSON's do, but for characters beyond the basic plane and DEL.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)  # true, 3, 0.5, 1e-05


def _value(hint: Any, value: Any, where: str) -> Any:
    options = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    chosen = next(option for option in options if option is not types.NoneType)
    if dataclasses.is_dataclass(chosen) and isinstance(chosen, type):
        return from_table(chosen, value, where)
    if typing.get_origin(chosen) is tuple:
        inner = typing.get_args(chosen)[0]
        if not isinstance(value, list | tuple):
            raise ValueError(f"{where} must be a list, not {value!r}")
        return tuple(_value(inner, item, where) for item in value)
    if chosen is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, chosen) or (isinstance(value, bool) and chosen is not bool):
        names = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
        raise ValueError(f"{where} must be {names.get(chosen, chosen)}, not {value!r}")
    return value


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name
