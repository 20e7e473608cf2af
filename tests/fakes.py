"""Stand-ins for what is slow or large: an encoder that needs no torch and no weights, and knows colours."""

from __future__ import annotations

import hashlib
import re

import numpy as np
from numpy.typing import NDArray

# Names that a sentence may contain, with the picture they describe.
COLOURS: dict[str, tuple[int, int, int]] = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "grey": (128, 128, 128),
    "red": (220, 20, 20),
    "green": (20, 160, 20),
    "blue": (20, 20, 220),
    "yellow": (230, 220, 20),
    "cyan": (20, 210, 210),
    "magenta": (210, 20, 210),
    "orange": (240, 140, 20),
}
_ALSO = {"gray": "grey", "purple": "magenta", "dark": "black", "bright": "white"}
_PALETTE = np.array(list(COLOURS.values()), np.float64)
_SPREAD = 60.0  # how far, in RGB steps, a colour still counts as its neighbour in the palette


class FakeEncoder:
    """The `Encoder` protocol over colours: "red" matches red frames.

    The first axes of a vector are the colours of the palette, the others a hash: of the picture's coarse content, so
    that two pictures of one colour differ a little, and of the words, so that a sentence without a colour matches
    nothing in particular. Deterministic; every frame and sentence counts on its own. `num_images` and `num_texts`
    count what was encoded, for tests that say "the second search encodes nothing".
    """

    def __init__(
        self,
        name: str = "fake",
        *,
        dim: int = 32,
        image_size_px: tuple[int, int] = (32, 32),
        max_text_tokens: int = 16,
        seed: int = 0,
    ) -> None:
        if dim <= len(COLOURS):
            raise ValueError(f"dim must be more than the {len(COLOURS)} colours")
        self.name = name
        self.dim = dim
        self.image_size_px = image_size_px
        self.max_text_tokens = max_text_tokens
        self.fingerprint = hashlib.blake2b(f"fake/1 {dim} {image_size_px} {seed}".encode(), digest_size=16).hexdigest()
        self.num_images = 0
        self.num_texts = 0
        self._seed = seed

    def frame_size_px(self, width: int, height: int) -> tuple[int, int]:
        """(height, width): the same for all pictures."""
        return self.image_size_px

    def encode_images(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """frames (N, H, W, 3) RGB uint8 at `image_size_px` -> (N, dim), unit length."""
        if frames.dtype != np.uint8 or frames.shape[1:] != (*self.image_size_px, 3):
            raise ValueError(f"frames are {frames.shape} {frames.dtype}")
        self.num_images += len(frames)
        rows = [self._unit(self._colour_axes(frame), self._coarse(frame), 0.1) for frame in frames]
        return np.array(rows, np.float32).reshape(-1, self.dim)

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """N sentences -> (N, dim), unit length. Longer ones than `max_text_tokens` are cut."""
        self.num_texts += len(texts)
        rows = []
        for text in texts:
            words = self._words(text)[: self.max_text_tokens - 2]
            axes = np.array([float(name in words) for name in COLOURS])
            rows.append(self._unit(axes, " ".join(words).encode(), 0.1 if axes.any() else 1.0))
        return np.array(rows, np.float32).reshape(-1, self.dim)

    def text_length(self, text: str) -> int:
        """Words, start and end included."""
        return len(self._words(text)) + 2

    @staticmethod
    def _words(text: str) -> list[str]:
        return [_ALSO.get(word, word) for word in re.findall(r"\w+", text.lower())]

    @staticmethod
    def _colour_axes(frame: NDArray[np.uint8]) -> NDArray[np.float64]:
        """frame (H, W, 3) -> how much of it looks like each colour of the palette."""
        pixels = frame[::4, ::4].reshape(-1, 1, 3).astype(np.float64)
        distance = ((pixels - _PALETTE) ** 2).sum(axis=-1)
        axes: NDArray[np.float64] = np.exp(-distance / (2 * _SPREAD**2)).mean(axis=0)
        return axes

    @staticmethod
    def _coarse(frame: NDArray[np.uint8]) -> bytes:
        """What is left of a frame after a little noise, so that two encodings of one scene agree."""
        return (frame[::8, ::8].astype(np.int64) // 64).astype(np.uint8).tobytes()

    def _unit(self, axes: NDArray[np.float64], content: bytes, share: float) -> NDArray[np.float64]:
        """Colour axes and a hash of `content`, the hash `share` as long as the colours."""
        seed = hashlib.blake2b(content, digest_size=8, salt=self._seed.to_bytes(8, "little")).digest()
        noise = np.random.default_rng(int.from_bytes(seed, "little")).standard_normal(self.dim - len(COLOURS))
        length = float(np.linalg.norm(axes)) or 1.0
        vector = np.concatenate([axes, noise / np.linalg.norm(noise) * share * length])
        unit: NDArray[np.float64] = vector / np.linalg.norm(vector)
        return unit


def plain_pictures(height_px: int, width_px: int) -> NDArray[np.uint8]:
    """A picture of each colour, (N, H, W, 3): in place of the demo video's frames, so that nothing is decoded."""
    shown = np.array(list(COLOURS.values()), np.uint8)
    return np.broadcast_to(shown[:, None, None], (len(shown), height_px, width_px, 3))
