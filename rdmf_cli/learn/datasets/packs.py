"""Packs: many examples in one npz file, without pickles. Ragged arrays lie one behind the other, with offsets.

A pack says for which inputs of fusion/inputs.py it was made; one made for others is refused, because its numbers would
mean something else.
"""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import ModelError, OutputError
from rdmf_cli.fusion.inputs import INPUT_NAMES, QUERY_NAMES
from rdmf_cli.learn.datasets.examples import Example

VERSION = 1
_RAGGED = ("values", "distance", "is_cut", "windows", "saliency")  # first axis differs between examples
_FIXED = ("query",)
_OPTIONAL = ("features", "cut_at")  # ragged too; all examples of a pack have it or none
_HINT = "make it again with models/rdmf-base/training/prepare.py"

Arrays = dict[str, NDArray[Any]]


def save_pack(path: Path, examples: Sequence[Example], facts: dict[str, Any] | None = None) -> None:
    """Write `examples` to `path`, replacing it at once. `facts` (JSON) are kept beside them. Raises OutputError.

    Examples either all have features and words or none has; the same for cut_at.
    """
    if not examples:
        raise OutputError(f"{path}: a pack of no examples is of no use")
    meta = {"version": VERSION, "inputs": list(INPUT_NAMES), "query": list(QUERY_NAMES), "facts": facts or {}}
    strings = {"meta": [json.dumps(meta)], "name": [e.name for e in examples], "text": [e.text for e in examples]}
    arrays: Arrays = {name: _packed_text(lines) for name, lines in strings.items()}
    with_features = examples[0].features is not None
    optional = tuple(name for name in _OPTIONAL if getattr(examples[0], name) is not None)
    for name in (*_RAGGED, *optional):
        parts = [getattr(example, name) for example in examples]
        arrays[name] = np.concatenate(parts)
        arrays[f"{name}_offsets"] = np.cumsum([0, *map(len, parts)], dtype=np.int64)
    for name in (*_FIXED, *(("words",) if with_features else ())):
        arrays[name] = np.stack([getattr(example, name) for example in examples])
    arrays["spacing_s"] = np.array([example.spacing_s for example in examples], np.float64)
    temporary = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: the pack can't be written: {error}") from error


def load_pack(path: Path) -> list[Example]:
    """The examples of a pack. Raises ModelError for what is none, is damaged, or was made for other inputs."""
    arrays, _ = _read(path)
    try:
        return _unpacked(arrays)
    except (KeyError, ValueError, IndexError, TypeError) as error:
        raise ModelError(f"{path}: the pack is damaged: {error}", hint=_HINT) from error


def pack_facts(path: Path) -> dict[str, Any]:
    """What was kept beside the examples. Raises ModelError."""
    _, meta = _read(path, only_meta=True)
    return dict(meta["facts"])


def _read(path: Path, *, only_meta: bool = False) -> tuple[Arrays, dict[str, Any]]:
    try:
        # numpy does not close a damaged file that it has opened itself.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as opened:
            [line] = _texts(opened["meta"])
            meta = json.loads(line)
            arrays = {} if only_meta else {name: opened[name] for name in opened.files}
    except FileNotFoundError as error:
        raise ModelError(f"{path}: there is no such pack", hint=_HINT) from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise ModelError(f"{path}: this is no pack of examples: {error}", hint=_HINT) from error
    if not isinstance(meta, dict) or not isinstance(meta.get("facts"), dict):
        raise ModelError(f"{path}: this is no pack of examples", hint=_HINT)
    if meta.get("version") != VERSION:
        raise ModelError(f"{path}: the pack is of version {meta.get('version')}, this is {VERSION}", hint=_HINT)
    if meta.get("inputs") != list(INPUT_NAMES) or meta.get("query") != list(QUERY_NAMES):
        raise ModelError(f"{path}: the pack was made for other inputs than these", hint=_HINT)
    return arrays, meta


def _unpacked(arrays: Arrays) -> list[Example]:
    names, texts = _texts(arrays["name"]), _texts(arrays["text"])
    has_features = "features" in arrays
    ragged = (*_RAGGED, *(name for name in _OPTIONAL if name in arrays))
    rows = {
        name: np.split(arrays[name], _inner(arrays[f"{name}_offsets"], arrays[name], len(names))) for name in ragged
    }
    query, spacing_s = arrays["query"], arrays["spacing_s"]
    if len(texts) != len(names) or len(query) != len(names) or len(spacing_s) != len(names):
        raise ValueError("its parts do not fit")
    if arrays["values"].shape[1:] != (len(INPUT_NAMES),) or query.shape[1:] != (len(QUERY_NAMES),):
        raise ValueError("its inputs have another width")
    if not all(np.isfinite(arrays[name]).all() for name in ("values", "query", "distance", "windows", "spacing_s")):
        raise ValueError("it holds what is no number")
    examples = []
    for i, name in enumerate(names):
        parts = {key: rows[key][i] for key in ragged}
        if len(parts["distance"]) != len(parts["values"]) - 1 or len(parts["saliency"]) != len(parts["values"]):
            raise ValueError(f"the lengths of {name} do not fit")
        words = arrays["words"][i] if has_features else None
        examples.append(
            Example(name=name, query=query[i], spacing_s=float(spacing_s[i]), words=words, text=texts[i], **parts)
        )
    return examples


def _inner(offsets: NDArray[Any], array: NDArray[Any], count: int) -> NDArray[Any]:
    """Offsets without both ends, after a look at whether they can be right."""
    fits = len(offsets) == count + 1 and offsets[0] == 0 and offsets[-1] == len(array)
    if not fits or (np.diff(offsets) < 0).any():
        raise ValueError("its offsets do not fit")
    return offsets[1:-1]


def _packed_text(lines: Sequence[str]) -> NDArray[np.uint8]:
    """Texts as bytes; a numpy array of str would need as much room for each as for the longest."""
    return np.frombuffer(json.dumps(list(lines)).encode(), np.uint8)


def _texts(packed: NDArray[np.uint8]) -> list[str]:
    lines = json.loads(packed.tobytes().decode())
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError("its texts are none")
    return lines
