"""One file per (video, FeatureSpec): a FAISS index of the feature rows, with the times of the rows behind it.

    FAISS index (IndexScalarQuantizer, half precision, inner product) | rows | JSON | trailer

`rows` are the side arrays as one packed record per snippet, the JSON has identity, duration and warnings, the trailer
has the lengths. FAISS reads from the front and ignores what follows, so the file is an ordinary FAISS file as well.
Appended, not a second file: one rename publishes all, one checksum covers all, and nothing can get separated. Plain
records, not npz or pickle: there is no parser that a file from elsewhere could abuse.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # encoders/base is in the same row: known as a type, not imported
    from rdmf_cli.encoders.base import FeatureSpec

_ROW = np.dtype([("time_s", "<f8"), ("change", "<f4"), ("change_time_s", "<f8")])
_TRAILER = struct.Struct("<QQ8s")  # bytes of the index, bytes of the JSON, magic with the layout's version
_MAGIC = b"rdmf\x00fs1"
_LENGTH = struct.Struct("<Q")
_INDEX_MAGIC = b"IxSQ"  # FAISS's own mark of an IndexScalarQuantizer
_MAX_INDEX_HEADER = 1024  # bytes that FAISS may put before the codes; today 95


class DamagedFile(Exception):
    """A feature file is not what it should be; says why."""


@dataclass(frozen=True, eq=False)
class VideoFeatures:
    """What is known of one video under one FeatureSpec: a row per snippet, T of them in order of time.

    `features` rows have unit length (or are all 0). On disk they have half precision: what comes back differs by up
    to 0.0005 per value and has unit length again.
    """

    features: NDArray[np.float32]  # (T, D)
    times_s: NDArray[np.float64]  # (T,) seconds from the first presented frame
    change: NDArray[np.float32]  # (T,) strongest picture change since the snippet before, in [0, 1]
    change_time_s: NDArray[np.float64]  # (T,) where that is
    duration_s: float  # end of the last frame
    warnings: tuple[str, ...] = ()  # about the video, shown again on later searches

    def __post_init__(self) -> None:
        num_rows = len(self.features)
        if self.features.ndim != 2 or any(
            array.shape != (num_rows,) for array in (self.times_s, self.change, self.change_time_s)
        ):
            raise ValueError("features are (T, D), times_s, change and change_time_s (T,)")


def pack(fingerprint: str, spec: FeatureSpec, video: VideoFeatures) -> list[bytes]:
    """The file's content in pieces. Raises ValueError if the rows are not unit rows of `spec.dim` finite numbers."""
    features = np.ascontiguousarray(video.features, dtype=np.float32)
    _check_rows(features, spec.dim)
    rows = np.empty(len(features), dtype=_ROW)
    rows["time_s"], rows["change"], rows["change_time_s"] = video.times_s, video.change, video.change_time_s
    notes = {
        "fingerprint": fingerprint,
        "spec_key": spec.key,
        "spec": asdict(spec),  # so that a file tells by itself what it is
        "duration_s": float(video.duration_s),
        "warnings": list(video.warnings),
    }
    index, text = _index_bytes(features), json.dumps(notes).encode()
    return [index, rows.tobytes(), text, _TRAILER.pack(len(index), len(text), _MAGIC)]


def unpack(data: bytes, fingerprint: str, spec: FeatureSpec) -> VideoFeatures:
    """What `pack` was given. Raises DamagedFile if the bytes are not that, or of another video or FeatureSpec."""
    try:
        index, records, notes = _split(data)
        if (notes["fingerprint"], notes["spec_key"]) != (fingerprint, spec.key):
            raise DamagedFile("belongs to another video or encoder")
        rows = np.frombuffer(records, dtype=_ROW)
        features = _index_rows(index, len(rows), spec.dim)
        return VideoFeatures(
            features=features,
            times_s=rows["time_s"].astype(np.float64),
            change=rows["change"].astype(np.float32),
            change_time_s=rows["change_time_s"].astype(np.float64),
            duration_s=float(notes["duration_s"]),
            warnings=tuple(str(warning) for warning in notes["warnings"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError, struct.error) as error:
        raise DamagedFile(f"not a feature file ({type(error).__name__})") from error


@dataclass(frozen=True)
class Identity:
    """What a feature file says of itself."""

    fingerprint: str
    spec: dict[str, Any]  # fields of a FeatureSpec, unchecked; {} in files from before they were written down
    num_rows: int


def identity(data: bytes) -> Identity:
    """Whose features the bytes are, without looking at them. Raises DamagedFile."""
    try:
        _, records, notes = _split(data)
        spec = notes.get("spec", {})
        return Identity(str(notes["fingerprint"]), dict(spec), len(records) // _ROW.itemsize)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise DamagedFile(f"not a feature file ({type(error).__name__})") from error


def _check_rows(features: NDArray[np.float32], dim: int) -> None:
    if features.shape[1:] != (dim,):
        raise ValueError(f"features are {features.shape}, the encoder has {dim} dimensions")
    # NaN fails this, too: what a broken encoder gives must not stay in the store.
    if not _is_unit_or_zero(np.linalg.norm(features, axis=1)):
        raise ValueError("feature rows must have unit length")


def _is_unit_or_zero(lengths: NDArray[Any]) -> bool:
    return bool(((np.abs(lengths - 1) < 1e-2) | (lengths == 0)).all())


def _index_bytes(features: NDArray[np.float32]) -> bytes:
    import faiss

    index = faiss.IndexScalarQuantizer(features.shape[1], faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
    index.add(features)
    content: bytes = faiss.serialize_index(index).tobytes()
    return content


def _split(data: bytes) -> tuple[bytes, bytes, dict[str, Any]]:
    """The index, the records and the notes."""
    index_size, text_size, magic = _TRAILER.unpack(data[-_TRAILER.size :])
    text_start = len(data) - _TRAILER.size - text_size
    if magic != _MAGIC or not 0 <= index_size <= text_start:
        raise DamagedFile("not a feature file")
    notes = json.loads(data[text_start : text_start + text_size])
    return data[:index_size], data[index_size:text_start], notes


def _index_rows(index: bytes, num_rows: int, dim: int) -> NDArray[np.float32]:
    """The (T, D) rows of a serialized index, of unit length again.

    An IndexScalarQuantizer ends with the length of its codes and the codes, for QT_fp16 simply the rows; a test pins
    this to what FAISS reads. Not through FAISS: a file from elsewhere can make `deserialize_index` fill the memory or
    (other kinds of index) open further files, and numpy is at once, without the 0.2 s that importing FAISS takes.
    """
    size = 2 * num_rows * dim
    start = len(index) - size
    if not index.startswith(_INDEX_MAGIC) or not _LENGTH.size < start < _MAX_INDEX_HEADER:
        raise DamagedFile("the index has not the kind or size that we write")
    if _LENGTH.unpack_from(index, start - _LENGTH.size) != (size,):
        raise DamagedFile("the index contradicts itself")
    with np.errstate(invalid="ignore"):  # changed bytes can be numbers that warn already when they are converted
        rows = np.frombuffer(index, dtype="<f2", offset=start).astype(np.float32).reshape(num_rows, dim)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)  # (T, 1)
    if not _is_unit_or_zero(lengths):
        raise DamagedFile("the rows have not unit length")
    rows /= np.where(lengths > 0, lengths, 1)
    return rows
