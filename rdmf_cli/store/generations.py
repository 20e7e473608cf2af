"""The derived index of one encoder: a folder of segments and the manifest that says which of them count.

    library/<encoder>/manifest.json    the published generation, replaced in one step
    library/<encoder>/….faiss          segments (store/nearest.py), never changed

Readers take the manifest and map what it names. Writers build beside it and publish under the catalogue's write lock,
only if nobody else has published meanwhile; what the manifest no longer names is removed then. A reader that comes too
late for a file reads the manifest again.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rdmf_cli.store import files, nearest
from rdmf_cli.store.catalogue import explained
from rdmf_cli.store.nearest import DamagedIndex, Segment

if TYPE_CHECKING:
    from rdmf_cli.store.folder import Store

ROOM = "library"
_MANIFEST = "manifest.json"
_VERSION = 1
_SUFFIX = ".faiss"
_ATTEMPTS = 5  # to read a manifest and its files before others replace them


@dataclass(frozen=True)
class Part:
    """One segment of a generation."""

    file: str  # name in the folder
    num_rows: int
    is_clustered: bool
    removed: tuple[int, ...] = ()  # entries that no longer count
    num_removed_rows: int = 0  # of those


@dataclass(frozen=True)
class Contents:
    """What tells one state of the catalogue from another, as far as one encoder is concerned, without listing it."""

    count: int = 0  # feature sets
    total_s: float = 0.0  # sum of their times of creation
    newest_s: float = 0.0  # latest of them


@dataclass(frozen=True)
class Manifest:
    """One generation."""

    generation: int = 0
    contents: Contents = Contents()
    parts: tuple[Part, ...] = ()


class Generations:
    """The index of the encoder `name` (a fingerprint) in a store."""

    def __init__(self, store: Store, name: str, dim: int) -> None:
        self._store = store
        self._name = name
        self._dim = dim
        self.folder = store.folder / ROOM / name

    def read(self) -> Manifest:
        """What is published; an empty manifest if nothing is. Raises DamagedIndex, StoreError."""
        try:
            folder = files.real_folder(self._store.folder, ROOM, self._name)
            data = files.read_file(folder / _MANIFEST)
        except OSError as error:
            raise DamagedIndex(f"can't be read ({error.strerror or error})") from error
        return Manifest() if data is None else _unpack(data)

    def open(self, manifest: Manifest) -> list[Segment]:
        """The segments of a manifest, in its order. Raises DamagedIndex, and FileNotFoundError if one is missing."""
        return [self.open_part(part) for part in manifest.parts]

    def open_part(self, part: Part) -> Segment:
        """One segment. Raises DamagedIndex, FileNotFoundError."""
        segment = nearest.open_segment(self.folder / part.file, self._dim)
        if segment.num_rows != part.num_rows or any(i >= len(segment.entries) for i in part.removed):
            raise DamagedIndex("the manifest contradicts a segment")
        return segment

    def open_newest(self) -> tuple[Manifest, list[Segment]]:
        """Manifest and segments, whatever others publish meanwhile. Raises DamagedIndex, StoreError."""
        for _ in range(_ATTEMPTS):
            manifest = self.read()
            try:
                return manifest, self.open(manifest)
            except FileNotFoundError as missing:
                if self.read().generation == manifest.generation:
                    raise DamagedIndex(f"{Path(str(missing.filename)).name} is missing") from missing
        raise DamagedIndex("it changes faster than it can be read")

    def publish(
        self, base: Manifest, contents: Contents, kept: Sequence[Part], added: Sequence[Segment], *, force: bool = False
    ) -> Manifest | None:
        """Replace `base` by a generation of `kept` and `added`; None if somebody else has published since `base`.

        `force`: `base` was damaged and is not compared. Raises StoreError if the store can't be written.
        """
        with explained(self.folder), ExitStack() as stack:
            folder = files.real_folder(self._store.folder, ROOM, self._name, create=True)
            files.sweep(folder)
            staged = []
            for segment in added:
                temporary = stack.enter_context(files.staged(folder, []))
                nearest.write(segment, temporary)
                staged.append((temporary, f"{uuid.uuid4().hex}{_SUFFIX}", segment))
            with self._store.catalogue.writing():
                if not force and self.read().generation != base.generation:
                    return None
                parts = [Part(name, segment.num_rows, segment.is_clustered) for _, name, segment in staged]
                manifest = Manifest(base.generation + 1, contents, (*kept, *parts))
                for temporary, name, _ in staged:
                    files.publish(temporary, folder / name)
                files.write_file(folder / _MANIFEST, [_pack(manifest)])
                _remove_others(folder, {part.file for part in manifest.parts})
        return manifest


def without(part: Part, segment: Segment, entries: Sequence[int]) -> Part:
    """`part`, whose segment this is, with further entries removed."""
    removed = tuple(sorted({*part.removed, *entries}))
    rows = sum(segment.entries[entry].num_rows for entry in removed)
    return replace(part, removed=removed, num_removed_rows=rows)


def _pack(manifest: Manifest) -> bytes:
    text = json.dumps({"version": _VERSION, **asdict(manifest)}, separators=(",", ":")).encode()
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text + b"\n"


def _unpack(data: bytes) -> Manifest:
    digest, _, text = data.partition(b"\n")
    if hashlib.sha256(text[:-1]).hexdigest().encode() != digest:
        raise DamagedIndex("the manifest is damaged")
    try:
        values = json.loads(text)
        if values["version"] != _VERSION:
            raise DamagedIndex(f"made by another version of rdmf ({values['version']})")
        parts = [Part(**{**part, "removed": tuple(part["removed"])}) for part in values["parts"]]
        if any(Path(part.file).name != part.file for part in parts):
            raise DamagedIndex("the manifest names a file elsewhere")
        return Manifest(int(values["generation"]), Contents(**values["contents"]), tuple(parts))
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedIndex("the manifest is damaged") from error


def _remove_others(folder: Path, named: set[str]) -> None:
    """Remove segments that no manifest names; where somebody has them open (Windows), the next publication does."""
    for file in folder.glob(f"*{_SUFFIX}"):
        if file.name not in named:
            with contextlib.suppress(OSError):
                file.unlink()


def remove_all(store: Store, name: str) -> None:
    """Forget the index of one encoder. Raises StoreError."""
    with explained(store.folder), store.catalogue.writing():
        folder = files.real_folder(store.folder, ROOM, name)
        (folder / _MANIFEST).unlink(missing_ok=True)
        if folder.is_dir():
            _remove_others(folder, set())
