"""`rdmf stability --plot`: the (F, k) plane, the dispersion relation, and how a pattern forms; drawn by matplotlib."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from rdmf_cli.export import palette
from rdmf_cli.export.figures import WIDTH_IN, Axes, Figure, check_matplotlib, file_of, own_style
from rdmf_cli.fusion.formation import Formation
from rdmf_cli.fusion.regimes import REGIMES, Channel, Regime, regime_map
from rdmf_cli.heads.decode import Timeline

_TOP_IN, _BOTTOM_IN = 4.6, 4.4
_GRID = 400  # points of the plane along each axis
# Pale, so that the points stand out; told apart by their labels as well.
_AREAS = {Regime.dies: "#eef0f3", Regime.swings: "#f3d9ea", Regime.peaks: "#fbe3b5", Regime.fills: "#d3e9f6"}
_SAID = {
    Regime.dies: "evidence dies out",
    Regime.swings: "evidence swings",
    Regime.peaks: "peaks grow (Turing)",
    Regime.fills: "evidence fills its shot",
}
_MARKS = {Regime.dies: "x", Regime.swings: "s", Regime.peaks: "^", Regime.fills: "o"}


class Shown(NamedTuple):
    """How a pattern formed on a video."""

    formation: Formation
    timeline: Timeline
    heading: str
    threshold: float | None  # affinity from which evidence lives, where there is one


def plot(channels: tuple[Channel, ...], title: str, suffix: str, watched: Shown | None = None) -> bytes:
    """The picture file, `suffix` one of SUFFIXES. `watched`: how a pattern formed on a video."""
    check_matplotlib()
    with own_style():
        return file_of(figure(channels, title, watched), suffix)


def figure(channels: tuple[Channel, ...], title: str, watched: Shown | None = None) -> Figure:
    """The figure of at least one channel."""
    from matplotlib.figure import Figure

    height_in = _TOP_IN + (_BOTTOM_IN if watched else 0.0)
    drawn = Figure(figsize=(WIDTH_IN, height_in), facecolor=palette.PAPER)
    share = _TOP_IN / height_in
    bottom, height = 1 - share * 0.85, share * 0.66
    drawn.text(0.07, 1 - 0.35 / height_in, title, fontsize=12, fontweight="bold", va="center", parse_math=False)
    _draw_plane(drawn.add_axes((0.07, bottom, 0.38, height)), channels)
    _draw_dispersion(drawn.add_axes((0.56, bottom, 0.40, height)), channels)
    if watched:
        _draw_formation(drawn, watched, share=1 - share)
    return drawn


# --- the (F, k) plane -------------------------------------------------------------------------------------------------


def _draw_plane(axes: Axes, channels: tuple[Channel, ...]) -> None:
    """Areas of the plane for the channels' usual Du / Dv, and where the channels lie."""
    from matplotlib.colors import BoundaryNorm, ListedColormap
    from matplotlib.patches import Patch

    points = np.array([channel.plane for channel in channels])
    ratio = float(np.median([channel.diff_ratio for channel in channels]))
    most_f, most_k = _limits(points)
    feeds, kills = np.linspace(1e-4, most_f, _GRID), np.linspace(1e-4, most_k, _GRID)
    seed = float(np.median([channel.plane_seed for channel in channels]))
    kinds = regime_map(feeds[None, :], kills[:, None], ratio, seed)
    colours = ListedColormap([_AREAS[regime] for regime in REGIMES])
    axes.imshow(
        kinds, extent=(0, most_f, 0, most_k), origin="lower", aspect="auto", interpolation="nearest", cmap=colours,
        norm=BoundaryNorm(np.arange(len(REGIMES) + 1) - 0.5, colours.N),
    )  # fmt: skip
    handles = [Patch(color=_AREAS[regime], label=_SAID[regime]) for regime in REGIMES]
    axes.legend(handles=handles, fontsize=7.5, loc="upper left", ncols=2, facecolor=palette.PAPER, framealpha=1)
    for regime in REGIMES:
        here = np.array([channel.plane for channel in channels if channel.regime is regime])
        if len(here):
            axes.plot(here[:, 0], here[:, 1], _MARKS[regime], color=palette.INK, markersize=4.5, zorder=3)
    if _is_one_ray(points):
        axes.plot([0, points[:, 0].max()], [0, points[:, 1].max()], color=palette.INK, linewidth=0.7, zorder=2)
        for place, channel in enumerate(channels):  # on either side in turn, so that close ones don't meet
            side = {"xytext": (7, -8)} if place % 2 == 0 else {"xytext": (-7, 2), "ha": "right"}
            axes.annotate(channel.name, channel.plane, textcoords="offset points", fontsize=7.5, **side)
    axes.set(xlim=(0, most_f), ylim=(0, most_k))
    axes.set_xlabel("feed rate F ÷ catalysis", fontsize=8.5)
    axes.set_ylabel("kill rate k ÷ catalysis", fontsize=8.5)
    given = f"Du / Dv = {ratio:.1f}" + (f", seed {seed:.3f}" if seed else "")
    axes.set_title(f"Where the channels lie (areas: {given})", fontsize=9.5, loc="left")
    axes.tick_params(labelsize=7.5, length=2)


def _limits(points: np.ndarray[Any, Any]) -> tuple[float, float]:
    """Of the plane: all points and the tip of the active area (1/16, 1/16) are in it, the legend above them."""
    return max(0.1, 1.3 * float(points[:, 0].max())), max(0.09, 1.4 * float(points[:, 1].max()))


def _is_one_ray(points: np.ndarray[Any, Any]) -> bool:
    """True if all points lie on one line through the origin: one channel at several affinities."""
    slopes = points[:, 1] / points[:, 0]
    return len(points) > 1 and bool(np.ptp(slopes) < 1e-6 * slopes.max())


# --- the dispersion relation ------------------------------------------------------------------------------------------


def _draw_dispersion(axes: Axes, channels: tuple[Channel, ...]) -> None:
    """Growth rate against wavelength in seconds, one curve a channel; above 0 peaks at that distance grow."""
    alive = [channel for channel in channels if channel.regime is not Regime.dies]
    spacing_s = channels[0].spacing_s
    longest_s = max([60.0, *(2.5 * (channel.wavelength_s or 0.0) for channel in alive)])
    wavelengths_s = np.geomspace(2 * spacing_s, longest_s, 500)
    curves = [channel.growth(wavelengths_s) for channel in alive]
    most = max([0.005, *(float(curve.max()) for curve in curves)])
    low = min([-3 * most, *(1.4 * float(curve.max()) for curve in curves)])
    axes.axhspan(0, max(1.3 * most, -0.08 * low), color=_AREAS[Regime.peaks], linewidth=0)
    for place, (channel, curve) in enumerate(zip(alive, curves, strict=True)):
        colour = _shade(place, len(alive))
        axes.plot(wavelengths_s, curve, color=colour, linewidth=1.3 if len(alive) <= 8 else 0.8, label=channel.name)
        if channel.wavelength_s is not None:
            peak = float(channel.growth(np.array([channel.wavelength_s]))[0])
            axes.plot([channel.wavelength_s], [peak], "^", color=colour, markersize=5)
            if len(alive) <= 8:
                axes.annotate(
                    f"{channel.wavelength_s:.1f} s", (channel.wavelength_s, peak), xytext=(0, 6),
                    textcoords="offset points", ha="center", fontsize=7.5,
                )  # fmt: skip
    axes.axhline(0, color=palette.INK, linewidth=0.8)
    axes.set_xscale("log")
    ticks = [t for t in (0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if 2 * spacing_s <= t <= longest_s]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlim=(2 * spacing_s, longest_s), ylim=(low, max(1.3 * most, -0.08 * low)))
    axes.set_xlabel("distance of peaks (wavelength), seconds", fontsize=8.5)
    axes.set_ylabel("growth per unit of time", fontsize=8.5)
    axes.set_title("Which distances grow by themselves (above 0)", fontsize=9.5, loc="left")
    axes.tick_params(labelsize=7.5, length=2)
    if not any(channel.regime is Regime.peaks for channel in alive):
        axes.text(
            0.02, 0.97, "none does: there is no pattern without evidence", transform=axes.transAxes, va="top",
            fontsize=7.5, color=palette.MUTED,
        )  # fmt: skip
    if 0 < len(alive) <= 8:
        axes.legend(fontsize=7.5, frameon=False, loc="lower left")


def _shade(place: int, count: int) -> Any:
    """From blue to vermilion through what people with any colour vision can order."""
    import matplotlib

    return matplotlib.colormaps["cividis" if count > 8 else "viridis"](0.1 + 0.75 * place / max(count - 1, 1))


# --- how a pattern forms ----------------------------------------------------------------------------------------------


def _draw_formation(drawn: Figure, shown: Shown, *, share: float) -> None:
    """Affinity along time, v along time and steps below it, and how much each step changed beside it."""
    formation, timeline = shown.formation, shown.timeline
    left, width, side = 0.07, 0.70, 0.83
    drawn.text(left, share * 0.97, shown.heading, fontsize=10.5, fontweight="bold", va="top", parse_math=False)
    top = drawn.add_axes((left, share * 0.70, width, share * 0.18))
    image = drawn.add_axes((left, share * 0.12, width, share * 0.54))
    change = drawn.add_axes((side, share * 0.12, 0.13, share * 0.54))
    _draw_affinity(top, shown)
    _draw_steps(image, formation, timeline)
    _draw_change(change, formation)


def _edges_s(timeline: Timeline) -> Any:
    return np.append(timeline.starts_s, timeline.end_s)


def _draw_affinity(axes: Axes, shown: Shown) -> None:
    affinity, edges_s, threshold = shown.formation.affinity, _edges_s(shown.timeline), shown.threshold
    axes.stairs(affinity, edges_s, baseline=0, fill=True, color=palette.CURVE, alpha=0.25)
    axes.stairs(affinity, edges_s, baseline=None, color=palette.CURVE, linewidth=1.0)
    axes.set(xlim=(0, shown.timeline.end_s), ylim=(min(-0.5, 1.05 * affinity.min()), max(1.5, 1.05 * affinity.max())))
    axes.set_ylabel("affinity", fontsize=8.5)
    axes.tick_params(labelsize=7.5, length=2, labelbottom=False)
    if threshold is None:
        return
    axes.axhline(threshold, color=palette.BEST, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.annotate(
        f"evidence lives above {threshold:.2f}", (1, threshold), xycoords=("axes fraction", "data"), xytext=(-3, 3),
        textcoords="offset points", ha="right", va="bottom", fontsize=7.5, color=palette.BEST,
        bbox={"facecolor": palette.PAPER, "alpha": 0.8, "linewidth": 0, "pad": 1},
    )  # fmt: skip


def _draw_steps(axes: Axes, formation: Formation, timeline: Timeline) -> None:
    edges_s, rows = _edges_s(timeline), np.arange(len(formation.v) + 1) - 0.5
    drawn = axes.pcolormesh(
        edges_s, rows, formation.v, cmap="magma_r", vmin=0, vmax=max(0.1, float(formation.v.max())), rasterized=True
    )
    for cut_s in timeline.cut_s[~np.isnan(timeline.cut_s)]:
        axes.axvline(cut_s, color=palette.MUTED, linewidth=0.5, linestyle=(0, (2, 2)))
    axes.set(xlim=(0, timeline.end_s), ylim=(rows[-1], rows[0]))
    axes.set_xlabel("time in the video, seconds (dashed: cuts)", fontsize=8.5)
    axes.set_ylabel("step (downwards)", fontsize=8.5)
    axes.tick_params(labelsize=7.5, length=2)
    inset = axes.inset_axes((1.008, 0.0, 0.012, 1.0))
    bar = axes.figure.colorbar(drawn, cax=inset)
    bar.ax.tick_params(labelsize=6.5, length=1.5, pad=1)
    bar.outline.set_visible(False)
    bar.ax.set_title("v" if formation.tolerance else "activity", fontsize=8, pad=3, loc="left")


def _draw_change(axes: Axes, formation: Formation) -> None:
    steps = np.arange(1, formation.num_steps + 1)
    axes.plot(np.maximum(formation.change, 1e-9), steps, color=palette.CURVE, linewidth=1.2)
    if formation.tolerance > 0:
        axes.axvline(formation.tolerance, color=palette.BEST, linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xscale("log")
    seen = np.append(np.maximum(formation.change, 1e-9), formation.tolerance or 1.0)
    decades = np.floor(np.log10(seen.min())), np.ceil(np.log10(seen.max()))
    axes.set(ylim=(formation.num_steps + 0.5, -0.5), xlim=(0.7 * 10 ** decades[0], 1.4 * 10 ** decades[1]))
    axes.minorticks_off()
    axes.set_title("largest change\nof each step", fontsize=8.5, loc="left")
    axes.tick_params(labelsize=7.5, length=2, labelleft=False)
