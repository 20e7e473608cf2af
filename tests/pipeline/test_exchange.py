"""Features from one library to another: shards merge into one, and a parcel from anywhere can do no harm."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdmf_cli.errors import OutputError, UsageError
from rdmf_cli.pipeline import exchange, upkeep
from rdmf_cli.pipeline.planning import Shard
from rdmf_cli.store import Store
from tests.fakes import FakeEncoder
from tests.pipeline.conftest import Ears
from tests.pipeline.library_fixtures import contents, index, small_videos


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library of all small videos; not to be changed."""
    folder = tmp_path_factory.mktemp("whole") / "store"
    with Store.open(folder) as store:
        index(store, small_videos())
    return folder


@pytest.fixture
def exported(whole: Path, tmp_path: Path) -> Path:
    target = tmp_path / "library.zip"
    with Store.open(whole) as store:
        assert exchange.export(store, target, upkeep.videos(store)) == 8
    return target


def merge(folder: Path, source: Path) -> exchange.Merged:
    with Store.open(folder) as store:
        return exchange.merge(store, source)


def sets_of(folder: Path) -> Any:
    found = contents(folder)
    return found["sets"], found["files"], [row[:2] for row in found["paths"]]


def test_shards_from_several_machines_become_one_library(whole: Path, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        with Store.open(tmp_path / f"machine{number}") as store:
            index(store, small_videos(), shard=Shard(number, 3))
            exchange.export(store, tmp_path / f"{number}.zip", upkeep.videos(store))
    merged = [merge(tmp_path / "all", tmp_path / f"{number}.zip") for number in (1, 2, 3)]
    assert sum(one.num_new for one in merged) == 8
    assert sets_of(tmp_path / "all") == sets_of(whole)
    with Store.open(tmp_path / "all") as store:
        summary, _ = index(store, small_videos())
        assert (summary.count("unchanged"), summary.count("indexed")) == (8, 0)
        assert upkeep.verify(store, lambda name: FakeEncoder()).findings == []
    assert contents(tmp_path / "all") == contents(whole)


@pytest.mark.parametrize("form", ["zip", "folder", "store"])
def test_every_form_of_parcel_gives_the_same(whole: Path, exported: Path, tmp_path: Path, form: str) -> None:
    source = {"zip": exported, "folder": tmp_path / "parcel", "store": whole}[form]
    if form == "folder":
        source.mkdir()
        with Store.open(whole) as store:
            exchange.export(store, source, upkeep.videos(store))
    merged = merge(tmp_path / "new", source)
    assert (merged.num_new, merged.num_videos, merged.num_known, merged.refused) == (8, 8, 0, [])
    assert sets_of(tmp_path / "new") == sets_of(whole)
    merged = merge(tmp_path / "new", source)
    assert (merged.num_new, merged.num_known) == (0, 8)


def test_encoders_stay_side_by_side(whole: Path, tmp_path: Path) -> None:
    other = FakeEncoder("other", seed=1)
    with Store.open(tmp_path / "store") as store:
        index(store, small_videos(), encoder=other)
        assert exchange.merge(store, whole).num_new == 8
        names = [{record.encoder for record in video.sets} for video in upkeep.videos(store)]
        assert names == [{"fake", "other"}] * 8
        assert [one.encoder for one in upkeep.stats(store).encoders] == ["fake", "other"]
        for encoder in (other, FakeEncoder()):
            assert index(store, small_videos(), encoder=encoder)[0].count("unchanged") == 8


def test_the_same_library_makes_the_same_file(whole: Path, exported: Path, tmp_path: Path) -> None:
    with Store.open(whole) as store:
        exchange.export(store, tmp_path / "again.zip", upkeep.videos(store))
    assert (tmp_path / "again.zip").read_bytes() == exported.read_bytes()


def test_an_export_that_fails_leaves_nothing(whole: Path, tmp_path: Path) -> None:
    with Store.open(whole) as store:
        with pytest.raises(OutputError):
            exchange.export(store, tmp_path / "nowhere" / "x.zip", upkeep.videos(store))

        def broken() -> Any:
            yield next(upkeep.videos(store))
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            exchange.export(store, tmp_path / "x.zip", broken())
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_is_left_out_with_a_warning(whole: Path, tmp_path: Path) -> None:
    folder, ears = Path(shutil.copytree(whole, tmp_path / "copy")), Ears()
    file = next((folder / "features").rglob("*.faiss"))
    file.write_bytes(file.read_bytes()[:-1])
    with Store.open(folder) as store:
        assert exchange.export(store, tmp_path / "x.zip", upkeep.videos(store), ears) == 7
    assert len(ears.warnings) == 1
    assert merge(tmp_path / "new", tmp_path / "x.zip").num_new == 7


def test_names_that_are_not_utf8_travel(whole: Path, tmp_path: Path) -> None:
    video = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    shutil.copy(small_videos() / "red.mp4", video)
    with Store.open(tmp_path / "one") as store:
        index(store, video)
        exchange.export(store, tmp_path / "x.zip", upkeep.videos(store))
    merge(tmp_path / "other", tmp_path / "x.zip")
    assert sets_of(tmp_path / "other") == sets_of(tmp_path / "one")


# --- from somebody who means harm -------------------------------------------------------------------------------------

Change = Callable[[dict[str, bytes]], None]


def remade(exported: Path, target: Path, change: Change, **how: Any) -> Path:
    """The parcel with some entries changed."""
    with zipfile.ZipFile(exported) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    change(entries)
    with zipfile.ZipFile(target, "w", **how) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return target


def with_note(**changes: Any) -> Change:
    def change(entries: dict[str, bytes]) -> None:
        for name in [name for name in entries if name.endswith(".json")]:
            entries[name] = json.dumps({**json.loads(entries[name]), **changes}).encode()

    return change


def with_files(edit: Callable[[bytes], bytes | None]) -> Change:
    def change(entries: dict[str, bytes]) -> None:
        for name in [name for name in entries if name.endswith(".faiss")]:
            data = edit(entries.pop(name))
            if data is not None:
                entries[name] = data

    return change


def flipped(data: bytes) -> bytes:
    return data[:200] + bytes([data[200] ^ 1]) + data[201:]


HOSTILE: dict[str, Change] = {
    "other content": with_files(flipped),
    "cut off": with_files(lambda data: data[:-1]),
    "no content": with_files(lambda data: None),
    "another video": with_note(id="0" * 32),
    "an id that is a path": with_note(id="../../etc/passwd"),
    "another schema": with_note(schema="rdmf.features/9"),
    "no schema": lambda entries: [entries.update({n: b"{}"}) for n in entries if n.endswith(".json")] and None,
    "no JSON": lambda entries: [entries.update({n: b"\xff["}) for n in entries if n.endswith(".json")] and None,
    "nested JSON": lambda e: [e.update({n: b"[" * 100_000}) for n in e if n.endswith(".json")] and None,
    "long JSON": lambda e: [e.update({n: b" " * (2 << 20)}) for n in e if n.endswith(".json")] and None,
    "a spec of other fields": with_note(spec={"evil": 1}),
    "a spec of other types": with_note(spec={"encoder": "x", "fingerprint": 1, "dim": 32, "sampling": "x"}),
    "a huge dimension": with_note(spec={"encoder": "x", "fingerprint": "y", "dim": 1 << 40, "sampling": "x"}),
    "an endless duration": with_note(duration_s=float("inf")),
    "a relative path": with_note(paths=["../../x.mp4"]),
    "a path that climbs": with_note(paths=["/videos/../../etc/passwd"]),
    "a path with NUL": with_note(paths=["/videos/\0.mp4"]),
    "a path that is none": with_note(paths=[7]),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_entries_are_refused_one_by_one(exported: Path, tmp_path: Path, what: str) -> None:
    source = remade(exported, tmp_path / "hostile.zip", HOSTILE[what])
    merged = merge(tmp_path / "new", source)
    assert (merged.num_new, len(merged.refused)) == (0, 8)
    assert all("\n" not in reason for reason in merged.refused)
    found = contents(tmp_path / "new")
    assert (found["sets"], found["files"], found["paths"], found["videos"]) == ([], [], [], [])


def test_names_in_a_parcel_are_never_paths(exported: Path, tmp_path: Path) -> None:
    def change(entries: dict[str, bytes]) -> None:
        for name in ("../../evil.json", "/tmp/evil.faiss", "catalogue.sqlite", "a/b.json", "..", "C:\\x.json"):
            entries[name] = b"{}"

    before = sorted(path.name for path in tmp_path.parent.iterdir())
    merged = merge(tmp_path / "new", remade(exported, tmp_path / "hostile.zip", change))
    assert (merged.num_new, merged.refused) == (8, [])
    assert sorted(path.name for path in tmp_path.parent.iterdir()) == before
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["catalogue.sqlite", "features"]


def test_packed_entries_are_refused(exported: Path, tmp_path: Path) -> None:
    source = remade(exported, tmp_path / "packed.zip", lambda entries: None, compression=zipfile.ZIP_DEFLATED)
    merged = merge(tmp_path / "new", source)
    assert (merged.num_new, len(merged.refused)) == (0, 8)


def test_sizes_are_bounded(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MAX_FILE_BYTES", 100)
    assert len(merge(tmp_path / "new", exported).refused) == 8


def test_links_in_a_folder_are_not_followed(whole: Path, tmp_path: Path) -> None:
    parcel = tmp_path / "parcel"
    parcel.mkdir()
    with Store.open(whole) as store:
        exchange.export(store, parcel, upkeep.videos(store))
    for file in parcel.glob("*.faiss"):
        file.rename(tmp_path / file.name)
        file.symlink_to(tmp_path / file.name)
    assert len(merge(tmp_path / "new", parcel).refused) == 8


@pytest.mark.parametrize("content", [b"", b"hello", b"PK\x03\x04" + b"\0" * 40])
def test_what_is_no_parcel(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        merge(tmp_path / "new", tmp_path / "x.zip")
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="no such file"):
        merge(tmp_path / "new", tmp_path / "nowhere")
