"""Videos and queries → a folder of features that training reads (feature_folder.py). May be stopped and started again.

Each file is complete or not there. One that is there is made again only if the video, the sampling or the encoder's
picture of it has changed; a folder holds the features of one encoder.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rdmf_cli.encoders.base import Encoder, reach_of
from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.feature_folder import (
    BANK_FILE,
    TEXT_FOLDER,
    VIDEO_FOLDER,
    Bank,
    read_arrays,
    read_bank,
    text_path,
    video_path,
    video_stem,
    write_arrays,
    write_bank,
)
from rdmf_cli.media.frames import default_sample_fps
from rdmf_cli.media.probe import find_videos, fingerprint, probe
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.calibration import calibrate
from rdmf_cli.pipeline.index import Indexed, feature_spec, index_video
from rdmf_cli.pipeline.snippets import snippets_of
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store
from rdmf_cli.store.files import sweep

SCHEMA = "rdmf.extract/1"
_TEXTS_AT_ONCE = 256


@dataclass(frozen=True)
class Wanted:
    """A query whose vector is asked for."""

    query_id: str
    text: str


@dataclass(frozen=True)
class Extracted:
    """What became of one video."""

    video: str  # its name in the layout
    path: Path
    status: str  # "written", "unchanged" or "failed"
    num_snippets: int = 0
    duration_s: float = 0.0
    message: str = ""
    hint: str = ""

    def to_json(self) -> dict[str, Any]:
        """One entry of `videos`."""
        found: dict[str, Any] = {"video": self.video, "path": str(self.path), "status": self.status}
        if self.status == "failed":
            return {**found, "message": self.message, "hint": self.hint}
        return {**found, "snippets": self.num_snippets, "duration_s": round(self.duration_s, 3)}


@dataclass
class Report:
    """All of a run."""

    out: Path
    encoder: Encoder
    videos: list[Extracted] = field(default_factory=list)
    num_texts_written: int = 0
    num_texts_unchanged: int = 0
    seconds: float = 0.0

    def count(self, status: str) -> int:
        """How many videos came to this."""
        return sum(video.status == status for video in self.videos)

    def to_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        encoder = self.encoder
        return {
            "schema": SCHEMA,
            "out": str(self.out),
            "encoder": {"name": encoder.name, "dim": encoder.dim, "fingerprint": encoder.fingerprint},
            **{status: self.count(status) for status in ("written", "unchanged", "failed")},
            "texts": {"written": self.num_texts_written, "unchanged": self.num_texts_unchanged},
            "videos": [video.to_json() for video in self.videos],
            "seconds": round(self.seconds, 3),
        }


def videos_by_name(folder: Path) -> dict[str, list[Path]]:
    """The videos below a folder by their names in the layout. Raises VideoError if there are none."""
    found: dict[str, list[Path]] = {}
    for path in find_videos(folder):
        found.setdefault(video_stem(path.name), []).append(path)
    if not found:
        raise VideoError(f"{folder}: no videos in this folder")
    return found


def the_one(paths: Sequence[Path], name: str) -> Path:
    """The video of that name, of which there may be one only. Raises UsageError."""
    if len(paths) > 1:
        raise UsageError(
            f"two videos are called {name!r}: {paths[0]} and {paths[1]}",
            hint="features are filed by the video's name without its suffix: rename one",
        )
    return paths[0]


def extract(
    videos: dict[str, Path],
    queries: Sequence[Wanted],
    out: Path,
    *,
    encoder: Encoder,
    store: Store | None,
    options: SearchOptions,
    progress: Progress = SILENT,
    on_video: Callable[[Extracted], None] = lambda video: None,
) -> Report:
    """Write features of all videos (by name) and queries into `out`. A video that can't be read is told in the report.

    Raises UsageError if `out` holds features of another encoder, OutputError if it can't be written.
    """
    started = time.perf_counter()
    report = Report(out, encoder)
    _prepare(out, encoder, store)
    _extract_texts(queries, report, progress)
    for name, path in videos.items():
        done = _extract_video(name, path, report, store, options, progress)
        report.videos.append(done)
        on_video(done)
    report.seconds = time.perf_counter() - started
    return report


def _prepare(out: Path, encoder: Encoder, store: Store | None) -> None:
    """The bank, which also says whose features the folder holds; what a killed run left is removed."""
    for folder in (out, out / VIDEO_FOLDER, out / TEXT_FOLDER):
        sweep(folder)
    try:
        bank = read_bank(out)
    except UsageError:
        bank = None  # damaged: written again
    if bank is not None and bank.encoder == encoder.fingerprint:
        return
    if bank is not None:
        whose = bank.encoder_name or bank.encoder
        other = f"of the encoder {whose}" if whose != encoder.name else f"of another version of {whose}"
        raise UsageError(f"{out}: holds features {other}, not of {encoder.name}", hint="name another folder with --out")
    if not os.path.lexists(out / BANK_FILE) and any((out / VIDEO_FOLDER).glob("*.npz")):  # the bank comes first
        raise UsageError(
            f"{out}: holds features that 'rdmf extract' did not write", hint="name another folder with --out"
        )
    made = calibrate(encoder, store)
    write_bank(out, Bank(made.bank, made.null_mean, made.null_spread, encoder.fingerprint, encoder.name))


def _extract_texts(queries: Sequence[Wanted], report: Report, progress: Progress) -> None:
    """A file for each query that has none with this text yet."""
    todo = [query for query in queries if not _is_known(report, query)]
    report.num_texts_unchanged = len(queries) - len(todo)
    if not todo:
        return
    progress.start("encoding queries", len(todo), "queries")
    try:
        for first in range(0, len(todo), _TEXTS_AT_ONCE):
            some = todo[first : first + _TEXTS_AT_ONCE]
            vectors = report.encoder.encode_texts([query.text for query in some])
            reaches = reach_of(report.encoder, vectors)
            for query, vector, reach in zip(some, vectors, reaches, strict=True):
                own = {"pooler_output": vector, "reach": reach}
                arrays = {**own, "text": query.text, "encoder": report.encoder.fingerprint}
                write_arrays(text_path(report.out, query.query_id), arrays)
                report.num_texts_written += 1
                progress.advance(1)
    finally:
        progress.finish()


def _is_known(report: Report, query: Wanted) -> bool:
    kept = _kept(text_path(report.out, query.query_id), ("text", "encoder"))
    return kept == {"text": query.text, "encoder": report.encoder.fingerprint}


def _extract_video(
    name: str, path: Path, report: Report, store: Store | None, options: SearchOptions, progress: Progress
) -> Extracted:
    file = video_path(report.out, name)
    try:
        known = _known_video(name, path, file, report.encoder, options)
        if known is not None:
            return known
        indexed = index_video(path, encoder=report.encoder, store=store, options=options, progress=progress)
    except VideoError as error:
        return Extracted(name, path, "failed", message=str(error), hint=error.hint)
    spec = feature_spec(report.encoder, indexed.sample_fps, options.backend).key
    arrays = _video_arrays(indexed, spec, report.encoder)
    for warning in indexed.features.warnings:
        progress.warn(f"{path}: {warning}")
    write_arrays(file, arrays)
    return Extracted(name, path, "written", len(arrays["features"]), float(arrays["duration_s"]))


def _known_video(name: str, path: Path, file: Path, encoder: Encoder, options: SearchOptions) -> Extracted | None:
    """What the file already says of this video, if it is of this content and made in the way that is asked for."""
    kept = _kept(file, ("source", "spec"))
    if not kept:
        return None
    sample_fps = options.sample_fps or default_sample_fps(probe(path).duration_s)
    spec = feature_spec(encoder, sample_fps, options.backend).key
    if kept != {"source": fingerprint(path), "spec": spec}:
        return None
    try:
        arrays = read_arrays(file, ("times_s", "duration_s"))
        return Extracted(name, path, "unchanged", len(arrays["times_s"]), float(arrays["duration_s"]))
    except (UsageError, KeyError, TypeError):  # damaged
        return None


def _video_arrays(indexed: Indexed, spec: str, encoder: Encoder) -> dict[str, Any]:
    """Snippets as a search has them; half precision is what the store keeps, too."""
    features, timeline = snippets_of(indexed.features, indexed.sample_fps)
    return {
        "features": features.astype(np.float16),
        "times_s": timeline.starts_s,
        "cut_s": timeline.cut_s,
        "duration_s": timeline.end_s,
        "source": indexed.video_id,
        "spec": spec,
        "encoder": encoder.fingerprint,
    }


def _kept(file: Path, names: Iterable[str]) -> dict[str, str]:
    """Texts of a file that is there and sound; {} if it isn't."""
    try:
        return {name: str(value) for name, value in read_arrays(file, names).items()}
    except UsageError:
        return {}
