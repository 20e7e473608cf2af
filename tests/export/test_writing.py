from __future__ import annotations

from pathlib import Path

import pytest

from rdmf_cli.errors import OutputError
from rdmf_cli.export.writing import staged


def test_a_file_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    with staged(out, False) as partial:
        assert (partial.parent, partial.suffix) == (tmp_path, ".mp4")
        partial.write_bytes(b"whole")
        assert not out.exists()
    assert out.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OutputError])
def test_a_failure_leaves_nothing(error: type[BaseException], tmp_path: Path) -> None:
    def fail() -> None:
        with staged(tmp_path / "a.mp4", False) as partial:
            partial.write_bytes(b"half")
            raise error("no")

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_needs_force(tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"
    out.write_bytes(b"old")
    with pytest.raises(OutputError, match="is there already") as caught, staged(out, False):
        pytest.fail("it must not get here")
    assert "--force" in caught.value.hint
    with staged(out, True) as partial:
        partial.write_bytes(b"new")
    assert out.read_bytes() == b"new"


def test_a_file_that_comes_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "a.mp4"

    def write() -> None:
        with staged(out, False) as partial:
            partial.write_bytes(b"mine")
            out.write_bytes(b"theirs")

    with pytest.raises(OutputError, match="is there already"):
        write()
    assert out.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [out]


def test_a_broken_link_is_a_file_too(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to(tmp_path / "gone")
    with pytest.raises(OutputError, match="is there already"), staged(tmp_path / "a.mp4", False):
        pytest.fail("it must not get here")


@pytest.mark.parametrize(("name", "words"), [(".", "a folder"), ("no/a.mp4", "no such folder"), ("x" * 300, "long")])
def test_places_that_cannot_be_written(name: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=words), staged(tmp_path / name, False):
        pytest.fail("it must not get here")


def test_a_folder_where_nothing_may_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)  # root may always
    with pytest.raises(OutputError, match="nothing may be written there"), staged(tmp_path / "a.mp4", False):
        pytest.fail("it must not get here")
