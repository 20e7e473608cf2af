"""Folders → features: the job over many files. It may be stopped, killed, started again, or run twice at once.

Files are looked at in two passes. The first goes by size and time and settles what is known (planning.py); the second
works on the rest in lanes, threads that take one file at a time. Everything that is kept is kept per video, by the
store, in one step; so what a kill can take is the work on the videos in flight.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import RdmfError, VideoError
from rdmf_cli.media.scan import FoundFile, files_below
from rdmf_cli.pipeline.engines import ChangedMeanwhile, Engine, LocalEngine
from rdmf_cli.pipeline.planning import SCHEMA, Event, IndexOptions, Planner, Todo, Work
from rdmf_cli.pipeline.refresh import refresh as refresh_derived
from rdmf_cli.progress import SILENT_BOARD, Board, Progress
from rdmf_cli.store import Store
from rdmf_cli.store.claims import Claims
from rdmf_cli.timebase import format_time

_LOOK_AGAIN_S = 0.5  # how long to wait for a video that somebody else works on
_TICK_S = 0.2

OnEvent = Callable[[Event], None]


@dataclass
class Summary:
    """What became of all files so far."""

    counts: dict[str, int] = field(default_factory=dict)  # by kind of event
    failed: list[Event] = field(default_factory=list)
    num_others: int = 0  # files that are no videos
    duration_s: float = 0.0  # of what was indexed
    num_frames: int = 0
    num_encoded: int = 0
    seconds: float = 0.0

    def add(self, event: Event) -> None:
        """Count one file."""
        self.counts[event.kind] = self.counts.get(event.kind, 0) + 1
        if event.kind == "failed":
            self.failed.append(event)
        if event.kind == "indexed":
            self.duration_s += event.duration_s
            self.num_frames += event.num_frames
            self.num_encoded += event.num_encoded

    def count(self, kind: str) -> int:
        """How many files came to this."""
        return self.counts.get(kind, 0)

    def to_json(self) -> dict[str, Any]:
        """The last line of `--json`."""
        kinds = ("indexed", "unchanged", "moved", "copied", "failed", "would-index")
        return {
            "event": "summary",
            "schema": SCHEMA,
            **{kind: self.count(kind) for kind in kinds},
            "other_files": self.num_others,
            "duration_s": round(self.duration_s, 3),
            "frames": self.num_frames,
            "encoded": self.num_encoded,
            "seconds": round(self.seconds, 3),
        }

    def lines(self, *, dry_run: bool = False) -> list[str]:
        """The summary for people."""
        if dry_run:
            return [f"would index {_videos(self.count('would-index'))}; {self._settled()}"]
        lines = [f"indexed {_videos(self.count('indexed'))}; {self._settled()}"]
        if self.num_frames:
            speed = self.duration_s / self.seconds if self.seconds else 0.0
            repeats = 1 - self.num_encoded / self.num_frames
            lines.append(
                f"{_clock(self.duration_s)} of video in {_clock(self.seconds)}, {speed:.0f} times as fast as it plays; "
                f"{self.num_frames} frames looked at, {repeats:.0%} of them repeats"
            )
        return lines

    def _settled(self) -> str:
        named = [("unchanged", "unchanged"), ("moved", "moved"), ("copied", "copies"), ("failed", "failed")]
        parts = [f"{self.count(kind)} {text}" for kind, text in named if self.count(kind) or kind == "unchanged"]
        if self.num_others:
            parts.append(f"{self.num_others} other files")
        return ", ".join(parts)


def _clock(seconds: float) -> str:
    return format_time(seconds).partition(".")[0]


def _videos(number: int) -> str:
    return f"{number} video" if number == 1 else f"{number} videos"


class Indexer:
    """Indexes places, once or again and again, and keeps count. `on_event` hears of every file, in any order."""

    def __init__(
        self,
        *,
        encoder: Encoder,
        store: Store,
        options: IndexOptions,
        board: Board = SILENT_BOARD,
        on_event: OnEvent = lambda event: None,
        engine: Engine | None = None,
    ) -> None:
        self.summary = Summary()
        self._store, self._options, self._board = store, options, board
        self._planner = Planner(store, encoder, options)
        self._engine = engine or LocalEngine(encoder, store, options.how, options.jobs)
        self._claims = Claims(store.catalogue)
        self._on_event, self._telling = on_event, threading.Lock()

    def run(self, places: Iterable[Path]) -> None:
        """Index what lies at or below `places`. Raises StoreError, ModelError; a bad video is told as an event."""
        choice = self._options.choice
        self.run_files(file for place in places for file in files_below(place, choice, self._complain))

    def run_files(self, files: Iterable[FoundFile]) -> None:
        """The same for files that were found already."""
        began = time.monotonic()
        if not self._options.dry_run:
            self._store.need_writable()
        try:
            todo = self._scan(files)
            if not self._options.dry_run:
                self._claims.sweep()
            if todo:
                with self._claims.kept():
                    _Lanes(self, todo).run()
            if not self._options.dry_run:
                refresh_derived(
                    self._store, self._planner.spec(self._options.how.sample_fps or 2.0), self._board.lane()
                )
        finally:
            self._board.close()
            self.summary.seconds += time.monotonic() - began

    def _scan(self, files: Iterable[FoundFile]) -> list[Todo]:
        """Settle what size and time can settle; what is left."""
        self._board.open("looking for videos", None, "files")
        todo: list[Todo] = []
        seen: set[Path] = set()
        for file in files:
            self._board.advance(1)
            if file.path in seen or not self._options.shard.takes(file.below):
                continue
            seen.add(file.path)
            found = self._planner.glance(file)
            if isinstance(found, Event):
                self.tell(found)
            elif found is not None:
                todo.append(found)
            else:
                self.summary.num_others += 1
        return todo

    def tell(self, event: Event) -> None:
        """One file is done."""
        with self._telling:
            self.summary.add(event)
            self._on_event(event)

    def treat(self, lane: int, file: Path, progress: Progress) -> Event | None:
        """Do what a file needs; None: somebody else is at it. Raises what ends the whole job."""
        try:
            found = self._planner.look(file)
            if isinstance(found, Event):
                return found
            if self._options.dry_run:
                return Event("would-index", file, found.video_id)
            return self._make(lane, found, progress)
        except ChangedMeanwhile as error:
            return Event("failed", file, message=str(error), hint=error.hint)
        except VideoError as error:
            # What the system refuses today it may allow tomorrow.
            if not isinstance(error.__cause__, OSError) and not self._options.dry_run:
                self._store.put_failure(file, str(error))
            return Event("failed", file, message=str(error), hint=error.hint)
        except (RdmfError, _Stopped):
            raise
        except Exception as error:  # a bug of ours or of a library must not take the other videos along
            text = " ".join(f"{type(error).__name__}: {error}".split())
            return Event("failed", file, message=f"{file}: this is a bug in rdmf: {text}", hint="please report it")

    def _make(self, lane: int, work: Work, progress: Progress) -> Event | None:
        key = work.video_id, work.spec.key
        if not self._claims.take(*key):
            return None
        try:
            done = self._planner.known(work)  # by somebody who finished between our look and our claim
            if done is not None:
                return done
            made = self._engine.make(lane, work, progress)
        finally:
            self._claims.give_back(*key)
        for warning in made.warnings:
            self._board.warn(warning)
        return Event(
            "indexed",
            work.path,
            work.video_id,
            duration_s=made.duration_s,
            num_frames=made.num_frames,
            num_encoded=made.num_encoded,
            seconds=made.seconds,
        )

    def _complain(self, place: Path, reason: str) -> None:
        self.tell(Event("failed", place, message=f"{place}: {reason[:1].lower()}{reason[1:]}"))

    @property
    def lanes(self) -> int:
        """Files treated at the same time."""
        return self._engine.lanes

    @property
    def board(self) -> Board:
        """Where progress is shown."""
        return self._board


class _Stopped(Exception):
    """Another lane has ended the job, or the user has."""


class _Lanes:
    """Threads that work through a list of files together."""

    def __init__(self, indexer: Indexer, todo: list[Todo]) -> None:
        self._indexer, self._board = indexer, indexer.board
        self._waiting = deque(todo)
        self._later: list[Todo] = []  # somebody else works on them
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._problem: BaseException | None = None
        self._total = self._left = len(todo)

    def run(self) -> None:
        """To the end, to a problem that concerns all, or to Ctrl-C."""
        self._board.open("indexing", sum(todo.file.size_bytes for todo in self._waiting), "B")
        self._note()
        names = range(min(self._indexer.lanes, self._total))
        threads = [threading.Thread(target=self._work, args=(lane,), name=f"rdmf-lane-{lane}") for lane in names]
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                while thread.is_alive():
                    thread.join(_TICK_S)  # with a limit, so that Ctrl-C gets through on every system
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
        if self._problem is not None:
            raise self._problem

    def _work(self, lane: int) -> None:
        shown = self._board.lane()
        try:
            while (todo := self._next()) is not None:
                share = _Share(shown, self._board, todo.file.size_bytes, self._stop)
                event = self._indexer.treat(lane, todo.file.path, share)
                with self._lock:
                    if event is None:
                        self._later.append(todo)
                        continue
                    self._left -= 1
                share.settle(is_done=event.kind == "indexed")
                self._indexer.tell(event)
                self._note()
        except _Stopped:
            pass
        except BaseException as problem:  # handed to the thread that waits for us
            self._problem = self._problem or problem
            self._stop.set()

    def _next(self) -> Todo | None:
        """The next file; waits while all that is left is in somebody else's hands. None: nothing is left."""
        while not self._stop.is_set():
            with self._lock:
                if self._waiting:
                    return self._waiting.popleft()
                if not self._later:
                    return None
            if self._stop.wait(_LOOK_AGAIN_S):
                break
            with self._lock:
                if self._later:
                    return self._later.pop(0)
        raise _Stopped

    def _note(self) -> None:
        self._board.note(f"{self._total - self._left} of {self._total} videos")


class _Share:
    """A lane's Progress that also moves the whole, by bytes: sizes are known before a video is opened, lengths aren't.

    Raises _Stopped where the job should end.
    """

    def __init__(self, shown: Progress, board: Board, size_bytes: int, stop: threading.Event) -> None:
        self._shown, self._board, self._stop = shown, board, stop
        self._left, self._size, self._total = float(size_bytes), float(size_bytes), 0.0

    def start(self, task: str, total: float | None, unit: str) -> None:
        """See Progress."""
        self._total = total or 0.0
        self._shown.start(task, total, unit)

    def advance(self, amount: float) -> None:
        """See Progress."""
        if self._stop.is_set():
            raise _Stopped
        self._shown.advance(amount)
        if self._total:
            part = min(self._left, self._size * amount / self._total)
            self._left -= part
            self._board.advance(part)

    def warn(self, message: str) -> None:
        """See Progress."""
        self._board.warn(message)

    def finish(self) -> None:
        """See Progress."""
        self._shown.finish()

    def settle(self, *, is_done: bool) -> None:
        """The file is done: what was not shown yet is; or, if nothing had to be encoded, is not waited for any more.

        So the time left is reckoned from what encoding really takes, not from files that were only recognised.
        """
        if is_done:
            self._board.advance(self._left)
        else:
            self._board.expect(-self._left)
        self._left = 0.0
