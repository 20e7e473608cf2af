"""The library's index brought up to date with the catalogue: what is new is added, what is gone no longer counts.

The index is derived: everything in it comes from feature files and can be made again. A change costs as much as what
has changed, not as much as the library; segments of many small changes are merged from time to time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.encoders.base import FeatureSpec
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store, nearest
from rdmf_cli.store.generations import Contents, Generations, Manifest, Part, without
from rdmf_cli.store.listing import contents_of, feature_sets_of, num_feature_sets
from rdmf_cli.store.nearest import DamagedIndex, Entry, Segment

_ATTEMPTS = 5  # to publish before others do
_TIER = 4.0  # segments of a tier differ in rows by less than this factor
_MERGED = 8  # segments of one tier are merged from this number on: each row is rewritten a few times, not each time
_WORN = 0.25  # share of removed rows from which a segment is written anew
_USUAL_FPS = (1.0, 2.0)  # where a video has several feature sets, these count rather than a rate tried once


@dataclass
class _Change:
    """What a refresh will publish."""

    kept: list[Part] = field(default_factory=list)
    added: list[Entry] = field(default_factory=list)
    force: bool = False  # the manifest was damaged


def refresh(store: Store, spec: FeatureSpec, progress: Progress = SILENT, *, compact: bool = True) -> None:
    """Bring the index of an encoder up to date. Cheap if nothing has changed; does nothing in a read-only store.

    spec: of the encoder; its sampling does not matter. compact: also merge and cluster segments where that is due,
    which can take a minute for a million rows; searches go on meanwhile with what was published before. A damaged
    index is told with one warning and built again. Raises StoreError if the store can't be written.
    """
    if store.read_only:
        return
    for _ in range(_ATTEMPTS):
        if _caught_up(store, spec, progress):
            break
    if compact:
        _compact(store, spec, progress)


def index_problem(store: Store, spec: FeatureSpec) -> str | None:
    """What is wrong with the published index of an encoder, every byte of it read; None if nothing is."""
    try:
        _, segments = Generations(store, spec.fingerprint, spec.dim).open_newest()
        for segment in segments:
            segment.verify()
    except DamagedIndex as problem:
        return str(problem)
    return None


def prefix_of(spec: FeatureSpec) -> str:
    """What the keys of all feature sets of an encoder start with."""
    return f"{spec.fingerprint}|{spec.dim}|"


def spec_of(spec: FeatureSpec, spec_key: str) -> FeatureSpec:
    """The spec of a stored feature set."""
    return FeatureSpec(spec.encoder, spec.fingerprint, spec.dim, spec_key.removeprefix(prefix_of(spec)))


def sample_fps_of(spec_key: str) -> float:
    """Samples per second of a stored feature set; see `feature_spec`. 2 if it does not say."""
    try:
        rate = float(spec_key.rsplit("|", 1)[-1].split(" fps")[0])
    except ValueError:
        return 2.0
    return rate if 0 < rate <= 1000 else 2.0


def wanted_entries(store: Store, spec: FeatureSpec) -> dict[str, Entry]:
    """One feature set for each video that the encoder has seen, in order of entry: at a usual rate, else the newest."""
    chosen: dict[str, tuple[tuple[bool, float], Entry]] = {}
    for video_id, spec_key, checksum, num_rows, created_s in feature_sets_of(store, prefix_of(spec)):
        rank = (sample_fps_of(spec_key) in _USUAL_FPS, created_s)
        if video_id not in chosen or rank > chosen[video_id][0]:
            chosen[video_id] = (rank, Entry(video_id, spec_key, checksum, num_rows))
    return {video_id: entry for video_id, (_, entry) in chosen.items()}


def build(store: Store, spec: FeatureSpec, entries: Sequence[Entry], progress: Progress, *, cluster: bool) -> Segment:
    """A segment of `entries` from their feature files."""

    def load(entry: Entry) -> tuple[NDArray[np.float32], float] | None:
        progress.advance(entry.num_rows)
        found = store.load(entry.video_id, spec_of(spec, entry.spec_key))
        return None if found is None else (found.features, found.duration_s)

    progress.start("updating the library's index", None if cluster else sum(e.num_rows for e in entries), "snippets")
    try:
        return nearest.build(entries, load, spec.dim, cluster=cluster)
    finally:
        progress.finish()


def _caught_up(store: Store, spec: FeatureSpec, progress: Progress) -> bool:
    """One attempt; False if another process has published meanwhile."""
    generations = Generations(store, spec.fingerprint, spec.dim)
    contents = Contents(*contents_of(store, prefix_of(spec)))
    base, is_damaged = Manifest(), False
    try:
        base = generations.read()
    except DamagedIndex as problem:
        progress.warn(f"the library's index can't be used ({problem}); it is built again")
        is_damaged = True
    if contents == base.contents and not is_damaged:
        return True
    change = None if is_damaged else _only_added(store, spec, base, contents)
    change = change or _difference(store, spec, generations, base, progress)
    # Clustering waits for `_compact`: what is new can be searched before.
    added = [build(store, spec, group, progress, cluster=False) for group in nearest.batches_of(change.added)]
    added = [segment for segment in added if segment.num_rows]
    return generations.publish(base, contents, change.kept, added, force=is_damaged) is not None


def _only_added(store: Store, spec: FeatureSpec, base: Manifest, contents: Contents) -> _Change | None:
    """The change if it is nothing but new videos, without a look at what the index has; None if it is more."""
    new = feature_sets_of(store, prefix_of(spec), base.contents.newest_s)
    total_s = base.contents.total_s + sum(created_s for *_, created_s in new)
    if base.contents.count + len(new) != contents.count or not math.isclose(total_s, contents.total_s, rel_tol=1e-14):
        return None
    if any(num_feature_sets(store, video_id, prefix_of(spec)) != 1 for video_id in {row[0] for row in new}):
        return None
    return _Change(list(base.parts), [Entry(*row[:4]) for row in new])


def _difference(
    store: Store, spec: FeatureSpec, generations: Generations, base: Manifest, progress: Progress
) -> _Change:
    """Everything that the index lacks or has too much, entry by entry."""
    missing = wanted_entries(store, spec)
    change = _Change()
    for part in base.parts:
        try:
            segment = generations.open_part(part)
        except (DamagedIndex, FileNotFoundError) as problem:
            progress.warn(f"{generations.folder / part.file}: {problem}; this part of the index is built again")
            continue
        gone = []
        for number, entry in enumerate(segment.entries):
            if number in part.removed:
                continue
            if missing.get(entry.video_id) == entry:
                del missing[entry.video_id]
            else:
                gone.append(number)
        part = without(part, segment, gone) if gone else part
        if part.num_removed_rows < part.num_rows:
            change.kept.append(part)
    change.added = list(missing.values())
    return change


def _compact(store: Store, spec: FeatureSpec, progress: Progress) -> None:
    """Merge and cluster segments where that is due, unless others change the index meanwhile."""
    generations = Generations(store, spec.fingerprint, spec.dim)
    for _ in range(_ATTEMPTS):
        try:
            base = generations.read()
            due = due_for_merging(base.parts)
            entries: list[Entry] = []
            for part in due:
                segment = generations.open_part(part)
                entries += [entry for i, entry in enumerate(segment.entries) if i not in part.removed]
        except (DamagedIndex, FileNotFoundError):
            return  # somebody was faster, or the next refresh builds it again
        if not due:
            return
        built = [build(store, spec, group, progress, cluster=True) for group in nearest.batches_of(entries)]
        kept = [part for part in base.parts if part not in due]
        if generations.publish(base, base.contents, kept, [s for s in built if s.num_rows]) is None:
            return


def due_for_merging(parts: Sequence[Part]) -> list[Part]:
    """Which segments should become one: [] if none."""
    flat = [part for part in parts if not part.is_clustered]
    if sum(part.num_rows - part.num_removed_rows for part in flat) >= nearest.CLUSTER_FROM:
        return flat
    tiers: dict[int, list[Part]] = defaultdict(list)
    for part in flat:
        tiers[int(math.log(max(part.num_rows, 1), _TIER))].append(part)
    for tier in sorted(tiers):
        if len(tiers[tier]) >= _MERGED:
            return tiers[tier]
    small = [part for part in parts if part.is_clustered and part.num_rows < nearest.MAX_ROWS / 2]
    if len(small) >= _MERGED:
        return small
    return [part for part in parts if part.num_removed_rows > _WORN * part.num_rows][:1]
