from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from rdmf_cli.errors import OutputError
from rdmf_cli.export import writing
from rdmf_cli.export.writing import check_target, whole_file, write_text


def test_written_as_utf8(tmp_path: Path) -> None:
    write_text(tmp_path / "out.srt", "ゴール\n\udcff")
    assert (tmp_path / "out.srt").read_bytes() == "ゴール\n\\udcff".encode()
    assert list(tmp_path.iterdir()) == [tmp_path / "out.srt"]


def test_nothing_is_replaced_unasked(tmp_path: Path) -> None:
    out = tmp_path / "out.srt"
    out.write_text("mine")
    with pytest.raises(OutputError, match=r"out\.srt: already exists") as caught:
        write_text(out, "theirs")
    assert caught.value.hint == "--force replaces it"
    assert out.read_text() == "mine"
    write_text(out, "theirs", force=True)
    assert out.read_text() == "theirs"
    assert list(tmp_path.iterdir()) == [out]


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out.srt"

    def late() -> None:
        with whole_file(out) as temporary:
            temporary.write_text("late")
            out.write_text("first")

    with pytest.raises(OutputError, match="already exists"):
        late()
    assert out.read_text() == "first"
    assert list(tmp_path.iterdir()) == [out]


def test_file_systems_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*arguments: Any) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    write_text(tmp_path / "out.srt", "text")
    assert (tmp_path / "out.srt").read_text() == "text"
    with pytest.raises(OutputError, match="already exists"), whole_file(tmp_path / "new.srt"):
        (tmp_path / "new.srt").touch()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.EIO, "Input/output error"), ValueError])
def test_nothing_is_left_of_a_failure(tmp_path: Path, error: Any) -> None:
    out = tmp_path / "out.mp4"
    out.write_text("old")

    def fail() -> None:
        with whole_file(out, force=True) as temporary:
            assert temporary.suffix == ".mp4"
            temporary.write_text("half")
            raise error

    with pytest.raises((KeyboardInterrupt, OutputError, ValueError)):
        fail()
    assert out.read_text() == "old"
    assert list(tmp_path.iterdir()) == [out]


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing.os, "fsync", full)
    with pytest.raises(OutputError, match=r"out\.srt: No space left on device"):
        write_text(tmp_path / "out.srt", "text")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="limits of POSIX")
def test_a_limit_on_files_that_is_real(tmp_path: Path) -> None:
    code = f"""
import resource
from pathlib import Path
from rdmf_cli.errors import OutputError
from rdmf_cli.export.writing import write_text
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_text(Path({str(tmp_path / "out.csv")!r}), "x" * 100_000)
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().endswith("out.csv: File too large"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_targets_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for target, words in (
        (tmp_path, "a folder, not a file name"),
        (tmp_path / "none" / "out.srt", "none: no such folder"),
        (tmp_path / "file" / "out.srt", "no such folder"),
        (tmp_path / ("x" * 300), "too long"),
    ):
        for force in (False, True):
            with pytest.raises(OutputError, match=words):
                check_target(target, force=force)


@pytest.mark.skipif(os.name != "posix", reason="links and pipes")
def test_what_is_no_plain_file_stays(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OutputError, match="not a plain file"):
        check_target(tmp_path / "pipe", force=True)
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(OutputError, match="not a plain file"):
        write_text(tmp_path / "link", "text")
    with pytest.raises(OutputError, match="not a plain file"):
        check_target(Path("/dev/null"), force=True)


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real.srt").write_text("old")
    (tmp_path / "link.srt").symlink_to(tmp_path / "folder" / "real.srt")
    with pytest.raises(OutputError, match="already exists"):
        write_text(tmp_path / "link.srt", "new")
    write_text(tmp_path / "link.srt", "new", force=True)
    assert (tmp_path / "link.srt").is_symlink()
    assert (tmp_path / "folder" / "real.srt").read_text() == "new"
    assert len(list((tmp_path / "folder").iterdir())) == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(OutputError, match=r"read-only|Permission denied"):
            write_text(tmp_path / "out.srt", "text")
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_that_is_read_only_for_root_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing.os, "access", lambda path, mode: False)
    with pytest.raises(OutputError, match="the folder is read-only"):
        check_target(tmp_path / "out.srt", force=False)
