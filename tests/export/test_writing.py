from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rdmf_cli.errors import OutputError
from rdmf_cli.export import writing
from rdmf_cli.export.writing import check_target, staged, write


def test_a_file_appears_whole(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    with staged(out, False) as partial:
        assert partial.parent == tmp_path
        assert partial.suffix == ".txt"
        partial.write_text("half")
        assert not out.exists()
    assert out.read_text() == "half"
    assert list(tmp_path.iterdir()) == [out]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fail(partial: Path) -> None:
        partial.write_text("half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), staged(tmp_path / "a.txt", False) as partial:
        fail(partial)
    assert list(tmp_path.iterdir()) == []


def test_what_exists_is_replaced_only_by_force(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    out.write_text("old")
    with pytest.raises(OutputError, match="already exists") as error:
        write(out, b"new", force=False)
    assert "--force" in error.value.hint
    assert out.read_text() == "old"
    with pytest.raises(ZeroDivisionError), staged(out, True):
        raise ZeroDivisionError
    assert out.read_text() == "old"
    write(out, b"new", force=True)
    assert out.read_text() == "new"
    assert list(tmp_path.iterdir()) == [out]


def test_written_by_somebody_else_meanwhile(tmp_path: Path) -> None:
    out = tmp_path / "a.txt"
    with pytest.raises(OutputError, match="already exists"), staged(out, False):
        out.write_text("theirs")
    assert out.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [out]


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(OutputError, match=r"a\.txt: No space left on device"):
        write(tmp_path / "a.txt", b"x", force=False)
    assert list(tmp_path.iterdir()) == []


def test_targets_that_make_no_sense(tmp_path: Path) -> None:
    (tmp_path / "dead").symlink_to(tmp_path / "nowhere")
    for out, force, words in (
        (tmp_path, True, "a folder"),
        (tmp_path / "none" / "a.txt", False, "no such folder"),
        (tmp_path / ("x" * 300), False, "too long"),
        (tmp_path / "dead", False, "already exists"),
        (Path(os.devnull), True, "not a plain file"),
    ):
        with pytest.raises(OutputError, match=words):
            check_target(out, force)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="no permission"):
        check_target(tmp_path / "a.txt", False)
    tmp_path.chmod(0o700)
