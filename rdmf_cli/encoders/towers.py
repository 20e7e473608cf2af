"""What the open_clip and the transformers backend share: batches, normalisation, guards, identity.

A backend is a `TowerEncoder` that says how pixels and sentences go through its network; everything that must hold for
every encoder (unit length, nothing that isn't a number, order kept, batch = one by one) is here, once.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdmf_cli.encoders.batches import Batches
from rdmf_cli.errors import ModelError

PREPROCESSING = "frames/1"  # raise it when the same frame would reach a network with other values
_READ_BYTES = 1 << 22
_VOCABULARIES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "spiece.model",
    "tokenizer.model",
    "sentencepiece.bpe.model",
)


@dataclass(frozen=True)
class Preprocessing:
    """How uint8 pixels become what a network wants: (pixel x scale - mean) / std, per channel."""

    size_px: tuple[int, int]  # (height, width) at which frames arrive
    mean: tuple[float, ...]
    std: tuple[float, ...]
    scale: float = 1 / 255

    def apply(self, frames: Tensor) -> Tensor:
        """frames (N, H, W, 3) uint8 -> (N, 3, H, W) float32 on the same device."""
        mean = torch.tensor(self.mean, device=frames.device).view(1, 3, 1, 1)
        std = torch.tensor(self.std, device=frames.device).view(1, 3, 1, 1)
        pixels = frames.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        return pixels.mul_(self.scale).sub_(mean).div_(std)

    def __str__(self) -> str:
        """One line for the fingerprint."""
        return f"{PREPROCESSING} {self.size_px} {self.mean} {self.std} {self.scale!r}"


class TowerEncoder(ABC):
    """The `Encoder` protocol (encoders/base.py) over one torch network. Computes in float32 on every device."""

    def __init__(
        self, name: str, preprocessing: Preprocessing, max_text_tokens: int, fingerprint: str, device: str, batch: int
    ) -> None:
        self.name = name
        self.image_size_px = preprocessing.size_px
        self.max_text_tokens = max_text_tokens
        self.fingerprint = fingerprint
        self._preprocessing = preprocessing
        self._device = torch.device(device)
        self._batches = Batches(name, batch)
        self.dim = 0  # not known before the network was asked once, which `_measure` does

    @abstractmethod
    def _image_features(self, pixels: Tensor) -> Tensor:
        """pixels (N, 3, H, W) float32, normalised -> (N, dim), any length."""

    @abstractmethod
    def _text_features(self, texts: list[str]) -> Tensor:
        """N sentences -> (N, dim), any length."""

    @abstractmethod
    def text_length(self, text: str) -> int:
        """Tokens that `text` would need, special tokens included."""

    def _measure(self) -> None:
        """Learn `dim` from the network itself: a config may spell it in many ways."""
        with torch.inference_mode():
            self.dim = int(self._text_features(["a"]).shape[-1])

    def frame_size_px(self, width: int, height: int) -> tuple[int, int]:
        """(height, width): the same for all pictures, whatever their shape."""
        return self.image_size_px

    def encode_images(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """frames (N, H, W, 3) RGB uint8 at `image_size_px` -> (N, dim), unit length.

        Raises ValueError for other shapes or types, ModelError if the network answers with no usable vector.
        """
        if frames.dtype != np.uint8 or frames.shape[1:] != (*self.image_size_px, 3):
            wanted = f"(N, {self.image_size_px[0]}, {self.image_size_px[1]}, 3) uint8"
            raise ValueError(f"{self.name} takes frames {wanted}, not {frames.shape} {frames.dtype}")

        def encode(start: int, end: int) -> NDArray[np.float32]:
            # A copy: torch takes neither read-only arrays without a warning nor mirrored ones at all.
            batch = torch.from_numpy(np.array(frames[start:end], order="C"))
            return self._unit(self._image_features(self._preprocessing.apply(batch.to(self._device))))

        with torch.inference_mode():
            return self._batches.run(len(frames), self.dim, encode)

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """N sentences -> (N, dim), unit length. Longer ones than `max_text_tokens` are cut."""
        with torch.inference_mode():
            return self._batches.run(
                len(texts), self.dim, lambda start, end: self._unit(self._text_features(texts[start:end]))
            )

    def _unit(self, vectors: Tensor) -> NDArray[np.float32]:
        """vectors (N, dim) -> the same at unit length. Damaged weights show here first: as NaN or as zeros."""
        vectors = vectors.float()
        norms = vectors.norm(dim=-1, keepdim=True)
        if not bool((torch.isfinite(norms) & (norms > 0)).all()):
            raise ModelError(
                f"{self.name} gave a vector of zeros or no numbers: its weights are damaged",
                hint="fetch them again: remove the folder, then rdmf models pull NAME",
            )
        rows: NDArray[np.float32] = (vectors / norms).cpu().numpy()
        return rows


def fingerprint_of(files: Iterable[Path], *facts: str) -> str:
    """Hash over what decides a picture's vector: the weights' bytes, in the order of the file names, and `facts`.

    The names themselves don't count: a renamed file gives the same vectors. Raises ModelError if one can't be read.
    """
    digest = hashlib.blake2b("\n".join(facts).encode(), digest_size=16)
    for file in sorted(files, key=lambda path: path.name):
        try:
            digest.update(str(file.stat().st_size).encode())
            with file.open("rb") as stream:
                while block := stream.read(_READ_BYTES):
                    digest.update(block)
        except OSError as error:
            raise ModelError(f"{file}: can't be read: {error.strerror}") from error
    return digest.hexdigest()


def one_line(error: BaseException) -> str:
    """What a library's error says, short enough for one line. torch puts the cause into the second line."""
    lines = [" ".join(line.split()) for line in str(error).splitlines() if line.strip()]
    text = " ".join(lines[:2]) or type(error).__name__
    return text if len(text) <= 200 else text[:199] + "…"


def has_tokenizer(folder: Path) -> bool:
    """True if a folder holds a vocabulary. Without one, transformers 5 opens an empty tokenizer and says nothing."""
    return any((folder / name).is_file() for name in _VOCABULARIES)


@contextmanager
def hub_is_offline() -> Iterator[None]:
    """Keep every library that asks huggingface_hub on this machine while weights are opened.

    The variable HF_HUB_OFFLINE is read only once, when huggingface_hub is imported, which may have happened already.
    """
    import huggingface_hub.constants as hub

    before = hub.HF_HUB_OFFLINE
    hub.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        hub.HF_HUB_OFFLINE = before
