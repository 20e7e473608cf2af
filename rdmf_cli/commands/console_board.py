"""The progress of many videos at once: a bar for the whole and one for each video that is being read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from rdmf_cli.commands import console

_SPEED_PERIOD_S = 120.0  # the time left is reckoned from what the last two minutes gave
_UNITS = ("B", "kB", "MB", "GB", "TB")


class RichBoard:
    """The `Board` protocol on a terminal; elsewhere only warnings are shown, each once."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._whole: TaskID | None = None
        self._speaker = console.RichProgress()

    def open(self, task: str, total: float | None, unit: str) -> None:
        """The whole begins."""
        self.close()
        if not console.is_live():
            return
        width = None if console.err().width < console.BAR_WIDTH_FROM else 30
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=width),
            _Amount(),
            TimeRemainingColumn(compact=True, elapsed_when_finished=False),
            console=console.err(),
            transient=True,
            speed_estimate_period=_SPEED_PERIOD_S,
        )
        self._whole = self._bars.add_task(task, total=total, unit=unit, note="")
        self._bars.start()

    def advance(self, amount: float) -> None:
        """`amount` more is done."""
        if self._bars is not None and self._whole is not None:
            self._bars.update(self._whole, advance=amount)

    def expect(self, amount: float) -> None:
        """The whole is larger or smaller by `amount`."""
        if self._bars is not None and self._whole is not None:
            total = self._bars.tasks[0].total
            self._bars.update(self._whole, total=max(0.0, (total or 0.0) + amount))

    def note(self, text: str) -> None:
        """In words."""
        if self._bars is not None and self._whole is not None:
            self._bars.update(self._whole, note=text)

    def lane(self) -> _Lane:
        """A bar for one video after another."""
        return _Lane(self)

    def warn(self, message: str) -> None:
        """Above the bars if there are any."""
        self._speaker.warn(message, self._bars.console if self._bars is not None else None)

    def close(self) -> None:
        """The bars go away."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = self._whole = None

    def add(self, task: str, total: float | None, unit: str) -> tuple[Progress, TaskID] | None:
        """A bar below the whole; None where nothing is shown."""
        bars = self._bars
        return (
            None if bars is None else (bars, bars.add_task(f"  {console.plain(task)}", total=total, unit=unit, note=""))
        )


class _Lane:
    """The `Progress` protocol as one of the board's bars."""

    def __init__(self, board: RichBoard) -> None:
        self._board = board
        self._shown: tuple[Progress, TaskID] | None = None

    def start(self, task: str, total: float | None, unit: str) -> None:
        """A task begins."""
        self.finish()
        self._shown = self._board.add(task, total, unit)

    def advance(self, amount: float) -> None:
        """`amount` more units are done."""
        if self._shown is not None:
            self._shown[0].update(self._shown[1], advance=amount)

    def warn(self, message: str) -> None:
        """See RichBoard."""
        self._board.warn(message)

    def finish(self) -> None:
        """The bar goes away."""
        if self._shown is not None:
            self._shown[0].remove_task(self._shown[1])
        self._shown = None


class _Amount(ProgressColumn):
    """How much is done, as `3 of 12 videos, 1.2 of 4.5 GB` or `35 of 120 s`."""

    def render(self, task: Task) -> Text:
        """See ProgressColumn."""
        note = f"{task.fields['note']}, " if task.fields["note"] else ""
        return Text(note + amount(task.completed, task.total, task.fields["unit"]), style="dim")


def amount(done: float, total: float | None, unit: str) -> str:
    """`1.2 of 4.5 GB`; without a total only what is done."""
    if unit != "B":
        return f"{done:.0f} {unit}" if total is None else f"{done:.0f} of {total:.0f} {unit}"
    whole = total if total is not None else done
    power = next((p for p in range(len(_UNITS)) if whole < 1000 ** (p + 1)), len(_UNITS) - 1)
    digits = 0 if power == 0 else 1
    shown = f"{done / 1000**power:.{digits}f}"
    return (
        f"{shown} {_UNITS[power]}" if total is None else f"{shown} of {total / 1000**power:.{digits}f} {_UNITS[power]}"
    )


@contextmanager
def rich_board() -> Iterator[RichBoard]:
    """A board that is gone from the terminal whatever happens inside."""
    board = RichBoard()
    try:
        yield board
    finally:
        board.close()
