"""Features from one machine to another: n shards, made on n machines, become one library.

A parcel is a zip file, or a folder, with two entries per feature set, `<checksum>.json` (identity, places) and
`<checksum>.faiss` (the feature file), or it is another store. It may come from anywhere, so nothing in it is believed:
names that are not exactly of this form are passed over, so no path in it is ever used as one; entries are stored, never
packed, and bounded in size; a feature file must have the hash that it is named by and be of the video and encoder that
the text beside it says. Each set is kept in one step: an import can be stopped anywhere and run again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from rdmf_cli.encoders.base import FeatureSpec
from rdmf_cli.errors import OutputError, StoreError, UsageError
from rdmf_cli.pipeline.upkeep import spec_of
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store, files, records
from rdmf_cli.store.catalogue import FILE_NAME
from rdmf_cli.store.features import DamagedFile, unpack
from rdmf_cli.store.records import SetRecord, VideoRecord

SCHEMA = "rdmf.features/1"
MAX_FILE_BYTES = 2 << 30  # 290 hours at 1 frame a second and 1,024 dimensions
MAX_NOTE_BYTES = 1 << 20
MAX_PLACES = 1000  # paths of one video
_NAME = re.compile(r"([0-9a-f]{64})\.json")
_ID = re.compile(r"[0-9a-f]{16,64}")


class Refused(Exception):
    """An entry of a parcel is not taken; says why."""


@dataclass
class Merged:
    """What became of the entries of a parcel."""

    num_new: int = 0
    num_known: int = 0  # sets that the library has already
    num_videos: int = 0  # new to the library
    refused: list[str] = field(default_factory=list)


class Parcel(Protocol):
    """Where entries come from."""

    def names(self) -> Iterator[str]:
        """Names of all entries."""
        ...

    def read(self, name: str, limit: int) -> bytes:
        """All of an entry. Raises Refused, also if it is longer than `limit`."""
        ...


# --- export -----------------------------------------------------------------------------------------------------------


def export(store: Store, target: Path, videos: Iterable[VideoRecord], progress: Progress = SILENT) -> int:
    """Write the feature sets of `videos` to `target`, a folder if it is one or ends so, else a zip file; how many.

    A damaged feature file is left out with a warning. Raises OutputError; then no half-written zip file is there.
    """
    try:
        if target.is_dir():
            return sum(_put_all(store, videos, lambda name, data: files.write_file(target / name, [data]), progress))
        return _export_zip(store, target, videos, progress)
    except OSError as error:
        raise OutputError(f"{target}: {error.strerror or error}", hint="name another file or folder") from error


def _export_zip(store: Store, target: Path, videos: Iterable[VideoRecord], progress: Progress) -> int:
    temporary = target.with_name(f"{target.name}.{os.getpid()}{files.UNFINISHED}")
    try:
        with zipfile.ZipFile(temporary, "x", zipfile.ZIP_STORED) as archive:

            def put(name: str, data: bytes) -> None:
                # Always the same date: the same features make the same file.
                archive.writestr(zipfile.ZipInfo(name), data)

            count = sum(_put_all(store, videos, put, progress))
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        files.publish(temporary, target)
        return count
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _put_all(store: Store, videos: Iterable[VideoRecord], put: Any, progress: Progress) -> Iterator[int]:
    for video in videos:
        for record in video.sets:
            try:
                data = store.read(record.checksum)
            except DamagedFile as problem:
                progress.warn(f"{store.file_of(record.checksum)}: {problem}; left out ('rdmf library verify' mends it)")
                continue
            put(f"{record.checksum}.faiss", data)
            put(f"{record.checksum}.json", json.dumps(_note(video, record)).encode())
            progress.advance(1)
            yield 1


def _note(video: VideoRecord, record: SetRecord) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "id": video.fingerprint,
        "spec": record.spec,
        "duration_s": video.duration_s,
        # Names that are not UTF-8 have lone surrogates here, which JSON can hold as escapes.
        "paths": [str(path) for path in video.paths[:MAX_PLACES]],
    }


# --- import -----------------------------------------------------------------------------------------------------------


def merge(store: Store, source: Path, progress: Progress = SILENT) -> Merged:
    """Take over all feature sets of a parcel that the library hasn't. Raises UsageError, StoreError."""
    store.need_writable()
    merged = Merged()
    with _opened(source) as parcel:
        progress.start("importing", None, "feature sets")
        try:
            for name in parcel.names():
                match = _NAME.fullmatch(name)
                if match is None:
                    continue
                try:
                    _take(store, parcel, match[1], merged)
                except Refused as problem:
                    merged.refused.append(f"{match[1][:12]}…: {problem}")
                progress.advance(1)
        finally:
            progress.finish()
    return merged


def _take(store: Store, parcel: Parcel, checksum: str, merged: Merged) -> None:
    video_id, spec, duration_s, places = _understood(parcel.read(f"{checksum}.json", MAX_NOTE_BYTES))
    is_known = store.has(video_id, spec)
    if not is_known:
        data = parcel.read(f"{checksum}.faiss", MAX_FILE_BYTES)
        if hashlib.sha256(data).hexdigest() != checksum:
            raise Refused("the feature file is damaged")
        try:
            features = unpack(data, video_id, spec)
        except DamagedFile as problem:
            raise Refused(str(problem)) from problem
        merged.num_videos += not records.sets_of(store.catalogue, video_id)
        store.take_in(video_id, spec, checksum, data, len(features.features))
    if duration_s is not None:
        store.remember_duration(video_id, duration_s)
    with store.catalogue.writing():
        for place in places:
            store.catalogue.put_place(place, video_id)
    merged.num_known += is_known
    merged.num_new += not is_known


def _understood(text: bytes) -> tuple[str, FeatureSpec, float | None, list[Path]]:
    """Id, spec, duration and places of an entry. Raises Refused."""
    try:
        note = json.loads(text)
        if note["schema"] != SCHEMA:
            raise Refused("made by another version of rdmf")
        spec, duration_s = spec_of(note["spec"]), note["duration_s"]
        is_sound = duration_s is None or (isinstance(duration_s, int | float) and 0 < duration_s < 1e9)
        if not (_ID.fullmatch(note["id"]) and is_sound and 0 < spec.dim <= 65_536 and len(spec.key) < 1000):
            raise Refused("its description makes no sense")
        places = [_place(text) for text in note["paths"][:MAX_PLACES]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused("its description can't be read") from error
    return note["id"], spec, None if duration_s is None else float(duration_s), places


def _place(text: str) -> Path:
    """A path as somebody else's machine names it. Raises Refused."""
    path = Path(text)
    if not path.is_absolute() or len(text) > 4096 or "\0" in text or ".." in path.parts:
        raise Refused("a path in it makes no sense")
    os.fsencode(path)  # ValueError for what no file name can hold
    return path


@contextmanager
def _opened(source: Path) -> Iterator[Parcel]:
    """A zip file, a folder, or another store."""
    if not source.exists():
        raise UsageError(f"{source}: no such file or folder", hint="name what 'rdmf library export' has written")
    if source.is_dir():
        if (source / FILE_NAME).exists():
            with Store.open(source) as store:
                yield _StoreParcel(store)
        else:
            yield _FolderParcel(source)
        return
    try:
        with zipfile.ZipFile(source) as archive:
            yield _ZipParcel(archive)
    except (zipfile.BadZipFile, OSError, NotImplementedError) as error:
        raise UsageError(f"{source}: not a zip file that can be read ({error})", hint="is it complete?") from error


class _ZipParcel:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive

    def names(self) -> Iterator[str]:
        """See Parcel."""
        return iter(self._archive.namelist())

    def read(self, name: str, limit: int) -> bytes:
        """See Parcel."""
        try:
            info = self._archive.getinfo(name)
            # Packed entries could become any size; we write none.
            if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or not 0 <= info.file_size <= limit:
                raise Refused("an entry is packed, locked or too large")
            with self._archive.open(info) as stream:
                return stream.read(limit + 1)[: limit + 1]
        except KeyError as error:
            raise Refused("its feature file is missing") from error
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError) as error:
            raise Refused(f"an entry can't be read ({error})") from error


class _FolderParcel:
    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def names(self) -> Iterator[str]:
        """See Parcel."""
        return iter(sorted(entry.name for entry in self._folder.iterdir()))

    def read(self, name: str, limit: int) -> bytes:
        """See Parcel; links are not followed."""
        try:
            if (self._folder / name).lstat().st_size > limit:
                raise Refused("an entry is too large")
            data = files.read_file(self._folder / name)
        except OSError as error:
            raise Refused(f"an entry can't be read ({error.strerror or error})") from error
        if data is None:
            raise Refused("its feature file is missing")
        return data


class _StoreParcel:
    """Another store, seen as a parcel."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._notes: dict[str, bytes] = {}

    def names(self) -> Iterator[str]:
        """See Parcel."""
        for video in records.videos(self._store.catalogue):
            for record in video.sets:
                self._notes = {f"{record.checksum}.json": json.dumps(_note(video, record)).encode()}
                yield f"{record.checksum}.json"

    def read(self, name: str, limit: int) -> bytes:
        """See Parcel."""
        if name in self._notes:
            return self._notes[name]
        try:
            return self._store.read(name.partition(".")[0])
        except (DamagedFile, StoreError) as problem:
            raise Refused(str(problem)) from problem
