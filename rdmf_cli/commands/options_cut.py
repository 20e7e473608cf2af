"""Options for cutting clips, the same wherever clips are cut."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Annotated

import typer

from rdmf_cli.errors import UsageError
from rdmf_cli.timebase import parse_time

_PANEL = "How to cut"
_UNITS_S = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)")

Copy = Annotated[
    bool,
    typer.Option("--copy", help="Copy without encoding: fast, but clips start at keyframes.", rich_help_panel=_PANEL),
]
Smart = Annotated[
    bool,
    typer.Option("--smart", help="Copy the middle, encode the edges (H.264); exact.", rich_help_panel=_PANEL),
]
Pad = Annotated[
    float, typer.Option("--pad", min=0, metavar="S", help="Seconds more at both ends.", rich_help_panel=_PANEL)
]
MergeGap = Annotated[
    float | None,
    typer.Option(
        "--merge-gap", min=0, metavar="S", help="One clip of moments at most S seconds apart.", rich_help_panel=_PANEL
    ),
]
MaxClips = Annotated[
    int | None, typer.Option("--max-clips", min=1, metavar="N", help="The best N per answer.", rich_help_panel=_PANEL)
]
Name = Annotated[
    str,
    typer.Option(
        "--name",
        metavar="TEMPLATE",
        help="Of each file: {video} {rank} {start} {end} {query} {score}.",
        rich_help_panel=_PANEL,
    ),
]

DEFAULT_NAME = "{video}-{rank}-{start}-{query}"  # the same as in export/templates.py, which help may not import


@dataclass(frozen=True)
class Cutting:
    """How the user wants the clips."""

    mode: str = "exact"  # "exact", "copy" or "smart"
    pad_s: float = 0.0
    merge_gap_s: float | None = None
    max_clips: int | None = None
    name: str = DEFAULT_NAME
    force: bool = False


def cutting(
    *, copy: bool, smart: bool, pad: float, merge_gap: float | None, max_clips: int | None, name: str, force: bool
) -> Cutting:
    """The options together. Raises UsageError where they exclude each other or make no sense."""
    if copy and smart:
        raise UsageError("--copy and --smart exclude each other", hint="--copy is faster, --smart is exact")
    if not math.isfinite(pad) or (merge_gap is not None and not math.isfinite(merge_gap)):
        raise UsageError("--pad and --merge-gap are seconds, such as 0.5")
    mode = "copy" if copy else "smart" if smart else "exact"
    return Cutting(mode, pad, merge_gap, max_clips, name, force)


def check_used(cutting: Cutting, *, has_clips: bool, has_reel: bool = False) -> None:
    """Raise UsageError for options that would do nothing. `--force` may be meant for other files."""
    for_clips = cutting.mode != "exact" or cutting.name != DEFAULT_NAME
    for_both = bool(cutting.pad_s) or cutting.merge_gap_s is not None or cutting.max_clips is not None
    if for_clips and not has_clips:
        raise UsageError("--copy, --smart and --name are for --clips", hint="add --clips DIR")
    if for_both and not has_clips and not has_reel:
        raise UsageError("--pad, --merge-gap and --max-clips are for files", hint="add --clips DIR")


def seconds_of(text: str, option: str) -> float:
    """Seconds from `60`, `60s`, `1.5m`, `1:30`; above 0. Raises UsageError."""
    match = _LENGTH.fullmatch(text.strip().lower())
    if match and match[2] in _UNITS_S:
        seconds = float(match[1]) * _UNITS_S[match[2]]
    elif ":" in text:
        seconds = parse_time(text)
    else:
        raise UsageError(f"{option} {text}: not a length", hint=f"for example {option} 60s, 1.5m or 1:30")
    if not 0 < seconds < 1e6:
        raise UsageError(f"{option} {text} makes no sense", hint=f"for example {option} 60s")
    return seconds
