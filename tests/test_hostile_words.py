"""Settings files and queries of any bytes: values or one UsageError; queries stay text and never become orders."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdmf_cli.commands import inputs
from rdmf_cli.commands.console import plain
from rdmf_cli.errors import RdmfError, UsageError
from rdmf_cli.settings import KEYS, Settings, load_settings
from rdmf_cli.timebase import parse_time

CALM = settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TOML_VALUES = st.one_of(
    st.text(max_size=20).map(lambda text: '"' + text.replace("\\", "").replace('"', "") + '"'),
    st.integers().map(str),
    st.floats(allow_nan=False).map(repr),
    st.sampled_from(["true", "false", "[]", "{}", "1979-05-27", "[1, [2]]", "'''\n'''", "0x1F", "", "\x00"]),
)
LINES = st.lists(
    st.tuples(st.sampled_from([*KEYS, "other", "a.b", "store.x", "[store]", "#"]), TOML_VALUES), max_size=4
)


@CALM
@given(lines=LINES)
def test_settings_files_of_any_values(
    lines: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_settings(
        "\n".join(f"{key} = {value}" for key, value in lines).encode("utf-8", "replace"), tmp_path, monkeypatch
    )


@CALM
@given(data=st.binary(max_size=200))
def test_settings_files_of_any_bytes(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_settings(data, tmp_path, monkeypatch)


@pytest.mark.parametrize("data", [b"[" * 5000, b"a=" + b"[" * 5000, b"store = '" + b"x" * 100_000 + b"'", b"\xff\xfea"])
def test_settings_files_that_go_deep(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_settings(data, tmp_path, monkeypatch)


def check_settings(data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(data)
    monkeypatch.setenv("RDMF_SETTINGS", str(file))
    said = ""
    try:
        assert isinstance(load_settings(), Settings)
    except UsageError as error:
        said = str(error)
    assert "\n" not in said


@CALM
@given(data=st.binary(max_size=300))
def test_queries_of_any_bytes(data: bytes) -> None:
    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(data), "utf-8")
    try:
        asked = inputs.understand(["video.mp4", "-"], [])
        assert all(query.strip() == query and query for query in asked.queries)
        assert all("\x1b" not in plain(query) and "\r" not in plain(query) for query in asked.queries)
    except UsageError as error:
        assert error.exit_code == 2  # noqa: PT017
    finally:
        sys.stdin = before


@CALM
@given(words=st.lists(st.text(max_size=30), max_size=4), queries=st.lists(st.text(max_size=30), max_size=3))
def test_any_words(words: list[str], queries: list[str]) -> None:
    try:
        asked = inputs.understand([word for word in words if word != "-"], [query for query in queries if query != "-"])
        inputs.find(tuple(place for place in asked.places if not os.path.isdir(place)) or ("nowhere",))
    except RdmfError as error:
        assert error.exit_code in (2, 3)  # noqa: PT017


@CALM
@given(text=st.text(max_size=30))
def test_any_text_as_a_time(text: str) -> None:
    try:
        assert parse_time(text) >= 0
    except UsageError as error:
        assert error.exit_code == 2  # noqa: PT017
