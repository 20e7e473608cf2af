"""`--explain`: the curves behind answers, as a picture by matplotlib or as JSON (docs/search-models.md).

One block an answer: affinity, what reaction and diffusion made of it, the saliency with the moments; the same time axis
under all of them, and a line through all where two shots meet.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.export import figures, palette
from rdmf_cli.export.figures import AXES_IN, LEFT_IN, TOP_IN, WIDTH_IN, Axes, Figure, Page
from rdmf_cli.export.finding import MANY_CUTS, Finding, legible
from rdmf_cli.export.writing import encoded
from rdmf_cli.fusion.trace import Trace
from rdmf_cli.timebase import short_time

SCHEMA = "rdmf.explain/1"
SUFFIXES = (*figures.SUFFIXES, ".json")
MOST_ANSWERS = 20  # of a picture; more would be higher than image viewers open

Array = NDArray[np.float64]

_BOTTOM_IN, _TITLE_IN, _GAP_IN, _TIMES_IN = 0.34, 0.62, 0.26, 0.45
_CURVE_IN, _FIELD_IN = 0.85, 1.2
_STEPS = 1200  # more than the picture has columns to show
_DIGITS = 4  # of numbers in the JSON


@dataclass(frozen=True)
class Explained:
    """An answer as it is shown, and what led to it."""

    finding: Finding
    trace: Trace


def explain(answers: Sequence[Explained], suffix: str, *, encoder: str, model: dict[str, str]) -> bytes:
    """The file, `suffix` one of SUFFIXES; a picture has at most MOST_ANSWERS. Raises OutputError."""
    if suffix == ".json":
        return encoded(json.dumps(_document(answers, encoder, model), allow_nan=False) + "\n")
    figures.check_matplotlib("--explain with a picture")
    with figures.own_style():
        return figures.file_of(figure(answers[:MOST_ANSWERS]), suffix)


def _document(answers: Sequence[Explained], encoder: str, model: dict[str, str]) -> dict[str, Any]:
    return {"schema": SCHEMA, "encoder": encoder, "model": model, "results": [_result(one) for one in answers]}


def _result(one: Explained) -> dict[str, Any]:
    finding, trace = one.finding, one.trace
    return {
        "video": {"path": str(finding.info.path), "duration_s": round(finding.duration_s, 3)},
        "query": finding.query,
        "relevance": {"score": round(finding.relevance.score, _DIGITS), "cutoff": finding.relevance.cutoff},
        "moments": [
            {"start_s": round(m.start_s, 3), "end_s": round(m.end_s, 3), "score": round(m.score, _DIGITS)}
            for m in finding.moments
        ],
        "cuts_s": [round(cut_s, 3) for cut_s in finding.cuts_s],
        "times_s": [round(float(time_s), 3) for time_s in finding.times_s],
        "affinity": _numbers(trace.affinity),
        "channels": [
            {"wavelength_s": None if math.isnan(length) else round(length, 3), "u": _numbers(u), "v": _numbers(v)}
            for length, u, v in zip(trace.wavelengths_s, trace.u, trace.v, strict=True)
        ],
        "activity": _numbers(trace.activity),
        "saliency": _numbers(finding.saliency),
    }


def _numbers(values: NDArray[np.float32]) -> list[float]:
    return [round(float(value), _DIGITS) for value in values]


def figure(answers: Sequence[Explained]) -> Figure:
    """The figure of at least one answer."""
    from matplotlib.figure import Figure

    height_in = TOP_IN + _BOTTOM_IN + sum(_height_in(one.trace) for one in answers)
    page = Page(Figure(figsize=(WIDTH_IN, height_in), facecolor=palette.PAPER), height_in)
    for one in answers:
        _draw(page, one)
    _draw_legend(page)
    return page.figure


def _height_in(trace: Trace) -> float:
    """Of one block: the title, its rows with the gaps over them, and the times."""
    rows_in = [_CURVE_IN] * 3 if len(trace.v) <= 1 else [_CURVE_IN, _FIELD_IN, _FIELD_IN, _CURVE_IN, _CURVE_IN]
    return _TITLE_IN + sum(rows_in) + _GAP_IN * len(rows_in) + _TIMES_IN


def _draw(page: Page, one: Explained) -> None:
    finding, trace = one.finding, one.trace
    _draw_title(page, finding)
    rows = [_row(page, "affinity: 0 is usual for this video", _CURVE_IN, finding)]
    _draw_affinity(rows[0], finding, trace)
    if len(trace.v) == 1:
        rows.append(_row(page, "u: substrate, v: activator", _CURVE_IN, finding))
        _draw_pair(rows[-1], finding, trace)
    elif len(trace.v):
        for name, field in (("v: activator", trace.v), ("u: substrate", trace.u)):
            title = f"{name}, by channel; short wavelengths at the bottom"
            rows.append(_row(page, title, _FIELD_IN, finding))
            _draw_field(rows[-1], finding, trace, field)
    if len(trace.v) != 1:
        rows.append(_row(page, "activity: where moments grow", _CURVE_IN, finding))
        _stairs(rows[-1], finding, trace.activity, palette.BEST, "activity")
        rows[-1].set_ylim(0, max(float(trace.activity.max()) * 1.05, 1e-3))
    rows.append(_row(page, "saliency and moments", _CURVE_IN, finding))
    _draw_moments(rows[-1], finding)
    figures.draw_times(rows[-1], finding.duration_s, labelled=True)
    page.y_in += _TIMES_IN


def _draw_title(page: Page, finding: Finding) -> None:
    said = finding.verdict or f"relevance {finding.relevance.score:.2f}"
    where = figures.shortened(f"{finding.name}, {short_time(finding.duration_s)}", AXES_IN, 9)
    room_in = AXES_IN - figures.width_in(said, 9) - 0.2
    query = figures.shortened(f"“{legible(finding.query)}”", room_in, 11, bold=True)
    page.text(0, query, 0.3, fontsize=11, fontweight="bold")
    page.text(1, said, 0.3, fontsize=9, color=palette.MUTED, ha="right")
    page.text(0, where, 0.5, fontsize=9, color=palette.MUTED)
    page.y_in += _TITLE_IN


def _row(page: Page, title: str, height_in: float, finding: Finding) -> Axes:
    """Empty axes over the video's whole length, with a title above and lines at the cuts."""
    page.text(0, title, _GAP_IN - 0.07, fontsize=8, color=palette.MUTED)
    page.y_in += _GAP_IN
    axes = page.axes(height_in)
    axes.set_label(title.partition(":")[0])
    if finding.cuts_s:
        thickness = 0.8 if len(finding.cuts_s) <= MANY_CUTS else 0.2
        axes.vlines(
            list(finding.cuts_s), 0, 1, transform=axes.get_xaxis_transform(), color=palette.INK, linewidth=thickness,
            linestyle=(0, (2, 2)), alpha=0.6, label="cuts", zorder=3,
        )  # fmt: skip
    axes.set_xlim(0, max(finding.duration_s, 1e-3))
    axes.set_xticks([])
    axes.tick_params(axis="y", length=0, labelsize=7.5)
    axes.grid(axis="y", color=palette.HAIRLINE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    return axes


def _draw_affinity(axes: Axes, finding: Finding, trace: Trace) -> None:
    _stairs(axes, finding, trace.affinity, palette.CURVE, "affinity")
    axes.axhline(0, color=palette.MUTED, linewidth=0.8)
    axes.set_ylim(min(float(trace.affinity.min()), -1) - 0.2, max(float(trace.affinity.max()), 2) + 0.2)


def _draw_pair(axes: Axes, finding: Finding, trace: Trace) -> None:
    _stairs(axes, finding, trace.u[0], palette.MUTED, "u", pick=np.minimum.reduceat, fill=False)
    _stairs(axes, finding, trace.v[0], palette.BEST, "v")
    axes.set(ylim=(0, max(1.0, float(trace.v.max())) * 1.02), yticks=[0, 0.5, 1])


def _draw_field(axes: Axes, finding: Finding, trace: Trace, field: NDArray[np.float32]) -> None:
    """Channels as rows from the shortest wavelength to the longest; those without one come last."""
    lengths = np.array([math.inf if math.isnan(length) else length for length in trace.wavelengths_s])
    order = np.argsort(lengths, kind="stable")
    (edges, _), top = _steps(finding, field[0]), max(float(field.max()), 1e-3)
    rows = np.stack([_steps(finding, field[channel])[1] for channel in order])
    levels = np.arange(len(rows) + 1)
    axes.pcolormesh(edges, levels, rows, cmap="viridis", vmin=0, vmax=top, rasterized=True)
    shown = sorted({0, len(rows) // 2, len(rows) - 1})
    labels = ["" if math.isinf(lengths[order[row]]) else _seconds(lengths[order[row]]) for row in shown]
    axes.set_yticks([row + 0.5 for row in shown], labels)
    axes.grid(visible=False)


def _seconds(length_s: float) -> str:
    return f"{length_s:.1f} s" if length_s < 10 else f"{length_s:.0f} s"


def _draw_moments(axes: Axes, finding: Finding) -> None:
    _stairs(axes, finding, finding.saliency, palette.CURVE, "saliency")
    for rank, moment in reversed(list(enumerate(finding.moments, start=1))):
        end_s, colour = min(moment.end_s, finding.duration_s), palette.of_rank(rank)
        axes.axvspan(moment.start_s, end_s, color=colour, alpha=0.25, linewidth=0, label=f"moment {rank}")
        axes.annotate(
            str(rank), ((moment.start_s + end_s) / 2, 1.0), xytext=(0, -2), textcoords="offset points",
            ha="center", va="top", fontsize=8, fontweight="bold", color=palette.INK,
        )  # fmt: skip
    axes.set(ylim=(0, 1), yticks=[0, 0.5, 1])


def _stairs(
    axes: Axes,
    finding: Finding,
    values: NDArray[np.float32],
    colour: str,
    label: str,
    *,
    pick: Callable[..., Any] = np.maximum.reduceat,
    fill: bool = True,
) -> None:
    edges, heights = _steps(finding, values, pick)
    if fill:
        axes.stairs(heights, edges, fill=True, color=colour, alpha=0.2, linewidth=0)
    axes.stairs(heights, edges, color=colour, linewidth=1.1, label=label, baseline=None)


def _steps(
    finding: Finding, values: NDArray[np.float32], pick: Callable[..., Any] = np.maximum.reduceat
) -> tuple[Array, Array]:
    """Edges (N + 1,) in seconds and heights (N,), N ≤ _STEPS: of several snippets in one step the one that `pick` says.

    A snippet reaches from its time to that of the next, the last to the end.
    """
    starts, heights = np.asarray(finding.times_s, np.float64), np.asarray(values, np.float64)
    if len(starts) > _STEPS:
        first = np.unique(np.linspace(0, len(starts), _STEPS, endpoint=False).astype(np.int64))
        starts, heights = starts[first], pick(heights, first)
    return np.append(starts, max(finding.duration_s, float(starts[-1]) + 1e-3)), heights


def _draw_legend(page: Page) -> None:
    """What the colours mean, in the bottom line."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Line2D([], [], color=palette.CURVE, linewidth=1.6, label="affinity, saliency"),
        Line2D([], [], color=palette.MUTED, linewidth=1.6, label="u"),
        Line2D([], [], color=palette.BEST, linewidth=1.6, label="v, activity"),
        Patch(color=palette.BEST, alpha=0.4, label="best moment"),
        Patch(color=palette.OTHER, alpha=0.4, label="other moments"),
        Line2D([], [], color=palette.INK, linewidth=0.8, linestyle=(0, (2, 2)), label="cut between shots"),
    ]
    page.figure.legend(
        handles=handles, loc="lower left", ncols=6, frameon=False, fontsize=8.5, labelcolor=palette.MUTED,
        bbox_to_anchor=(LEFT_IN / WIDTH_IN, 0.06 / page.height_in), borderaxespad=0, borderpad=0, handlelength=1.3,
        columnspacing=1.8,
    )  # fmt: skip
