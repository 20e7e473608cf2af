"""One segment of the derived index: rows of many videos that FAISS searches, in a file that never changes.

    FAISS index (IndexIVFScalarQuantizer, half precision, inner product) | JSON | trailer

Few rows lie in one list and are searched exactly; many are clustered (IVF) and only the lists near the query are. Both
are the same kind of FAISS file, because only IVF can be mapped into memory instead of read. What follows the index is
ignored by FAISS: which rows belong to which video, and checksums. Those of the lists are checked when a list is
first used: nothing has to be read at opening, and no damage goes unnoticed. docs/decisions/0014 has the figures.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import StoreError

CLUSTER_FROM = 250_000  # rows: below, all are compared; 6 ms at 256 dimensions on one core
MAX_ROWS = 2_000_000  # of one segment, so that building one stays within memory
_TRAIN_ROWS = 50  # per list; FAISS asks for 39 at least
_TRAIN_ROUNDS = 6
_PROBED = 1 / 8  # share of the lists that a search looks into
_MIN_PROBED = 64
_FEW = 0.2  # share of rows allowed by a filter below which all lists are looked into
_TRAILER = struct.Struct("<QQQ32s8s")  # bytes of the index, of its head, of the JSON; SHA-256 of head and JSON; magic
_MAGIC = b"rdmf\x00ni1"
_INDEX_MAGIC = b"IwSq"  # FAISS's own mark of an IndexIVFScalarQuantizer
_ID_BYTES = 8


class DamagedIndex(Exception):
    """A file of the derived index is not what it should be; says why. It can always be built again."""


@dataclass(frozen=True)
class Entry:
    """The rows of one video: the feature set that they come from."""

    video_id: str
    spec_key: str
    checksum: str  # of the feature file
    num_rows: int


@dataclass(frozen=True, eq=False)
class Hits:
    """Rows near a query, best first."""

    entry: NDArray[np.int64]  # (K,) which video, as an index into `Segment.entries`
    row: NDArray[np.int64]  # (K,) which row of that video's features
    cosine: NDArray[np.float32]  # (K,)


class Segment:
    """Rows of several videos. Concurrent searches are safe; nothing is ever added."""

    def __init__(
        self, index: Any, entries: Sequence[Entry], lengths_s: Sequence[float], checksums: NDArray[np.uint32] | None
    ) -> None:
        self.entries = tuple(entries)
        self.lengths_s = np.array(lengths_s, dtype=np.float64)  # (E,) of the videos
        counts = np.array([entry.num_rows for entry in entries], dtype=np.int64)
        self.first_row = np.concatenate([[0], np.cumsum(counts)])  # (E + 1,)
        self._index = index
        self._unchecked = None if checksums is None else dict(enumerate(checksums.tolist()))

    @property
    def num_rows(self) -> int:
        """Rows of all videos together."""
        return int(self.first_row[-1])

    @property
    def is_clustered(self) -> bool:
        """True if a search looks into some of the rows only."""
        return int(self._index.nlist) > 1

    def search(self, query: NDArray[np.float32], count: int, allowed: NDArray[np.bool_] | None = None) -> Hits:
        """The `count` rows with the largest product with query (D,); fewer if there are no more.

        allowed (E,): only rows of these entries. Exact in a small segment, nearly so in a clustered one. Raises
        DamagedIndex.
        """
        faiss = _faiss()

        rows = self.num_rows if allowed is None else int(np.diff(self.first_row)[allowed].sum())
        if rows == 0 or count < 1:
            return Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        query = np.ascontiguousarray(query, dtype=np.float32)[None]
        lists = self._lists_near(query, wide=rows < _FEW * self.num_rows)
        self._check(lists)
        options: dict[str, Any] = {"nprobe": len(lists)}
        if allowed is not None:
            mask = np.packbits(np.repeat(allowed, np.diff(self.first_row)), bitorder="little")
            options["sel"] = faiss.IDSelectorBitmap(mask)
        # FAISS looks for the same lists once more: its Python call that would take them takes no selector.
        cosines, found = self._index.search(query, min(count, rows), params=faiss.SearchParametersIVF(**options))
        is_hit = found[0] >= 0
        return self._hits(found[0][is_hit], cosines[0][is_hit])

    def verify(self) -> None:
        """Read every byte and compare it with its checksum. Raises DamagedIndex."""
        self._check(np.arange(self._index.nlist))

    def _hits(self, found: NDArray[np.int64], cosines: NDArray[np.float32]) -> Hits:
        if len(found) and int(found.max()) >= self.num_rows:
            raise DamagedIndex("rows that nobody has entered")
        entry = np.searchsorted(self.first_row, found, side="right") - 1
        return Hits(entry, found - self.first_row[entry], cosines)

    def _lists_near(self, query: NDArray[np.float32], *, wide: bool) -> NDArray[np.int64]:
        """The lists to look into, (P,)."""
        count = self._index.nlist
        probed = count if wide else min(count, max(_MIN_PROBED, round(count * _PROBED)))
        lists: NDArray[np.int64] = self._index.quantizer.search(query, probed)[1][0]
        return lists[lists >= 0]

    def _check(self, lists: NDArray[np.int64]) -> None:
        """Compare lists that were not used before with their checksums. Raises DamagedIndex."""
        if self._unchecked is None:
            return  # made by this very process
        for number in lists.tolist():
            expected = self._unchecked.get(number)
            if expected is None:
                continue
            if _list_checksum(self._index, number) != expected:
                raise DamagedIndex("its content does not fit its checksums")
            self._unchecked.pop(number, None)  # two threads may both have checked it


Load = Callable[[Entry], tuple[NDArray[np.float32], float] | None]  # features (T, D) and the video's length in s


def build(entries: Sequence[Entry], load: Load, dim: int, *, cluster: bool = True, seed: int = 0) -> Segment:
    """A segment of all entries whose features `load` gives, (T, dim) of unit length; the others are left out.

    `cluster`: sort many rows into lists, which takes time once and saves it at every search.
    """
    faiss = _faiss()

    total = sum(entry.num_rows for entry in entries)
    num_lists = int(total**0.5) if cluster and total >= CLUSTER_FROM else 1
    sample = np.zeros((1, dim), np.float32)  # one list has no centre to learn
    if num_lists > 1:
        sample = _sample(entries, load, dim, _TRAIN_ROWS * num_lists / total, seed)
        num_lists = max(1, min(num_lists, len(sample)))  # features may have gone since they were counted
    kind = faiss.ScalarQuantizer.QT_fp16
    index = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dim), dim, num_lists, kind, faiss.METRIC_INNER_PRODUCT, False
    )
    index.cp.niter, index.cp.seed = _TRAIN_ROUNDS, seed + 1
    index.cp.min_points_per_centroid, index.cp.max_points_per_centroid = 1, _TRAIN_ROWS
    index.train(sample)
    entered, lengths_s = [], []
    for entry in entries:
        loaded = load(entry)
        if loaded is not None and loaded[0].shape == (entry.num_rows, dim):
            index.add(np.ascontiguousarray(loaded[0], dtype=np.float32))
            entered.append(entry)
            lengths_s.append(loaded[1])
    return Segment(index, entered, lengths_s, None)


def _sample(entries: Sequence[Entry], load: Load, dim: int, share: float, seed: int) -> NDArray[np.float32]:
    """About `share` of all rows, at least one: what the lists' centres are learned from."""
    rng = np.random.default_rng(seed)
    parts = []
    for entry in entries:
        chosen = rng.random(entry.num_rows) < share
        loaded = load(entry) if chosen.any() else None
        if loaded is not None and len(loaded[0]) == len(chosen):
            parts.append(loaded[0][chosen])
    return np.concatenate(parts) if parts else np.zeros((1, dim), np.float32)


def write(segment: Segment, file: Path) -> None:
    """Write a segment made by `build`, and fsync it. Raises StoreError, OSError."""
    faiss = _faiss()

    index = segment._index
    try:
        faiss.write_index(index, str(file))
    except UnicodeEncodeError as error:
        raise StoreError(f"{file}: FAISS can't write to this name", hint="use a --store with a UTF-8 name") from error
    except RuntimeError as error:
        raise OSError(f"{file}: {' '.join(str(error).split())[-120:]}") from error
    notes = {
        "entries": [astuple(entry) for entry in segment.entries],
        "lengths_s": segment.lengths_s.tolist(),
        "checksums": [_list_checksum(index, number) for number in range(index.nlist)],
    }
    text = json.dumps(notes, separators=(",", ":")).encode()
    size = file.stat().st_size
    head_size = size - segment.num_rows * (index.code_size + _ID_BYTES)
    with file.open("r+b") as stream:
        digest = hashlib.sha256(stream.read(head_size) + text).digest()
        stream.seek(size)
        stream.write(text + _TRAILER.pack(size, head_size, len(text), digest, _MAGIC))
        stream.flush()
        os.fsync(stream.fileno())


def open_segment(file: Path, dim: int) -> Segment:
    """Map a segment's file into memory. Raises DamagedIndex, FileNotFoundError.

    Everything that FAISS interprets is checked before FAISS sees it: a damaged header could crash it.
    """
    faiss = _faiss()

    try:
        notes = _read_notes(file)
        index = faiss.read_index(str(file), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)
        entries = [Entry(str(a), str(b), str(c), int(d)) for a, b, c, d in notes["entries"]]
        lengths_s = [float(length_s) for length_s in notes["lengths_s"]]
        checksums = np.array(notes["checksums"], dtype=np.uint32)
    except FileNotFoundError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, struct.error) as error:
        raise DamagedIndex(f"{' '.join(str(error).split())[-160:]}") from error
    sizes_fit = len(checksums) == index.nlist and len(lengths_s) == len(entries)
    if index.d != dim or index.ntotal != sum(entry.num_rows for entry in entries) or not sizes_fit:
        raise DamagedIndex("contradicts itself")
    lists = faiss.downcast_InvertedLists(index.invlists)
    if hasattr(lists, "prefetch_nthread"):
        lists.prefetch_nthread = 0  # else 32 threads wake for each query
    return Segment(index, entries, lengths_s, checksums)


def _read_notes(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        size = os.fstat(stream.fileno()).st_size
        if size < _TRAILER.size:
            raise DamagedIndex("cut off")
        stream.seek(size - _TRAILER.size)
        index_size, head_size, text_size, digest, magic = _TRAILER.unpack(stream.read(_TRAILER.size))
        if magic != _MAGIC or index_size + text_size + _TRAILER.size != size or head_size > index_size:
            raise DamagedIndex("not a file of the index")
        stream.seek(index_size)
        text = stream.read(text_size)
        stream.seek(0)
        head = stream.read(head_size)
    if hashlib.sha256(head + text).digest() != digest or not head.startswith(_INDEX_MAGIC):
        raise DamagedIndex("damaged")
    notes: dict[str, Any] = json.loads(text)
    return notes


def _list_checksum(index: Any, number: int) -> int:
    """CRC-32 of a list's codes and row numbers."""
    faiss = _faiss()

    lists = faiss.downcast_InvertedLists(index.invlists)
    size = lists.list_size(number)
    if size == 0:
        return 0
    codes, ids = lists.get_codes(number), lists.get_ids(number)
    try:
        first = zlib.crc32(faiss.rev_swig_ptr(codes, size * index.code_size))
        return zlib.crc32(faiss.rev_swig_ptr(ids, size), first)
    finally:
        lists.release_codes(number, codes)
        lists.release_ids(number, ids)


def _faiss() -> Any:
    """FAISS, when it is needed: importing it takes 0.2 s, and its types are not those that it has at run time."""
    import faiss

    return faiss


def batches_of(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """`entries` in groups of at most MAX_ROWS rows; a longer video is a group of its own."""
    group: list[Entry] = []
    rows = 0
    for entry in entries:
        if group and rows + entry.num_rows > MAX_ROWS:
            yield group
            group, rows = [], 0
        group.append(entry)
        rows += entry.num_rows
    if group:
        yield group
