"""All formats in one table, closed by the type checker: what each is written by, and which need a file per video."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never, get_args

from rdmf_cli.export import chapters, edl, fcpxml, otio, subtitles, tables
from rdmf_cli.export.model import Answers, Selection

FormatName = Literal[
    "json",
    "jsonl",
    "csv",
    "losslesscut",
    "srt",
    "vtt",
    "ffmetadata",
    "youtube",
    "edl",
    "fcpxml",
    "otio",
    "matroska",
    "audacity",
]
NAMES: tuple[FormatName, ...] = get_args(FormatName)


@dataclass(frozen=True)
class OneFile:
    """A format whose file holds the answers of all videos."""

    suffix: str
    write: Callable[[Answers, Sequence[Selection]], str]
    holds_everything: bool = False  # also answers that are not confident or have no moments


@dataclass(frozen=True)
class FilePerVideo:
    """A format whose file belongs to one video."""

    suffix: str
    write: Callable[[Selection], str]  # raises OutputError for what the format can't hold
    is_timeline: bool = False  # counts frames and names the video's file


def format_of(name: FormatName) -> OneFile | FilePerVideo:
    """The format called `name`."""
    match name:
        case "json":
            return OneFile(".json", tables.json_text, holds_everything=True)
        case "jsonl":
            return OneFile(".jsonl", tables.jsonl_text, holds_everything=True)
        case "csv":
            return OneFile(".csv", tables.csv_text)
        case "losslesscut":
            return FilePerVideo(".losslesscut.csv", tables.losslesscut_text)
        case "srt":
            return FilePerVideo(".srt", subtitles.srt_text)
        case "vtt":
            return FilePerVideo(".vtt", subtitles.vtt_text)
        case "ffmetadata":
            return FilePerVideo(".ffmetadata.txt", chapters.ffmetadata_text)
        case "youtube":
            return FilePerVideo(".youtube.txt", chapters.youtube_text)
        case "edl":
            return FilePerVideo(".edl", edl.edl_text, is_timeline=True)
        case "fcpxml":
            return FilePerVideo(".fcpxml", fcpxml.fcpxml_text, is_timeline=True)
        case "otio":
            return FilePerVideo(".otio", otio.otio_text, is_timeline=True)
        case "matroska":
            return FilePerVideo(".chapters.xml", chapters.matroska_text)
        case "audacity":
            return FilePerVideo(".audacity.txt", subtitles.audacity_text)
        case _:
            assert_never(name)
