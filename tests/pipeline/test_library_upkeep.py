"""Looking after the library: verify mends or drops, prune drops what is gone, stats count."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rdmf_cli.errors import ModelError
from rdmf_cli.pipeline import upkeep
from rdmf_cli.store import Store, records
from rdmf_cli.store.catalogue import FILE_NAME, DamagedCatalogue
from tests.fakes import FakeEncoder
from tests.pipeline.library_fixtures import contents, index, small_videos


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_videos(), tmp_path / "videos"))


@pytest.fixture
def library(videos: Path, store: Store) -> Store:
    index(store, videos)
    return store


def damage(store: Store, number: int = 2) -> list[Path]:
    random = Random(number)
    files = random.sample(sorted((store.folder / "features").rglob("*.faiss")), number)
    for file in files:
        data = bytearray(file.read_bytes())
        data[random.randrange(len(data))] ^= 1 << random.randrange(8)
        file.write_bytes(bytes(data))
    return files


def fake(name: str) -> FakeEncoder:
    assert name == "fake"
    return FakeEncoder()


def test_damaged_features_are_made_again_from_their_videos(library: Store) -> None:
    before = contents(library.folder)
    damage(library)
    found = upkeep.verify(library, fake, repair=False)
    assert [finding.outcome for finding in found.findings] == ["found", "found"]
    assert [finding.outcome for finding in upkeep.verify(library, fake).findings] == ["repaired", "repaired"]
    assert upkeep.verify(library, fake).findings == []
    assert contents(library.folder) == before


def test_what_can_not_be_made_again_is_dropped_with_a_line(library: Store, videos: Path) -> None:
    damage(library)
    shutil.rmtree(videos)
    checked = upkeep.verify(library, fake)
    assert [finding.outcome for finding in checked.findings] == ["dropped", "dropped"]
    assert all("damaged" in finding.what and "\n" not in finding.what for finding in checked.findings)
    assert len(contents(library.folder)["sets"]) == 6
    assert upkeep.verify(library, fake).findings == []


@pytest.mark.parametrize("seed", [None, 1])
def test_another_encoder_is_no_replacement(library: Store, seed: int | None) -> None:
    """The one that made the features is not here, or has other weights by now."""

    def open_other(name: str) -> FakeEncoder:
        if seed is None:
            raise ModelError("fake: its weights are not here")
        return FakeEncoder(seed=seed)

    damage(library, 1)
    assert [finding.outcome for finding in upkeep.verify(library, open_other).findings] == ["dropped"]


def test_a_changed_video_is_no_source(library: Store, videos: Path) -> None:
    damage(library, 1)
    for video in videos.rglob("*.mp4"):
        video.write_bytes(video.read_bytes() + b"x")
    assert [finding.outcome for finding in upkeep.verify(library, fake).findings] == ["dropped"]


@pytest.mark.parametrize("table", ["path", "feature_set", "video", "failure"])
def test_a_damaged_row_is_mended(library: Store, videos: Path, table: str) -> None:
    before = contents(library.folder)
    column = {"path": "mtime_ns", "feature_set": "num_rows", "video": "duration_s", "failure": "failed_s"}[table]
    with library.catalogue.writing():
        library.catalogue.execute(
            f"UPDATE {table} SET {column} = {column} + 1 WHERE rowid = (SELECT min(rowid) FROM {table})"
        )
    checked = upkeep.verify(library, fake)
    assert [finding.outcome for finding in checked.findings] == ["repaired"]
    assert upkeep.verify(library, fake).findings == []
    summary, _ = index(library, videos)
    assert (summary.count("unchanged"), summary.count("indexed")) == (8, 0)
    assert contents(library.folder) == before


def test_a_damaged_catalogue_is_told_from_a_store_that_can_not_be_opened(library: Store) -> None:
    folder = library.folder
    library.close()
    connection = sqlite3.connect(folder / FILE_NAME, isolation_level=None)
    connection.execute("DROP INDEX path_of_video")
    connection.close()
    with Store.open(folder) as store, pytest.raises(DamagedCatalogue):
        upkeep.verify(store, fake)


def test_leftovers_and_cache(library: Store) -> None:
    stray = library.folder / "features" / "ab" / f"{'ab' * 32}.faiss"
    stray.parent.mkdir(exist_ok=True)
    stray.write_bytes(b"x")
    library.save_array("bank", __import__("numpy").zeros(3))
    [cached] = (library.folder / "cache").iterdir()
    cached.write_bytes(cached.read_bytes()[:-1])
    checked = upkeep.verify(library, fake)
    assert ([finding.outcome for finding in checked.findings], checked.num_leftovers) == (["dropped"], 1)
    assert not stray.exists()
    assert not cached.exists()


def test_prune_drops_what_is_nowhere_any_more(library: Store, videos: Path) -> None:
    shutil.copy(videos / "blue.mp4", videos / "bleu.mp4")
    index(library, videos)
    (videos / "blue.mp4").unlink()
    (videos / "red.mp4").unlink()
    (videos / "cut.mp4").unlink()
    shutil.rmtree(videos / "more")
    found = upkeep.gone(library)
    assert sorted(path.name for path in found.paths if path.parent == videos) == ["blue.mp4", "cut.mp4", "red.mp4"]
    assert len(found.videos) == 5
    assert found.unmounted == (videos / "more",)
    upkeep.prune(library, found)
    left = list(records.videos(library.catalogue))
    assert sorted(path.name for video in left for path in video.paths) == ["bleu.mp4", "cyan.mp4", "orange.mp4"]
    assert records.failures(library.catalogue) == []
    assert len(contents(library.folder)["files"]) == 3
    assert upkeep.gone(library) == upkeep.Gone((), (), ())


def test_the_earlier_content_of_a_changed_file_is_pruned(library: Store, videos: Path) -> None:
    shutil.copy(videos / "blue.mp4", videos / "red.mp4")
    index(library, videos)
    found = upkeep.gone(library)
    assert (len(found.videos), found.paths) == (1, ())
    upkeep.prune(library, found)
    assert len(contents(library.folder)["sets"]) == 7


def test_videos_are_meant_by_path_folder_or_id(library: Store, videos: Path) -> None:
    [red] = records.matching(library.catalogue, str(videos / "red.mp4"))
    assert records.matching(library.catalogue, red[:6]) == [red]
    assert records.matching(library.catalogue, red.upper()) == [red]
    assert records.matching(library.catalogue, red[:5]) == []
    assert len(records.matching(library.catalogue, str(videos / "more"))) == 4
    assert len(records.matching(library.catalogue, str(videos))) == 8
    assert records.matching(library.catalogue, str(videos / "mor")) == []
    assert records.matching(library.catalogue, "%") == []
    assert library.remove(red) == 1
    assert records.matching(library.catalogue, red[:8]) == []
    assert len(contents(library.folder)["files"]) == 7


def test_stats(library: Store, videos: Path) -> None:
    index(library, videos, encoder=FakeEncoder("other", seed=1))
    found = upkeep.stats(library)
    assert (found.num_videos, found.num_paths, found.num_failures) == (8, 8, 1)
    assert found.duration_s == pytest.approx(sum(2 + number / 5 for number in range(8)), abs=1)
    assert [(one.encoder, one.num_videos) for one in found.encoders] == [("fake", 8), ("other", 8)]
    on_disk = sum(file.stat().st_size for file in (library.folder / "features").rglob("*.faiss"))
    assert sum(one.size_bytes for one in found.encoders) == on_disk < found.size_bytes


def test_everything_derived_is_refreshed_once_per_encoder(
    library: Store, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index(library, videos, encoder=FakeEncoder("other", seed=1))
    seen: list[Any] = []
    monkeypatch.setattr(upkeep, "refresh_derived", lambda store, spec, progress: seen.append(spec.encoder))
    assert upkeep.refresh_all(library) == 2
    assert sorted(seen) == ["fake", "other"]


def test_a_damaged_index_of_library_search_is_found_and_made_again(library: Store, videos: Path) -> None:
    index(library, videos)
    assert upkeep.verify(library, fake).findings == []
    segment = max((library.folder / "library").rglob("*"), key=lambda file: file.is_file() and file.stat().st_size)
    data = bytearray(segment.read_bytes())
    data[len(data) // 2] ^= 1
    segment.write_bytes(bytes(data))
    [finding] = upkeep.verify(library, fake, repair=False).findings
    assert "index of library search, fake" in finding.what
    assert finding.outcome == "found"
    [finding] = upkeep.verify(library, fake).findings
    assert finding.outcome == "repaired"
    assert upkeep.verify(library, fake).findings == []


def test_a_path_of_the_catalogue_is_the_real_one(library: Store, videos: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(videos)
    assert len(records.matching(library.catalogue, str(tmp_path / "link" / "red.mp4"))) == 1
    assert os.path.realpath(videos) in str(next(records.videos(library.catalogue)).paths[0])
