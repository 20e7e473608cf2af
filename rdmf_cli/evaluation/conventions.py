"""What reference evaluators of moment retrieval do differently, as named choices.

| convention | R1 from | R5, mIoU | long | full | a range of length without true windows |
|---|---|---|---|---|---|
| moment_detr | 0.5 | - | (30, 150] | all | null (the original stops with a TypeError) |
| cg_detr | 0.3 | mIoU | (30, 150] | all | zeros, under the 19 thresholds 0.5, 0.525 ... 0.95 |
| univtg | 0.3 | both | (30, inf) | (0, inf) | the figures of full |

moment_detr stands for QD-DETR, TR-DETR, TaskWeave and EaTR on QVHighlights, cg_detr for VTG-GPT and FlashVTG, univtg
for R2-Tuning. Ranges are of the true window's length in seconds, without the lower and with the upper end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


def thresholds_from(first_percent: int) -> tuple[float, ...]:
    """From `first_percent` to 95 % in steps of 5, as the doubles that one writes: 0.55, not the sum 0.5 + 0.05."""
    return tuple(float(f"{percent / 100:.2f}") for percent in range(first_percent, 100, 5))


TIOU_THRESHOLDS = thresholds_from(50)
# What CG-DETR calls the thresholds of an empty range: numpy's steps, unrounded.
EMPTY_THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 19).tolist())


@dataclass(frozen=True)
class LengthRange:
    """True windows with `low_s` < length <= `high_s`; `is_everything`: of any length, 0 included."""

    name: str
    low_s: float
    high_s: float
    is_everything: bool = False


@dataclass(frozen=True)
class Convention:
    """One family of evaluators."""

    name: str
    ranges: tuple[LengthRange, ...]
    r1_thresholds: tuple[float, ...]
    has_miou: bool
    has_r5: bool
    brief_r1: tuple[float, ...]  # thresholds of R1 (and R5) that the brief names
    empty: Literal["null", "zeros", "full"]
    suffix: str = ""  # of the main keys in the brief

    @property
    def full(self) -> LengthRange:
        """The range of everything."""
        return next(item for item in self.ranges if item.name == "full")


_SHORT, _MIDDLE = LengthRange("short", 0, 10), LengthRange("middle", 10, 30)
_UP_TO_150 = (LengthRange("full", 0, 150, is_everything=True), LengthRange("long", 30, 150), _MIDDLE, _SHORT)
_UNLIMITED = (LengthRange("full", 0, np.inf), LengthRange("long", 30, np.inf), _MIDDLE, _SHORT)
_FROM_30 = thresholds_from(30)

CONVENTIONS = {
    "moment_detr": Convention("moment_detr", _UP_TO_150, TIOU_THRESHOLDS, False, False, (0.5, 0.7), "null"),
    "cg_detr": Convention("cg_detr", _UP_TO_150, _FROM_30, True, False, (0.3, 0.5, 0.7), "zeros"),
    "univtg": Convention("univtg", _UNLIMITED, _FROM_30, True, True, (0.3, 0.5, 0.7), "full", "-key"),
}
