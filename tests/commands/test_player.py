"""`--open`: what a player is given. The players here are small programs on a PATH of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rdmf_cli.commands import player
from rdmf_cli.errors import OutputError, VideoError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the players here are shell scripts")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but what tests put there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.chdir(tmp_path)
    return folder


def install(folder: Path, name: str, status: int = 0) -> Path:
    """A program that writes down its arguments, one a line, and ends."""
    log = folder.parent / f"{name}.log"
    program = folder / name
    program.write_text(f'#!/bin/sh\nfor word in "$@"; do printf "%s\\n" "$word"; done > "{log}"\nexit {status}\n')
    program.chmod(0o755)
    return log


def video(name: str) -> Path:
    Path(name).touch()
    return Path(name)


def words(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8", errors="surrogateescape").splitlines()


def test_mpv_starts_at_the_moment_by_the_containers_clock(path: Path) -> None:
    log = install(path, "mpv")
    install(path, "vlc")
    used = player.play(video("a.mp4"), 12.5, 3690.0)
    assert (used.name, used.starts_there) == ("mpv", True)
    assert words(log) == ["--rebase-start-time=no", "--start=3702.500", "--", str(Path("a.mp4").absolute())]


def test_a_negative_clock_is_not_counted_from_the_end(path: Path) -> None:
    log = install(path, "mpv")
    player.play(video("a.mp4"), 0.5, -1.0)
    assert words(log)[0] == "--start=0.500"


def test_vlc(path: Path) -> None:
    log = install(path, "vlc")
    used = player.play(video("a.mp4"), 12.5, 0.0)
    assert (used.name, used.starts_there) == ("VLC", True)
    assert words(log) == ["--start-time=12.500", str(Path("a.mp4").absolute())]


@pytest.mark.skipif(sys.platform == "darwin", reason="there it is called open")
def test_the_systems_player_is_not_said_to_start_there(path: Path) -> None:
    log = install(path, "xdg-open")
    used = player.play(video("a.mp4"), 12.5, 0.0)
    assert not used.starts_there
    assert words(log) == [str(Path("a.mp4").absolute())]


@pytest.mark.parametrize(
    "name", ["-fs.mp4", "--script=evil.lua", "$(touch hacked).mp4", "a; touch hacked #.mp4", "`x` '\"&|.mp4", "犬.mp4"]
)
@pytest.mark.parametrize("program", ["mpv", "vlc"])
def test_no_name_is_an_option_or_a_command(path: Path, name: str, program: str) -> None:
    log = install(path, program)
    player.play(video(name), 1.0, 0.0)
    assert words(log)[-1] == str(Path(name).absolute())
    assert words(log)[-1].startswith("/")
    assert not Path("hacked").exists()


@pytest.mark.skipif(sys.platform == "darwin", reason="names there are text")
def test_a_name_that_is_no_text(path: Path) -> None:
    log = install(path, "mpv")
    name = os.fsdecode(b"\xff.mp4")
    player.play(video(name), 1.0, 0.0)
    assert words(log)[-1].endswith(name)


def test_no_player(path: Path) -> None:
    with pytest.raises(OutputError, match="no player found") as error:
        player.play(video("a.mp4"), 1.0, 0.0)
    assert "install mpv or VLC" in error.value.hint


def test_a_player_that_fails_at_once(path: Path) -> None:
    install(path, "mpv", status=2)
    with pytest.raises(OutputError, match="mpv ended at once with status 2"):
        player.play(video("a.mp4"), 1.0, 0.0)


def test_a_player_that_does_not_start(path: Path) -> None:
    install(path, "mpv")
    (path / "mpv").write_bytes(b"\x7fELF nonsense")
    with pytest.raises(OutputError, match="mpv does not start"):
        player.play(video("a.mp4"), 1.0, 0.0)


def test_a_video_that_is_gone(path: Path) -> None:
    log = install(path, "mpv")
    with pytest.raises(VideoError, match="not there any more"):
        player.play(Path("gone.mp4"), 1.0, 0.0)
    assert not log.exists()


def test_a_player_stays_open_and_is_not_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(player, "_SOON_S", 0.05)
    (path / "mpv").write_text("#!/bin/sh\nexec /bin/sleep 60\n")
    (path / "mpv").chmod(0o755)
    player.play(video("a.mp4"), 1.0, 0.0)
    running = player._running.pop()
    assert running.poll() is None
    running.kill()
    running.wait()
