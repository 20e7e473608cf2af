"""The files of folders, with size and time: what `rdmf index` looks at, again and again, so it must cost little."""

from __future__ import annotations

import errno
import fnmatch
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rdmf_cli.media.probe import natural_key
from rdmf_cli.media.sniff import VIDEO_SUFFIXES, read_head, sniff


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A plain file as it was when it was seen."""

    path: Path  # real: no links on the way
    below: str  # path below the folder that was named, "/" between; the name of a file that was named itself
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Choice:
    """Which files of a folder are wanted. Patterns as in a shell, upper and lower case the same.

    A pattern without "/" is held against every name on the way from the named folder to the file, one with "/" against
    the whole of it, where `*` also stands for "/". A file is wanted if any of `include` fits (or there is none) and
    none of `exclude`. A file that was named itself is always wanted.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def wants(self, below: str) -> bool:
        """Is the file wanted?"""
        return (not self.include or _fits(below, self.include)) and not self.leaves_out(below)

    def leaves_out(self, below: str) -> bool:
        """Is a file, or all of a folder, left out?"""
        if not self.exclude:
            return False
        names = below.split("/")  # and each folder on the way: what is in a folder that is left out is left out
        return any(_fits("/".join(names[:length]), self.exclude) for length in range(1, len(names) + 1))


Complain = Callable[[Path, str], None]  # a file or folder that can't be looked at, and why


def files_below(place: Path, choice: Choice, complain: Complain) -> Iterator[FoundFile]:
    """All plain files below a folder, or `place` itself, in natural order; each folder is looked at once.

    Hidden files and folders are skipped, links to folders are not followed (so no loop can arise), links to files are.
    """
    try:
        real = Path(os.path.realpath(place))
        status = os.stat(real)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        complain(place, getattr(error, "strerror", None) or str(error))
        return
    if not stat.S_ISDIR(status.st_mode):
        if stat.S_ISREG(status.st_mode):
            yield FoundFile(real, real.name, status.st_size, status.st_mtime_ns)
        else:
            complain(place, "not a plain file")
        return
    yield from _files_in(real, "", choice, complain)


def is_video(file: FoundFile) -> bool:
    """By its first bytes. A file that can't be read counts if it is named like one, so that reading it says why."""
    suffix = file.path.suffix.lower() in VIDEO_SUFFIXES
    try:
        return sniff(read_head(file.path), known_suffix=suffix) == "video"
    except OSError:
        return suffix


def _files_in(folder: Path, below: str, choice: Choice, complain: Complain) -> Iterator[FoundFile]:
    """Without recursion: folders can be nested deeper than Python's stack."""
    waiting = [(folder, below)]
    while waiting:
        folder, below = waiting.pop()
        try:
            entries = sorted(_visible(folder), key=lambda entry: natural_key(entry.name))
        except OSError as error:
            complain(folder, error.strerror or str(error))
            continue
        folders = []
        for entry in entries:
            inner = f"{below}{entry.name}"
            try:
                if entry.is_dir(follow_symlinks=False):
                    if not choice.leaves_out(inner):
                        folders.append((folder / entry.name, f"{inner}/"))
                elif choice.wants(inner) and entry.is_file():
                    yield _found(folder / entry.name, inner, entry)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    continue  # a link to itself leads nowhere, as a broken one
                complain(folder / entry.name, error.strerror or str(error))
        waiting += reversed(folders)


def _visible(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith("."))


def _found(path: Path, below: str, entry: os.DirEntry[str]) -> FoundFile:
    status = entry.stat()
    real = Path(os.path.realpath(path)) if entry.is_symlink() else path
    return FoundFile(real, below, status.st_size, status.st_mtime_ns)


def _fits(below: str, patterns: tuple[str, ...]) -> bool:
    whole = below.casefold()
    names = whole.split("/")
    for pattern in patterns:
        wanted = pattern.casefold().removeprefix("./").rstrip("/")
        if fnmatch.fnmatchcase(whole, wanted) if "/" in wanted else fnmatch.filter(names, wanted):
            return True
    return False
