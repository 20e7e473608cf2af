"""How much a video may ask for before it is refused or left early, and how to raise that.

A few bytes can claim a picture of 65,535 x 65,535 px, a film of centuries, or tables that fill the memory. The
limits are far beyond what cameras make; each can be raised by an environment variable.

    RDMF_MAX_MEGAPIXELS   size of one picture, in millions of pixels (default 150: 8K has 33)
    RDMF_MAX_HOURS        length of what is read of one video, in hours (default 48)
    RDMF_MAX_DECODER_MIB  memory of one ffmpeg, in MiB (default 8192; held where the system is Linux)
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
from dataclasses import dataclass

from rdmf_cli.errors import UsageError, VideoError

_MAX_INT = 2**31 - 1  # ffmpeg's own limit for the pixels of a picture


@dataclass(frozen=True)
class Limits:
    """What one video may ask for."""

    megapixels: float = 150.0
    hours: float = 48.0
    decoder_mib: float = 8192.0

    @property
    def pixels(self) -> int:
        """Of one picture."""
        return min(int(self.megapixels * 1e6), _MAX_INT)

    @property
    def seconds(self) -> float:
        """Of one video."""
        return self.hours * 3600


def limits() -> Limits:
    """The limits in force. Raises UsageError for a variable that is no positive number."""
    return Limits(**{name: _number(f"RDMF_MAX_{name.upper()}", getattr(Limits, name)) for name in _NAMES})


_NAMES = ("megapixels", "hours", "decoder_mib")


def _number(variable: str, default: float) -> float:
    text = os.environ.get(variable, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise UsageError(f"{variable}: not a positive number: {text!r}", hint=f"unset it for the default, {default:g}")
    return value


def check_size(name: str, width: int, height: int) -> None:
    """Refuse a picture with too many pixels. Raises VideoError."""
    allowed = limits()
    if width * height > allowed.pixels:
        raise VideoError(
            f"{name}: pictures of {width} x {height} px are refused (more than {allowed.megapixels:g} megapixels)",
            hint=f"if they are real, set RDMF_MAX_MEGAPIXELS={math.ceil(width * height / 1e6)}",
        )


def bound_memory(pid: int) -> None:
    """Limit the memory of a process that has just started. Only Linux lets one do that to another process."""
    if sys.platform != "linux":
        return
    import resource

    size = int(limits().decoder_mib * 2**20)
    # DATA, not AS: threads reserve addresses that they never use.
    with contextlib.suppress(OSError, ValueError):  # it may have ended already
        resource.prlimit(pid, resource.RLIMIT_DATA, (size, size))
