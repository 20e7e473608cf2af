"""Features of videos and queries from a folder of npz files, public sets and those of `rdmf extract` alike. No torch.

Text and pictures must lie in one space (CLIP and its like): that is what the fusion compares. Other features of the
video, such as SlowFast, can only be set behind them, for models that look at features themselves (input = "features").

Axes: T snippets, D dimensions of the shared space, E of everything together.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Words
from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.evaluation.lines import Line
from rdmf_cli.feature_folder import (
    TEXT_FOLDER,
    VIDEO_FOLDER,
    Bank,
    is_plain_name,
    read_arrays,
    read_bank,
    video_stem,
)
from rdmf_cli.heads.decode import Timeline

Floats = NDArray[np.float32]

_ROWS = ("features", "times_s", "cut_s", "duration_s", "encoder")
_WORDS = ("pooler_output", "reach", "encoder")
_TOKENS = ("last_hidden_state", "features")  # what text files without a sentence vector have
_SLACK = 0.05  # by which lengths may differ, or two snippets: extractors round the last seconds in their own ways


@dataclass(frozen=True)
class FeatureFolders:
    """Where the files lie below the folder of a set, and what they don't say. Defaults: QVHighlights as published."""

    video: str = VIDEO_FOLDER  # of pictures, in the space of the text
    text: str = TEXT_FOLDER
    more: tuple[str, ...] = ()  # such as "slowfast_features": rows to set behind those of the pictures
    spacing_s: float = 2.0  # of rows whose file has no times: row i covers [i, i + 1) · spacing_s

    def __post_init__(self) -> None:
        if not 0 < self.spacing_s < 3600:
            raise ValueError(f"spacing_s are seconds between rows, not {self.spacing_s:g}")
        for name in (self.video, self.text, *self.more):
            if not is_plain_name(name):
                raise ValueError(f"{name!r} is no name of a folder")


@dataclass(frozen=True, eq=False)
class VideoRows:
    """One video."""

    file: Path
    features: Floats  # (T, D) unit length, or all 0
    timeline: Timeline
    all_features: NDArray[np.float16] | None  # (T, E): the same and what is set behind it, each of unit length

    def check_duration(self, line: Line, duration_s: float) -> None:
        """Raise UsageError if the annotation at `line` says that the video is of another length than its rows."""
        end_s, spacing_s = self.timeline.end_s, self.timeline.spacing_s
        if abs(end_s - duration_s) > max(2 * spacing_s, _SLACK * duration_s):
            raise line.error(
                f"'duration' is {duration_s:g} s, but {self.file} holds {len(self.features)} rows, one every "
                f"{spacing_s:g} s",
                "rows whose file has no times are taken to be 'spacing_s' apart: 2 s in QVHighlights",
            )


class FeatureSet:
    """The features of a set, read as they are asked for and checked against each other.

    Raises UsageError where a file is missing, damaged or unlike the others, naming the file and the annotation that
    asked for it; ModelError where all is sound but made by another encoder than the model wants.
    """

    def __init__(
        self, folder: Path, folders: FeatureFolders | None = None, *, concatenate: bool = False, encoder: str = ""
    ) -> None:
        """concatenate: also give `all_features`. encoder: fingerprint that the features must be of; "": of any."""
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder of features", hint="rdmf extract FOLDER --out makes one")
        self.folder, self.folders = folder, folders or FeatureFolders()
        for name in (self.folders.video, self.folders.text, *self.folders.more):
            if not (folder / name).is_dir():
                raise UsageError(
                    f"{folder / name}: no such folder of features", hint=f"in {folder}: {_content(folder)}"
                )
        self.bank: Bank | None = read_bank(folder)
        self._concatenate = concatenate
        self._encoder = encoder or (self.bank.encoder if self.bank else "")
        self._wanted = bool(encoder)
        self._dim: tuple[int, Path] | None = None  # of the shared space, and who said so
        self._more_dim: dict[str, tuple[int, Path]] = {}
        if self.bank is not None:
            self._check_encoder(folder / "bank.npz", self.bank.encoder)
            self._check_dim(folder / "bank.npz", self.bank.vectors.shape[1])

    def video(self, name: str, line: Line) -> VideoRows:
        """Rows of the video that an annotation at `line` calls `name`."""
        names = dict.fromkeys((name, video_stem(name)))
        file = self._found(self.folders.video, tuple(names), line)
        arrays = read_arrays(file, _ROWS)
        if "features" not in arrays:
            raise UsageError(f"{file}: no 'features' in it")
        self._check_encoder(file, _text(arrays))
        self._check_dim(file, arrays["features"].shape[-1] if arrays["features"].ndim == 2 else 0)
        features = _unit_rows(file, arrays["features"])
        parts = [features]
        for folder in self.folders.more if self._concatenate else ():
            parts.append(self._rows_behind(folder, tuple(names), line, len(features)))
        together = np.concatenate(parts, axis=1).astype(np.float16) if self._concatenate else None
        return VideoRows(file, features, _timeline(file, arrays, len(features), self.folders.spacing_s), together)

    def query(self, query_id: str, line: Line) -> Words:
        """The sentence of a query."""
        file = self._found(self.folders.text, (f"qid{query_id}", query_id), line)
        arrays = read_arrays(file, (*_WORDS, *_TOKENS))
        if "pooler_output" not in arrays:
            has = next((name for name in _TOKENS if name in arrays), "")
            what = f"only '{has}', a vector per word" if has else "no 'pooler_output'"
            hint = "needed is the sentence in the space of the pictures; rdmf extract --annotations writes it"
            raise line.error(f"{file} has {what}", hint)
        vector = arrays["pooler_output"]
        vector = vector[0] if vector.ndim == 2 and len(vector) == 1 else vector
        if vector.ndim != 1:
            raise UsageError(f"{file}: 'pooler_output' is {vector.shape}, not one vector")
        self._check_encoder(file, _text(arrays))
        self._check_dim(file, len(vector))
        unit: Floats = _unit_rows(file, vector[None])[0]
        if not unit.any():
            raise UsageError(f"{file}: the vector is 0")
        return Words(unit, _reach(file, arrays))

    @property
    def num_dims(self) -> int:
        """E: what `all_features` of the videos read so far have, D without them; 0 before anything was read."""
        shared = self._dim[0] if self._dim else 0
        return shared + sum(dim for dim, _ in self._more_dim.values())

    def _rows_behind(self, folder: str, names: tuple[str, ...], line: Line, num_rows: int) -> Floats:
        """Rows (num_rows, ·) of further features; a last row too few is repeated, one too many is left out."""
        file = self._found(folder, names, line)
        rows = _unit_rows(file, read_arrays(file, ("features",)).get("features", np.zeros(0)))
        known, other = self._more_dim.setdefault(folder, (rows.shape[1], file))
        if rows.shape[1] != known:
            raise UsageError(f"{file}: {rows.shape[1]} dimensions, {other} has {known}")
        if abs(len(rows) - num_rows) > max(2, _SLACK * num_rows):
            raise UsageError(f"{file}: {len(rows)} rows for the {num_rows} of {self.folders.video}")
        return rows[np.minimum(np.arange(num_rows), len(rows) - 1)]

    def _found(self, folder: str, names: tuple[str, ...], line: Line) -> Path:
        """The first file of those names that is there."""
        for name in names:
            if not is_plain_name(name):
                raise line.error(f"{name!r} can't be the name of a file of features")
            file = self.folder / folder / f"{name}.npz"
            if os.path.isfile(file):  # Path.exists raises for names that are too long
                return file
        missing = self.folder / folder / f"{names[-1]}.npz"
        raise line.error(f"no features: {missing} is missing", "rdmf extract FOLDER --annotations writes what is asked")

    def _check_dim(self, file: Path, dim: int) -> None:
        known, other = self._dim = self._dim or (dim, file)
        if dim != known:
            raise UsageError(
                f"{file}: {dim} dimensions, {other} has {known}",
                hint="pictures and text must come from one encoder, whose features share a space",
            )

    def _check_encoder(self, file: Path, encoder: str) -> None:
        """encoder: fingerprint that the file tells; public sets tell none."""
        if not encoder or not self._encoder or encoder == self._encoder:
            return
        if self._wanted:
            raise ModelError(
                f"{file}: features of another encoder than the model's",
                hint="rdmf extract --encoder NAME with the encoder that the model's card names",
            )
        raise UsageError(f"{file}: made by another encoder than the rest", hint="run 'rdmf extract' into a new folder")


def _reach(file: Path, arrays: dict[str, NDArray[Any]]) -> float:
    """0 where nobody says, as in public sets."""
    values = arrays.get("reach", np.zeros(1))
    if values.size != 1 or values.dtype.kind != "f" or not np.isfinite(values).all():
        raise UsageError(f"{file}: 'reach' is not one finite number")
    return float(values.reshape(-1)[0])


def _text(arrays: dict[str, NDArray[Any]]) -> str:
    return str(arrays["encoder"]) if "encoder" in arrays else ""


def _unit_rows(file: Path, values: NDArray[Any]) -> Floats:
    """A table of finite numbers (T, D), T ≥ 1, as rows of unit length; rows of 0 stay."""
    if values.ndim != 2 or 0 in values.shape or values.dtype.kind not in "fiu":
        raise UsageError(f"{file}: 'features' is no table of numbers (snippets, dimensions): {values.shape}")
    rows = values.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        raise UsageError(f"{file}: row {bad[0] + 1} of {len(rows)} holds a number that is not finite (NaN or infinite)")
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1), dtype=np.float32)


def _timeline(file: Path, arrays: dict[str, NDArray[Any]], num_rows: int, spacing_s: float) -> Timeline:
    """When the rows are: as the file says, or evenly spaced and without cuts, which public sets don't know."""
    if "times_s" not in arrays:
        return Timeline(
            np.arange(num_rows, dtype=np.float64) * spacing_s, np.full(num_rows, np.nan), num_rows * spacing_s
        )
    starts_s = arrays["times_s"]
    cut_s = arrays.get("cut_s", np.full(num_rows, np.nan))
    is_sound = starts_s.shape == cut_s.shape == (num_rows,) and starts_s.dtype.kind == cut_s.dtype.kind == "f"
    if not is_sound or not (np.isfinite(starts_s).all() and (np.diff(starts_s, prepend=-1e-9) > 0).all()):
        raise UsageError(f"{file}: 'times_s' and 'cut_s' are not a time for each of the {num_rows} rows, in order")
    end_s = float(arrays.get("duration_s", np.array(np.nan)).reshape(-1)[0])
    if not end_s > starts_s[-1]:
        raise UsageError(f"{file}: 'duration_s' is not after the last of 'times_s'")
    return Timeline(starts_s.astype(np.float64), cut_s.astype(np.float64), end_s)


def _content(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    return ", ".join(names[:6]) + ("…" if len(names) > 6 else "") if names else "no folders"
