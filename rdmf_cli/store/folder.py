"""The store as the rest of rdmf sees it: a folder with a catalogue, feature files and a small cache.

    catalogue.sqlite            what is known
    features/ab/abcdef….faiss   one file per (video, FeatureSpec), named by the SHA-256 of its content
    cache/….npy                 small arrays that are cheap to lose

A feature file is complete before it gets its name, and has its name before the catalogue tells of it. As the name is
the content's hash, new features never overwrite old ones: at any moment, killed or out of space, what the catalogue
tells of is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from rdmf_cli.errors import StoreError
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import arrays, files
from rdmf_cli.store.catalogue import Catalogue, explained
from rdmf_cli.store.features import DamagedFile, VideoFeatures, pack, unpack

if TYPE_CHECKING:  # encoders/base is in the same row: known as a type, not imported
    from rdmf_cli.encoders.base import FeatureSpec


class Store:
    """An open store. Several processes and threads may use one at once."""

    def __init__(self, folder: Path, catalogue: Catalogue, progress: Progress) -> None:
        self.folder = folder  # absolute, links resolved
        self._catalogue = catalogue
        self._progress = progress

    @classmethod
    def open(cls, folder: Path, progress: Progress = SILENT) -> Store:
        """Open the store in `folder`, creating it; `progress.warn` hears of damaged files.

        A store that exists and can't be written is opened for reading. Raises StoreError if that fails as well, if
        `folder` is not a folder, or if a newer rdmf made it.
        """
        with explained(folder):
            if folder.exists() and not folder.is_dir():
                raise StoreError(f"{folder}: not a folder", hint="name a folder with --store")
            folder.mkdir(parents=True, exist_ok=True)
            real = folder.resolve()
        return cls(real, Catalogue.open(real), progress)

    @property
    def catalogue(self) -> Catalogue:
        """For the modules beside this one: records, claims, upkeep."""
        return self._catalogue

    @property
    def read_only(self) -> bool:
        """True if nothing can be saved here."""
        return self._catalogue.unwritable is not None

    def fingerprint_of(self, path: Path, compute: Callable[[Path], str]) -> str:
        """The content fingerprint of a video file: remembered while size and time stay, else from `compute(path)`."""
        state = state_of(path)
        if state is None:
            return compute(path)  # a missing file is explained there
        known = self._catalogue.fingerprint_at(*state)
        if known is not None:
            return known
        fingerprint = compute(path)
        if state_of(path) == state:  # else it is still being written
            self._optionally(lambda: self._catalogue.put_path(state[0], fingerprint, *state[1:]))
        return fingerprint

    def load(self, fingerprint: str, spec: FeatureSpec) -> VideoFeatures | None:
        """The features of a video under exactly this spec; None, after a warning, if their file is damaged."""
        checksum, again = self._catalogue.checksum_of(fingerprint, spec), True
        while checksum is not None:
            try:
                return unpack(self._read(checksum), fingerprint, spec)
            except DamagedFile as problem:
                newer = self._catalogue.checksum_of(fingerprint, spec)
                if newer == checksum and not again:
                    self._progress.warn(f"{_path(self.folder, checksum)}: {problem}; the features are made again")
                    return None
                # Another process has saved anew. It may even have come back to the same content: so a second look.
                again, checksum = newer != checksum, newer
        return None

    def save(self, fingerprint: str, spec: FeatureSpec, features: VideoFeatures, path: Path) -> None:
        """Keep the features of the video at `path`, in place of earlier ones.

        Raises StoreError if the store can't be written or the disk is full; then all is as before. Raises ValueError
        if the rows are not unit rows of `spec.dim`.
        """
        self._need_writable()
        chunks = pack(fingerprint, spec, features)
        checksum = hashlib.sha256(b"".join(chunks)).hexdigest()
        earlier: str | None = None
        try:
            with explained(self.folder):
                file = self._file(checksum, create=True)
                files.sweep(file.parent)
                # The rename happens under the catalogue's write lock, as removals do: no process removes a file
                # that another one is just entering. Which file is replaced is asked there as well: outside the lock
                # another process could enter one in between, and nobody would remove it.
                with files.staged(file.parent, chunks) as temporary, self._catalogue.writing():
                    earlier = self._catalogue.checksum_of(fingerprint, spec)
                    files.publish(temporary, file)
                    self._catalogue.put_feature_set(
                        fingerprint, spec, checksum, len(features.features), _absolute(path)
                    )
        except BaseException:
            self._remove_unused(checksum)
            raise
        if earlier not in (None, checksum):
            self._remove_unused(str(earlier))

    def put_failure(self, path: Path, message: str) -> None:
        """Remember that the file at `path`, as it is now, can't be used."""
        state = state_of(path)
        if state is not None:
            self._optionally(lambda: self._catalogue.put_failure(*state, message))

    def failure_of(self, path: Path) -> str | None:
        """Why the file at `path` failed earlier; None if it did not, or has changed since."""
        state = state_of(path)
        return None if state is None else self._catalogue.failure_at(*state)

    def load_array(self, name: str) -> NDArray[Any] | None:
        """The array kept under any `name`; None if there is none or it is damaged."""
        try:
            file = files.real_folder(self.folder, "cache") / arrays.file_name(name)
            data = files.read_file(file)
        except (OSError, StoreError) as problem:
            self._progress.warn(f"{self.folder}: the cache can't be read: {problem}")
            return None
        array = None if data is None else arrays.unpack_array(name, data)
        if data is not None and array is None:
            self._progress.warn(f"{file}: the file is damaged; its content is made again")
        return array

    def save_array(self, name: str, array: NDArray[Any]) -> None:
        """Keep a small array, as a cache: if it can't be written, that is a warning. Raises ValueError for objects."""
        content = arrays.pack_array(name, array)

        def write() -> None:
            with explained(self.folder):
                folder = files.real_folder(self.folder, "cache", create=True)
                files.sweep(folder)
                files.write_file(folder / arrays.file_name(name), [content])

        self._optionally(write)

    def close(self) -> None:
        """Close the catalogue."""
        self._catalogue.close()

    def __enter__(self) -> Store:
        """The store itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _file(self, checksum: str, *, create: bool = False) -> Path:
        """Where a feature file is, after a look at the folders on the way. Raises StoreError, OSError."""
        file = _path(self.folder, checksum)
        files.real_folder(self.folder, *file.relative_to(self.folder).parts[:-1], create=create)
        return file

    def _read(self, checksum: str) -> bytes:
        """The content of a feature file, checked. Raises DamagedFile."""
        try:
            data = files.read_file(self._file(checksum))
        except (OSError, StoreError) as error:
            raise DamagedFile(f"can't be read ({error})") from error
        if data is None:
            raise DamagedFile("the file is missing")
        if hashlib.sha256(data).hexdigest() != checksum:
            raise DamagedFile("the file is damaged")
        return data

    def _remove_unused(self, checksum: str) -> None:
        """Remove a feature file that the catalogue does not tell of; if that fails, it does no harm."""
        with contextlib.suppress(StoreError, OSError):
            file = self._file(checksum)
            if not file.exists():
                return  # before the lock: after "in use by another process" there is no point in waiting again
            with self._catalogue.writing():
                if not self._catalogue.is_used(checksum):
                    file.unlink(missing_ok=True)

    def _need_writable(self) -> None:
        if self.read_only:
            raise StoreError(
                f"{self.folder}: the store can't be written ({self._catalogue.unwritable})",
                hint="check space and permissions, or name another store with --store",
            )

    def _optionally(self, write: Callable[[], None]) -> None:
        """Write what only saves time later: silently not in a read-only store, with a warning if it fails."""
        if self.read_only:
            return
        try:
            write()
        except StoreError as problem:
            self._progress.warn(str(problem))


def _path(folder: Path, checksum: str) -> Path:
    return folder / "features" / checksum[:2] / f"{checksum}.faiss"


def _absolute(path: Path) -> Path:
    return Path(os.path.realpath(path))


def state_of(path: Path) -> tuple[Path, int, int] | None:
    """Real path, size in bytes and modification time in ns; None if there is no such file."""
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError: a NUL in the name
        return None
    return _absolute(path), status.st_size, status.st_mtime_ns
