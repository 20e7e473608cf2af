"""Watching folders: what comes is indexed once it rests."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from rdmf_cli.media.scan import Choice
from rdmf_cli.pipeline import watching
from rdmf_cli.pipeline.indexing import Indexer
from rdmf_cli.pipeline.planning import Event, IndexOptions
from rdmf_cli.pipeline.watching import Settling, watch
from rdmf_cli.store import Store
from tests.fakes import FakeEncoder
from tests.pipeline.library_fixtures import small_videos


def names(files: list[Any]) -> list[str]:
    return [file.below for file in files]


def test_a_file_that_is_being_written_is_left_until_it_rests(tmp_path: Path) -> None:
    settling, file = Settling([tmp_path], Choice(), quiet_s=2), tmp_path / "a.mp4"
    file.write_bytes(b"1")
    settling.note([file], 0.0)
    assert settling.ripe(1.9) == []
    file.write_bytes(b"12")  # nobody told, but it is seen
    assert settling.ripe(2.1) == []
    assert settling.ripe(4.0) == []
    settling.note([file], 4.05)  # told again
    assert settling.ripe(4.2) == []
    assert names(settling.ripe(6.1)) == ["a.mp4"]
    assert settling.ripe(9.0) == []


def test_what_is_gone_hidden_or_not_wanted(tmp_path: Path) -> None:
    settling = Settling([tmp_path], Choice(exclude=("raw", "*.part")), quiet_s=0)
    for name in ("a.mp4", "a.part", ".b.mp4", "raw/c.mp4", ".d/e.mp4", "gone.mp4", "sub/f.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    settling.note([tmp_path / "gone.mp4"], 0.0)
    (tmp_path / "gone.mp4").unlink()
    settling.note([path for path in tmp_path.rglob("*") if path.is_file()], 0.0)
    settling.note([tmp_path.parent / "elsewhere.mp4"], 0.0)
    assert names(settling.ripe(1.0)) == ["a.mp4", "sub/f.mp4"]


def test_a_folder_stands_for_what_is_in_it(tmp_path: Path) -> None:
    settling = Settling([tmp_path], Choice(), quiet_s=0)
    (tmp_path / "new" / "deep").mkdir(parents=True)
    (tmp_path / "new" / "deep" / "a.mp4").write_bytes(b"x")
    name = os.fsdecode(b"caf\xe9.mp4")
    (tmp_path / name).write_bytes(b"x")
    settling.note([tmp_path / "new"], 0.0)
    assert names(settling.ripe(1.0)) == ["new/deep/a.mp4"]
    settling.note([tmp_path / "caf\ufffd.mp4"], 1.0)  # what the watcher can say of a name that is not UTF-8
    assert set(names(settling.ripe(2.0))) == {name, "new/deep/a.mp4"}


def test_the_first_look_new_files_and_the_end(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With changes that are told by the test instead of the system."""
    place, events, ready = tmp_path / "videos", list[Event](), list[int]()
    place.mkdir()
    shutil.copy(small_videos() / "red.mp4", place / "first.mp4")

    def changes(roots: list[Path]) -> Any:
        yield set()
        assert [(event.kind, event.path.name) for event in events] == [("indexed", "first.mp4")]
        assert ready == [1]
        shutil.copy(small_videos() / "blue.mp4", place / "second.mp4")
        yield {place / "second.mp4"}
        yield set()
        os.rename(place / "second.mp4", place / "third.mp4")
        yield {place / "second.mp4", place / "third.mp4"}
        yield set()
        raise KeyboardInterrupt

    monkeypatch.setattr(watching, "_changes", changes)
    monkeypatch.setattr(watching, "QUIET_S", 0.0)
    monkeypatch.setattr(Settling.__init__, "__defaults__", (0.0,))
    indexer = Indexer(encoder=FakeEncoder(), store=store, options=IndexOptions(), on_event=events.append)
    watch(indexer, [place], Choice(), lambda: ready.append(1))
    assert [(event.kind, event.path.name) for event in events[1:]] == [
        ("indexed", "second.mp4"),
        ("moved", "third.mp4"),
    ]
    assert indexer.summary.count("indexed") == 2
