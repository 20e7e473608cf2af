"""Published generations: readers and writers at once, and what is left after damage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import StoreError
from rdmf_cli.store import Store
from rdmf_cli.store.generations import Contents, DamagedIndex, Generations, Manifest, Part, remove_all, without
from rdmf_cli.store.nearest import Entry, Segment, build

DIM = 8


def segment(seed: int, rows: int = 4) -> Segment:
    values = np.random.default_rng(seed).standard_normal((rows, DIM)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    return build([Entry(f"{seed:032x}", "key", f"{seed:064x}", rows)], lambda _: (values, 2.0), DIM)


@pytest.fixture
def generations(tmp_path: Path) -> Generations:
    return Generations(Store.open(tmp_path / "store"), "f" * 32, DIM)


def test_published_and_read(generations: Generations) -> None:
    assert generations.read() == Manifest()
    first = generations.publish(Manifest(), Contents(1, 5.5, 5.5), [], [segment(1)])
    assert first is not None
    assert generations.read() == first
    second = generations.publish(first, Contents(2, 11.0, 5.5), first.parts, [segment(2), segment(3)])
    assert second is not None
    assert second.generation == first.generation + 1
    manifest, segments = generations.open_newest()
    assert manifest == second
    assert [s.entries[0].video_id for s in segments] == [f"{n:032x}" for n in (1, 2, 3)]
    assert len(list(generations.folder.iterdir())) == 4  # three segments and the manifest, nothing unfinished


def test_who_comes_second_publishes_nothing(generations: Generations) -> None:
    first = generations.publish(Manifest(), Contents(), [], [segment(1)])
    assert generations.publish(Manifest(), Contents(), [], [segment(2)]) is None
    assert generations.read() == first
    assert len(list(generations.folder.iterdir())) == 2


def test_replaced_segments_go_and_open_ones_stay_usable(generations: Generations) -> None:
    first = generations.publish(Manifest(), Contents(), [], [segment(1)])
    assert first is not None
    opened = generations.open(first)
    second = generations.publish(first, Contents(), [], [segment(2)])
    assert second is not None
    assert [file.name for file in generations.folder.glob("*.faiss")] == [second.parts[0].file]
    assert len(opened[0].search(np.ones(DIM, np.float32), 3).row) == 3
    with pytest.raises(FileNotFoundError):
        generations.open(first)


def test_a_reader_that_comes_too_late_reads_again(generations: Generations, monkeypatch: pytest.MonkeyPatch) -> None:
    first = generations.publish(Manifest(), Contents(), [], [segment(1)])
    assert first is not None
    read, done = generations.read, []

    def slow() -> Manifest:
        manifest = read()
        if not done:
            done.append(True)
            generations.publish(first, Contents(), [], [segment(2)], force=True)
        return manifest

    monkeypatch.setattr(generations, "read", slow)
    _, [found] = generations.open_newest()
    assert found.entries[0].video_id == f"{2:032x}"


def test_a_segment_that_is_missing(generations: Generations) -> None:
    first = generations.publish(Manifest(), Contents(), [], [segment(1)])
    assert first is not None
    (generations.folder / first.parts[0].file).unlink()
    with pytest.raises(DamagedIndex, match="missing"):
        generations.open_newest()


def test_a_damaged_manifest(generations: Generations) -> None:
    generations.publish(Manifest(), Contents(), [], [segment(1)])
    file = generations.folder / "manifest.json"
    whole = file.read_bytes()
    for place in range(0, len(whole) - 1, 7):
        data = bytearray(whole)
        data[place] ^= 4
        file.write_bytes(bytes(data))
        with pytest.raises(DamagedIndex):
            generations.read()
    file.write_bytes(b"")
    with pytest.raises(DamagedIndex):
        generations.read()


def test_a_manifest_can_not_name_a_file_elsewhere(generations: Generations) -> None:
    from rdmf_cli.store import generations as module

    generations.publish(Manifest(), Contents(), [], [segment(1)])
    manifest = Manifest(2, Contents(), (Part("../../catalogue.sqlite", 4, False),))
    (generations.folder / "manifest.json").write_bytes(module._pack(manifest))
    with pytest.raises(DamagedIndex, match="elsewhere"):
        generations.read()


def test_another_version_is_built_again(generations: Generations) -> None:
    import hashlib

    generations.publish(Manifest(), Contents(), [], [segment(1)])
    text = json.dumps({"version": 99}).encode()
    (generations.folder / "manifest.json").write_bytes(hashlib.sha256(text).hexdigest().encode() + b"\n" + text + b"\n")
    with pytest.raises(DamagedIndex, match="version"):
        generations.read()


def test_removed_entries(generations: Generations) -> None:
    one = segment(1)
    part = without(Part("a.faiss", 4, False), one, [0])
    assert (part.removed, part.num_removed_rows) == ((0,), 4)
    assert without(part, one, [0]) == part


def test_a_link_is_not_followed(generations: Generations, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    generations.folder.parent.mkdir()
    generations.folder.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError, match="link"):
        generations.publish(Manifest(), Contents(), [], [segment(1)])


def test_forgotten(generations: Generations) -> None:
    remove_all(generations._store, generations._name)
    generations.publish(Manifest(), Contents(), [], [segment(1)])
    remove_all(generations._store, generations._name)
    assert generations.read() == Manifest()
    assert list(generations.folder.iterdir()) == []
