"""What an encoder is: pictures and sentences into one space, and the identity under which features are stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class FeatureSpec:
    """What makes two feature sets of one video interchangeable. All of it is part of the store's key."""

    encoder: str  # preset name or path, for people
    fingerprint: str  # hash of the weights and the preprocessing: what counts
    dim: int
    sampling: str  # e.g. "2 fps/1": rate and version of the sampler

    @property
    def key(self) -> str:
        """One line that names the spec in the store; the human name is not part of it."""
        return f"{self.fingerprint}|{self.dim}|{self.sampling}"


class Encoder(Protocol):
    """A frozen dual encoder. Output rows have unit length; calls are deterministic and order-independent."""

    name: str
    dim: int
    fingerprint: str  # hex, changes whenever the same picture would give another vector
    max_text_tokens: int

    def frame_size_px(self, width: int, height: int) -> tuple[int, int]:
        """(height, width) at which frames of a picture of `width` x `height` px, as displayed, must arrive."""
        ...

    def encode_images(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """frames (N, H, W, 3) RGB uint8 at a size that `frame_size_px` gives -> (N, dim), unit length."""
        ...

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """N sentences -> (N, dim), unit length. Longer ones than `max_text_tokens` are cut."""
        ...

    def text_length(self, text: str) -> int:
        """Tokens that `text` would need, special tokens included, so that a caller can warn before it is cut."""
        ...


class Words(NamedTuple):
    """A sentence as an encoder has it."""

    vector: NDArray[np.float32]  # (dim,) unit length
    reach: float  # what it reaches on ordinary photographs; 0: not known


@runtime_checkable
class KnowsOrdinary(Protocol):
    """An encoder that knows what its sentences reach on ordinary photographs (lite_reach.py)."""

    def reach(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sentences (N, dim) -> (N,) mean of their highest cosines with photographs that were not made for them."""
        ...


def reach_of(encoder: Encoder, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """What sentences (N, dim) reach on ordinary photographs, (N,) cosines; 0 where the encoder does not know."""
    if isinstance(encoder, KnowsOrdinary):
        return encoder.reach(vectors)
    return np.zeros(len(vectors), np.float32)
