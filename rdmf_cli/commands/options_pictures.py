"""Options of `rdmf search` that draw, make a page, or play."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

_PICTURES = "Pictures, a page, playing"

Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot",
        metavar="FILE",
        help="Draw curves, moments, shots and frames along time; .png or .svg. Needs rdmf-cli's extra 'plot'.",
        rich_help_panel=_PICTURES,
    ),
]
ContactSheet = Annotated[
    Path | None,
    typer.Option(
        "--contact-sheet",
        metavar="FILE",
        help="One row of frames for each moment; .jpg, .png or .webp.",
        rich_help_panel=_PICTURES,
    ),
]
ReportPage = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="A page with player, curves and moments that works offline; .html.",
        rich_help_panel=_PICTURES,
    ),
]
Explain = Annotated[
    Path | None,
    typer.Option(
        "--explain",
        metavar="FILE",
        help="Draw the curves behind each answer: affinity, u, v, saliency; .png or .svg (extra 'plot'), or .json.",
        rich_help_panel=_PICTURES,
    ),
]
Embed = Annotated[
    bool,
    typer.Option(
        "--embed",
        help="With --report: small clips in the page in place of a link to the video.",
        rich_help_panel=_PICTURES,
    ),
]
Open = Annotated[
    int | None,
    typer.Option(
        "--open",
        min=1,
        metavar="N",
        help="Play moment N: in mpv or VLC at its start, else in the system's player.",
        rich_help_panel=_PICTURES,
        show_default=False,
    ),
]
Preview = Annotated[
    bool,
    typer.Option(
        "--preview",
        help="Show frames in the terminal, if it knows Kitty's, iTerm2's or Sixel pictures.",
        rich_help_panel=_PICTURES,
    ),
]
