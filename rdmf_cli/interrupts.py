"""Being told to stop: Ctrl-C, SIGTERM, a closed terminal. All end as an exception, so that everything is cleaned up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # the last two exist on some systems only
_came: list[int] = []


class Terminated(KeyboardInterrupt):
    """Told to stop by another signal than Ctrl-C."""


def listen() -> None:
    """From now on these signals raise KeyboardInterrupt or Terminated. What is ignored (nohup) stays ignored."""
    _came.clear()
    for number in _numbers():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _raise)


@contextmanager
def gently(stop: Callable[[], None]) -> Iterator[None]:
    """The first Ctrl-C inside calls `stop`, for work that ends well when it is told to; the second is as ever."""
    before = signal.getsignal(signal.SIGINT)

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        stop()

    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def give_back() -> None:
    """From now on they end the process at once, without a traceback: the work is done, only Python has to leave."""
    for number in _numbers():
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def exit_code() -> int | None:
    """128 + the number of the first signal that came, as shells show it; None if there was none."""
    return 128 + _came[0] if _came else None


def _numbers() -> list[int]:
    return [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]


def _raise(number: int, frame: FrameType | None) -> None:
    # Remembered as well: a library that is just being imported may turn the exception into another one.
    _came.append(number)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise Terminated(signal.Signals(number).name)
