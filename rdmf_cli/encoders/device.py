"""Which device computes."""

from __future__ import annotations

from collections.abc import Callable

import torch

from rdmf_cli.errors import UsageError

# In the order in which "auto" tries them.
_IS_PRESENT: dict[str, Callable[[], bool]] = {
    "cuda": torch.cuda.is_available,
    "mps": torch.backends.mps.is_available,
    "cpu": lambda: True,
}


def pick_device(wish: str) -> str:
    """ "auto" -> the fastest device here; "cpu", "cuda" or "mps" -> itself. Raises UsageError if it isn't here."""
    if wish == "auto":
        return next(name for name, is_present in _IS_PRESENT.items() if is_present())
    if wish not in _IS_PRESENT:
        raise UsageError(f"unknown device '{wish}'", hint="auto, cpu, cuda or mps")
    if not _IS_PRESENT[wish]():
        raise UsageError(f"this machine, or the installed torch, has no device '{wish}'", hint="--device auto")
    return wish
