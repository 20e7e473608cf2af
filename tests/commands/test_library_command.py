"""`rdmf library`: what is there, forgetting it, checking it, moving it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Done
from tests.fakes import FakeEncoder
from tests.pipeline.library_fixtures import small_videos

Rdmf = Callable[..., Done]


@pytest.fixture(autouse=True)
def fake_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    from rdmf_cli import encoders
    from rdmf_cli.commands import session

    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: FakeEncoder())
    monkeypatch.setattr(encoders, "open_encoder", lambda name, **options: FakeEncoder())


@pytest.fixture
def videos(tmp_path: Path, rdmf: Rdmf) -> Path:
    """Indexed; two videos and two copies of one."""
    place = tmp_path / "videos"
    place.mkdir()
    for colour in ("red", "blue"):
        shutil.copy(small_videos() / f"{colour}.mp4", place)
    shutil.copy(place / "red.mp4", place / "rouge.mp4")
    assert rdmf("index", str(place)).code == 0
    return place


def listed(rdmf: Rdmf, *arguments: str) -> list[dict[str, Any]]:
    document = json.loads(rdmf("library", "list", "--json", *arguments).out)
    assert document["schema"] == "rdmf.library/1"
    found: list[dict[str, Any]] = document["videos"]
    return found


def test_list_show_stats(rdmf: Rdmf, videos: Path) -> None:
    blue, red = listed(rdmf)
    assert [Path(path).name for path in red["paths"]] == ["red.mp4", "rouge.mp4"]
    assert blue["feature_sets"][0]["encoder"] == "fake"
    assert listed(rdmf, "--encoder", "other") == []
    out = rdmf("library", "list").out
    assert "blue.mp4" in out
    assert "(and 1 more)" in out
    out = rdmf("library", "show", red["id"][:8]).out
    assert "rouge.mp4" in out
    assert red["id"] in out
    assert json.loads(rdmf("library", "show", str(videos), "--json").out)["videos"] == [blue, red]
    assert rdmf("library", "stats").out.startswith("2 videos at 3 places, 0.00 h, ")
    stats = json.loads(rdmf("library", "stats", "--json").out)
    assert (stats["num_videos"], stats["encoders"][0]["encoder"]) == (2, "fake")


def test_an_empty_library(rdmf: Rdmf) -> None:
    done = rdmf("library", "list")
    assert (done.code, done.out) == (0, "")
    assert "rdmf index" in done.err
    done = rdmf("library", "show", "abcdef")
    assert (done.code, "not in the library" in done.err) == (2, True)
    assert rdmf("library", "verify").code == 0
    assert "still there" in rdmf("library", "prune").err


def test_remove_asks_for_more_than_one(rdmf: Rdmf, videos: Path) -> None:
    done = rdmf("library", "remove", str(videos))
    assert (done.code, "--yes" in done.err) == (2, True)
    assert len(listed(rdmf)) == 2
    assert rdmf("library", "remove", str(videos / "red.mp4"), "--encoder", "other").code == 0
    assert len(listed(rdmf)) == 2
    assert rdmf("library", "remove", str(videos / "red.mp4")).code == 0
    assert len(listed(rdmf)) == 1
    assert rdmf("library", "remove", str(videos), "--yes").code == 0
    assert listed(rdmf) == []
    assert (videos / "red.mp4").exists()


def test_prune_asks_first(rdmf: Rdmf, videos: Path) -> None:
    (videos / "blue.mp4").unlink()
    (videos / "red.mp4").unlink()
    done = rdmf("library", "prune")
    assert (done.code, "--yes" in done.err) == (2, True)
    assert rdmf("library", "prune", "--dry-run").out.endswith("would drop 1 videos and 1 other places\n")
    assert len(listed(rdmf)) == 2
    assert rdmf("library", "prune", "--yes").code == 0
    [left] = listed(rdmf)
    assert [Path(path).name for path in left["paths"]] == ["rouge.mp4"]


def test_verify_mends_or_says_so(rdmf: Rdmf, videos: Path, home: Path) -> None:
    done = rdmf("library", "verify")
    assert (done.code, done.out) == (0, "2 feature sets of 2 videos checked\n")
    file = next((home / "store" / "features").rglob("*.faiss"))
    data = file.read_bytes()
    file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    done = rdmf("library", "verify", "--dry-run")
    assert done.code == 5
    assert done.out.startswith("found: ")
    done = rdmf("library", "verify")
    assert done.code == 0
    assert done.out.startswith("repaired: ")
    assert file.read_bytes() == data


def test_verify_makes_a_new_catalogue(rdmf: Rdmf, videos: Path, home: Path) -> None:
    before = listed(rdmf)
    file = home / "store" / "catalogue.sqlite"
    data = bytearray(file.read_bytes())
    data[100:108] = b"\xff" * 8
    file.write_bytes(bytes(data))
    done = rdmf("library", "list")
    assert (done.code, "rdmf library verify" in done.err) == (5, True)
    done = rdmf("library", "verify")
    assert done.code == 0
    assert "made of 2 feature files" in done.err
    done = rdmf("index", str(videos))
    assert done.out.startswith("indexed 0 videos; ")
    assert [video["feature_sets"] for video in listed(rdmf)] == [video["feature_sets"] for video in before]


def test_export_and_import(rdmf: Rdmf, videos: Path, tmp_path: Path) -> None:
    target, new = tmp_path / "x.zip", ("--store", str(tmp_path / "new"))
    assert rdmf("library", "export", str(target)).out == f"2 feature sets written to {target}\n"
    done = rdmf("library", "export", str(target))
    assert (done.code, "--force" in done.err) == (6, True)
    assert rdmf("library", "import", str(target), *new).out == "2 feature sets taken over, of 2 new videos\n"
    assert "2 were here already" in rdmf("library", "import", str(target), *new).out
    assert listed(rdmf, *new) == listed(rdmf)
    folder = tmp_path / "parcel"
    assert rdmf("library", "export", f"{folder}/", str(videos / "red.mp4")).code == 0
    assert len(list(folder.iterdir())) == 2
    for file in folder.glob("*.faiss"):
        file.write_bytes(b"x")
    done = rdmf("library", "import", str(folder), "--store", str(tmp_path / "third"))
    assert (done.code, "damaged" in done.err) == (7, True)
    assert rdmf("library", "import", str(tmp_path / "nowhere")).code == 2


def test_rebuild(rdmf: Rdmf, videos: Path, home: Path) -> None:
    (home / "store" / "library" / "old").mkdir(parents=True)
    assert rdmf("library", "rebuild").out == "rebuilt for 1 encoder\n"
    assert not (home / "store" / "library" / "old").exists()
