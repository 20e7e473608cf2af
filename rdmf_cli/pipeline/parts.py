"""The library's index as a search has it: segments with what counts in them, and the videos nearest to a query."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder, FeatureSpec
from rdmf_cli.errors import StoreError
from rdmf_cli.pipeline.refresh import build, refresh, wanted_entries
from rdmf_cli.progress import Progress
from rdmf_cli.store import Store
from rdmf_cli.store.generations import Generations, remove_all
from rdmf_cli.store.listing import encoders_of
from rdmf_cli.store.nearest import DamagedIndex, Entry, Hits, Segment

_FIRST_HITS, _MOST_HITS = 256, 4096  # snippets asked for at once
_ROUNDS = 24  # of asking again without the videos that are known


@dataclass(frozen=True)
class Lead:
    """A video that may answer."""

    entry: Entry
    cosine: float  # of its best snippet, by the index
    row: int  # that snippet


Part = tuple[Segment, NDArray[np.bool_]]  # a segment and (E,) which of its entries count


def current_parts(store: Store, spec: FeatureSpec, progress: Progress) -> list[Part]:
    """The index brought up to date, as far as that is possible."""
    try:
        refresh(store, spec, progress, compact=False)
        parts = _published(store, spec)
    except StoreError as problem:
        progress.warn(f"the library's index could not be kept: {problem}")
        parts = []
    except DamagedIndex as problem:
        progress.warn(f"the library's index can't be used ({problem}); it is built again")
        parts = [] if store.read_only else built_again(store, spec, progress)
    return parts + in_memory(store, spec, parts, progress)


def built_again(store: Store, spec: FeatureSpec, progress: Progress) -> list[Part]:
    """The index made anew; nothing, after a warning, if it can't be written."""
    try:
        remove_all(store, spec.fingerprint)
        refresh(store, spec, progress, compact=False)
        return _published(store, spec)
    except (StoreError, DamagedIndex) as problem:
        progress.warn(f"the library's index could not be kept: {problem}")
        return []


def _published(store: Store, spec: FeatureSpec) -> list[Part]:
    """What is published, without what was removed since. Raises DamagedIndex, StoreError."""
    manifest, segments = Generations(store, spec.fingerprint, spec.dim).open_newest()
    return [_counting(segment, part.removed) for segment, part in zip(segments, manifest.parts, strict=True)]


def _counting(segment: Segment, removed: Sequence[int] = ()) -> Part:
    counts = np.ones(len(segment.entries), dtype=bool)
    counts[list(removed)] = False
    return segment, counts


def in_memory(store: Store, spec: FeatureSpec, parts: list[Part], progress: Progress) -> list[Part]:
    """What the published index lacks, because it could not be written or was damaged; `parts` are adjusted."""
    if not store.read_only and parts:
        return []
    missing = wanted_entries(store, spec)
    for segment, counts in parts:
        for number, entry in enumerate(segment.entries):
            if counts[number] and missing.pop(entry.video_id, None) != entry:
                counts[number] = False
    if not missing:
        return []
    segment = build(store, spec, list(missing.values()), progress, cluster=False)
    return [_counting(segment)]


def best_of_videos(
    segment: Segment, vector: NDArray[np.float32], allowed: NDArray[np.bool_], wanted: int
) -> Iterator[Lead]:
    """Up to `wanted` videos of a segment, each with its best snippet.

    A long video full of matches fills the first list of snippets alone; then the rest is asked again without it.
    """
    allowed, found, count = allowed.copy(), 0, _FIRST_HITS
    for _ in range(_ROUNDS):
        hits: Hits = segment.search(vector, count, allowed)
        entries, firsts = np.unique(hits.entry, return_index=True)
        for entry, first in zip(entries.tolist(), firsts.tolist(), strict=True):
            yield Lead(segment.entries[entry], float(hits.cosine[first]), int(hits.row[first]))
        found += len(entries)
        allowed[entries] = False
        if found >= wanted or len(hits.row) < count or not allowed.any():
            return
        count = min(2 * count, _MOST_HITS)


def empty_library(store: Store, encoder: Encoder) -> StoreError:
    """What to say if an encoder has seen no video."""
    others = encoders_of(store)
    others.pop(encoder.name, None)
    if not others:
        return StoreError(f"{store.folder}: the library is empty", hint="index a folder first: rdmf index FOLDER")
    seen = ", ".join(f"{count} with {name}" for name, count in sorted(others.items(), key=lambda item: -item[1]))
    return StoreError(
        f"{store.folder}: no video is indexed with the encoder {encoder.name} ({seen})",
        hint=f"index with it: rdmf index FOLDER --encoder {encoder.name}; or search with --encoder of the others",
    )
