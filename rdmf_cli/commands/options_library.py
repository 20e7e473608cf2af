"""Options of searching all that is indexed, and of asking with more than words."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_WHAT = "What to look for"
_LIBRARY = "The library"

InLibrary = Annotated[
    bool,
    typer.Option("--library", help="Search all videos that are indexed; then QUERY is all.", rich_help_panel=_LIBRARY),
]
PerVideo = Annotated[
    int,
    typer.Option(
        "--per-video", min=0, metavar="N", help="Moments of one video at most; 0: any number.", rich_help_panel=_LIBRARY
    ),
]
PathGlob = Annotated[
    list[str] | None,
    typer.Option(
        "--path-glob",
        metavar="GLOB",
        help="Only videos whose path or name is like this, such as '/data/2025/*'; may be repeated.",
        rich_help_panel=_LIBRARY,
    ),
]
MinLength = Annotated[
    str | None,
    typer.Option("--min-length", metavar="TIME", help="Only videos of at least this length.", rich_help_panel=_LIBRARY),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="Only videos changed since: 2025-12-31, or 12h, 7d, 4w ago.",
        rich_help_panel=_LIBRARY,
    ),
]
Copies = Annotated[
    bool,
    typer.Option("--copies", help="List the same scene for every video that has it.", rich_help_panel=_LIBRARY),
]
Image = Annotated[
    Path | None,
    typer.Option("--image", metavar="FILE", help="Look for what this picture shows.", rich_help_panel=_WHAT),
]
At = Annotated[
    str | None,
    typer.Option(
        "--at", metavar="VIDEO@TIME", help="Look for what this frame of a video shows.", rich_help_panel=_WHAT
    ),
]
ImageWeight = Annotated[
    float | None,
    typer.Option(
        "--image-weight",
        min=0,
        max=1,
        metavar="W",
        help="Share of the picture beside a text.  [default: 0.5]",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
Not = Annotated[
    list[str] | None,
    typer.Option("--not", metavar="TEXT", help="What should not be there; may be repeated.", rich_help_panel=_WHAT),
]
NotWeight = Annotated[
    float | None,
    typer.Option(
        "--not-weight",
        min=0,
        max=2,
        metavar="W",
        help="How much each --not counts.  [default: 0.5]",
        show_default=False,
        rich_help_panel=_WHAT,
    ),
]
QueriesFile = Annotated[
    Path | None,
    typer.Option(
        "--queries", metavar="CSV", help="Take the queries from the column 'query' of a file.", rich_help_panel=_WHAT
    ),
]
