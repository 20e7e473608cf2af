"""`rdmf index --watch`: new and changed files as they come. One that is still being written is left until it rests."""

from __future__ import annotations

import importlib
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.media.scan import Choice, FoundFile, files_below
from rdmf_cli.pipeline.indexing import Indexer
from rdmf_cli.store.folder import State, state_of

QUIET_S = 2.0  # how long a file must not have changed in size and time
_TICK_MS = 500
_LOST = "\ufffd"  # stands for what is not UTF-8 in the names that watchfiles gives

Ready = Callable[[], None]


def watch(indexer: Indexer, places: list[Path], choice: Choice, on_ready: Ready = lambda: None) -> None:
    """Index `places`, then what changes below them, until Ctrl-C. `on_ready`: the first part is done.

    The watch begins before the first look, so that nothing is missed in between.

    Raises UsageError without the watchfiles package, VideoError if the system does not let us watch, and what
    `Indexer.run` raises.
    """
    roots = [Path(os.path.realpath(place)) for place in places]
    settling, is_first = Settling(roots, choice), True
    try:
        for changed in _changes(roots):
            if is_first:
                indexer.run(places)
                on_ready()
            is_first = False
            settling.note(changed, time.monotonic())
            ripe = settling.ripe(time.monotonic())
            if ripe:
                indexer.run_files(ripe)
    except KeyboardInterrupt:
        return  # the way to end it


class Settling:
    """Files that have changed and whether they rest by now. Times are seconds of any clock that only goes forward."""

    def __init__(self, roots: list[Path], choice: Choice, quiet_s: float = QUIET_S) -> None:
        self._roots, self._choice, self._quiet_s = roots, choice, quiet_s
        self._since: dict[Path, tuple[State | None, float]] = {}  # state when last looked at, and since when

    def note(self, changed: Iterable[Path], now_s: float) -> None:
        """These files or folders are new or have changed. A folder stands for all that is in it."""
        for path in changed:
            for file in self._files_of(path):
                self._since[file] = (state_of(file), now_s)

    def ripe(self, now_s: float) -> list[FoundFile]:
        """Files that have been as they are for long enough; they are not told again."""
        ready = []
        for path, (state, since_s) in list(self._since.items()):
            current = state_of(path)
            if current is None:
                del self._since[path]  # gone again, as a temporary name is
            elif current != state:
                self._since[path] = (current, now_s)
            elif now_s - since_s >= self._quiet_s:
                del self._since[path]
                found = self._found(path, current)
                if found is not None:
                    ready.append(found)
        return ready

    def _files_of(self, path: Path) -> list[Path]:
        if _LOST in path.name and not path.exists():
            path = path.parent  # a name that can't be told; so look at the whole folder
        if path.is_dir():
            return [file.path for file in files_below(path, Choice(), lambda place, why: None)]
        return [path]

    def _found(self, path: Path, state: State) -> FoundFile | None:
        """The file as a scan of its root would have found it; None if that would have passed it over."""
        root = next((root for root in self._roots if path == root or root in path.parents), None)
        if root is None or not _is_plain(path):
            return None
        if path == root:
            return FoundFile(path, path.name, *state[1:])
        below = path.relative_to(root).as_posix()
        if any(part.startswith(".") for part in below.split("/")) or not self._choice.wants(below):
            return None
        return FoundFile(state[0], below, *state[1:])


def _changes(roots: list[Path]) -> Iterator[set[Path]]:
    """What changes, twice a second and oftener; empty sets if nothing does."""
    try:
        watchfiles = importlib.import_module("watchfiles")  # not by a statement: types are checked without it, too
    except ImportError as error:
        raise UsageError("--watch needs the package watchfiles", hint="pip install watchfiles") from error
    try:
        changes = watchfiles.watch(
            *roots,
            watch_filter=None,
            debounce=_TICK_MS,
            rust_timeout=_TICK_MS,
            yield_on_timeout=True,
            raise_interrupt=True,
            ignore_permission_denied=True,
        )
        for batch in changes:
            yield {Path(name) for _, name in batch}
    except OSError as error:
        raise VideoError(
            f"{roots[0]}: can't be watched: {error.strerror or error}",
            hint="watch fewer folders, or raise fs.inotify.max_user_watches, or set WATCHFILES_FORCE_POLLING=1",
        ) from error


def _is_plain(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False
