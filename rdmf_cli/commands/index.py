"""`rdmf index`: make folders of videos searchable, and keep them so."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from rdmf_cli.commands import options
from rdmf_cli.errors import SomeVideosFailed, UsageError, VideoError
from rdmf_cli.settings import Settings, load_settings


class EngineName(StrEnum):
    """Where videos are encoded."""

    local = "local"
    ray = "ray"


_WHICH = "Which files"
_WORK = "How to work"

Places = Annotated[
    list[Path], typer.Argument(metavar="PATH...", help="Videos, or folders that hold them.", show_default=False)
]
Include = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="GLOB", help="Only files that fit; may be repeated.", rich_help_panel=_WHICH),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="GLOB", help="No files or folders that fit.", rich_help_panel=_WHICH),
]
ShardText = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Only the I-th of N parts of all files.", rich_help_panel=_WHICH),
]
RetryFailed = Annotated[
    bool, typer.Option("--retry-failed", help="Try files again that failed before.", rich_help_panel=_WHICH)
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.", rich_help_panel=_WORK)]
Watch = Annotated[
    bool, typer.Option("--watch", help="Stay, and index what comes or changes, until Ctrl-C.", rich_help_panel=_WORK)
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", min=1, max=1024, metavar="N", help="Videos at once. Default: by cores.", rich_help_panel=_WORK
    ),
]
Engine = Annotated[EngineName, typer.Option("--engine", help="Where to encode.", rich_help_panel=_WORK)]
RayAddress = Annotated[
    str | None,
    typer.Option(
        "--ray-address", metavar="ADDR", help="The Ray cluster; default: this machine.", rich_help_panel=_WORK
    ),
]
JsonEvents = Annotated[
    bool, typer.Option("--json", help="Print one line of JSON per file.", rich_help_panel="What to print")
]


def index(
    places: Places,
    include: Include = None,
    exclude: Exclude = None,
    shard: ShardText = None,
    retry_failed: RetryFailed = False,
    dry_run: DryRun = False,
    watch: Watch = False,
    jobs: Jobs = None,
    engine: Engine = EngineName.local,
    ray_address: RayAddress = None,
    as_json: JsonEvents = False,
    encoder: options.Encoder = None,
    device: options.DeviceChoice = None,
    fps: options.SampleFps = None,
    batch_size: options.BatchSize = 32,
    decoder: options.DecoderChoice = options.Decoder.ffmpeg,
    store: options.StoreFolder = None,
    offline: options.Offline = False,
) -> None:
    """Make the videos of folders searchable; again and again, cheaply.

    What is up to date is skipped, renamed and copied files are recognised. Stop it at any time: it goes on from there.

    Exit code: 0 all is searchable, 7 some files failed.
    """
    options.check_fps(fps)
    if watch and dry_run:
        raise UsageError("--watch and --dry-run exclude each other")
    if ray_address and engine is not EngineName.ray:
        raise UsageError("--ray-address needs --engine ray")
    settings = load_settings(store=store, encoder=encoder, device=device, offline=offline or None)
    way = _Way(engine, ray_address, jobs, watch, as_json)
    how = {"sample_fps": fps, "batch_size": batch_size, "backend": decoder.value}
    which = {"include": tuple(include or ()), "exclude": tuple(exclude or ())}
    chosen = {"retry_failed": retry_failed, "dry_run": dry_run}
    _check_places(places)
    _index_all(places, settings, way, _options(how, which, shard, jobs, chosen))


@dataclass(frozen=True)
class _Way:
    """Where the work is done, and how it is told."""

    engine: EngineName
    ray_address: str | None
    jobs: int | None
    watch: bool
    as_json: bool


def _options(
    how: dict[str, Any], which: dict[str, Any], shard: str | None, jobs: int | None, chosen: dict[str, bool]
) -> Any:
    from rdmf_cli.media.scan import Choice
    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.planning import IndexOptions, Shard

    part = Shard.parse(shard) if shard else Shard()
    return IndexOptions(SearchOptions(**how), jobs or default_jobs(), Choice(**which), part, **chosen)


def _index_all(places: list[Path], settings: Settings, way: _Way, options: Any) -> None:
    from rdmf_cli.commands import console, session
    from rdmf_cli.commands.console_board import rich_board
    from rdmf_cli.media.ffmpeg import ffmpeg_path
    from rdmf_cli.pipeline.indexing import Indexer
    from rdmf_cli.store import Store

    session.use_ffmpeg(settings)
    ffmpeg_path()  # if there is none, that is no failure of the videos
    with console.rich_progress() as progress:
        encoder = session.encoder(settings, options.how.batch_size, progress)
    teller = _Teller(as_json=way.as_json)
    with (
        rich_board() as board,
        Store.open(settings.store, board.lane()) as store,
        closing(_engine(way, settings, encoder, store, options)) as engine,
    ):
        told = {"board": board, "on_event": teller.tell, "engine": engine}
        indexer = Indexer(encoder=encoder, store=store, options=options, **told)
        try:
            _run(indexer, places, way, options, teller)
        finally:  # also after Ctrl-C and a full disk: what was done so far
            board.close()
            teller.sum_up(indexer.summary, dry_run=options.dry_run)
    if indexer.summary.failed:
        number = len(indexer.summary.failed)
        raise SomeVideosFailed(f"{number} {'file' if number == 1 else 'files'} failed")


def _run(indexer: Any, places: list[Path], way: _Way, options: Any, teller: _Teller) -> None:
    if not way.watch:
        indexer.run(places)
        return
    from rdmf_cli.pipeline.watching import watch

    watch(indexer, places, options.choice, lambda: teller.say("watching", "watching for changes; Ctrl-C ends it"))


def default_jobs() -> int:
    """As many videos at once as pay: decoding takes about a core, the encoder is shared (docs/library.md)."""
    import os

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, 8))


def _check_places(places: list[Path]) -> None:
    import os

    if not any(os.path.exists(place) for place in places):
        more = f" (nor {len(places) - 1} more)" if len(places) > 1 else ""
        raise VideoError(f"{places[0]}: no such file or folder{more}", hint="check the name")


def _engine(way: _Way, settings: Settings, encoder: Any, store: Any, options: Any) -> Any:
    if way.engine is EngineName.local:
        from rdmf_cli.pipeline.engines import LocalEngine

        return LocalEngine(encoder, store, options.how, options.jobs)
    from rdmf_cli.pipeline.cluster import EncoderSource, RayEngine

    source = EncoderSource(
        settings.encoder, settings.models, settings.device, options.how.batch_size, encoder.fingerprint
    )
    return RayEngine(source, store, options.how, way.jobs, address=way.ray_address)


class _Teller:
    """Prints what becomes of the files: as lines of JSON while it happens, or as a summary at the end."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def tell(self, event: Any) -> None:
        """One file."""
        from rdmf_cli.commands import console

        if self._as_json:
            console.line(console.json_text(event.to_json()))

    def say(self, event: str, text: str) -> None:
        """What concerns all files."""
        from rdmf_cli.commands import console

        if self._as_json:
            console.line(console.json_text({"event": event}))
        else:
            console.hint(text)

    def sum_up(self, summary: Any, *, dry_run: bool) -> None:
        """The summary."""
        from rdmf_cli.commands import console

        if self._as_json:
            console.line(console.json_text(summary.to_json()))
            return
        for text in summary.lines(dry_run=dry_run):
            console.line(console.plain(text))
        for event in summary.failed:
            again = " (as before; --retry-failed tries again)" if event.earlier else ""
            console.line(console.plain(f"  {event.message}{again}"))
