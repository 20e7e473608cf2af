"""The curve of the page as inline SVG. Places along time are percentages, so it fits any width without a script."""

from __future__ import annotations

import numpy as np

from rdmf_cli.export.finding import MANY_CUTS, Finding, apart, outline, within
from rdmf_cli.export.markup import Markup, attributes, escaped
from rdmf_cli.moments import Moment
from rdmf_cli.timebase import format_time, label_step, short_time

_STEPS = 600
_RANK_SHARE = 0.025  # of the width that a rank needs
_LABELS = 7  # at most, so that they fit a phone
# Heights in px, from the top: ranks, the curve, cut ticks, times, the strip of frames.
_RANKS, _GRAPH, _CUTS, _TIMES, _STRIP = 20, 96, 10, 22, 54
_BOTTOM = _RANKS + _GRAPH
_TOTAL = _BOTTOM + _CUTS + _TIMES + _STRIP


def strip_symbol(key: str, pictures: list[str]) -> Markup:
    """The frames along the time axis, drawn once and used by each curve of the video."""
    images = "".join(
        f'<image x="{_percent(place / len(pictures))}" y="0" width="{_percent(0.997 / len(pictures))}" '
        f'height="{_STRIP}" href="{uri}" preserveAspectRatio="xMidYMid slice"/>'
        for place, uri in enumerate(pictures)
    )
    # Percentages and no viewBox: on a narrow page the frames are cropped and not squashed.
    return (
        '<svg width="0" height="0" class="hidden" aria-hidden="true"><defs>'
        f'<symbol id="{key}-strip">{images}</symbol></defs></svg>'
    )


def curve(finding: Finding, *, key: str, strip: str, targets: list[str], offset_s: float) -> Markup:
    """The whole drawing; `targets`: where each moment leads."""
    duration_s = max(finding.duration_s, 1e-3)
    count = len(finding.moments)
    label = f"Saliency over {short_time(duration_s)}, {count or 'no'} moment{'' if count == 1 else 's'}"
    about = attributes(
        role="group",
        aria_label=label,
        data_duration=f"{duration_s:.3f}",
        data_offset=f"{offset_s:.3f}",
        id=f"{key}-curve",
    )
    middles = [(m.start_s + min(m.end_s, duration_s)) / 2 / duration_s for m in finding.moments]
    labels = apart(middles, _RANK_SHARE, 1.0)
    links = "".join(
        _link(moment, rank, targets[rank - 1], f"{key}m{rank}", duration_s, labels[rank - 1])
        for rank, moment in sorted(enumerate(finding.moments, start=1), key=lambda item: item[1].start_s)
    )
    return (
        f'<svg class="curve" width="100%" height="{_TOTAL}"{about}>\n{_graph(finding)}\n'
        f'{_ticks(finding, duration_s)}\n<use href="#{strip}" x="0" y="{_BOTTOM + _CUTS + _TIMES}" width="100%" '
        f'height="{_STRIP}" aria-hidden="true"/>\n{links}\n'
        f'<line class="playhead" x1="0" x2="0" y1="{_RANKS}" y2="{_TOTAL}" visibility="hidden"/></svg>'
    )


def _graph(finding: Finding) -> Markup:
    """The curve itself, stretched to the width; parts that belong to moments in their colour."""
    edges, heights = outline(finding, _STEPS)
    scale = 1000 / edges[-1]
    grid = "".join(f'<line class="grid" x1="0" x2="1000" y1="{y}" y2="{y}"/>' for y in (0, 50, 100))
    drawn = [f'<path class="area" d="{_area(edges * scale, heights)}"/>']
    drawn.append(f'<path class="edge" d="{_edge(edges * scale, heights)}"/>')
    for rank, moment in reversed(list(enumerate(finding.moments, start=1))):
        inside_edges, inside = within(edges, heights, moment.start_s, moment.end_s)
        colour = "best" if rank == 1 else "other"
        area = _area(inside_edges * scale, inside)
        drawn.append(f'<path class="under" d="{area}"/><path class="part {colour}" d="{area}"/>')
    return (
        f'<svg x="0" y="{_RANKS}" width="100%" height="{_GRAPH}" viewBox="0 0 1000 100" preserveAspectRatio="none" '
        f'aria-hidden="true">{grid}{"".join(drawn)}</svg>'
    )


def _edge(x: np.ndarray, heights: np.ndarray) -> str:
    """Path along the steps; y grows downwards from 0 (one) to 100 (zero)."""
    steps = "".join(f"V{100 - 100 * height:.1f}H{right:.1f}" for right, height in zip(x[1:], heights, strict=True))
    return f"M{x[0]:.1f} {100 - 100 * heights[0]:.1f}{steps}"


def _area(x: np.ndarray, heights: np.ndarray) -> str:
    return f"{_edge(x, heights)}V100H{x[0]:.1f}Z"


def _ticks(finding: Finding, duration_s: float) -> Markup:
    """Cuts and time labels."""
    kind = "cut" if len(finding.cuts_s) <= MANY_CUTS else "cut fine"
    places = [_percent(cut_s / duration_s) for cut_s in finding.cuts_s]
    cuts = "".join(
        f'<line class="{kind}" x1="{place}" x2="{place}" y1="{_BOTTOM + 2}" y2="{_BOTTOM + _CUTS}"/>'
        for place in places
    )
    step_s = label_step(duration_s / _LABELS)
    labels = []
    for time_s in np.arange(0, duration_s * 0.97, step_s):
        anchor = "start" if time_s == 0 else "middle"
        labels.append(
            f'<text class="label" x="{_percent(float(time_s) / duration_s)}" y="{_BOTTOM + _CUTS + 14}" '
            f'text-anchor="{anchor}">{short_time(float(time_s))}</text>'
        )
    return f'<g aria-hidden="true">{cuts}{"".join(labels)}</g>'


def _link(moment: Moment, rank: int, target: str, row: str, duration_s: float, label: float) -> Markup:
    start, end = (min(time_s, duration_s) / duration_s for time_s in (moment.start_s, moment.end_s))
    start_text, end_text = format_time(moment.start_s), format_time(moment.end_s)
    told = f"Moment {rank}: {start_text} to {end_text}, score {moment.score:.2f}"
    about = attributes(href=target, data_moment=row)
    colour = "best" if rank == 1 else "other"
    place = f'x="{_percent(start)}" y="0" width="{_percent(end - start)}" height="{_BOTTOM}"'
    return (
        f'<a class="moment"{about}><title>{escaped(told)}</title><rect class="band {colour}" {place} rx="2"/>'
        f'<text class="rank" x="{_percent(label)}" y="14" aria-hidden="true">{rank}</text></a>'
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3f}%"
