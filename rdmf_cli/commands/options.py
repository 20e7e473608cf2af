"""Options that mean the same in every command, defined once."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rdmf_cli.errors import UsageError
from rdmf_cli.settings import Settings, load_settings


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


class Fusion(StrEnum):
    """How query and video are brought together."""

    pattern = "pattern"
    learned = "learned"


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
FusionChoice = Annotated[
    Fusion | None,
    typer.Option(
        "--fusion",
        help="pattern: no trained model. Default: learned, where a model is here. [env: RDMF_MODEL]",
        rich_help_panel=_HOW,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="Trained model: a name or a folder that 'rdmf train' made. [env: RDMF_MODEL]",
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
        help="Go on while VIDEO is still being written, or comes from a pipe (-); print moments as they close. "
        "No trained model unless one is asked for.",
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


def settings_for_search(fusion: Fusion | None, model: str | None, **flags: Any) -> Settings:
    """`load_settings(**flags)` with what --fusion and --model say as `Settings.model`. Raises UsageError."""
    if fusion is Fusion.pattern and model is not None:
        raise UsageError("--fusion pattern and --model exclude each other", hint="pattern mode has no trained model")
    if model is not None and not model.strip():
        raise UsageError("--model: the name is empty", hint="a name or the folder of a model")
    settings = load_settings(model="pattern" if fusion is Fusion.pattern else model, **flags)
    if fusion is Fusion.learned and settings.model in ("auto", "pattern"):
        return replace(settings, model="learned")
    return settings


def check_fps(fps: float | None) -> None:
    """Raise UsageError for a rate that nobody can mean."""
    if fps is not None and not 0 < fps <= 1000:
        raise UsageError(f"--fps {fps:g} makes no sense", hint="frames per second, such as 0.5 or 2")
