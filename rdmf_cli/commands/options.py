"""Options that mean the same in every command, defined once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rdmf_cli.errors import UsageError


class Device(StrEnum):
    """Which device computes."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Decoder(StrEnum):
    """What decodes videos; the names of media/frames.py's table, which help may not import."""

    ffmpeg = "ffmpeg"
    decord = "decord"


class ExportFormat(StrEnum):
    """What moments are exported as; the names of export/formats.py's table, which help may not import."""

    json = "json"
    jsonl = "jsonl"
    csv = "csv"
    losslesscut = "losslesscut"
    srt = "srt"
    vtt = "vtt"
    ffmetadata = "ffmetadata"
    youtube = "youtube"
    edl = "edl"
    fcpxml = "fcpxml"
    otio = "otio"
    matroska = "matroska"
    audacity = "audacity"


_HOW = "How to search"
_OUT = "What to print"

Encoder = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="See 'rdmf models list'; auto: the best one that is here. [env: RDMF_ENCODER]",
        rich_help_panel=_HOW,
    ),
]
DeviceChoice = Annotated[
    Device | None, typer.Option("--device", help="Default: the fastest here. [env: RDMF_DEVICE]", rich_help_panel=_HOW)
]
BatchSize = Annotated[
    int, typer.Option("--batch-size", min=1, help="Frames encoded at once.", show_default=True, rich_help_panel=_HOW)
]
SampleFps = Annotated[
    float | None,
    typer.Option(
        "--fps",
        metavar="N",
        help="Frames to look at per second of video. Default: 2, for videos beyond 10 minutes 1.",
        rich_help_panel=_HOW,
    ),
]
DecoderChoice = Annotated[Decoder, typer.Option("--decoder", help="What decodes the video.", rich_help_panel=_HOW)]
StoreFolder = Annotated[
    Path | None,
    typer.Option(
        "--store", metavar="DIR", help="Where encoded videos are kept. [env: RDMF_STORE]", rich_help_panel=_HOW
    ),
]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Neither use nor keep encoded videos.", rich_help_panel=_HOW)]
Offline = Annotated[bool, typer.Option("--offline", help="Use no network. [env: RDMF_OFFLINE]", rich_help_panel=_HOW)]
Follow = Annotated[
    bool,
    typer.Option(
        "--follow",
        help="Go on while VIDEO is still being written, or comes from a pipe (-); print moments as they close.",
        rich_help_panel=_HOW,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.", rich_help_panel=_OUT)]
JsonLines = Annotated[
    bool,
    typer.Option(
        "--jsonl", help="Print one line per video and query, as QVHighlights predictions.", rich_help_panel=_OUT
    ),
]
Top = Annotated[int, typer.Option("--top", min=1, metavar="N", help="Moments per answer.", rich_help_panel=_OUT)]
MinScore = Annotated[
    float, typer.Option("--min-score", min=0, max=1, help="Leave out moments below it.", rich_help_panel=_OUT)
]
ShowAll = Annotated[
    bool, typer.Option("--all", help="Show the moments even if the match is not confident.", rich_help_panel=_OUT)
]
Clips = Annotated[
    Path | None,
    typer.Option("--clips", metavar="DIR", help="Also cut each moment shown into a file in DIR.", rich_help_panel=_OUT),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Tell where the time went.", rich_help_panel=_OUT)]
Exports = Annotated[
    list[str] | None,
    typer.Option(
        "--export",
        metavar="FORMAT[=PATH]",
        help=f"Also write the moments as {', '.join(ExportFormat)}; may be repeated.",
        rich_help_panel=_OUT,
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.", rich_help_panel=_OUT)]


def form_of(*, as_json: bool, as_jsonl: bool = False) -> str:
    """Give "json", "jsonl" or "text", as View.form wants it. Raises UsageError for both."""
    if as_json and as_jsonl:
        raise UsageError("--json and --jsonl exclude each other")
    return "json" if as_json else "jsonl" if as_jsonl else "text"


def check_fps(fps: float | None) -> None:
    """Raise UsageError for a rate that nobody can mean."""
    if fps is not None and not 0 < fps <= 1000:
        raise UsageError(f"--fps {fps:g} makes no sense", hint="frames per second, such as 0.5 or 2")
