"""What a sentence reaches on ordinary photographs, for the built-in encoder.

"A white pictogram" is near hardly any photograph, "people on a beach" is near many, whether or not a video shows them.
How high the best cosines of a sentence go among photographs that were not made for it is what a video has to be better
than. The vectors of a few thousand come with the encoder; models/rdmf-lite/training/ordinary.py chose them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import ModelError

FILE = "ordinary.safetensors"
# Share of the photographs whose cosines count: the tail, and not one picture alone. Measured on held-out photographs,
# a third to three times as many make little difference (docs/experiments.md).
_BEST = 0.003
_FULL_SCALE = 127


class Reach:
    """Photographs that stand for all that is ordinary."""

    def __init__(self, pictures: NDArray[np.float32]) -> None:
        """pictures (P, D), unit length."""
        self._pictures = pictures
        self._num_best = max(1, round(_BEST * len(pictures)))

    def __call__(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sentences (N, D) -> (N,) mean of their highest cosines with the photographs."""
        # A few at a time: thousands of sentences by thousands of pictures would be a lot of memory.
        found = [np.zeros(0, np.float32)]
        for start in range(0, len(vectors), 256):
            cosines = vectors[start : start + 256] @ self._pictures.T
            found.append(np.partition(cosines, -self._num_best, axis=1)[:, -self._num_best :].mean(axis=1))
        return np.concatenate(found)


def packed(pictures: NDArray[np.float32]) -> dict[str, NDArray[np.int8]]:
    """Unit rows (P, D) as the file has them: 8 bits, each row scaled to its largest number."""
    largest = np.abs(pictures).max(axis=1, keepdims=True)
    return {"pictures": np.round(pictures * (_FULL_SCALE / largest)).astype(np.int8)}


def load_reach(folder: Path, dim: int) -> Reach | None:
    """What `packed` made, from an encoder's folder; None if it has none. Raises ModelError."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    file = folder / FILE
    if not file.is_file():
        return None
    try:
        rows = load(file.read_bytes())["pictures"]
    except (SafetensorError, KeyError) as error:
        raise ModelError(f"{folder.name}/{FILE} is damaged: {str(error).splitlines()[0]}") from error
    if rows.dtype != np.int8 or rows.ndim != 2 or rows.shape[1] != dim or not rows.any(axis=1).all() or not len(rows):
        raise ModelError(f"{folder.name}/{FILE}: not pictures of this encoder, which has {dim} dimensions")
    pictures = rows.astype(np.float32)
    return Reach(pictures / np.linalg.norm(pictures, axis=1, keepdims=True))
