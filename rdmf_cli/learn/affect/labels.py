"""Labels of violence and of valence and arousal: segments in CSV or JSON lines, RWF-2000, per-frame files. No torch.

Layouts that are understood:

    segments   one row per stretch: video, start_s, end_s, label (or valence, arousal); no times: the whole video
    rwf2000    {train,val}/{Fight,NonFight}/*.avi: whole videos
    dvd        a file per video, a line per frame: 0 or 1, or several columns of which one is called label or violence
    affwild2   a file per video, first line `valence,arousal`, then a line per frame; -5: not annotated

Per-frame files may lie in folders whose names say train or val, as Aff-Wild2's do. Anything wrong is one line that
names the file and the line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError
from rdmf_cli.evaluation.lines import Line, csv_lines, json_lines, wrong
from rdmf_cli.learn.affect.label_videos import VIDEO_SUFFIXES, find_labelled, index_videos

LAYOUTS = ("segments", "rwf2000", "dvd", "affwild2")
_MISSING = -5.0  # Aff-Wild2: this frame is not annotated
_SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
}
_LABEL_SUFFIXES = (".txt", ".csv")


@dataclass(frozen=True, eq=False)
class VideoLabels:
    """What is known of one video: N stretches in order, none overlapping another."""

    video: Path
    starts: NDArray[np.float64]  # (N,) seconds, or frame numbers
    ends: NDArray[np.float64]  # (N,) the same; inf: to the end of the video
    values: NDArray[np.float64]  # (N, C): one-hot over classes, or numbers in [-1, 1]
    in_frames: bool = False  # starts and ends count frames of the file
    split: str = ""  # "train", "validation" or not said

    def in_seconds(self, source_fps: float) -> VideoLabels:
        """The same with times in seconds."""
        if not self.in_frames:
            return self
        return replace(self, starts=self.starts / source_fps, ends=self.ends / source_fps, in_frames=False)


def read_labels(layout: str, labels: Path, videos: Path | None, outputs: tuple[str, ...]) -> list[VideoLabels]:
    """All labels of a data set, in order of the videos' names.

    Parameters: `labels` is a file (segments) or a folder; `videos` the folder of the videos, None: beside the labels;
    `outputs` the classes, the positive one last, or the dimensions.

    Raises UsageError: unreadable, inverted or overlapping segments, unknown labels. VideoError: labels for videos that
    are not there.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"unknown layout: {layout}", hint=f"one of {', '.join(LAYOUTS)}")
    if not labels.exists():
        raise UsageError(f"{labels}: no such {'file' if layout == 'segments' else 'folder'}")
    if layout == "rwf2000":
        found = list(_rwf2000(labels, outputs))
    elif layout == "segments":
        found = _segments(labels, videos or labels.parent, outputs)
    else:
        found = list(_per_frame(labels, videos or labels, outputs, is_class=layout == "dvd"))
    if not found:
        raise UsageError(f"{labels}: no labels of layout {layout} in it")
    return sorted(found, key=lambda item: str(item.video))


# --- segments ---------------------------------------------------------------------------------------------------------


def _segments(file: Path, videos: Path, outputs: tuple[str, ...]) -> list[VideoLabels]:
    lines = json_lines(file) if file.suffix.lower() in (".jsonl", ".json") else csv_lines(file)
    by_video: dict[str, list[Line]] = {}
    for line in lines:
        by_video.setdefault(str(line.get("video")).strip(), []).append(line)
    paths = find_labelled({name: rows[0] for name, rows in by_video.items()}, index_videos(videos))
    by_path: dict[Path, list[Line]] = {}  # a video may be named with and without its folder
    for name, rows in by_video.items():
        by_path.setdefault(paths[name], []).extend(rows)
    return [_labels_of(path, rows, outputs) for path, rows in by_path.items()]


def _labels_of(video: Path, lines: list[Line], outputs: tuple[str, ...]) -> VideoLabels:
    rows = sorted(((*_times(line), line) for line in lines), key=lambda row: row[:2])
    for (start_s, end_s, line), (next_s, _, later) in pairwise(rows):
        if next_s < end_s:
            first = f"{start_s:g} to {end_s:g} s (line {line.number})"
            raise later.error(f"overlaps another segment of {video.name}: {first}", "segments of one video may touch")
    splits = {str(line.values.get("split") or "").strip().lower() for line in lines}
    if len(splits) > 1:
        raise lines[0].error(f"{video.name} is in several splits: {', '.join(sorted(splits))}", "split by video")
    split = splits.pop()
    if split and split not in _SPLITS:
        raise lines[0].error(f"split is train or validation, not {split!r}")
    return VideoLabels(
        video=video,
        starts=np.array([row[0] for row in rows]),
        ends=np.array([row[1] for row in rows]),
        values=np.array([_target(row[2], outputs) for row in rows]),
        split=_SPLITS.get(split, ""),
    )


def _times(line: Line) -> tuple[float, float]:
    start_s = _number(line, "start_s", 0.0)
    end_s = _number(line, "end_s", float("inf"))
    if not 0 <= start_s < end_s:
        raise line.error(f"the segment ends before it starts, or at once: {start_s:g} to {end_s:g} s")
    return start_s, end_s


def _number(line: Line, key: str, default: float | None = None) -> float:
    value = line.values.get(key)
    if value is None or str(value).strip() == "":
        if default is None:
            raise line.error(f"'{key}' is missing")
        return default
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise line.error(f"'{key}' is no number: {value!r}") from None
    if not np.isfinite(number):
        raise line.error(f"'{key}' is not finite: {value}")
    return number


def _target(line: Line, outputs: tuple[str, ...]) -> list[float]:
    """One-hot of `label`, or the columns called like the outputs."""
    if line.values.get("label") is None:
        numbers = [_number(line, name) for name in outputs]
        if not all(-1 <= number <= 1 for number in numbers):
            raise line.error(f"{' and '.join(outputs)} lie in [-1, 1]")
        return numbers
    label = str(line.values["label"]).strip()
    place = outputs.index(label) if label in outputs else int(label) if label.isdecimal() else -1
    if not 0 <= place < len(outputs):
        raise line.error(f"unknown label {label!r}", f"known: {', '.join(outputs)}, or 0 to {len(outputs) - 1}")
    return [float(place == number) for number in range(len(outputs))]


# --- layouts of data sets ---------------------------------------------------------------------------------------------


def _rwf2000(folder: Path, outputs: tuple[str, ...]) -> Iterator[VideoLabels]:
    """RWF-2000: {train,val}/{Fight,NonFight}/*.avi; each video is one clip of five seconds."""
    for split in ("train", "val"):
        for name, place in (("Fight", len(outputs) - 1), ("NonFight", 0)):
            home = folder / split / name
            if not home.is_dir():
                raise UsageError(
                    f"{home}: no such folder", hint="RWF-2000 has train and val, Fight and NonFight in each"
                )
            for video in sorted(home.iterdir()):
                if video.suffix.lower() in VIDEO_SUFFIXES:
                    values = np.eye(len(outputs))[[place]]
                    yield VideoLabels(video, np.array([0.0]), np.array([np.inf]), values, split=_SPLITS[split])


def _per_frame(folder: Path, videos: Path, outputs: tuple[str, ...], *, is_class: bool) -> Iterator[VideoLabels]:
    files = [file for file in sorted(folder.rglob("*")) if file.suffix.lower() in _LABEL_SUFFIXES]
    # Aff-Wild2: two people in one video have files NAME_left.txt and NAME_right.txt; what is rated is the one video.
    lines = {file.stem: Line(str(file), 1, {}) for file in files}
    paths = find_labelled(lines, index_videos(videos), endings=("_left", "_right"))
    seen: dict[Path, Path] = {}
    for file in files:
        video = paths[file.stem]
        if video in seen:
            raise UsageError(
                f"{file}: a second set of labels for {video.name}, besides {seen[video].name}",
                hint="people in one picture are not told apart here: keep one of the two files",
            )
        seen[video] = file
        values = _frames(file, outputs, is_class)
        annotated = np.isfinite(values).all(axis=1)
        starts = np.flatnonzero(annotated).astype(np.float64)
        split = next((_SPLITS[word] for word in _words(file.relative_to(folder).parts[:-1]) if word in _SPLITS), "")
        yield VideoLabels(video, starts, starts + 1, values[annotated], in_frames=True, split=split)


def _words(parts: Sequence[str]) -> list[str]:
    return [word for part in parts for word in part.lower().replace("-", "_").split("_")]


def _frames(file: Path, outputs: tuple[str, ...], is_class: bool) -> NDArray[np.float64]:
    """A line per frame → (frames, C); NaN where a frame is not annotated."""
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} can't be read: {error}") from None
    while lines and not lines[-1].strip():
        lines.pop()
    header = [cell.strip().lower() for cell in lines[0].split(",")] if lines else []
    if all(_is_number(cell) for cell in header):
        header = []
    columns = _columns(file, header, outputs, is_class)
    first_line = 1 + bool(header)
    rows = []
    for number, line in enumerate(lines[first_line - 1 :], start=first_line):
        cells = line.split(",")
        if len(cells) <= max(columns) or not all(_is_number(cells[column]) for column in columns):
            raise wrong(str(file), number, f"not {len(columns)} numbers: {line.strip()[:60]!r}")
        rows.append([float(cells[column]) for column in columns])
    if not rows:
        raise UsageError(f"{file}: no frames in it")
    return _checked(file, np.array(rows), len(outputs), is_class, first_line)


def _columns(file: Path, header: list[str], outputs: tuple[str, ...], is_class: bool) -> list[int]:
    """Which cells count: by name where the file has names, else the first."""
    if not is_class:
        absent = [name for name in outputs if header and name not in header]
        if absent:
            raise UsageError(f"{file}: no column {absent[0]!r} in the first line: {', '.join(header)[:80]}")
        return [header.index(name) for name in outputs] if header else list(range(len(outputs)))
    named = [header.index(name) for name in ("label", "violence", outputs[-1]) if name in header]
    if len(header) > 1 and not named:
        raise UsageError(f"{file}: no column 'label' or 'violence' in the first line: {', '.join(header)[:80]}")
    return named[:1] or [0]


def _checked(
    file: Path, rows: NDArray[np.float64], num_outputs: int, is_class: bool, first_line: int
) -> NDArray[np.float64]:
    missing = (rows < 0).any(axis=1) if is_class else (rows == _MISSING).any(axis=1)
    allowed = np.isin(rows, range(num_outputs)) if is_class else (rows >= -1) & (rows <= 1)
    bad = np.flatnonzero(~allowed.all(axis=1) & ~missing)
    if len(bad):
        what = f"no label from 0 to {num_outputs - 1}" if is_class else "outside [-1, 1]"
        raise wrong(str(file), int(bad[0]) + first_line, f"{what}: {', '.join(f'{x:g}' for x in rows[bad[0]])}")
    values = np.eye(num_outputs)[np.where(missing, 0, rows[:, 0]).astype(np.int64)] if is_class else rows.copy()
    values[missing] = np.nan
    return values


def _is_number(cell: str) -> bool:
    try:
        return bool(np.isfinite(float(cell)))
    except ValueError:
        return False
