"""Rows through a network a batch at a time, in smaller batches where the memory does not hold them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.errors import ModelError

# What torch says where it raises a plain RuntimeError: CPU on Linux, on Windows, MPS.
_MEMORY_WORDS = ("can't allocate memory", "not enough memory", "out of memory", "failed to allocate")


class NotEnoughMemory(ModelError):
    """The memory of the device does not hold the network at work, even on a single row."""


class Batches:
    """Runs `encode(start, end)` over rows. A batch that does not fit is halved, and the smaller size is kept.

    `size`: rows in a batch. Every row's vector is the same in any batch (up to rounding), so an answer does not
    depend on how much memory there was.
    """

    def __init__(self, name: str, size: int) -> None:
        self._name = name
        self.size = size

    def run(self, count: int, dim: int, encode: Callable[[int, int], NDArray[np.float32]]) -> NDArray[np.float32]:
        """Rows (count, dim). Raises NotEnoughMemory if a single row is too much, and whatever `encode` raises."""
        rows = [np.zeros((0, dim), np.float32)]
        start = 0
        while start < count:
            end = min(start + self.size, count)
            try:
                rows.append(encode(start, end))
                start = end
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                if end - start == 1:
                    hint = "close other programs, or choose a smaller encoder: rdmf models list"
                    raise NotEnoughMemory(f"{self._name}: not enough memory for one picture", hint=hint) from error
                self.size = (end - start) // 2
                _forget_unused()
        return np.concatenate(rows)


def is_out_of_memory(error: BaseException) -> bool:
    """True for every way in which numpy and torch say that memory has run out."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and any(words in text for words in _MEMORY_WORDS)


def _forget_unused() -> None:
    """Give back what torch keeps for later: a large block in pieces is of no use for the next batch."""
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()
