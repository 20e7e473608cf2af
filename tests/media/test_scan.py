"""Files of folders: each once, in order, whatever lies around."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rdmf_cli.media import scan
from rdmf_cli.media.scan import Choice, FoundFile, files_below, is_video
from tests.videos import constant_rate


def below(place: Path, choice: Choice | None = None) -> tuple[list[str], list[str]]:
    """Paths below `place`, and what was complained of."""
    complaints: list[str] = []
    found = files_below(place, choice or Choice(), lambda path, why: complaints.append(f"{path.name}: {why}"))
    return [file.below for file in found], complaints


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b/clip10.mp4", "b/clip2.mp4", "b/raw/x.MOV", "a.mp4", ".hidden/y.mp4", "b/.z.mp4", "notes.txt"):
        file = tmp_path / "t" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x" * len(name))
    return tmp_path / "t"


def test_natural_order_and_nothing_hidden(tree: Path) -> None:
    assert below(tree) == (["a.mp4", "notes.txt", "b/clip2.mp4", "b/clip10.mp4", "b/raw/x.MOV"], [])


def test_size_time_and_real_path(tree: Path) -> None:
    (tree.parent / "link").symlink_to(tree)
    [file] = [f for f in files_below(tree.parent / "link", Choice(), lambda *_: None) if f.below == "a.mp4"]
    status = (tree / "a.mp4").stat()
    assert file == FoundFile(tree.resolve() / "a.mp4", "a.mp4", status.st_size, status.st_mtime_ns)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (Choice(include=("*.mov",)), ["b/raw/x.MOV"]),
        (Choice(include=("*.mp4",), exclude=("clip1*",)), ["a.mp4", "b/clip2.mp4"]),
        (Choice(exclude=("raw", "*.txt")), ["a.mp4", "b/clip2.mp4", "b/clip10.mp4"]),
        (Choice(exclude=("b/raw/",), include=("b/*",)), ["b/clip2.mp4", "b/clip10.mp4"]),
        (Choice(exclude=("B",)), ["a.mp4", "notes.txt"]),
        (Choice(include=("nothing",)), []),
    ],
)
def test_globs(tree: Path, choice: Choice, expected: list[str]) -> None:
    assert below(tree, choice)[0] == expected
    everything = below(tree)[0]
    assert [name for name in everything if choice.wants(name)] == expected  # as watching asks


def test_a_file_that_is_named_is_always_wanted(tree: Path) -> None:
    assert below(tree / "a.mp4", Choice(exclude=("*",))) == (["a.mp4"], [])


def test_links_loops_and_special_files(tree: Path) -> None:
    (tree / "loop").symlink_to(tree)
    (tree / "self").symlink_to("self")
    (tree / "broken.mp4").symlink_to("nowhere")
    (tree / "again.mp4").symlink_to("a.mp4")
    os.mkfifo(tree / "pipe.mp4")
    names, complaints = below(tree, Choice(exclude=("b",)))
    assert names == ["a.mp4", "again.mp4", "notes.txt"]
    assert complaints == []
    assert below(tree / "pipe.mp4")[1] == ["pipe.mp4: not a plain file"]
    assert below(tree / "nowhere")[1] == ["nowhere: No such file or directory"]
    assert len(below(tree / "self")[1]) == 1


def test_an_unreadable_folder_is_told_and_the_rest_goes_on(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    visible = scan._visible

    def refused(folder: Path):
        if folder.name == "raw":
            raise PermissionError(13, "Permission denied")
        return visible(folder)

    monkeypatch.setattr(scan, "_visible", refused)
    names, complaints = below(tree)
    assert "b/clip10.mp4" in names
    assert "b/raw/x.MOV" not in names
    assert complaints == ["raw: Permission denied"]


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.mp4")
    (tmp_path / name).write_bytes(b"x")
    assert below(tmp_path) == ([name], [])


def test_deep_folders(tmp_path: Path) -> None:
    folder = tmp_path
    for _ in range(60):
        folder = folder / "d"
    folder.mkdir(parents=True)
    (folder / "x.mp4").touch()
    assert below(tmp_path) == (["d/" * 60 + "x.mp4"], [])


def test_videos_are_known_by_content(tmp_path: Path) -> None:
    def found(name: str, content: bytes) -> FoundFile:
        (tmp_path / name).write_bytes(content)
        return FoundFile(tmp_path / name, name, len(content), 0)

    video = constant_rate().read_bytes()
    assert is_video(found("video.mp4", video))
    assert is_video(found("video.txt", video))
    assert not is_video(found("text.mp4", b"hello"))
    assert not is_video(found("empty.mp4", b""))
    assert is_video(FoundFile(tmp_path / "gone.mp4", "gone.mp4", 1, 0))  # so that reading it says why
    assert not is_video(FoundFile(tmp_path / "gone.txt", "gone.txt", 1, 0))
