"""`rdmf library`: what is in the library, forgetting some of it. verify, export and import: library_care.py."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from rdmf_cli.commands import library_care, options
from rdmf_cli.errors import UsageError
from rdmf_cli.settings import load_settings
from rdmf_cli.timebase import format_time

app = typer.Typer(help="Look after the library: what is indexed, whether it is whole, moving it.", no_args_is_help=True)
app.command("verify")(library_care.verify)
app.command("export")(library_care.export)
app.command("import")(library_care.import_)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")]
EncoderName = Annotated[str | None, typer.Option("--encoder", metavar="NAME", help="Only what this encoder made.")]
Words = Annotated[
    list[str], typer.Argument(metavar="PATH|ID...", help="A video, a folder, or how an id begins.", show_default=False)
]


@app.command("list")
def list_videos(encoder: EncoderName = None, store: options.StoreFolder = None, as_json: Json = False) -> None:
    """List the videos of the library."""
    from rdmf_cli.commands import console

    with _opened(store) as opened:
        from rdmf_cli.pipeline import upkeep

        videos = list(upkeep.videos(opened, encoder=encoder))
        videos.sort(key=lambda video: [str(path) for path in video.paths])
        if as_json:
            rows = [_facts(video) for video in videos]
            console.line(console.json_text({"schema": "rdmf.library/1", "store": str(opened.folder), "videos": rows}))
        elif not videos:
            console.hint("nothing is indexed here yet: rdmf index FOLDER")
        else:
            _print_rows([_row(video) for video in videos])


@app.command("show")
def show(words: Words, store: options.StoreFolder = None, as_json: Json = False) -> None:
    """Say everything about some videos."""
    from rdmf_cli.commands import console

    with _opened(store) as opened:
        from rdmf_cli.pipeline import upkeep

        videos = upkeep.meant(opened, words)
        if as_json:
            console.line(console.json_text({"schema": "rdmf.library/1", "videos": [_facts(video) for video in videos]}))
            return
        for number, video in enumerate(videos):
            if number:
                console.line("")
            rows = [["id", video.fingerprint], *(["path", str(path)] for path in video.paths)]
            rows += [["length", _length(video)], ["added", _when(video.added_s)]]
            for record in video.sets:
                made = f"{record.num_rows} snippets, {record.spec.get('sampling', '?')}, {_when(record.created_s)}"
                rows.append([record.encoder, made])
            _print_rows(rows)


@app.command("stats")
def stats(store: options.StoreFolder = None, as_json: Json = False) -> None:
    """Count videos, hours and bytes, in all and per encoder."""
    from dataclasses import asdict

    from rdmf_cli.commands import console

    with _opened(store) as opened:
        from rdmf_cli.pipeline import upkeep

        found = upkeep.stats(opened)
        if as_json:
            console.line(console.json_text({"schema": "rdmf.stats/1", "store": str(opened.folder), **asdict(found)}))
            return
        failed = f", {found.num_failures} files that failed" if found.num_failures else ""
        console.line(
            f"{found.num_videos} videos at {found.num_paths} places, {found.duration_s / 3600:.2f} h, "
            f"{_bytes(found.size_bytes)} on disk{failed}"
        )
        rows = [
            [e.encoder, str(e.num_videos), f"{e.duration_s / 3600:.2f}", str(e.num_snippets), _bytes(e.size_bytes)]
            for e in found.encoders
        ]
        if rows:
            console.print_table("", ["encoder", "videos", "hours", "snippets", "size"], rows)


@app.command("remove")
def remove(words: Words, encoder: EncoderName = None, yes: Yes = False, store: options.StoreFolder = None) -> None:
    """Forget videos: their features, not the files themselves. Asks if it is more than one."""
    from rdmf_cli.commands import console

    with _opened(store) as opened:
        from rdmf_cli.pipeline import upkeep

        opened.need_writable()
        videos = upkeep.meant(opened, words)
        if len(videos) > 1 and not _agreed(yes, f"Forget {len(videos)} videos?"):
            console.hint("nothing was removed")
            return
        for video in videos:
            if encoder is None:
                opened.remove(video.fingerprint)
            for record in video.sets if encoder is not None else ():
                if record.encoder == encoder:
                    opened.remove(video.fingerprint, record.spec_key)
            console.line(f"removed: {console.plain(_name(video))}")
        _refresh(opened)


@app.command("prune")
def prune(
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    store: options.StoreFolder = None,
) -> None:
    """Drop videos whose files exist no more. Asks first."""
    from rdmf_cli.commands import console

    with _opened(store) as opened:
        from rdmf_cli.pipeline import upkeep

        found = upkeep.gone(opened)
        for video in found.videos:
            console.line(f"gone: {console.plain(_name(video))}")
        for folder in found.unmounted:
            console.warn(f"{folder} is missing as a whole: is its disk there?")
        others = len(found.paths) - sum(len(video.paths) for video in found.videos)
        what = f"{len(found.videos)} videos" + (f" and {others} other places" if others > 0 else "")
        if not found.videos and not found.paths:
            console.hint("all that is indexed is still there")
        elif dry_run:
            console.line(f"would drop {what}")
        elif _agreed(yes, f"Drop {what}?"):
            upkeep.prune(opened, found)
            _refresh(opened)
            console.line(f"dropped {what}")
        else:
            console.hint("nothing was dropped")


@app.command("rebuild")
def rebuild(store: options.StoreFolder = None) -> None:
    """Make anew what library search derives from the features."""
    from rdmf_cli.commands import console

    with _opened(store) as opened:
        from rdmf_cli.pipeline.derived import drop_derived

        drop_derived(opened)
        number = _refresh(opened)
        console.line(f"rebuilt for {number} {'encoder' if number == 1 else 'encoders'}")


def _print_rows(rows: list[list[str]]) -> None:
    """Columns under each other, the last as long as it is: a path that is broken in two can't be copied or grepped."""
    from rdmf_cli.commands import console

    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=True)]
        console.line(console.plain("  ".join([*cells, row[-1]])))


def _refresh(opened: Any) -> int:
    from rdmf_cli.commands import console
    from rdmf_cli.pipeline.upkeep import refresh_all

    with console.rich_progress() as progress:
        return refresh_all(opened, progress)


@contextmanager
def _opened(folder: Path | None) -> Iterator[Any]:
    from rdmf_cli.commands import console
    from rdmf_cli.store import Store

    with console.rich_progress() as progress, Store.open(load_settings(store=folder).store, progress) as opened:
        yield opened


def _agreed(yes: bool, question: str) -> bool:
    if yes:
        return True
    if not sys.stdin.isatty():
        raise UsageError("this asks first, and nobody is there to answer", hint="--yes answers for you")
    return typer.confirm(question, err=True)


def _facts(video: Any) -> dict[str, Any]:
    from rdmf_cli.pipeline.upkeep import length_s

    sets = [
        {
            "encoder": record.encoder,
            "encoder_fingerprint": record.spec.get("fingerprint"),
            "sampling": record.spec.get("sampling"),
            "snippets": record.num_rows,
            "file": record.checksum,
        }
        for record in video.sets
    ]
    paths = [str(path) for path in video.paths]
    return {"id": video.fingerprint, "paths": paths, "duration_s": round(length_s(video), 3), "feature_sets": sets}


def _row(video: Any) -> list[str]:
    encoders = ", ".join(dict.fromkeys(record.encoder for record in video.sets))
    more = f" (and {len(video.paths) - 1} more)" if len(video.paths) > 1 else ""
    return [video.fingerprint[:8], _length(video), encoders, f"{_name(video)}{more}"]


def _name(video: Any) -> str:
    return str(video.paths[0]) if video.paths else f"{video.fingerprint} (place unknown)"


def _length(video: Any) -> str:
    from rdmf_cli.pipeline.upkeep import length_s

    return format_time(length_s(video)).partition(".")[0]


def _when(time_s: float) -> str:
    from datetime import datetime

    return f"{datetime.fromtimestamp(time_s):%Y-%m-%d %H:%M}"


def _bytes(number: int) -> str:
    from rdmf_cli.commands.console_board import amount

    return amount(number, None, "B")
