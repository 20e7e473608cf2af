"""`--plot`: the saliency curves of one or several answers as a picture, drawn by matplotlib.

One block a video: a strip of its frames along the time axis, then a row for each query with its curve, its moments as
bands with their ranks, and a tick where two shots meet.
"""

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
from rdmf_cli.export.finding import MANY_CUTS, Finding, apart, by_video, legible, outline, within
from rdmf_cli.export.thumbnails import strip
from rdmf_cli.timebase import label_step, short_time

Axes: TypeAlias = Any  # matplotlib's, which is imported only when something is drawn
Figure: TypeAlias = Any

SUFFIXES = (".png", ".svg")
MOST_ROWS = 60  # more would be higher than image viewers open

_DPI = 160
_WIDTH_IN, _LEFT_IN, _RIGHT_IN = 10.0, 0.55, 0.3
_TOP_IN, _BOTTOM_IN = 0.12, 0.34
_HEADER_IN, _STRIP_IN, _TITLE_IN, _CURVE_IN, _TIMES_IN = 0.42, 0.56, 0.54, 0.85, 0.4
_STEPS = 1200  # more than the picture has columns to show
_LABEL_IN = 0.8  # room for one time label
_RANK_IN = 0.16  # and for one rank
_LONGEST = 300  # signs that are looked at of a text; no more fit
# Looked for after matplotlib's own font: other scripts, on the systems that have them.
_MORE_FONTS = (
    "Noto Sans CJK JP", "Noto Sans CJK SC", "Source Han Sans", "WenQuanYi Zen Hei", "Hiragino Sans", "PingFang SC",
    "Microsoft YaHei", "Yu Gothic", "Malgun Gothic", "Noto Sans", "Noto Sans Arabic", "Noto Sans Hebrew",
    "Noto Sans Devanagari", "Noto Sans Thai", "Arial Unicode MS", "Segoe UI", "Segoe UI Symbol", "Symbola",
)  # fmt: skip


def check_matplotlib() -> None:
    """Raise OutputError where it is missing; imports nothing."""
    if find_spec("matplotlib") is None:
        raise OutputError("--plot needs matplotlib", hint="pip install 'rdmf-cli[plot]'")


def plot(findings: list[Finding], suffix: str) -> bytes:
    """The picture file, `suffix` one of SUFFIXES; of at most MOST_ROWS findings. Raises OutputError, VideoError."""
    check_matplotlib()
    file = io.BytesIO()
    with _own_style():
        drawn = figure(findings[:MOST_ROWS])
        # No date and a fixed salt: the same answer gives the same file.
        extra: dict[str, Any] = {"metadata": {"Date": None}} if suffix == ".svg" else {}
        drawn.savefig(file, format=suffix[1:], dpi=_DPI, **extra)
    return file.getvalue()


@contextmanager
def _own_style() -> Iterator[None]:
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


@dataclass
class _Page:
    """Where the next thing goes: `y_in` counts down from the top."""

    figure: Figure
    height_in: float
    y_in: float = _TOP_IN

    def axes(self, height_in: float) -> Axes:
        """Axes over the whole width at the present place."""
        bottom = 1 - (self.y_in + height_in) / self.height_in
        width = (_WIDTH_IN - _LEFT_IN - _RIGHT_IN) / _WIDTH_IN
        self.y_in += height_in
        return self.figure.add_axes((_LEFT_IN / _WIDTH_IN, bottom, width, height_in / self.height_in))

    def text(self, x: float, text: str, below_in: float, **style: Any) -> None:
        """`text` at `x` in [0, 1] of the axes' width, its baseline `below_in` under the present place."""
        across = (_LEFT_IN + x * (_WIDTH_IN - _LEFT_IN - _RIGHT_IN)) / _WIDTH_IN
        up = 1 - (self.y_in + below_in) / self.height_in
        self.figure.text(across, up, text, parse_math=False, va="baseline", **style)


def figure(findings: list[Finding]) -> Figure:
    """The figure of at least one finding."""
    from matplotlib.figure import Figure

    groups = by_video(findings)
    per_group = _HEADER_IN + _STRIP_IN + _TIMES_IN
    height_in = _TOP_IN + _BOTTOM_IN + len(groups) * per_group + len(findings) * (_TITLE_IN + _CURVE_IN)
    page = _Page(Figure(figsize=(_WIDTH_IN, height_in), facecolor=palette.PAPER), height_in)
    for group in groups:
        _draw_video(page, group)
    _draw_legend(page)
    return page.figure


def _draw_video(page: _Page, group: list[Finding]) -> None:
    first = group[0]
    page.text(0, _shortened(first.name, 7.5, 10), 0.28, fontsize=10, color=palette.MUTED)
    length = short_time(first.duration_s)
    page.text(1, length, 0.28, fontsize=10, color=palette.MUTED, ha="right")
    page.y_in += _HEADER_IN
    _draw_strip(page.axes(_STRIP_IN), first)
    for row, finding in enumerate(group):
        _draw_title(page, finding)
        page.y_in += _TITLE_IN
        axes = page.axes(_CURVE_IN)
        axes.set_label(finding.query)
        _draw_curve(axes, finding)
        _draw_times(axes, finding.duration_s, labelled=row == len(group) - 1)
    page.y_in += _TIMES_IN


def _draw_strip(axes: Axes, finding: Finding) -> None:
    """Frames along the time axis, with a hair of paper between them."""
    width_px = round((_WIDTH_IN - _LEFT_IN - _RIGHT_IN) * _DPI)
    pictures = strip(finding.info, finding.duration_s, width_px=width_px, height_px=round(_STRIP_IN * _DPI))
    gap = 0.0015
    for place, picture in enumerate(pictures):
        left, right = place / len(pictures), (place + 1) / len(pictures)
        axes.imshow(
            np.asarray(picture), extent=(left + gap, right - gap, 0, 1), aspect="auto", interpolation="antialiased"
        )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_axis_off()


def _draw_title(page: _Page, finding: Finding) -> None:
    said = finding.verdict or f"relevance {finding.relevance.score:.2f}"
    width_in = _WIDTH_IN - _LEFT_IN - _RIGHT_IN
    room_in = width_in - _width_in(said, 9) - 0.2
    query = _shortened(f"“{legible(finding.query)}”", room_in, 11, bold=True)
    page.text(0, query, 0.3, fontsize=11, fontweight="bold")
    page.text(1, said, 0.3, fontsize=9, color=palette.MUTED, ha="right")


def _draw_curve(axes: Axes, finding: Finding) -> None:
    """Curve, bands, ranks and shot ticks."""
    edges, heights = outline(finding, _STEPS)
    axes.stairs(heights, edges, fill=True, color=palette.CURVE, alpha=0.25, linewidth=0)
    axes.stairs(heights, edges, color=palette.CURVE, linewidth=1.1, label="saliency", baseline=None)
    ends_s = [min(moment.end_s, finding.duration_s) for moment in finding.moments]
    middles = [(moment.start_s + end_s) / 2 for moment, end_s in zip(finding.moments, ends_s, strict=True)]
    labels = apart(middles, _RANK_IN * finding.duration_s / (_WIDTH_IN - _LEFT_IN - _RIGHT_IN), finding.duration_s)
    for rank, moment in reversed(list(enumerate(finding.moments, start=1))):
        colour, end_s = palette.of_rank(rank), ends_s[rank - 1]
        axes.axvspan(moment.start_s, end_s, color=colour, alpha=0.16, linewidth=0, label=f"moment {rank}")
        axes.axvspan(moment.start_s, end_s, ymin=0.965, color=colour, linewidth=0)
        inside_edges, inside = within(edges, heights, moment.start_s, end_s)
        axes.stairs(inside, inside_edges, fill=True, color=palette.PAPER, linewidth=0)
        axes.stairs(inside, inside_edges, fill=True, color=colour, alpha=0.55, linewidth=0)
        axes.stairs(inside, inside_edges, color=colour, linewidth=1.4, baseline=None)
        axes.annotate(
            str(rank), (labels[rank - 1], 1.0), xytext=(0, 3), textcoords="offset points",
            annotation_clip=False, ha="center", va="bottom", fontsize=8.5, fontweight="bold", color=palette.INK,
        )  # fmt: skip
    if finding.cuts_s:
        thickness = 0.9 if len(finding.cuts_s) <= MANY_CUTS else 0.3
        axes.vlines(
            list(finding.cuts_s), -0.13, -0.02, color=palette.INK, linewidth=thickness, label="cuts", clip_on=False
        )
    axes.set(xlim=(0, max(finding.duration_s, 1e-3)), ylim=(0, 1))
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=7.5)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="y", color=palette.HAIRLINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)


def _draw_times(axes: Axes, duration_s: float, *, labelled: bool) -> None:
    step_s = label_step(duration_s * _LABEL_IN / (_WIDTH_IN - _LEFT_IN - _RIGHT_IN))
    times_s = np.arange(0, duration_s, step_s)
    labels = [short_time(float(time_s)) if labelled else "" for time_s in times_s]
    axes.set_xticks(times_s, labels, fontsize=8.5)
    axes.tick_params(axis="x", length=0, pad=9)


def _draw_legend(page: _Page) -> None:
    """What the colours mean, in the bottom line."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=palette.CURVE, linewidth=1.6, label="saliency: how well the picture fits the query"),
        Patch(color=palette.BEST, alpha=0.6, label="best moment"),
        Patch(color=palette.OTHER, alpha=0.6, label="other moments"),
        Line2D([], [], color=palette.INK, marker="|", markersize=7, linestyle="", label="cut between shots"),
    ]
    page.figure.legend(
        handles=handles, loc="lower left", ncols=4, frameon=False, fontsize=8.5, labelcolor=palette.MUTED,
        bbox_to_anchor=(_LEFT_IN / _WIDTH_IN, 0.06 / page.height_in), borderaxespad=0, borderpad=0, handlelength=1.3,
        columnspacing=1.8,
    )  # fmt: skip


def _shortened(text: str, room_in: float, size_pt: float, *, bold: bool = False) -> str:
    """`text` cut so that it fits into `room_in`, with … at its end if it had to be."""
    if _width_in(text, size_pt, bold=bold) <= room_in:
        return text
    low, high = 0, min(len(text), _LONGEST)
    while low < high:
        middle = (low + high + 1) // 2
        fits = _width_in(f"{text[:middle]}…", size_pt, bold=bold) <= room_in
        low, high = (middle, high) if fits else (low, middle - 1)
    return f"{text[:low]}…"


def _width_in(text: str, size_pt: float, *, bold: bool = False) -> float:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=size_pt, weight="bold" if bold else "normal")
    width_pt, _, _ = text_to_path.get_text_width_height_descent(text[:_LONGEST], font, ismath=False)
    return float(width_pt) / 72
