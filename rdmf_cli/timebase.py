"""Time: exact inside (integer pts times a Fraction time base), seconds outside, text for people.

Timecode, for editors, is a name for a frame's number and no time: `01:00:00:00` at 30000/1001 frames a second comes
3.6 s after an hour. Drop-frame timecode leaves out names, never frames: two or four at the start of nine of ten
minutes, and so stays with the clock.
"""

from __future__ import annotations

import math
import re
from fractions import Fraction

from rdmf_cli.errors import UsageError

_LABEL_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200)
_DAY_S = 86400
_CLOCK = re.compile(r"(?:(?:(\d+):)?(\d{1,2}):)?(\d+(?:\.\d+)?)")
_TIMECODE = re.compile(r"(\d\d):(\d\d):(\d\d)([:;.,])(\d\d)")
# A moment between two frames begins at the later one; a quarter frame of doubt, as times are rounded to milliseconds.
# media/cutting.py draws the line at the same place, so a clip and a timeline show the same frames.
_DOUBT = Fraction(1, 4)
_NTSC_30 = Fraction(30000, 1001)
_DROPPED = 2  # names a minute, for each multiple of 30000/1001


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


def frame_at(seconds: float | Fraction, rate: Fraction) -> int:
    """Number of the first frame that is presented at `seconds` or later, counted from 0 at a constant `rate`."""
    return max(0, math.ceil(Fraction(seconds) * rate - _DOUBT))


def timecode_base(rate: Fraction) -> int:
    """Names per second that timecode counts with: 30 for 30000/1001. At least 1."""
    return max(1, round(rate))


def drops_frames(rate: Fraction) -> bool:
    """True if there is drop-frame timecode for `rate`: 30000/1001 and its multiples."""
    return (rate / _NTSC_30).denominator == 1


def timecode_text(frame: int, rate: Fraction, *, drop: bool) -> str:
    """`hh:mm:ss:ff`, drop-frame with `;` before the frames, as SMPTE 12M names `frame` (≥ 0); starts over after 24 h.

    Raises ValueError if `drop` is asked for a rate that has none, or if `ff` would need three digits.
    """
    base = timecode_base(rate)
    if base > 100:
        raise ValueError(f"no timecode at {base} frames a second")
    name = _name_of(frame, rate) if drop else frame
    seconds, frames = divmod(name % (24 * 3600 * base), base)
    sign = ";" if drop else ":"
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}{sign}{frames:02d}"


def parse_timecode(text: str, rate: Fraction) -> tuple[int, bool]:
    """(number of the frame, whether it is drop-frame) of a timecode at `rate`. Raises ValueError if it names none.

    A `;`, `.` or `,` before the frames means drop-frame, where the rate has it; a name that drop-frame leaves out
    counts as the next one that exists.
    """
    match = _TIMECODE.fullmatch(text.strip())
    if not match:
        raise ValueError(f"not a timecode: {text!r}")
    hours, minutes, seconds, frames = (int(match[group]) for group in (1, 2, 3, 5))
    base = timecode_base(rate)
    if hours > 23 or minutes > 59 or seconds > 59 or frames >= base:
        raise ValueError(f"no timecode at {base} frames a second: {text!r}")
    drop = match[4] != ":" and drops_frames(rate)
    total_minutes = hours * 60 + minutes
    if not drop:
        return (total_minutes * 60 + seconds) * base + frames, False
    left_out = _left_out(rate)
    if total_minutes % 10 and seconds == 0:
        frames = max(frames, left_out)
    return (total_minutes * 60 + seconds) * base + frames - left_out * (total_minutes - total_minutes // 10), True


def _name_of(frame: int, rate: Fraction) -> int:
    """Number of the drop-frame name that `frame` bears."""
    if not drops_frames(rate):
        raise ValueError(f"no drop-frame timecode at {rate_text(rate)}")
    left_out = _left_out(rate)
    minute = 60 * timecode_base(rate) - left_out  # frames of a minute that leaves names out
    tens, rest = divmod(frame, 10 * minute + left_out)
    # The first minute of ten leaves nothing out and is longer.
    return frame + left_out * (9 * tens + max(0, rest - left_out) // minute)


def _left_out(rate: Fraction) -> int:
    return _DROPPED * int(rate / _NTSC_30)
