"""Time: exact inside (integer pts times a Fraction time base), seconds outside, text for people."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from rdmf_cli.errors import UsageError

_LABEL_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY_S = 86400
_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)")


def pts_to_seconds(pts: int, time_base: Fraction, start_pts: int = 0) -> float:
    """Seconds from `start_pts`; exact until the last step."""
    return float((pts - start_pts) * time_base)


def format_time(seconds: float) -> str:
    """`h:mm:ss.mmm`, truncated and not rounded, so that a printed time never lies after the true one.

    Times that are a hair under a millisecond only by floating point (0.2999999999) count as that millisecond.
    """
    sign = "-" if seconds < 0 else ""
    milliseconds = int(abs(seconds) * 1000 + 1e-6)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{sign}{hours}:{minutes:02d}:{milliseconds // 1000:02d}.{milliseconds % 1000:03d}"


def short_time(seconds: float) -> str:
    """`m:ss`, or `h:mm:ss` from an hour on."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def label_step(least_s: float) -> int:
    """How many seconds apart the labels of a time axis stand: a round number, at least `least_s`."""
    return next((step for step in _LABEL_STEPS_S if step >= least_s), math.ceil(least_s / _DAY_S) * _DAY_S)


def parse_time(text: str) -> float:
    """Seconds from `12.5`, `1:02.5` or `1:02:03.5`. Raises UsageError on anything else."""
    match = _CLOCK.fullmatch(text.strip())
    if not match:
        raise UsageError(f"not a time: {text!r}", hint="write seconds (12.5) or h:mm:ss.mmm (0:01:02.500)")
    hours, minutes, seconds = match.groups()
    return int(hours or 0) * 3600 + int(minutes or 0) * 60 + float(seconds)


def rate_text(rate: Fraction) -> str:
    """`30000/1001` or `25`: a frame rate exactly as the file states it."""
    return str(rate.numerator) if rate.denominator == 1 else f"{rate.numerator}/{rate.denominator}"
