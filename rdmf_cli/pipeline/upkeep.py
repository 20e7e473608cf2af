"""Looking after the library: what is in it, whether it is whole, and dropping what nobody has any more."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rdmf_cli.encoders.base import Encoder, FeatureSpec
from rdmf_cli.errors import ModelError, UsageError, VideoError
from rdmf_cli.media.probe import fingerprint
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.derived import drop_derived
from rdmf_cli.pipeline.engines import LocalEngine
from rdmf_cli.pipeline.planning import Work
from rdmf_cli.pipeline.refresh import index_problem
from rdmf_cli.pipeline.refresh import refresh as refresh_derived
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store, records, upkeep
from rdmf_cli.store.catalogue import DamagedCatalogue
from rdmf_cli.store.folder import state_of
from rdmf_cli.store.records import SetRecord, VideoRecord

OpenEncoder = Callable[[str], Encoder]  # by name; raises ModelError


@dataclass(frozen=True)
class Finding:
    """Something that was wrong, and what became of it."""

    what: str
    outcome: str  # repaired, dropped, found (nothing was done)


@dataclass
class Checked:
    """The result of `verify`."""

    num_videos: int = 0
    num_sets: int = 0
    num_leftovers: int = 0  # unfinished or forgotten files of killed runs, removed; nothing was wrong
    findings: list[Finding] = field(default_factory=list)


@dataclass
class EncoderStats:
    """What the library holds of one encoder."""

    encoder: str
    fingerprint: str
    num_videos: int = 0
    num_snippets: int = 0
    duration_s: float = 0.0
    size_bytes: int = 0


@dataclass
class Stats:
    """What the library holds."""

    num_videos: int = 0  # with features
    num_paths: int = 0
    duration_s: float = 0.0
    num_failures: int = 0
    size_bytes: int = 0  # of all files of the store
    encoders: list[EncoderStats] = field(default_factory=list)


def spec_of(fields: dict[str, Any]) -> FeatureSpec:
    """A FeatureSpec from what was written down of it. Raises TypeError, ValueError."""
    spec = FeatureSpec(**fields)
    if not all(isinstance(value, int if name == "dim" else str) for name, value in asdict(spec).items()):
        raise ValueError("not a feature spec")
    return spec


# --- verify -----------------------------------------------------------------------------------------------------------


def verify(store: Store, open_encoder: OpenEncoder, *, repair: bool = True, progress: Progress = SILENT) -> Checked:
    """Read everything back. With `repair`, make again what can be made again and drop the rest, each with a Finding.

    Raises DamagedCatalogue if the catalogue itself is: then `upkeep.salvage` helps.
    """
    if repair:
        store.need_writable()
    checked = Checked()
    problems = upkeep.structure_problems(store.catalogue)
    if problems:
        raise DamagedCatalogue(f"{store.folder}: the catalogue is damaged: {problems[0]}")
    for row in upkeep.broken_rows(store.catalogue):
        checked.findings.append(Finding(row.what, "repaired" if repair else "found"))
        if repair:
            _mend_row(store, row)
    mender = _Mender(store, open_encoder, progress)
    progress.start("verifying", float(_num_sets(store)), "feature sets")
    try:
        for video in records.videos(store.catalogue):  # in pages, so what is mended meanwhile does no harm
            checked.num_videos += bool(video.sets)
            for record in video.sets:
                checked.num_sets += 1
                problem = upkeep.set_problem(store, record, spec_of)
                if problem is not None:
                    what = f"{_name(video)}, {record.encoder}: {problem}"
                    checked.findings.append(Finding(what, mender.mend(video, record) if repair else "found"))
                progress.advance(1)
    finally:
        progress.finish()
    for file in upkeep.cache_problems(store):
        checked.findings.append(Finding(f"{file}: a cached array is damaged", "dropped" if repair else "found"))
        if repair:
            file.unlink(missing_ok=True)
    _check_derived(store, checked, repair, progress)
    if repair:
        checked.num_leftovers = upkeep.sweep_leftovers(store)
    return checked


def _check_derived(store: Store, checked: Checked, repair: bool, progress: Progress) -> None:
    """The indexes of library search. Whatever is wrong with one, all are made again: the feature files have it all."""
    problems = {spec.encoder: index_problem(store, spec) for spec in _encoders(store)}
    damaged = {name: problem for name, problem in problems.items() if problem is not None}
    if damaged and repair:
        drop_derived(store)
        refresh_all(store, progress)
    for name, problem in damaged.items():
        what = f"the index of library search, {name}: {problem}"
        checked.findings.append(Finding(what, "repaired" if repair else "found"))


def _mend_row(store: Store, row: upkeep.BrokenRow) -> None:
    """Forget what a broken row says. If it told of a feature file that is whole, the file itself says it again."""
    files = list(upkeep.feature_files(store.folder)) if row.table == "feature_set" else []
    upkeep.drop_row(store.catalogue, row)
    for file in files:
        if not store.catalogue.is_used(file.stem):
            upkeep.adopt(store, file, spec_of)


class _Mender:
    """Makes feature sets again whose file is damaged."""

    def __init__(self, store: Store, open_encoder: OpenEncoder, progress: Progress) -> None:
        self._store, self._open, self._progress = store, open_encoder, progress
        self._encoders: dict[str, Encoder | None] = {}

    def mend(self, video: VideoRecord, record: SetRecord) -> str:
        """What became of a damaged set: "repaired" or "dropped"."""
        if self._remade(video, record):
            return "repaired"
        self._store.remove(record.fingerprint, record.spec_key)
        return "dropped"

    def _remade(self, video: VideoRecord, record: SetRecord) -> bool:
        try:
            spec = spec_of(record.spec)
            rate, backend = _sampling(spec.sampling)
        except (TypeError, ValueError):
            return False
        encoder = self._encoder(spec)
        source = next((path for path in video.paths if _is_still(path, record.fingerprint)), None)
        state = state_of(source) if source is not None else None
        if encoder is None or source is None or state is None or spec.key != record.spec_key:
            return False
        engine = LocalEngine(encoder, self._store, SearchOptions(sample_fps=rate, backend=backend), 1)
        try:
            engine.make(0, Work(source, record.fingerprint, spec, rate, None, state), self._progress)
        except VideoError as error:
            self._progress.warn(str(error))
            return False
        return True

    def _encoder(self, spec: FeatureSpec) -> Encoder | None:
        """The very encoder that the set was made with; None if it isn't here."""
        if spec.fingerprint not in self._encoders:
            found: Encoder | None = None
            try:
                found = self._open(spec.encoder)
            except ModelError as error:
                self._progress.warn(str(error))
            is_same = found is not None and found.fingerprint == spec.fingerprint
            self._encoders[spec.fingerprint] = found if is_same else None
        return self._encoders[spec.fingerprint]


def _sampling(text: str) -> tuple[float, str]:
    """Rate and decoder of FeatureSpec.sampling. Raises ValueError."""
    rate, _, rest = text.partition(" fps/")
    backend, _, _ = rest.partition("/")
    return float(rate), backend


def _is_still(path: Path, video_id: str) -> bool:
    try:
        return path.is_file() and fingerprint(path) == video_id
    except (VideoError, OSError, ValueError):
        return False


# --- list, stats ------------------------------------------------------------------------------------------------------


def videos(store: Store, *, encoder: str | None = None) -> Iterator[VideoRecord]:
    """Videos that have features; of `encoder` by name only, if given."""
    for video in records.videos(store.catalogue):
        sets = tuple(record for record in video.sets if encoder is None or record.encoder == encoder)
        if sets:
            yield VideoRecord(video.fingerprint, video.added_s, video.duration_s, video.paths, sets)


def meant(store: Store, words: Iterable[str]) -> list[VideoRecord]:
    """The videos that words stand for: paths, folders, how an id begins. Raises UsageError for one that means none."""
    found: dict[str, VideoRecord] = {}
    for word in words:
        ids = records.matching(store.catalogue, word)
        if not ids:
            raise UsageError(f"{word}: not in the library", hint="'rdmf library list' shows what is")
        for video_id in ids:
            video = records.video(store.catalogue, video_id)
            if video is not None:  # another process has not just dropped it
                found[video_id] = video
    return list(found.values())


def length_s(video: VideoRecord) -> float:
    """How long a video is: as its container says, else by its snippets and their rate."""
    if video.duration_s is not None:
        return video.duration_s
    for record in video.sets:
        try:
            return record.num_rows / _sampling(str(record.spec.get("sampling", "")))[0]
        except (ValueError, ZeroDivisionError):
            continue
    return 0.0


def stats(store: Store) -> Stats:
    """Counts, hours and bytes, in all and per encoder."""
    total = Stats(num_failures=len(records.failures(store.catalogue)))
    by_encoder: dict[str, EncoderStats] = {}
    for video in videos(store):
        total.num_videos += 1
        total.num_paths += len(video.paths)
        total.duration_s += length_s(video)
        counted = set()
        for record in video.sets:
            key = str(record.spec.get("fingerprint", "?"))
            one = by_encoder.setdefault(key, EncoderStats(record.encoder, key))
            one.num_snippets += record.num_rows
            one.size_bytes += _size(store.file_of(record.checksum))
            if key not in counted:
                one.num_videos, one.duration_s = one.num_videos + 1, one.duration_s + length_s(video)
            counted.add(key)
    total.encoders = sorted(by_encoder.values(), key=lambda one: (-one.num_videos, one.encoder))
    total.size_bytes = sum(_size(Path(parent, name)) for parent, _, names in os.walk(store.folder) for name in names)
    return total


def _num_sets(store: Store) -> int:
    return int(store.catalogue.rows("SELECT count(*) FROM feature_set")[0][0])


def _size(file: Path) -> int:
    try:
        return file.lstat().st_size
    except OSError:
        return 0


def _name(video: VideoRecord) -> str:
    return str(video.paths[0]) if video.paths else video.fingerprint


# --- prune, remove, rebuild -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Gone:
    """What the library knows and the disk does not."""

    paths: tuple[Path, ...]  # no file there any more; the video may lie elsewhere, too
    videos: tuple[VideoRecord, ...]  # at none of their places
    unmounted: tuple[Path, ...]  # folders that are missing as a whole


def gone(store: Store) -> Gone:
    """What `prune` would drop."""
    paths: list[Path] = []
    lost: list[VideoRecord] = []
    missing: dict[Path, None] = {}
    for video in records.videos(store.catalogue):
        absent = [path for path in video.paths if not _exists(path)]
        paths += absent
        missing |= dict.fromkeys(path.parent for path in absent if not _exists(path.parent))
        if len(absent) == len(video.paths):
            lost.append(video)
    paths += [failure.path for failure in records.failures(store.catalogue) if not _exists(failure.path)]
    return Gone(tuple(dict.fromkeys(paths)), tuple(lost), tuple(missing))


def prune(store: Store, found: Gone) -> None:
    """Drop it. Raises StoreError."""
    store.need_writable()
    for video in found.videos:
        if not any(_exists(path) for path in records.paths_of(store.catalogue, video.fingerprint)):
            store.remove(video.fingerprint)
    for path in found.paths:
        if not _exists(path):
            records.forget_path(store.catalogue, path)


def refresh_all(store: Store, progress: Progress = SILENT) -> int:
    """Bring what is derived up to date for every encoder of the library; how many there are."""
    specs = _encoders(store)
    for spec in specs:
        refresh_derived(store, spec, progress)
    return len(specs)


def _encoders(store: Store) -> list[FeatureSpec]:
    """One spec of each encoder that the library knows."""
    specs: dict[str, FeatureSpec] = {}
    for (text,) in store.catalogue.rows("SELECT DISTINCT spec_json FROM feature_set"):
        try:
            spec = spec_of(records.spec_fields(text))
        except (TypeError, ValueError):
            continue
        specs.setdefault(spec.fingerprint, spec)
    return list(specs.values())


def _exists(path: Path) -> bool:
    return os.path.lexists(path)
