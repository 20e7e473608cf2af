"""What still runs, for tests that say "nothing stays behind"."""

from __future__ import annotations

import contextlib
from pathlib import Path

TASKS = Path("/proc/self/task")  # Linux only


def children() -> set[int]:
    """Ids of our running child processes; none where there is no /proc."""
    found: set[int] = set()
    for thread in TASKS.iterdir() if TASKS.exists() else ():
        with contextlib.suppress(OSError):  # a thread that has ended since it was listed
            found |= {int(pid) for pid in (thread / "children").read_text().split()}
    return found
