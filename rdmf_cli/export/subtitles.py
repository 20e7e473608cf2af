"""Moments as text over time: SubRip, WebVTT, and the labels of Audacity. Overlapping moments stay as they are."""

from __future__ import annotations

from rdmf_cli.export.escape import entities, no_markup, one_line
from rdmf_cli.export.model import Selection
from rdmf_cli.timebase import format_time


def srt_text(selection: Selection) -> str:
    """SubRip: numbered cues that say query and score. SubRip can't escape brackets, so look-alikes stand for them."""
    return "".join(
        f"{number}\n{_clock(hit.moment.start_s, ',')} --> {_clock(hit.moment.end_s, ',')}\n{no_markup(hit.label)}\n\n"
        for number, hit in enumerate(selection.chronological(), start=1)
    )


def vtt_text(selection: Selection) -> str:
    """WebVTT: the same with entities for `& < >`."""
    cues = "".join(
        f"\n{number}\n{_clock(hit.moment.start_s, '.')} --> {_clock(hit.moment.end_s, '.')}\n{entities(hit.label)}\n"
        for number, hit in enumerate(selection.chronological(), start=1)
    )
    return f"WEBVTT\n{cues}"


def audacity_text(selection: Selection) -> str:
    """A label track: start, end and text between tabs."""
    return "".join(
        f"{hit.moment.start_s:.6f}\t{hit.moment.end_s:.6f}\t{one_line(hit.label)}\n"
        for hit in selection.chronological()
    )


def _clock(seconds: float, mark: str) -> str:
    """`00:01:02.345` with `mark` before the milliseconds."""
    return format_time(seconds).rjust(12, "0").replace(".", mark)
