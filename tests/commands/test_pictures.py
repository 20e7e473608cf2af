"""`rdmf search` with --plot, --contact-sheet, --report, --preview and --open: files, notes, exit codes."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rdmf_cli.commands import player, terminal
from rdmf_cli.commands.terminal_images import Protocol
from rdmf_cli.errors import OutputError
from rdmf_cli.export import figures, writing
from rdmf_cli.media.probe import probe
from rdmf_cli.pipeline.answer import Failure, Outcome
from tests import videos
from tests.commands.conftest import Done, answer_of

Rdmf = Callable[..., Done]
HAS_MATPLOTLIB = importlib.util.find_spec("matplotlib") is not None
needs_matplotlib = pytest.mark.skipif(not HAS_MATPLOTLIB, reason="pip install 'rdmf-cli[plot]'")


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A real video that may be moved away."""
    shutil.copy(videos.constant_rate(), tmp_path / "film.mp4")
    return tmp_path / "film.mp4"


@pytest.fixture(autouse=True)
def real_pictures(pipeline: Callable[[Any], None]) -> None:
    """Answers of three seconds, with pictures that can be taken."""

    def search_videos(places: list[Path], queries: list[str], **options: Any) -> Outcome:
        outcome = Outcome()
        for place in places:
            for query in queries:
                answer = answer_of(place, query, relevance=0.31 if "nothing" in query else 0.8, duration_s=3.0)
                answer = replace(answer, info=probe(place), cuts_s=(1.0,))
                if "one" in query:
                    answer = replace(answer, moments=answer.moments[:1])
                outcome.answers.append(answer)
                options["on_answer"](answer)
        return outcome

    pipeline(search_videos)


def files_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.is_file()}


ALL = pytest.mark.parametrize(
    ("option", "name"),
    [
        pytest.param("--plot", "out.png", marks=needs_matplotlib),
        pytest.param("--plot", "out.svg", marks=needs_matplotlib),
        ("--contact-sheet", "out.jpg"),
        ("--contact-sheet", "out.PNG"),
        ("--report", "out.html"),
    ],
)


@ALL
def test_a_file_is_written(rdmf: Rdmf, film: Path, tmp_path: Path, option: str, name: str) -> None:
    before = files_in(tmp_path)
    done = rdmf("search", str(film), "a dog", option, str(tmp_path / name))
    assert done.code == 0
    assert "0:00:00.750" in done.out  # the answer is printed as ever
    assert done.err == f"rdmf: wrote {tmp_path / name}\n"
    assert files_in(tmp_path) == before | {name}
    content = (tmp_path / name).read_bytes()
    signs = {".png": b"\x89PNG", ".jpg": b"\xff\xd8", ".svg": b"<?xml", ".html": b"<!DOCTYPE html>"}
    assert content.startswith(signs[Path(name).suffix.lower()])


@ALL
def test_no_match_still_gives_the_file_and_its_exit_code(
    rdmf: Rdmf, film: Path, tmp_path: Path, option: str, name: str
) -> None:
    done = rdmf("search", str(film), "nothing", option, str(tmp_path / name))
    assert done.code == 1
    assert (tmp_path / name).stat().st_size > 100
    if name.endswith(".html"):
        assert "No confident match" in (tmp_path / name).read_text()
        rdmf("search", str(film), "nothing", option, str(tmp_path / name), "--all", "--force")
        assert "<table>" in (tmp_path / name).read_text()


@ALL
def test_what_exists_stays_without_force(rdmf: Rdmf, film: Path, tmp_path: Path, option: str, name: str) -> None:
    out = tmp_path / name
    out.write_text("old")
    done = rdmf("search", str(film), "a dog", option, str(out))
    assert (done.code, done.out) == (6, "")  # said before the search
    assert f"{out}: already exists" in done.err
    assert "--force" in done.err
    assert out.read_text() == "old"
    assert rdmf("search", str(film), "a dog", option, str(out), "--force").code == 0
    assert out.stat().st_size > 100


@ALL
def test_a_video_that_moved_since_the_search(
    rdmf: Rdmf, film: Path, tmp_path: Path, pipeline: Callable[[Any], None], option: str, name: str
) -> None:
    info = probe(film)

    def search_videos(places: list[Path], queries: list[str], **options: Any) -> Outcome:
        film.rename(tmp_path / "elsewhere.mp4")
        answer = replace(answer_of(film, queries[0], duration_s=3.0), info=info)
        options["on_answer"](answer)
        return Outcome([answer])

    pipeline(search_videos)
    done = rdmf("search", str(film), "a dog", option, str(tmp_path / name))
    assert done.code == 3
    assert [line for line in done.err.splitlines() if "error" in line] == [f"rdmf: error: {film}: not there any more"]
    assert not (tmp_path / name).exists()


@ALL
def test_a_full_disk(
    rdmf: Rdmf, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, name: str
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = files_in(tmp_path)
    monkeypatch.setattr(writing.os, "fsync", full)
    done = rdmf("search", str(film), "a dog", option, str(tmp_path / name))
    assert done.code == 6
    assert "No space left on device" in done.err
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--plot", "out.gif"], 2, "the name must end in .png or .svg"),
        (["--plot", "out"], 2, "the name must end in"),
        (["--contact-sheet", "out.html"], 2, "the name must end in .jpg, .jpeg, .png or .webp"),
        (["--report", "out.pdf"], 2, "the name must end in .html or .htm"),
        (["--report", "none/out.html"], 6, "no such folder"),
        (["--embed"], 2, "--embed needs --report"),
        (["--preview", "--json"], 2, "exclude each other"),
        (["--open", "0"], 2, "--open"),
        (["--open", "6"], 2, "at most 5 moments are shown"),
        (["--contact-sheet", "out.png", "--plot", "out.png"], 2, "name the same file"),
        (["--report", "film.html", "--force"], 6, "the video itself"),
    ],
)
def test_bad_input_is_said_before_the_search(
    rdmf: Rdmf,
    film: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    film.rename("film.html")  # a wrong suffix hides no video
    before = files_in(tmp_path)
    done = rdmf("search", "film.html", "a dog", *arguments)
    assert (done.code, done.out) == (code, "")
    assert words in done.err
    assert len(done.err.splitlines()) <= 2
    assert files_in(tmp_path) == before


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(rdmf: Rdmf, film: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir(mode=0o500)
    assert rdmf("search", str(film), "a dog", "--report", str(tmp_path / "mine" / "a.html")).code == 6


def test_without_matplotlib(rdmf: Rdmf, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    done = rdmf("search", str(film), "a dog", "--plot", str(tmp_path / "out.png"))
    assert (done.code, done.out) == (6, "")
    assert "--plot needs matplotlib" in done.err
    assert "pip install 'rdmf-cli[plot]'" in done.err


def test_videos_that_failed_are_told_even_if_the_page_fails(
    rdmf: Rdmf, film: Path, tmp_path: Path, pipeline: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def search_videos(places: list[Path], queries: list[str], **options: Any) -> Outcome:
        answer = replace(answer_of(places[0], queries[0], duration_s=3.0), info=probe(places[0]))
        return Outcome([answer], [Failure("broken.mp4", "broken.mp4: not a video")])

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    pipeline(search_videos)
    done = rdmf("search", str(film), "a dog", "--report", str(tmp_path / "out.html"))
    assert done.code == 7
    assert (tmp_path / "out.html").exists()
    monkeypatch.setattr(writing.os, "fsync", full)
    done = rdmf("search", str(film), "a dog", "--report", str(tmp_path / "out.html"), "--force")
    assert done.code == 6
    assert "broken.mp4: not a video" in done.err


def test_several_queries_are_one_page_and_json_stays_alone(rdmf: Rdmf, film: Path, tmp_path: Path) -> None:
    done = rdmf("search", str(film), "-q", "a", "-q", "b", "--json", "--report", str(tmp_path / "out.html"))
    assert done.code == 0
    assert done.out.count("\n") == 1
    assert (tmp_path / "out.html").read_text().count("<table>") == 2


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
@pytest.mark.parametrize("option", ["--report", "--contact-sheet", pytest.param("--plot", marks=needs_matplotlib)])
def test_names_that_are_no_text(rdmf: Rdmf, film: Path, tmp_path: Path, option: str) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff\x1b.mp4")
    film.rename(name)
    out = {"--report": "out.html", "--contact-sheet": "out.jpg", "--plot": "out.svg"}[option]
    done = rdmf("search", name, "a \udcff dog", option, str(tmp_path / out))
    assert done.code == 0
    assert "\x1b" not in done.err


# --- --preview --------------------------------------------------------------------------------------------------------


def test_no_pictures_here_is_one_line(rdmf: Rdmf, film: Path) -> None:
    done = rdmf("search", str(film), "a dog", "--preview")
    assert done.code == 0
    assert done.err.startswith("rdmf: --preview: no pictures here")
    assert len(done.err.splitlines()) == 1
    assert "\x1b" not in done.out
    assert "0:00:00.750" in done.out


@pytest.mark.parametrize(
    ("protocol", "sign"), [(Protocol.kitty, "\x1b_Ga=T"), (Protocol.iterm2, "\x1b]1337"), (Protocol.sixel, "\x1bP")]
)
def test_frames_follow_the_table(
    rdmf: Rdmf, film: Path, monkeypatch: pytest.MonkeyPatch, protocol: Protocol, sign: str
) -> None:
    monkeypatch.setattr(terminal, "picture_protocol", lambda: protocol)
    done = rdmf("search", str(film), "-q", "a dog", "-q", "nothing", "--preview")
    assert (done.code, done.err) == (0, "")
    assert done.out.count(sign) == 1  # of the answer that has moments
    assert done.out.index("0:00:00.750") < done.out.index(sign)


def test_a_preview_that_fails_costs_a_warning(
    rdmf: Rdmf, film: Path, monkeypatch: pytest.MonkeyPatch, pipeline: Callable[[Any], None]
) -> None:
    info = probe(film)

    def search_videos(places: list[Path], queries: list[str], **options: Any) -> Outcome:
        film.unlink()
        answers = [replace(answer_of(film, query, duration_s=3.0), info=info) for query in queries]
        for answer in answers:
            options["on_answer"](answer)
        return Outcome(answers)

    pipeline(search_videos)
    monkeypatch.setattr(terminal, "picture_protocol", lambda: Protocol.kitty)
    done = rdmf("search", str(film), "-q", "a", "-q", "b", "--preview")
    assert done.code == 0
    assert "“a”" in done.out
    assert "“b”" in done.out
    assert done.err == f"rdmf: warning: --preview: {film}: not there any more\n"


def test_a_narrow_terminal_gets_several_rows(rdmf: Rdmf, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "picture_protocol", lambda: Protocol.iterm2)
    monkeypatch.setenv("COLUMNS", "40")
    assert rdmf("search", str(film), "a dog", "--preview").out.count("\x1b]1337") == 2


# --- --open -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Path, float]]:
    calls: list[tuple[Path, float]] = []

    def play(video: Path, start_s: float, container_start_s: float) -> player.Player:
        calls.append((video, start_s))
        return player.Player("mpv", ("mpv",), True)

    monkeypatch.setattr(player, "play", play)
    return calls


def test_a_moment_is_played(rdmf: Rdmf, film: Path, played: list[tuple[Path, float]]) -> None:
    done = rdmf("search", str(film), "a dog", "--open", "2")
    assert done.code == 0
    assert played == [(film, pytest.approx(1.86))]
    assert "playing moment 2 of “a dog” in film.mp4 at 0:00:01.860 with mpv" in done.err


def test_of_several_answers_the_most_relevant_is_played(
    rdmf: Rdmf, film: Path, tmp_path: Path, played: list[tuple[Path, float]]
) -> None:
    other = tmp_path / "other.mp4"
    shutil.copy(film, other)
    assert rdmf("search", str(film), str(other), "-q", "one", "-q", "nothing", "--open", "1").code == 0
    assert [video for video, _ in played] == [film]
    rdmf("search", str(film), "-q", "one", "-q", "a dog", "--open", "2")
    assert [start_s for _, start_s in played] == pytest.approx([0.75, 1.86])


def test_a_moment_that_is_not_there(rdmf: Rdmf, film: Path, played: list[tuple[Path, float]]) -> None:
    done = rdmf("search", str(film), "one", "--open", "3")
    assert done.code == 2
    assert "--open 3: only 1 moment was found" in done.err
    none = rdmf("search", str(film), "nothing", "--open", "1")
    assert none.code == 1
    assert "nothing to play" in none.err
    assert played == []


def test_files_are_written_before_a_player_fails(
    rdmf: Rdmf, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> player.Player:
        raise OutputError("no player found to open the video with", hint="install mpv or VLC")

    monkeypatch.setattr(player, "play", fail)
    done = rdmf("search", str(film), "a dog", "--open", "1", "--contact-sheet", str(tmp_path / "out.png"))
    assert done.code == 6
    assert (tmp_path / "out.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(os.name != "posix", reason="the player here is a shell script")
def test_a_name_that_looks_like_an_option_reaches_the_player_as_a_file(
    rdmf: Rdmf, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program, log = tmp_path / "bin" / "mpv", tmp_path / "log"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > "{log}"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    film.rename("--script=evil.mp4")
    done = rdmf("search", "--open", "1", "--", "--script=evil.mp4", "a dog")
    assert done.code == 0
    assert log.read_text().splitlines() == [
        "--rebase-start-time=no",
        "--start=0.750",
        "--",
        str(tmp_path / "--script=evil.mp4"),
    ]
