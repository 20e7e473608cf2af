"""Every byte of the store is watched: what verify finds, and that what it doesn't find makes no difference."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from rdmf_cli.encoders.base import FeatureSpec
from rdmf_cli.errors import StoreError
from rdmf_cli.store import Store, migrations, records, upkeep
from rdmf_cli.store.catalogue import FILE_NAME


def spec_of(fields: dict[str, Any]) -> FeatureSpec:
    return FeatureSpec(**fields)


@pytest.fixture
def library(tmp_path: Path, spec: FeatureSpec, make) -> Path:
    """A closed store with a dozen of everything."""
    folder = tmp_path / "store"
    with Store.open(folder) as store:
        for number in range(12):
            video = tmp_path / f"{number}.mp4"
            video.write_bytes(b"x")
            store.save(f"{number:032x}", spec, make(number), video)
            store.fingerprint_of(video, lambda path, number=number: f"{number:032x}")
            store.remember_duration(f"{number:032x}", number + 0.5)
            store.put_failure(video.with_suffix(".mp4"), f"trouble {number}")
        store.save_array("bank", np.arange(50.0))
    return folder


def everything(folder: Path) -> dict[str, Any]:
    """All rows, and what each feature set loads as."""
    with Store.open(folder) as store:
        found: dict[str, Any] = {
            table: sorted(map(repr, store.catalogue.rows(f"SELECT * FROM {table}")))
            for table in ("video", "path", "feature_set", "failure", "claim")
        }
        for video in records.videos(store.catalogue):
            for record in video.sets:
                features = store.load(video.fingerprint, spec_of(record.spec))
                found[record.checksum] = None if features is None else features.features.tobytes()
        return found


def problems(folder: Path) -> list[str]:
    """What verify would find, without mending."""
    try:
        with Store.open(folder) as store:
            found = upkeep.structure_problems(store.catalogue)
            found += [row.what for row in upkeep.broken_rows(store.catalogue)]
            for video in records.videos(store.catalogue):
                found += [p for p in (upkeep.set_problem(store, record, spec_of) for record in video.sets) if p]
            found += [str(file) for file in upkeep.cache_problems(store)]
            return found
    except StoreError as error:
        return [str(error)]


def test_a_whole_store_has_no_problems(library: Path) -> None:
    assert problems(library) == []
    with Store.open(library) as store:
        assert upkeep.sweep_leftovers(store) == 0


def test_bit_flips_in_feature_files_and_cache(library: Path) -> None:
    random = Random(1)
    files = [*(library / "features").rglob("*.faiss"), *(library / "cache").iterdir()]
    assert len(files) == 13
    for file in files:
        data = file.read_bytes()
        for _ in range(6):
            place, bit = random.randrange(len(data)), random.randrange(8)
            file.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
            assert len(problems(library)) == 1, (file.name, place, bit)
        file.write_bytes(data[: random.randrange(len(data))])
        assert len(problems(library)) == 1
        file.write_bytes(data)
    assert problems(library) == []


def test_bit_flips_in_the_catalogue_are_found_or_make_no_difference(library: Path, tmp_path: Path) -> None:
    """Pages have unused space, where a flip changes nothing; everywhere else it must be found. Never a wrong answer."""
    whole, random, found = everything(library), Random(2), 0
    file = library / FILE_NAME
    data = file.read_bytes()
    used = [place for place, byte in enumerate(data) if byte]
    for _ in range(120):
        place, bit = random.choice(used), random.randrange(8)
        file.write_bytes(data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :])
        wrong = problems(library)
        found += bool(wrong)
        if not wrong:
            assert everything(library) == whole, (place, bit)
        for leftover in ("-wal", "-shm"):
            Path(f"{file}{leftover}").unlink(missing_ok=True)
    file.write_bytes(data)
    assert problems(library) == []
    assert found > 60


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("path", "size_bytes", 7),
        ("path", "fingerprint", f"{1:032x}"),
        ("feature_set", "num_rows", 6),
        ("feature_set", "spec_json", "{}"),
        ("video", "duration_s", 9.0),
        ("failure", "message", "nothing"),
    ],
)
def test_a_changed_value_breaks_the_seal_of_its_row(library: Path, table: str, column: str, value: object) -> None:
    connection = sqlite3.connect(library / FILE_NAME, isolation_level=None)
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = (SELECT min(rowid) + 4 FROM {table})", (value,))
    connection.close()
    with Store.open(library) as store:
        [row] = upkeep.broken_rows(store.catalogue)
        assert row.table == table
        upkeep.drop_row(store.catalogue, row)
        assert upkeep.broken_rows(store.catalogue) == []
        assert upkeep.structure_problems(store.catalogue) == []


def test_a_changed_schema_is_found(library: Path) -> None:
    connection = sqlite3.connect(library / FILE_NAME, isolation_level=None)
    connection.execute("DROP INDEX path_of_video")
    connection.close()
    assert problems(library) == ["the schema is not the one that rdmf makes"]


def test_leftovers_of_a_kill_are_swept_and_are_no_problem(library: Path, spec: FeatureSpec, make) -> None:
    with Store.open(library) as store:
        checksum = store.stage("a" * 32, spec, make(99))
        assert problems(library) == []
        assert upkeep.sweep_leftovers(store) == 1
        assert not store.file_of(checksum).exists()
        assert not store.enter("a" * 32, spec, checksum, library / "x.mp4")


def test_what_took_long_to_make_survives_a_power_cut(tmp_path: Path, spec: FeatureSpec, make) -> None:
    """The log is synced with the very transaction that enters features, and not for every small note."""
    told: list[str] = []
    with Store.open(tmp_path) as store:
        store.catalogue._connection.set_trace_callback(told.append)
        store.save("video", spec, make(1), tmp_path / "v.mp4")
        store.remember_duration("video", 1.0)
    kept = [
        line for line in told if line.startswith(("PRAGMA synchronous", "INSERT OR REPLACE INTO feature_set", "UPDATE"))
    ]
    assert [line.split(" ")[-1] if line.startswith("PRAGMA") else line[:6] for line in kept] == [
        "FULL",
        "INSERT",
        "NORMAL",
        "UPDATE",
    ]


def test_salvage_makes_a_new_catalogue_of_the_feature_files(library: Path) -> None:
    whole = everything(library)
    file = library / FILE_NAME
    data = bytearray(file.read_bytes())
    data[100:110] = b"\xff" * 10  # the first page's header
    file.write_bytes(bytes(data))
    assert problems(library)
    damaged = next((library / "features").rglob("*.faiss"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    aside, kept, lost = upkeep.salvage(library, spec_of)
    assert (kept, lost) == (11, 1)
    assert (aside / FILE_NAME).read_bytes() == bytes(data)
    assert problems(library) == []
    found = everything(library)
    assert sum(found.get(name) == rows for name, rows in whole.items() if len(name) == 64) == 11


def test_salvage_keeps_the_places_that_can_still_be_read(library: Path) -> None:
    places = lambda: {  # noqa: E731
        video.fingerprint: video.paths for video in _videos(library)
    }
    before = places()
    shutil.copytree(library, library.parent / "copy")
    upkeep.salvage(library, spec_of)
    assert places() == before


def _videos(folder: Path) -> list[records.VideoRecord]:
    with Store.open(folder) as store:
        return list(records.videos(store.catalogue))


def test_a_store_from_before_the_seals(tmp_path: Path, spec: FeatureSpec, make, monkeypatch) -> None:
    """Made by the first schema, step by step; it is brought up to date, works, and verifies."""
    tmp_path = tmp_path / "old"
    tmp_path.mkdir()
    file = tmp_path / FILE_NAME
    connection = sqlite3.connect(file, isolation_level=None)
    for statement in migrations.STEPS[0]:
        connection.execute(statement)
    connection.execute("INSERT INTO video VALUES ('old', 1.0)")
    connection.execute("INSERT INTO path VALUES (?, 'old', 1, 2, 3.0)", (b"/v.mp4",))
    connection.execute(f"PRAGMA application_id = {migrations.APPLICATION_ID}")
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    with Store.open(tmp_path) as store:
        store.save("old", spec, make(1), Path("/v.mp4"))
        store.remember_duration("old", 5.0)
        assert store.catalogue.video_at(Path("/v.mp4"), 1, 2) == ("old", 5.0)
    assert problems(tmp_path) == []
