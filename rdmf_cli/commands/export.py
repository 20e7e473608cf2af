"""`rdmf export`: a saved answer as subtitles, chapters, tables or a timeline for a video editor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rdmf_cli.commands import exporting, options
from rdmf_cli.errors import NOTHING_MATCHED, UsageError

FROM_STDIN = TO_STDOUT = "-"
_FORMATS = (
    "Tables: csv, json, jsonl. Subtitles: srt, vtt. Chapters: ffmetadata, youtube, matroska. Editors: edl, fcpxml, "
    "otio, losslesscut, audacity."
)

Saved = Annotated[
    Path, typer.Argument(metavar="RESULT.json", help="What 'rdmf search … --json' printed; '-' reads standard input.")
]
Format = Annotated[options.ExportFormat, typer.Argument(metavar="FORMAT", help=_FORMATS)]
Out = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="File or folder; default: standard output. Several videos: a file each, where the format needs it.",
    ),
]
All = Annotated[bool, typer.Option("--all", help="Export the moments even if the match is not confident.")]
Force = Annotated[bool, typer.Option("--force", help="Replace files that are there.")]


def export(result: Saved, format: Format, output: Out = None, show_all: All = False, force: Force = False) -> None:
    """Convert a saved answer of 'rdmf search --json' to FORMAT. See docs/exports.md.

    Exit code: 0 written, 1 no confident match, 2 not an answer, 6 can't be written.
    """
    from rdmf_cli.export import deliver
    from rdmf_cli.export.formats import FilePerVideo, format_of
    from rdmf_cli.export.reading import parse_answers
    from rdmf_cli.export.sources import located

    name: Any = format.value
    answers = parse_answers(_read(result), "standard input" if str(result) == FROM_STDIN else str(result))
    answers, missing, changed = located(answers, None if str(result) == FROM_STDIN else result.parent)
    rendered = deliver.render(answers, name, show_all=show_all)
    kind = format_of(name)
    exporting.warn_all([*changed, *rendered.warnings])
    if isinstance(kind, FilePerVideo) and kind.is_timeline:
        exporting.warn_all([f"{path}: not there any more; an editor will ask where it is" for path in missing])
    if output is None or output == TO_STDOUT:
        _print(rendered, name)
    else:
        wish = deliver.Wish(name, exporting.target(output))
        files = deliver.targets(wish, answers.paths, answers.queries)
        exporting.refuse(exporting.write(rendered, files, name, force=force))
    if not rendered.outputs:
        raise typer.Exit(NOTHING_MATCHED)


def _read(result: Path) -> bytes:
    if str(result) == FROM_STDIN:
        return sys.stdin.buffer.read() if sys.stdin is not None else b""
    try:
        return result.read_bytes()
    except (OSError, ValueError) as error:
        raise UsageError(f"{result}: {getattr(error, 'strerror', None) or error}") from error


def _print(rendered: Any, name: str) -> None:
    from rdmf_cli.commands import console
    from rdmf_cli.export.writing import encoded

    if len(rendered.outputs) + len(rendered.refusals) > 1:
        raise UsageError(
            f"{len(rendered.outputs) + len(rendered.refusals)} videos, and {name} is a file for each",
            hint="name a folder: -o DIR",
        )
    exporting.refuse(rendered.refusals)
    if rendered.nothing:
        console.note(f"{name} not written: {rendered.nothing}")
    for output in rendered.outputs:
        console.raw(encoded(output.text))
