"""How long jobs tell about their progress: the core reports, the caller listens. Library code never prints."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """What a job calls while it runs. All positions are in `unit`s, from 0 to `total`."""

    def start(self, task: str, total: float | None, unit: str) -> None:
        """A task begins; `total` None: length unknown."""

    def advance(self, amount: float) -> None:
        """`amount` more units of the running task are done."""

    def warn(self, message: str) -> None:
        """Something the user should know; the job goes on."""

    def finish(self) -> None:
        """The running task is over."""


class Silent:
    """Listens to nothing."""

    def start(self, task: str, total: float | None, unit: str) -> None:
        """Ignore."""

    def advance(self, amount: float) -> None:
        """Ignore."""

    def warn(self, message: str) -> None:
        """Ignore."""

    def finish(self) -> None:
        """Ignore."""


class Board(Protocol):
    """The progress of a job of many tasks: the whole, and a lane for each of the tasks that run at the same time."""

    def open(self, task: str, total: float | None, unit: str) -> None:
        """The whole begins, in place of an earlier one; `total` None: not known how much it is."""

    def advance(self, amount: float) -> None:
        """`amount` more of the whole is done."""

    def expect(self, amount: float) -> None:
        """The whole is larger by `amount` than was said; less than 0: smaller."""

    def note(self, text: str) -> None:
        """Where the whole stands, in words."""

    def lane(self) -> Progress:
        """A place for tasks that run one after another, beside those of the other lanes."""
        ...

    def warn(self, message: str) -> None:
        """Something the user should know; the job goes on."""

    def close(self) -> None:
        """The whole is over."""


class SilentBoard:
    """Listens to nothing."""

    def open(self, task: str, total: float | None, unit: str) -> None:
        """Ignore."""

    def advance(self, amount: float) -> None:
        """Ignore."""

    def expect(self, amount: float) -> None:
        """Ignore."""

    def note(self, text: str) -> None:
        """Ignore."""

    def lane(self) -> Progress:
        """Nothing, too."""
        return SILENT

    def warn(self, message: str) -> None:
        """Ignore."""

    def close(self) -> None:
        """Ignore."""


SILENT: Progress = Silent()
SILENT_BOARD: Board = SilentBoard()
