"""Progress and tables: what reaches which stream."""

from __future__ import annotations

import io
import sys

import pytest
from rich.style import Style

from rdmf_cli.commands import console
from rdmf_cli.moments import Moment


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def drive(progress: console.RichProgress) -> None:
    progress.start("searching [red].mp4", 10.0, "s")
    progress.advance(4.0)
    progress.warn("the end is missing")
    progress.advance(4.0)
    progress.finish()
    progress.finish()
    progress.start("counting", None, "files")
    progress.advance(1)


def test_progress_is_silent_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with console.rich_progress() as progress:
        drive(progress)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "rdmf: warning: the end is missing\n"


def test_progress_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    with console.rich_progress() as progress:
        drive(progress)
    text = terminal.getvalue()
    assert "searching [red].mp4" in text
    assert "80%" in text
    assert "8/10 s" in text
    assert text.count("the end is missing") == 1
    assert capsys.readouterr().out == ""


def test_a_dumb_terminal_gets_warnings_only(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "dumb")
    with console.rich_progress() as progress:
        drive(progress)
    assert terminal.getvalue() == "rdmf: warning: the end is missing\n"


def test_tables_keep_names_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    console.print_table("Title [x]", ["name", "what"], [["vit-b-32-256", "word " * 20], ["[b]\x1b[2J", "y"]])
    out = capsys.readouterr().out
    assert "Title [x]" in out
    assert "vit-b-32-256" in out
    assert "[b]\\x1b[2J" in out
    assert max(map(len, out.splitlines())) <= 40


def test_a_full_disk_is_an_output_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from rdmf_cli.errors import OutputError

    class Full(io.StringIO):
        def write(self, text: str) -> int:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())
    with pytest.raises(OutputError, match="No space left"):
        console.line("x")
    with pytest.raises(OutputError, match="No space left"):
        console.print_table("t", ["a"], [["b"]])


def luminance(rgb: tuple[int, int, int]) -> float:
    parts = [c / 255 / 12.92 if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("style", console.COLOURS.values())
@pytest.mark.parametrize(
    "background",
    [(0, 0, 0), (255, 255, 255), (0, 43, 54), (253, 246, 227), (40, 42, 54), (30, 30, 30)],
    ids=["black", "white", "solarized dark", "solarized light", "dracula", "vs code"],
)
def test_colours_can_be_read_on_dark_and_light(style: str, background: tuple[int, int, int]) -> None:
    colour = Style.parse(style).color
    assert colour is not None
    light, dark = sorted((luminance(colour.get_truecolor()), luminance(background)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 3.3


@pytest.mark.parametrize(
    ("term", "expected"), [("xterm-256color", "\x1b[1;38;5;166m"), ("xterm", "\x1b[1;35m"), ("dumb", "")]
)
def test_colours_are_those_the_terminal_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], term: str, expected: str
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.delenv("COLORTERM", raising=False)
    if expected:
        monkeypatch.setenv("FORCE_COLOR", "1")
    console.print_moments([Moment(1.0, 2.0, 0.5, 1.5), Moment(3.0, 4.0, 0.4, 3.5)])
    out = capsys.readouterr().out
    assert expected in out
    assert ("\x1b" in out) == bool(expected)
