"""For every test, whoever started pytest and however."""

from __future__ import annotations

import signal

from hypothesis import settings

# The same examples every time: whether a change may land is no matter of luck. To look for more of them:
# python -m pytest --hypothesis-profile random
settings.register_profile("repeatable", derandomize=True)
settings.register_profile("random", derandomize=False)
settings.load_profile("repeatable")

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP")  # the last one exists on some systems only


def pytest_configure() -> None:
    """Programs that tests start can be stopped by these signals, even where pytest ignores them (nohup, a job).

    What is ignored is ignored by every child too, and a test that stops one would wait for ever. What has a handler
    here has the system's default in a child.
    """
    for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
