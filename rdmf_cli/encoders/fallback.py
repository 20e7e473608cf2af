"""An encoder on a GPU that goes on without it: on the CPU, after one line."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.encoders.batches import NotEnoughMemory
from rdmf_cli.encoders.towers import one_line

if TYPE_CHECKING:
    from rdmf_cli.encoders.base import Encoder

Rows = NDArray[np.float32]


class FallbackEncoder:
    """The `Encoder` protocol (encoders/base.py) over one on a device that may get lost.

    After a CUDA error nothing of that device can be used any more, not even to copy the weights. So the encoder is
    opened again, by `reopen`, on the CPU; frames that were underway are encoded again there.
    """

    def __init__(
        self, encoder: Encoder, device: str, reopen: Callable[[], Encoder], warn: Callable[[str], None] | None
    ) -> None:
        self._encoder = encoder
        self._device = device  # "cpu" once it has fallen back
        self._reopen = reopen
        self._warn = warn

    def __getattr__(self, name: str) -> Any:
        """Name, sizes and whatever else the encoder in use has."""
        return getattr(self._encoder, name)

    def encode_images(self, frames: NDArray[np.uint8]) -> Rows:
        """See Encoder."""
        return self._steadily(lambda encoder: encoder.encode_images(frames))

    def encode_texts(self, texts: list[str]) -> Rows:
        """See Encoder."""
        return self._steadily(lambda encoder: encoder.encode_texts(texts))

    def _steadily(self, work: Callable[[Encoder], Rows]) -> Rows:
        try:
            return work(self._encoder)
        except (RuntimeError, NotEnoughMemory) as error:  # torch.AcceleratorError is a RuntimeError
            if self._device == "cpu":
                raise
            if self._warn is not None:
                self._warn(f"{self._device} failed, going on with the CPU: {one_line(error)}")
            self._device = "cpu"
        self._encoder = self._reopen()  # outside: the exception would keep the lost device's memory
        return work(self._encoder)
