"""What still runs, for tests that say "nothing stays behind", and what must not run on."""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TASKS = Path("/proc/self/task")  # Linux only


def children() -> set[int]:
    """Ids of our running child processes; none where there is no /proc."""
    found: set[int] = set()
    for thread in TASKS.iterdir() if TASKS.exists() else ():
        with contextlib.suppress(OSError):  # a thread that has ended since it was listed
            found |= {int(pid) for pid in (thread / "children").read_text().split()}
    return found


@contextlib.contextmanager
def killed_after(process: subprocess.Popen[Any], seconds: float) -> Iterator[None]:
    """`process` ends with this block, and within it when the time is up: reading a line has no time limit."""
    guard = threading.Timer(seconds, process.kill)
    guard.start()
    try:
        yield
    finally:
        guard.cancel()
        guard.join()
        process.kill()
