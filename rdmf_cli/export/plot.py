"""`--plot`: the saliency curves of one or several answers as a picture, drawn by matplotlib.

One block a video: a strip of its frames along the time axis, then a row for each query with its curve, its moments as
bands with their ranks, and a tick where two shots meet.
"""

from __future__ import annotations

import numpy as np

from rdmf_cli.export import palette
from rdmf_cli.export.figures import (
    AXES_IN,
    DPI,
    LEFT_IN,
    SUFFIXES,
    TOP_IN,
    WIDTH_IN,
    Axes,
    Figure,
    Page,
    check_matplotlib,
    draw_times,
    file_of,
    own_style,
    shortened,
    width_in,
)
from rdmf_cli.export.finding import MANY_CUTS, Finding, apart, by_video, legible, outline, within
from rdmf_cli.export.thumbnails import strip
from rdmf_cli.timebase import short_time

__all__ = ["MOST_ROWS", "SUFFIXES", "figure", "plot"]

MOST_ROWS = 60  # more would be higher than image viewers open

_BOTTOM_IN = 0.34
_HEADER_IN, _STRIP_IN, _TITLE_IN, _CURVE_IN, _TIMES_IN = 0.42, 0.56, 0.54, 0.85, 0.4
_STEPS = 1200  # more than the picture has columns to show
_RANK_IN = 0.16  # room for one rank


def plot(findings: list[Finding], suffix: str) -> bytes:
    """The picture file, `suffix` one of SUFFIXES; of at most MOST_ROWS findings. Raises OutputError, VideoError."""
    check_matplotlib()
    with own_style():
        return file_of(figure(findings[:MOST_ROWS]), suffix)


def figure(findings: list[Finding]) -> Figure:
    """The figure of at least one finding."""
    from matplotlib.figure import Figure

    groups = by_video(findings)
    per_group = _HEADER_IN + _STRIP_IN + _TIMES_IN
    height_in = TOP_IN + _BOTTOM_IN + len(groups) * per_group + len(findings) * (_TITLE_IN + _CURVE_IN)
    page = Page(Figure(figsize=(WIDTH_IN, height_in), facecolor=palette.PAPER), height_in)
    for group in groups:
        _draw_video(page, group)
    _draw_legend(page)
    return page.figure


def _draw_video(page: Page, group: list[Finding]) -> None:
    first = group[0]
    page.text(0, shortened(first.name, 7.5, 10), 0.28, fontsize=10, color=palette.MUTED)
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
        draw_times(axes, finding.duration_s, labelled=row == len(group) - 1)
    page.y_in += _TIMES_IN


def _draw_strip(axes: Axes, finding: Finding) -> None:
    """Frames along the time axis, with a hair of paper between them."""
    width_px = round(AXES_IN * DPI)
    pictures = strip(finding.info, finding.duration_s, width_px=width_px, height_px=round(_STRIP_IN * DPI))
    gap = 0.0015
    for place, picture in enumerate(pictures):
        left, right = place / len(pictures), (place + 1) / len(pictures)
        axes.imshow(
            np.asarray(picture), extent=(left + gap, right - gap, 0, 1), aspect="auto", interpolation="antialiased"
        )
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_axis_off()


def _draw_title(page: Page, finding: Finding) -> None:
    said = finding.verdict or f"relevance {finding.relevance.score:.2f}"
    room_in = AXES_IN - width_in(said, 9) - 0.2
    query = shortened(f"“{legible(finding.query)}”", room_in, 11, bold=True)
    page.text(0, query, 0.3, fontsize=11, fontweight="bold")
    page.text(1, said, 0.3, fontsize=9, color=palette.MUTED, ha="right")


def _draw_curve(axes: Axes, finding: Finding) -> None:
    """Curve, bands, ranks and shot ticks."""
    edges, heights = outline(finding, _STEPS)
    axes.stairs(heights, edges, fill=True, color=palette.CURVE, alpha=0.25, linewidth=0)
    axes.stairs(heights, edges, color=palette.CURVE, linewidth=1.1, label="saliency", baseline=None)
    ends_s = [min(moment.end_s, finding.duration_s) for moment in finding.moments]
    middles = [(moment.start_s + end_s) / 2 for moment, end_s in zip(finding.moments, ends_s, strict=True)]
    labels = apart(middles, _RANK_IN * finding.duration_s / AXES_IN, finding.duration_s)
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


def _draw_legend(page: Page) -> None:
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
        bbox_to_anchor=(LEFT_IN / WIDTH_IN, 0.06 / page.height_in), borderaxespad=0, borderpad=0, handlelength=1.3,
        columnspacing=1.8,
    )  # fmt: skip
