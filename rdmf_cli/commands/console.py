"""All Rich: what people see. Answers go to stdout; progress, notes, warnings and errors to stderr.

Nothing here reads markup out of texts: a file may be called [red].mp4. Control characters are shown, not sent.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import Any, TypeVar

import typer
from rich import box
from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from rdmf_cli.commands import curve
from rdmf_cli.errors import OutputError
from rdmf_cli.moments import Moment
from rdmf_cli.timebase import format_time

_AnyConsole = TypeVar("_AnyConsole", bound=Console)
READER_LEFT = 141  # 128 + SIGPIPE: how shells show programs that `| head` ended
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
_BEST, _OTHER, _DIM = "rdmf.best", "rdmf.other", "rdmf.dim"
_GOOD, _WARNING, _BAD = "rdmf.good", "rdmf.warning", "rdmf.bad"
# From the 256 colours whose values no theme changes: each has a contrast of at least 3.3 with the usual dark and light
# backgrounds (tests/commands/test_console.py), and people with any colour vision can tell best and other apart.
COLOURS = {
    _BEST: "bold color(166)",
    _OTHER: "color(32)",
    _DIM: "color(244)",
    _GOOD: "color(64)",
    _WARNING: "color(100)",
    _BAD: "bold color(196)",
}
# Terminals of 16 colours choose what these look like: none whose usual values vanish on white or black.
FEW_COLOURS = {
    _BEST: "bold magenta",
    _OTHER: "magenta",
    _DIM: "dim",
    _GOOD: "bold",
    _WARNING: "bold",
    _BAD: "bold red",
}
_BAR_COLUMNS = 10
_NEVER_WRAPPED = 14
BAR_WIDTH_FROM = 64  # narrower terminals get no bars
_LENGTH_WIDTH_FROM = 46  # nor lengths


def plain(text: str) -> str:
    """`text` with its control characters made visible, so that a file's name can't drive the terminal."""
    return text.translate(_CONTROL)


# --- stdout -----------------------------------------------------------------------------------------------------------


class _Out(Console):
    """Rich's own way with a closed pipe is to end the program with exit code 1, which means "no match" here."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def _out() -> _Out:
    return _themed(_Out(highlight=False, markup=False, emoji=False, soft_wrap=False))


def _themed(console: _AnyConsole) -> _AnyConsole:
    """`console` with our styles, as many colours as it has."""
    few = console.color_system in ("standard", "windows")
    console.push_theme(Theme(FEW_COLOURS if few else COLOURS))
    return console


@contextmanager
def _writing() -> Iterator[None]:
    """Turn what can go wrong with stdout into an exit (`| head`) or an OutputError (disk full)."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        # Python flushes stdout once more at its end and would complain there.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(READER_LEFT) from None
    except OSError as error:
        raise OutputError(f"the output can't be written: {error.strerror or error}") from error


def line(text: str) -> None:
    """One line on stdout, as it is: never wrapped, never coloured."""
    with _writing():
        print(text)


def raw(data: bytes) -> None:
    """Bytes on stdout, as they are, whatever encoding the terminal has: a document, or a picture for a terminal."""
    with _writing():
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def width() -> int:
    """Columns of stdout."""
    return _out().width


def json_text(document: Any) -> str:
    """One line of JSON; other scripts are readable where the terminal or file can hold them."""
    is_unicode = "utf" in (getattr(sys.stdout, "encoding", None) or "").lower()
    return json.dumps(document, ensure_ascii=not is_unicode)


def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
    """A table on stdout; `title` may be empty."""
    table = Table(title=plain(title) or None, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.padding, table.collapse_padding = (0, 1), True
    for place, name in enumerate(columns):
        longest = max((len(row[place]) for row in rows), default=0)
        # A name broken in two can't be copied; only long texts may wrap.
        table.add_column(Text(name), overflow="fold", no_wrap=longest <= _NEVER_WRAPPED)
    for row in rows:
        table.add_row(*(Text(plain(cell)) for cell in row))
    _print(table)


def _print(*things: RenderableType) -> None:
    console = _out()
    with _writing():
        for thing in things:
            console.print(thing)


def print_check(name: str, value: str, status: str, advice: str) -> None:
    """One line of `rdmf doctor`, and what to do about it."""
    style = {"ok": _GOOD, "warning": _WARNING, "problem": _BAD}[status]
    table = Table.grid(padding=(0, 1))
    table.add_column(width=8)
    table.add_column(width=18, overflow="fold")
    table.add_column(overflow="fold")
    table.add_row(Text(status, style=style), Text(plain(name), style="bold"), Text(plain(value)))
    if advice:
        table.add_row("", "", Text(plain(advice), style=_DIM))
    _print(table)


# --- an answer --------------------------------------------------------------------------------------------------------


def print_heading(query: str, video: str, facts: list[str]) -> None:
    """What was asked of which video, and how."""
    text = Text().append(f"“{plain(query)}”", style="bold").append(f" in {plain(video)}")
    text.append(f"  ({', '.join(plain(fact) for fact in facts)})", style=_DIM)
    _print(_asciified(text))


def print_no_match(score: float, cutoff: float, *, moments_follow: bool, nearest: Moment | None = None) -> None:
    """The honest line; and where to look if that is wrong, which for plain words it often is."""
    _print(Text(f"  no confident match (relevance {score:.2f} < {cutoff:.2f})", style=_WARNING))
    if not moments_follow:
        where = "" if nearest is None else f"nearest to it: {_from_to(nearest)}; "
        _print(Text(f"  {where}--all shows the best moments anyway", style=_DIM))


def print_none_shown(min_score: float) -> None:
    """A confident answer of which `--min-score` left nothing."""
    _print(Text(f"  no moment scores {min_score:.2f} or more", style=_WARNING))


def _from_to(moment: Moment) -> str:
    dash = "–" if _unicode() else "-"
    return f"{format_time(moment.start_s)} {dash} {format_time(moment.end_s)}"


def print_moments(moments: list[Moment]) -> None:
    """The moments, best first, as a table that fits the terminal."""
    columns = width()
    table = Table(box=None, header_style=_DIM, padding=(0, 1), pad_edge=False)
    table.add_column("  #", justify="right")
    table.add_column("start – end" if _unicode() else "start - end", no_wrap=True)
    if columns >= _LENGTH_WIDTH_FROM:
        table.add_column("length", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    if columns >= BAR_WIDTH_FROM:
        table.add_column("", no_wrap=True)
    for rank, moment in enumerate(moments, start=1):
        cells = [str(rank), _from_to(moment)]
        if columns >= _LENGTH_WIDTH_FROM:
            cells.append(f"{moment.length_s:.1f} s")
        cells.append(f"{moment.score:.2f}")
        if columns >= BAR_WIDTH_FROM:
            cells.append(curve.bar(moment.score, _BAR_COLUMNS, unicode=_unicode()))
        style = _style(rank)
        table.add_row(*(Text(cell, style=style if place != 1 else "") for place, cell in enumerate(cells)))
    _print(table)


def print_curve(times_s: list[float], values: list[float], duration_s: float, moments: list[Moment]) -> None:
    """Saliency over time at the terminal's width, the moments marked in the line beneath, then the times."""
    indent = "  "
    columns = max(8, width() - len(indent) - 1)
    heights = curve.columns(times_s, values, duration_s, columns)
    owner = curve.owners(moments, duration_s, columns)
    lines = [Text(indent) + _painted(row, owner) for row in curve.rows(heights, unicode=_unicode())]
    lines.append(Text(indent) + _painted(curve.marks(owner, unicode=_unicode()), owner))
    lines.append(Text(indent + curve.axis(duration_s, columns, unicode=_unicode()), style=_DIM))
    for text in lines:
        text.no_wrap = True
    _print(*lines, Text(""))


def _painted(row: str, owner: list[int]) -> Text:
    """`row` with each column in the colour of the moment it belongs to (0: none)."""
    text = Text()
    for rank, group in groupby(zip(row.rstrip(), owner, strict=False), key=lambda pair: pair[1]):
        text.append("".join(sign for sign, _ in group), style=_style(rank))
    return text


def _style(rank: int) -> str:
    return {0: _DIM, 1: _BEST}.get(rank, _OTHER)


def _unicode() -> bool:
    """True if stdout can show block characters."""
    return "utf" in (_out().encoding or "").lower()


def _asciified(text: Text) -> Text:
    if not _unicode():
        text.plain = text.plain.replace("“", '"').replace("”", '"')  # of the same length, so styles stay in place
    return text


# --- stderr -----------------------------------------------------------------------------------------------------------


def err() -> Console:
    """Rich's side of stderr."""
    return _themed(Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True))


def note(text: str) -> None:
    """`rdmf: …` on stderr: what happened, without alarm."""
    _complain(Text(f"rdmf: {plain(text)}"))


def hint(text: str) -> None:
    """Something useful to know, on stderr."""
    _complain(Text(plain(text), style=_DIM))


def warn(text: str) -> None:
    """`rdmf: warning: …` on stderr."""
    _complain(Text("rdmf: ") + Text("warning: ", style=_WARNING) + Text(plain(text)))


def problem(message: str, hint: str = "") -> None:
    """`rdmf: error: …` on stderr and, indented, what to do about it."""
    text = Text("rdmf: ") + Text("error: ", style=_BAD) + Text(plain(message))
    _complain(text + Text(f"\n  {plain(hint)}", style=_DIM) if hint else text)


def _complain(text: Text) -> None:
    with suppress(OSError):  # nobody can be told; the exit code still says it
        err().print(text)


# --- progress ---------------------------------------------------------------------------------------------------------


class RichProgress:
    """The `Progress` protocol as a bar with the time left; on a terminal only. Each warning is said once."""

    def __init__(self) -> None:
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._said: set[str] = set()

    def start(self, task: str, total: float | None, unit: str) -> None:
        """A task begins."""
        self.finish()
        if not is_live():
            return
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None if err().width < BAR_WIDTH_FROM else 30),
            TaskProgressColumn(),
            TextColumn("{task.fields[amount]}", markup=False, style=_DIM),
            TimeRemainingColumn(compact=True, elapsed_when_finished=False),
            console=err(),
            transient=True,
        )
        self._task = self._bar.add_task(plain(task), total=total, amount="", unit=unit)
        self._bar.start()

    def advance(self, amount: float) -> None:
        """`amount` more units are done."""
        if self._bar is None or self._task is None:
            return
        self._bar.update(self._task, advance=amount)
        task = self._bar.tasks[0]
        total = f"/{task.total:.0f}" if task.total else ""
        self._bar.update(self._task, amount=f"{task.completed:.0f}{total} {task.fields['unit']}")

    def warn(self, message: str, above: Console | None = None) -> None:
        """Something the user should know; above the bar if there is one, or where bars of others are drawn."""
        if message in self._said:
            return
        self._said.add(message)
        above = above or (self._bar.console if self._bar is not None else None)
        if above is not None:
            above.print(Text("rdmf: ") + Text("warning: ", style=_WARNING) + Text(plain(message)))
        else:
            warn(message)

    def finish(self) -> None:
        """The running task is over: its bar goes away."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = self._task = None


@contextmanager
def rich_progress() -> Iterator[RichProgress]:
    """Progress whose bar is gone from the terminal whatever happens inside."""
    progress = RichProgress()
    try:
        yield progress
    finally:
        progress.finish()


def is_live() -> bool:
    """True if stderr is a terminal that can redraw a line."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") not in ("dumb", "unknown")
