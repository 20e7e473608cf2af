from __future__ import annotations

import stat
from pathlib import Path

import pytest

from rdmf_cli.errors import VideoError
from rdmf_cli.media import ffmpeg
from rdmf_cli.media.ffmpeg import Child, explain, ffmpeg_path, ffmpeg_version, file_url


def program(folder: Path, version: str) -> Path:
    path = folder / "ffmpeg"
    path.write_text(f"#!/bin/sh\necho 'ffmpeg version {version} Copyright'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.parametrize(
    ("text", "number"),
    [("9.0.2-17-g2a57", (9, 0)), ("4.4.2-0ubuntu0.22.04.1", (4, 4)), ("7", (7, 0)), ("", (0, 0)),
     ("N-118000-gabc", (999, 0)), ("2026-10-01-git-abc", (999, 0))],
)  # fmt: skip
def test_version_numbers(text: str, number: tuple[int, int]) -> None:
    assert ffmpeg._version_number(text) == number


def test_the_wanted_program_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDMF_FFMPEG", str(program(tmp_path, "n8.8")))
    assert ffmpeg_path() == str(tmp_path / "ffmpeg")
    assert ffmpeg_version() == "8.8"


def test_a_wanted_program_that_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDMF_FFMPEG", str(tmp_path / "none"))
    with pytest.raises(VideoError, match="RDMF_FFMPEG"):
        ffmpeg_path()


@pytest.mark.parametrize(("version", "taken"), [("5.1.4", True), ("8.0", True), ("5.0.1", False), ("4.4", False)])
def test_the_systems_ffmpeg_is_taken_if_new_enough(
    version: str, taken: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = program(tmp_path, version)
    monkeypatch.delenv("RDMF_FFMPEG", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert (ffmpeg_path() == str(system)) is taken


def test_explanations_are_one_line() -> None:
    lines = ["[mov,mp4 @ 0x55] [error] moov atom not found", "[in#0 @ 0x5] [error] Error opening input: Invalid data"]
    assert "index (moov) is missing" in explain(lines)
    assert explain(["[h264 @ 0x5] [error] strange thing", "", "Conversion failed!"]) == "strange thing"
    assert explain([]) == ""


def test_a_full_disk_is_the_reason_whatever_follows() -> None:
    lines = [
        "[out#0/mp4 @ 0x1] Error writing trailer: No space left on device",
        "[out#0/mp4 @ 0x1] Nothing was written into output file, because its streams received no packets.",
    ]
    assert explain(lines) == "No space left on device"


def test_a_program_that_does_not_start(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="does not start"):
        Child([str(tmp_path / "none")])


def test_a_forgotten_child_is_killed() -> None:
    child = Child(["sleep", "99"])
    process = child._process
    child.stop()
    child.stop()
    assert process.poll() is not None


def test_urls_are_absolute() -> None:
    assert file_url(Path("-y.mp4")) == f"file:{Path.cwd()}/-y.mp4"
