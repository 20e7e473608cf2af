"""A folder of features, as the public sets for moment retrieval lay it out and `rdmf extract` writes it.

    clip_features/<video>.npz          features (T, D)
    clip_text_features/qid<N>.npz      pooler_output (D,)
    bank.npz                           ours: background queries and what the encoder's cosines mean

What `rdmf extract` knows besides (times, cuts, whose features they are) are more arrays in the same files, which other
programs pass over. npz files from elsewhere are read without pickle: one can run code.
"""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import OutputError, UsageError
from rdmf_cli.media.sniff import VIDEO_SUFFIXES
from rdmf_cli.store.files import write_file

VIDEO_FOLDER, TEXT_FOLDER, BANK_FILE = "clip_features", "clip_text_features", "bank.npz"

_LARGEST_BYTES = 4 << 30  # of one file, unpacked: a small file must not become all of the memory


@dataclass(frozen=True, eq=False)
class Bank:
    """What an encoder's cosines mean: background queries, and mean and spread of the relevance statistic where nothing
    answers (pipeline/calibration.py)."""

    vectors: NDArray[np.float32]  # (M, D) unit length
    null_mean: float
    null_spread: float
    encoder: str = ""  # fingerprint; "": not known
    encoder_name: str = ""


def video_stem(name: str) -> str:
    """A video's name in the layout: without the suffix that only video files have ("a_60.0_210.0" has none)."""
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in VIDEO_SUFFIXES and stem else name


def video_path(folder: Path, video: str) -> Path:
    """Where `rdmf extract` puts the features of a video."""
    return folder / VIDEO_FOLDER / f"{video_stem(video)}.npz"


def text_path(folder: Path, query_id: str) -> Path:
    """Where `rdmf extract` puts the features of a query."""
    return folder / TEXT_FOLDER / f"qid{query_id}.npz"


def is_plain_name(name: str) -> bool:
    """Can `name` be a file of a folder, and of no other? Names come from files that others wrote."""
    return bool(name) and name not in (".", "..") and not any(sign in name for sign in "/\\\0")


def write_arrays(file: Path, arrays: Mapping[str, Any]) -> None:
    """Write an npz file that is complete or not there at all. Texts are allowed. Raises OutputError."""
    stream = io.BytesIO()
    packed: dict[str, Any] = {name: np.asarray(array) for name, array in arrays.items()}
    np.savez(stream, **packed)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_file(file, [stream.getvalue()])
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OutputError(f"{file} can't be written: {reason}", hint="name another folder with --out") from error


def read_arrays(file: Path, wanted: Iterable[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays of an npz file, of `wanted` those that are there. Raises UsageError, also if there is no such file."""
    if not os.path.isfile(file):  # Path.is_file raises for names that are too long; pipes would block
        raise UsageError(f"{file}: no such file")
    try:
        with zipfile.ZipFile(file) as archive:
            if sum(part.file_size for part in archive.infolist()) > _LARGEST_BYTES:
                raise UsageError(f"{file}: more than {_LARGEST_BYTES >> 30} GB of features")
        with np.load(file, allow_pickle=False) as loaded:
            names = loaded.files if wanted is None else [name for name in wanted if name in loaded.files]
            return {name: loaded[name] for name in names}
    except UsageError:
        raise
    except Exception as error:  # numpy and zipfile have errors of many kinds for files that are damaged
        is_pickle = isinstance(error, ValueError) and "allow_pickle" in str(error)
        what = (
            "holds Python objects (a pickle), which may run code and are not read" if is_pickle else "damaged, no npz"
        )
        raise UsageError(f"{file}: {what}") from error


def write_bank(folder: Path, bank: Bank) -> None:
    """Write `bank.npz`. Raises OutputError."""
    write_arrays(
        folder / BANK_FILE,
        {
            "bank": bank.vectors.astype(np.float32),
            "null_mean": bank.null_mean,
            "null_spread": bank.null_spread,
            "encoder": bank.encoder,
            "encoder_name": bank.encoder_name,
        },
    )


def read_bank(folder: Path) -> Bank | None:
    """What `write_bank` wrote; None if there is no such file. Raises UsageError if it is not sound."""
    file = folder / BANK_FILE
    if not os.path.lexists(file):
        return None
    arrays = read_arrays(file)
    try:
        vectors = arrays["bank"].astype(np.float32)
        null = float(arrays["null_mean"]), float(arrays["null_spread"])
        bank = Bank(vectors, *null, str(arrays.get("encoder", "")), str(arrays.get("encoder_name", "")))
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"{file}: not a bank that 'rdmf extract' wrote") from error
    is_sound = vectors.ndim == 2 and np.isfinite(vectors).all() and np.isfinite(null).all() and null[1] > 0
    if not is_sound or not (np.abs(np.linalg.norm(vectors, axis=1) - 1) < 1e-2).all():
        raise UsageError(f"{file}: not a bank that 'rdmf extract' wrote")
    return bank
