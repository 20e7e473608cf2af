"""What the catalogue knows about many videos at once: the library's view of it. Reads only."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import NamedTuple

from rdmf_cli.store.folder import Store

_STARTS = "substr(spec_key, 1, length(?1)) = ?1"
_CHECKSUM = re.compile(r"[0-9a-f]{64}")


class FeatureSet(NamedTuple):
    """One feature set of one video."""

    video_id: str
    spec_key: str
    checksum: str
    num_rows: int
    created_s: float


class Place(NamedTuple):
    """Where a video lies, or lay when it was last seen."""

    video_id: str
    path: Path
    changed_s: float | None  # time of last change; None: not known


def contents_of(store: Store, prefix: str) -> tuple[int, float, float]:
    """Count, total and latest time of creation of the feature sets whose spec key starts with `prefix`."""
    sql = f"SELECT count(*), total(created_s), max(created_s) FROM feature_set WHERE {_STARTS}"
    [(count, total_s, newest_s)] = store.catalogue.rows(sql, (prefix,))
    return int(count), float(total_s), float(newest_s or 0.0)


def feature_sets_of(store: Store, prefix: str, since_s: float = -1.0) -> list[FeatureSet]:
    """Such feature sets that were made after `since_s`, in order of their making."""
    sql = (
        "SELECT fingerprint, spec_key, checksum, num_rows, created_s FROM feature_set "
        f"WHERE {_STARTS} AND created_s > ?2 ORDER BY created_s, fingerprint, spec_key"
    )
    found = [FeatureSet(*row) for row in store.catalogue.rows(sql, (prefix, since_s))]
    # The checksum becomes a file name: what is not exactly a hash is not used.
    return [one for one in found if _CHECKSUM.fullmatch(str(one.checksum))]


def num_feature_sets(store: Store, video_id: str, prefix: str) -> int:
    """How many such feature sets one video has."""
    sql = f"SELECT count(*) FROM feature_set WHERE {_STARTS} AND fingerprint = ?2"
    return int(store.catalogue.rows(sql, (prefix, video_id))[0][0])


def places_of(store: Store, video_id: str | None = None) -> list[Place]:
    """The known paths of one video or of all, the last seen first."""
    where, values = ("WHERE fingerprint = ?", (video_id,)) if video_id is not None else ("", ())
    sql = f"SELECT fingerprint, path, mtime_ns FROM path {where} ORDER BY seen_s DESC, path"
    return [
        Place(str(found), Path(os.fsdecode(path)), None if mtime_ns is None else mtime_ns / 1e9)
        for found, path, mtime_ns in store.catalogue.rows(sql, values)
    ]


def encoders_of(store: Store) -> dict[str, int]:
    """How many videos each encoder, by its name, has seen."""
    counts: dict[str, set[str]] = {}
    for video_id, text in store.catalogue.rows("SELECT fingerprint, spec_json FROM feature_set"):
        try:
            name = str(json.loads(text)["encoder"])
        except (ValueError, KeyError, TypeError):
            continue
        counts.setdefault(name, set()).add(video_id)
    return {name: len(videos) for name, videos in counts.items()}
