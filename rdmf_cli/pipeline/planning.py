"""Which files need work: by size and time first, by content second. Nothing here decodes more than a first frame."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rdmf_cli.encoders.base import Encoder, FeatureSpec
from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.media.frames import default_sample_fps
from rdmf_cli.media.probe import VideoInfo, fingerprint, probe
from rdmf_cli.media.scan import Choice, FoundFile, is_video
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.index import feature_spec
from rdmf_cli.store import Store, records
from rdmf_cli.store.folder import State, state_of

SCHEMA = "rdmf.index/1"


@dataclass(frozen=True)
class Shard:
    """One of `count` parts of all files, `index` from 1. A file's part depends on its path below the named folder."""

    index: int = 1
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """From "2/8". Raises UsageError."""
        index, slash, count = text.partition("/")
        if not (slash and index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
            raise UsageError(f"--shard {text} makes no sense", hint="i/n with i from 1 to n, such as 2/8")
        return cls(int(index), int(count))

    def takes(self, below: str) -> bool:
        """Does the file belong to this part? The same on every machine, wherever the folder is mounted."""
        digest = hashlib.blake2b(os.fsencode(below), digest_size=8).digest()
        return int.from_bytes(digest, "big") % self.count == self.index - 1


@dataclass(frozen=True)
class IndexOptions:
    """What a caller may choose about indexing."""

    how: SearchOptions = field(default_factory=SearchOptions)  # sampling, decoder, batch size
    jobs: int = 1  # videos at the same time
    choice: Choice = field(default_factory=Choice)
    shard: Shard = field(default_factory=Shard)
    retry_failed: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Event:
    """What became of one file."""

    kind: str  # indexed, unchanged, moved, copied, failed; with a dry run also: would-index
    path: Path
    video_id: str = ""
    message: str = ""  # failed: why
    hint: str = ""
    earlier: bool = False  # failed in an earlier run, and not tried again
    before: Path | None = None  # moved, copied: where the same video lies or lay
    duration_s: float = 0.0
    num_frames: int = 0  # looked at
    num_encoded: int = 0  # of them, those that do not repeat the one before
    seconds: float = 0.0  # spent on it

    def to_json(self) -> dict[str, Any]:
        """One line of `--json`; what says nothing is left out."""
        values = {"event": self.kind, "path": str(self.path), "id": self.video_id, "message": self.message}
        values |= {"hint": self.hint, "before": str(self.before) if self.before else ""}
        numbers = {"duration_s": round(self.duration_s, 3), "frames": self.num_frames, "encoded": self.num_encoded}
        numbers["seconds"] = round(self.seconds, 3)
        said = {key: value for key, value in {**values, **numbers}.items() if value or key == "path"}
        return {**said, "earlier": True} if self.earlier else said


@dataclass(frozen=True, slots=True)
class Todo:
    """A file that needs a closer look than its size and time."""

    file: FoundFile


@dataclass(frozen=True)
class Work:
    """A video that has to be decoded and encoded."""

    path: Path
    video_id: str
    spec: FeatureSpec
    sample_fps: float
    info: VideoInfo | None  # None: not probed yet
    state: State  # of the file, before it was fingerprinted


class Planner:
    """Decides what has to be done with each file, for one encoder and one way of sampling."""

    def __init__(self, store: Store, encoder: Encoder, options: IndexOptions) -> None:
        self._store, self._encoder, self._options = store, encoder, options

    def glance(self, file: FoundFile) -> Event | Todo | None:
        """By size and time alone, for files that were seen before; None for files that are no videos."""
        known = self._store.catalogue.video_at(file.path, file.size_bytes, file.mtime_ns)
        if known is not None:
            sample_fps = self._sample_fps(known[1])
            if sample_fps is not None and self._store.has(known[0], self.spec(sample_fps)):
                return Event("unchanged", file.path, known[0], duration_s=known[1] or 0.0)
        failure = self._store.catalogue.failure_at(file.path, file.size_bytes, file.mtime_ns)
        if failure is not None and not self._options.retry_failed:
            return Event("failed", file.path, message=failure, earlier=True)
        return Todo(file) if known is not None or failure is not None or is_video(file) else None

    def look(self, path: Path) -> Event | Work:
        """By content; the catalogue is told where a video lies that it knows. Raises VideoError, StoreError."""
        state, video_id = state_of(path), fingerprint(path)
        if state is None:
            raise VideoError(f"{path}: came while it was looked at", hint="the next run takes it")
        duration_s, info = self._store.catalogue.duration_of(video_id), None
        sample_fps = self._sample_fps(duration_s)
        if sample_fps is None:
            info = probe(path)
            duration_s = info.duration_s
            sample_fps = default_sample_fps(info.duration_s)
        work = Work(path, video_id, self.spec(sample_fps), sample_fps, info, state)
        return self.known(work, duration_s) or work

    def known(self, work: Work, duration_s: float | None = None) -> Event | None:
        """The event of a video whose features are there; None if they aren't."""
        if not self._store.has(work.video_id, work.spec):
            return None
        places = records.paths_of(self._store.catalogue, work.video_id)
        others = [place for place in places if place != work.path]
        there = next((place for place in others if place.exists()), None)
        # No place at all: features that were imported, or whose place was lost with a damaged catalogue.
        kind = "unchanged" if work.path in places or not places else "copied" if there else "moved"
        if not self._options.dry_run:
            self._note(work, duration_s, [] if kind != "moved" else others)
        before = there or next(iter(others), None) if kind != "unchanged" else None
        return Event(kind, work.path, work.video_id, before=before, duration_s=duration_s or 0.0)

    def spec(self, sample_fps: float) -> FeatureSpec:
        """The identity of features of this encoder at that rate."""
        return feature_spec(self._encoder, sample_fps, self._options.how.backend)

    def _sample_fps(self, duration_s: float | None) -> float | None:
        """None: depends on a duration that nobody has told yet."""
        if self._options.how.sample_fps is not None:
            return self._options.how.sample_fps
        return None if duration_s is None else default_sample_fps(duration_s)

    def _note(self, work: Work, duration_s: float | None, gone: list[Path]) -> None:
        """Remember the new place, and forget earlier ones: where even the folder is missing a disk may just be away."""
        if duration_s is not None:
            self._store.remember_duration(work.video_id, duration_s)
        self._store.remember_place(work.state, work.video_id)
        for place in gone:
            if place.parent.exists():
                records.forget_path(self._store.catalogue, place)
