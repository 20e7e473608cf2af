"""Captions: a BLIP through transformers says in a sentence what a frame shows; a text encoder makes it a vector."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.encoders.huggingface import open_tokenizer, quietly
from rdmf_cli.encoders.transformers_models import Opened, open_model

VERSION = "captions/1"  # raise it when the same frame would give another caption
_KINDS = ("blip",)
_MOST_TOKENS = 30
_AT_ONCE = 4  # frames


class Captioner:
    """Frames → sentences. Deterministic: the likeliest word each time."""

    def __init__(self, name: str, opened: Opened, device: str) -> None:
        self.name = name
        self.fingerprint = opened.fingerprint
        self._network, self._device = opened.network, torch.device(device)
        self._preprocessing = opened.preprocessing
        with quietly():
            self._tokenizer: Any = open_tokenizer(name, opened.folder)

    def frame_size_px(self, width: int, height: int) -> tuple[int, int]:
        """(height, width) at which frames must arrive."""
        return self._preprocessing.size_px

    def caption(self, frames: NDArray[np.uint8]) -> list[str]:
        """frames (N, H, W, 3) RGB uint8 → N sentences, at least a word each."""
        found: list[str] = []
        for start in range(0, len(frames), _AT_ONCE):
            batch = torch.from_numpy(np.array(frames[start : start + _AT_ONCE], order="C"))
            pixels = self._preprocessing.apply(batch.to(self._device))
            with torch.inference_mode():
                tokens = self._network.generate(pixel_values=pixels, max_new_tokens=_MOST_TOKENS, do_sample=False)
            found += self._tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [" ".join(text.split()) or "nothing" for text in found]


class CaptionEncoder:
    """The `Encoder` protocol over captions: frames → sentences → the text vectors of another encoder.

    So captions are stored as any features are, and computed once.
    """

    def __init__(self, captioner: Captioner, encoder: Encoder) -> None:
        self.name = f"{captioner.name}+{encoder.name}"
        self.dim = encoder.dim
        self.max_text_tokens = encoder.max_text_tokens
        both = f"{captioner.fingerprint} {encoder.fingerprint}"
        self.fingerprint = hashlib.blake2b(both.encode(), digest_size=16).hexdigest()
        self._captioner, self._encoder = captioner, encoder

    def frame_size_px(self, width: int, height: int) -> tuple[int, int]:
        """(height, width) at which the captioner wants frames."""
        return self._captioner.frame_size_px(width, height)

    def encode_images(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """frames (N, H, W, 3) → text vectors of their captions (N, dim), unit length."""
        if not len(frames):
            return np.zeros((0, self.dim), np.float32)
        return self._encoder.encode_texts(self._captioner.caption(frames))

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """As the text encoder does it."""
        return self._encoder.encode_texts(texts)

    def text_length(self, text: str) -> int:
        """As the text encoder counts."""
        return self._encoder.text_length(text)


def open_captioner(name: str, models_folder: Path, device: str) -> Captioner:
    """Open a folder or hf:ID. Raises ModelError: not there, another kind of model, damaged, only pickled weights."""
    opened = open_model(name, models_folder, device, _KINDS, "BlipForConditionalGeneration", VERSION)
    return Captioner(name, opened, device)
