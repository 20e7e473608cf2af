"""Schema versions: new, current, newer, foreign, broken."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from rdmf_cli.errors import StoreError
from rdmf_cli.store import Store, migrations


def snapshot(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def edit(folder: Path, *statements: str) -> None:
    connection = sqlite3.connect(folder / "catalogue.sqlite", isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def refused(folder: Path) -> str:
    before = snapshot(folder)
    with pytest.raises(StoreError) as caught:
        Store.open(folder)
    assert snapshot(folder) == before
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.hint
    return message


def test_new_store_has_the_current_version(tmp_path):
    Store.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "catalogue.sqlite")
    assert connection.execute("PRAGMA user_version").fetchone() == (migrations.VERSION,)
    assert connection.execute("PRAGMA application_id").fetchone() == (migrations.APPLICATION_ID,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


def test_newer_store_is_refused_untouched(tmp_path):
    Store.open(tmp_path).close()
    edit(tmp_path, f"PRAGMA user_version = {migrations.VERSION + 1}")
    assert "newer rdmf" in refused(tmp_path)


def test_newer_version_that_is_only_in_the_log_is_refused(tmp_path):
    Store.open(tmp_path).close()
    connection = sqlite3.connect(tmp_path / "catalogue.sqlite", isolation_level=None)
    connection.execute(f"PRAGMA user_version = {migrations.VERSION + 1}")
    with pytest.raises(StoreError, match="newer"):
        Store.open(tmp_path)
    connection.close()


def test_steps_are_applied_in_order_to_an_older_store(tmp_path, spec, make, monkeypatch, assert_same):
    with Store.open(tmp_path) as store:
        store.save("video", spec, make(1), tmp_path / "v.mp4")
    more = (*migrations.STEPS, ("CREATE TABLE later (x)",), ("INSERT INTO later VALUES (1)",))
    monkeypatch.setattr(migrations, "STEPS", more)
    monkeypatch.setattr(migrations, "VERSION", len(more))
    with Store.open(tmp_path) as store:
        assert_same(store.load("video", spec), make(1))
    connection = sqlite3.connect(tmp_path / "catalogue.sqlite")
    assert connection.execute("SELECT x FROM later").fetchall() == [(1,)]
    connection.close()


def test_step_that_fails_leaves_the_old_schema(tmp_path, monkeypatch):
    Store.open(tmp_path).close()
    more = (*migrations.STEPS, ("CREATE TABLE later (x)", "NONSENSE"))
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", more)
        patch.setattr(migrations, "VERSION", len(more))
        with pytest.raises(StoreError):
            Store.open(tmp_path)
    Store.open(tmp_path).close()


def test_somebody_elses_database_is_refused(tmp_path):
    edit(tmp_path, "CREATE TABLE photos (x)")
    assert "not a catalogue of rdmf" in refused(tmp_path)
    edit(tmp_path, "PRAGMA user_version = 1")
    assert "not a catalogue of rdmf" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"x", b"hello " * 100, b"SQLite format 3\x00"])
def test_file_that_is_no_database_is_refused(tmp_path, content):
    (tmp_path / "catalogue.sqlite").write_bytes(content)
    refused(tmp_path)


def test_folder_or_link_in_place_of_the_catalogue(tmp_path):
    (tmp_path / "a" / "catalogue.sqlite").mkdir(parents=True)
    with pytest.raises(StoreError, match="not a file"):
        Store.open(tmp_path / "a")
    for name in ("catalogue.sqlite", "catalogue.sqlite-wal"):
        (tmp_path / name[-3:]).mkdir()
        (tmp_path / name[-3:] / name).symlink_to(tmp_path / "outside")
        with pytest.raises(StoreError, match="link"):
            Store.open(tmp_path / name[-3:])
    assert not (tmp_path / "outside").exists()


def test_damaged_pages_are_one_line(tmp_path, spec, make):
    with Store.open(tmp_path) as store:
        store.save("video", spec, make(1), tmp_path / "v.mp4")
    file = tmp_path / "catalogue.sqlite"
    content = file.read_bytes()
    file.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    with pytest.raises(StoreError, match="damaged") as caught, Store.open(tmp_path) as store:
        store.load("video", spec)
    assert "\n" not in str(caught.value)
