"""Who is working on what: claims keep two processes from encoding the same video twice, and expire by themselves.

A claim names a video and a FeatureSpec. Its owner renews it while it lives. A claim is void when it has expired or
when its owner, a process of this machine, is gone: after a kill nobody waits.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rdmf_cli.errors import StoreError
from rdmf_cli.store.catalogue import Catalogue

_CLOCK_SLACK_S = 1.0  # clocks are set right by a little all the time
LIFE_S = 60.0  # how long a claim lasts unless it is renewed; a process that sleeps longer loses its claims


class Claims:
    """The claims of one owner: this process, for one run."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._owner = f"{_machine()}|{os.getpid()}|{_started(os.getpid())}|{uuid.uuid4().hex[:8]}"

    def take(self, fingerprint: str, spec_key: str) -> bool:
        """Claim a video; False if somebody else (another thread of ours, too) works on it. Raises StoreError."""
        key = (fingerprint, spec_key)
        with self._catalogue.writing():
            # Not before the lock was ours: a claim taken while we waited would seem to come from the future.
            now_s = time.time()
            held = self._catalogue.rows(
                "SELECT owner, expires_s FROM claim WHERE fingerprint = ? AND spec_key = ?", key
            )
            if held and not _is_void(held[0][0], held[0][1], now_s):
                return False
            self._catalogue.execute(
                "INSERT OR REPLACE INTO claim VALUES (?, ?, ?, ?)", (*key, self._owner, now_s + LIFE_S)
            )
        return True

    def give_back(self, fingerprint: str, spec_key: str) -> None:
        """End a claim of ours. If that fails, it expires."""
        with contextlib.suppress(StoreError), self._catalogue.writing():
            self._catalogue.execute(
                "DELETE FROM claim WHERE fingerprint = ? AND spec_key = ? AND owner = ?",
                (fingerprint, spec_key, self._owner),
            )

    def sweep(self) -> None:
        """Remove void claims. A process killed between saving and giving back leaves one that nobody asks for again."""
        with contextlib.suppress(StoreError):
            rows = self._catalogue.rows("SELECT fingerprint, spec_key, owner, expires_s FROM claim")
            void = [row for row in rows if _is_void(row[2], row[3], time.time())]
            if not void:
                return
            with self._catalogue.writing():
                for row in void:  # unless somebody has taken it over since
                    self._catalogue.execute(
                        "DELETE FROM claim WHERE fingerprint = ? AND spec_key = ? AND owner = ? AND expires_s = ?", row
                    )

    def renew(self) -> None:
        """Make all claims of ours last for another LIFE_S. A catalogue that is busy is asked again later."""
        with contextlib.suppress(StoreError), self._catalogue.writing():
            self._catalogue.execute(
                "UPDATE claim SET expires_s = ? WHERE owner = ?", (time.time() + LIFE_S, self._owner)
            )

    @contextmanager
    def kept(self) -> Iterator[Claims]:
        """Renew from a thread as long as the block runs; then give everything back."""
        over = threading.Event()

        def beat() -> None:
            while not over.wait(LIFE_S / 4):
                self.renew()

        thread = threading.Thread(target=beat, name="rdmf-claims", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            over.set()
            thread.join()
            with contextlib.suppress(StoreError), self._catalogue.writing():
                self._catalogue.execute("DELETE FROM claim WHERE owner = ?", (self._owner,))


def _is_void(owner: str, expires_s: float, now_s: float) -> bool:
    # A clock that was set back must not make a claim last for years.
    return bool(not now_s <= expires_s <= now_s + LIFE_S + _CLOCK_SLACK_S or _is_gone(str(owner)))


def _is_gone(owner: str) -> bool:
    """True if `owner` was a process of this machine that runs no more."""
    machine, _, rest = owner.rpartition("|")[0].partition("|")
    pid, _, started = rest.partition("|")
    if machine != _machine() or not pid.isdecimal() or os.name != "posix":
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False  # somebody else's process
    return started != _started(int(pid))  # the number was given to another process


def _machine() -> str:
    """This machine since it was started, and this container: where process numbers mean the same."""
    parts = [platform.node()]
    with contextlib.suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return "/".join(parts).replace("|", "_")


def _started(pid: int) -> str:
    """When a process began, as Linux tells it; "" elsewhere. A killed one that nobody has waited for counts as gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "gone" if fields[0] in ("Z", "X") else fields[19]
    except (OSError, IndexError):
        return ""
