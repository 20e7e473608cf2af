"""The board of `rdmf index`: bars on a terminal, nothing but warnings elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from rdmf_cli.commands import console
from rdmf_cli.commands.console_board import RichBoard, amount, rich_board


@pytest.mark.parametrize(
    ("done", "total", "unit", "text"),
    [
        (1.2e9, 4.5e9, "B", "1.2 of 4.5 GB"),
        (0, 999, "B", "0 of 999 B"),
        (674_432, None, "B", "674.4 kB"),
        (3e15, None, "B", "3000.0 TB"),
        (35.4, 120.0, "s", "35 of 120 s"),
        (7, None, "files", "7 files"),
    ],
)
def test_amounts(done: float, total: float | None, unit: str, text: str) -> None:
    assert amount(done, total, unit) == text


def use(board: RichBoard) -> None:
    board.open("indexing", 100.0, "B")
    board.note("0 of 2 videos")
    lane = board.lane()
    lane.start("reading [red].mp4", 10.0, "s")
    lane.advance(5.0)
    board.advance(25.0)
    board.expect(-50.0)
    lane.warn("odd")
    board.warn("odd")
    lane.start("reading b.mp4", None, "s")
    lane.finish()
    lane.advance(1.0)  # late, after its bar has gone
    board.close()
    board.advance(1.0)
    board.note("late")


def test_without_a_terminal_only_warnings_each_once(capsys: pytest.CaptureFixture[str]) -> None:
    use(RichBoard())
    assert capsys.readouterr().err == "rdmf: warning: odd\n"


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100, markup=False)
    monkeypatch.setattr(console, "is_live", lambda: True)
    monkeypatch.setattr(console, "err", lambda: terminal)
    with rich_board() as board:
        use(board)
    shown = screen.getvalue()
    assert "0 of 2 videos, 25 of 50 B" in shown
    assert "reading [red].mp4" in shown
    assert shown.count("odd") == 1
