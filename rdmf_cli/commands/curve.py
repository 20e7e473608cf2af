"""A curve over time as lines of text: one character column is the highest of the snippets that reach into it."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from rdmf_cli.moments import Moment
from rdmf_cli.timebase import label_step, short_time

NUM_ROWS = 3
_BLOCKS, _ASCII_BLOCKS = " ▁▂▃▄▅▆▇█", " .:-=+*#@"
_BAR_ENDS = " ▏▎▍▌▋▊▉"
_EIGHTHS = 8
_LABEL_COLUMNS = 12  # room that one time label gets at least


def columns(times_s: list[float], values: list[float], duration_s: float, width: int) -> list[float]:
    """`width` heights in [0, 1]. A snippet reaches from its time to that of the next, the last one to the end."""
    if not times_s or duration_s <= 0:
        return [0.0] * width
    heights = []
    for column in range(width):
        begin_s, end_s = duration_s * column / width, duration_s * (column + 1) / width
        first = max(0, bisect_right(times_s, begin_s) - 1)
        last = max(first + 1, bisect_left(times_s, end_s))
        heights.append(min(1.0, max(0.0, max(values[first:last]))))
    return heights


def rows(heights: list[float], *, unicode: bool = True) -> list[str]:
    """The curve as `NUM_ROWS` lines, top first. Anything above 0 shows."""
    blocks = _BLOCKS if unicode else _ASCII_BLOCKS
    most = NUM_ROWS * _EIGHTHS
    levels = [max(round(height * most), int(height > 0)) for height in heights]
    return [
        "".join(blocks[min(_EIGHTHS, max(0, level - row * _EIGHTHS))] for level in levels)
        for row in reversed(range(NUM_ROWS))
    ]


def owners(moments: list[Moment], duration_s: float, width: int) -> list[int]:
    """For each column the rank (from 1) of the best moment that reaches into it, 0 for none."""
    owner = [0] * width
    if duration_s <= 0:
        return owner
    for rank, moment in reversed(list(enumerate(moments, start=1))):
        first = min(width - 1, int(moment.start_s / duration_s * width))
        last = min(width - 1, max(first, int(moment.end_s / duration_s * width - 1e-9)))
        owner[first : last + 1] = [rank] * (last + 1 - first)
    return owner


def marks(owner: list[int], *, unicode: bool = True) -> str:
    """The line under the curve: thick where a moment is, with its rank where that fits."""
    thick, thin = ("━", "─") if unicode else ("=", "-")
    line = [thick if rank else thin for rank in owner]
    for rank in sorted(set(owner) - {0}):
        first, count = owner.index(rank), owner.count(rank)
        label = str(rank)
        at = first + (count - len(label)) // 2
        if len(label) <= count and all(here == rank for here in owner[at : at + len(label)]):
            line[at : at + len(label)] = label
    return "".join(line)


def axis(duration_s: float, width: int, *, unicode: bool = True) -> str:
    """Time labels; the tick before each stands in the column of its time."""
    tick = "╵" if unicode else "'"
    step_s = label_step(duration_s * _LABEL_COLUMNS / width)
    line = [" "] * width
    time_s = 0
    while time_s < duration_s:
        label = tick + short_time(time_s)
        column = int(time_s / duration_s * width)
        if column + len(label) <= width:
            line[column : column + len(label)] = label
        time_s += step_s
    return "".join(line).rstrip()


def bar(score: float, width: int, *, unicode: bool = True) -> str:
    """`score` in [0, 1] as a bar of at most `width` columns."""
    eighths = round(min(1.0, max(0.0, score)) * width * _EIGHTHS)
    if not unicode:
        return "#" * round(eighths / _EIGHTHS)
    return "█" * (eighths // _EIGHTHS) + _BAR_ENDS[eighths % _EIGHTHS].strip()
