"""What all pictures that matplotlib draws share: the page, its style, a time axis, texts that fit."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeAlias

import numpy as np

from rdmf_cli.errors import OutputError
from rdmf_cli.export import palette
from rdmf_cli.timebase import label_step, short_time

Axes: TypeAlias = Any  # matplotlib's, which is imported only when something is drawn
Figure: TypeAlias = Any

SUFFIXES = (".png", ".svg")
DPI = 160
WIDTH_IN, LEFT_IN, RIGHT_IN = 10.0, 0.55, 0.3
AXES_IN = WIDTH_IN - LEFT_IN - RIGHT_IN
TOP_IN = 0.12

_LABEL_IN = 0.8  # room for one time label
_LONGEST = 300  # signs that are looked at of a text; no more fit
# Looked for after matplotlib's own font: other scripts, on the systems that have them.
_MORE_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "WenQuanYi Zen Hei", "Hiragino Sans", "PingFang SC",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew",
    "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS", "Segoe UI", "Segoe UI Symbol", "Symbola",
)  # fmt: skip


def check_matplotlib(wish: str = "--plot") -> None:
    """Raise OutputError where it is missing; imports nothing."""
    if find_spec("matplotlib") is None:
        raise OutputError(f"{wish} needs matplotlib", hint="pip install 'rdmf-cli[plot]'")


@contextmanager
def own_style() -> Iterator[None]:
    """matplotlib as it is, not as the user's settings make it, and silent about fonts."""
    import matplotlib
    from matplotlib import font_manager

    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        here = set(font_manager.get_font_names())
        matplotlib.rcParams.update(
            {
                "font.family": ["DejaVu Sans", *(name for name in _MORE_FONTS if name in here)],
                "svg.hashsalt": "rdmf",
                "text.color": palette.INK,
                "axes.edgecolor": palette.HAIRLINE,
                "xtick.color": palette.MUTED,
                "ytick.color": palette.MUTED,
            }
        )
        yield


def file_of(drawn: Figure, suffix: str) -> bytes:
    """A picture file, `suffix` one of SUFFIXES. No date and a fixed salt: the same answer gives the same file."""
    file = io.BytesIO()
    extra: dict[str, Any] = {"metadata": {"Date": None}} if suffix == ".svg" else {}
    drawn.savefig(file, format=suffix[1:], dpi=DPI, **extra)
    return file.getvalue()


@dataclass
class Page:
    """Where the next thing goes: `y_in` counts down from the top."""

    figure: Figure
    height_in: float
    y_in: float = TOP_IN

    def axes(self, height_in: float) -> Axes:
        """Axes over the whole width at the present place."""
        bottom = 1 - (self.y_in + height_in) / self.height_in
        width = AXES_IN / WIDTH_IN
        self.y_in += height_in
        return self.figure.add_axes((LEFT_IN / WIDTH_IN, bottom, width, height_in / self.height_in))

    def text(self, x: float, text: str, below_in: float, **style: Any) -> None:
        """`text` at `x` in [0, 1] of the axes' width, its baseline `below_in` under the present place."""
        across = (LEFT_IN + x * AXES_IN) / WIDTH_IN
        up = 1 - (self.y_in + below_in) / self.height_in
        self.figure.text(across, up, text, parse_math=False, va="baseline", **style)


def draw_times(axes: Axes, duration_s: float, *, labelled: bool) -> None:
    """Ticks of a time axis from 0 to `duration_s`, with their times if `labelled`."""
    step_s = label_step(duration_s * _LABEL_IN / AXES_IN)
    times_s = np.arange(0, duration_s, step_s)
    labels = [short_time(float(time_s)) if labelled else "" for time_s in times_s]
    axes.set_xticks(times_s, labels, fontsize=8.5)
    axes.tick_params(axis="x", length=0, pad=9)


def shortened(text: str, room_in: float, size_pt: float, *, bold: bool = False) -> str:
    """`text` cut so that it fits into `room_in`, with … at its end if it had to be."""
    if width_in(text, size_pt, bold=bold) <= room_in:
        return text
    low, high = 0, min(len(text), _LONGEST)
    while low < high:
        middle = (low + high + 1) // 2
        fits = width_in(f"{text[:middle]}…", size_pt, bold=bold) <= room_in
        low, high = (middle, high) if fits else (low, middle - 1)
    return f"{text[:low]}…"


def width_in(text: str, size_pt: float, *, bold: bool = False) -> float:
    """How wide a text is when it is drawn."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size_pt, weight="bold" if bold else "normal")
    width_pt, _, _ = text_to_path.get_text_width_height_descent(text[:_LONGEST], font, ismath=False)
    return float(width_pt) / 72
