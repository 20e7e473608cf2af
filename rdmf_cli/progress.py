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


SILENT: Progress = Silent()
