"""`rdmf library verify | export | import`: is it whole, and moving it between machines."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from rdmf_cli.commands import options
from rdmf_cli.errors import OutputError, SomeVideosFailed, StoreError
from rdmf_cli.settings import Settings, load_settings

Source = Annotated[
    Path, typer.Argument(metavar="SOURCE", help="What export has written, or another store.", show_default=False)
]
Target = Annotated[
    str,
    typer.Argument(metavar="TARGET", help="A zip file; or a folder, if it is one or ends in /.", show_default=False),
]


def verify(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is wrong.")] = False,
    store: options.StoreFolder = None,
    device: options.DeviceChoice = None,
    offline: options.Offline = False,
) -> None:
    """Read everything back against its checksums; mend what can be made again, drop the rest.

    Exit code: 0 all is well or mended, 5 something was found (--dry-run) or had to be dropped.
    """
    from rdmf_cli.commands import console, session
    from rdmf_cli.store import Store
    from rdmf_cli.store.catalogue import DamagedCatalogue

    settings = load_settings(store=store, device=device, offline=offline or None)
    session.use_ffmpeg(settings)
    with console.rich_progress() as progress:
        from rdmf_cli.pipeline import upkeep

        def check() -> upkeep.Checked:
            with Store.open(settings.store, progress) as opened:
                return upkeep.verify(opened, _opener(settings), repair=not dry_run, progress=progress)

        try:
            checked = check()
        except DamagedCatalogue as error:
            if dry_run:
                raise
            _salvage(settings.store, error)
            checked = check()
    for finding in checked.findings:
        console.line(f"{finding.outcome}: {console.plain(finding.what)}")
    swept = f", {checked.num_leftovers} leftovers of interrupted runs swept" if checked.num_leftovers else ""
    console.line(f"{checked.num_sets} feature sets of {checked.num_videos} videos checked{swept}")
    left = [finding for finding in checked.findings if finding.outcome != "repaired"]
    if left:
        hint = "'rdmf library verify' mends it" if dry_run else "'rdmf index' makes what was dropped again"
        raise StoreError(f"{len(left)} {'problem' if len(left) == 1 else 'problems'} {left[0].outcome}", hint=hint)


def _salvage(folder: Path, error: Exception) -> None:
    """A damaged catalogue is put aside and made anew from the feature files."""
    from rdmf_cli.commands import console
    from rdmf_cli.pipeline.upkeep import spec_of
    from rdmf_cli.store import upkeep

    aside, kept, lost = upkeep.salvage(folder.resolve(), spec_of)
    console.warn(f"{error}; it is in {aside} now, a new one was made of {kept} feature files ({lost} were damaged)")
    console.hint("run 'rdmf index' on your folders: it finds out again where the videos lie, without encoding them")


def _opener(settings: Settings) -> Any:
    def open_encoder(name: str) -> Any:
        from rdmf_cli import encoders

        return encoders.open_encoder(name, models_folder=settings.models, device=settings.device, offline=True)

    return open_encoder


def export(
    place: Target,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH|ID...]", help="Only these.", show_default=False)
    ] = None,
    encoder: Annotated[
        str | None, typer.Option("--encoder", metavar="NAME", help="Only what this encoder made.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
    store: options.StoreFolder = None,
) -> None:
    """Write the features to one file or folder, for another machine. The videos themselves stay where they are."""
    from rdmf_cli.commands import console
    from rdmf_cli.store import Store

    target = Path(place)
    if target.is_file() and not force:
        raise OutputError(f"{target}: exists", hint="name another file, or --force")
    with console.rich_progress() as progress, Store.open(load_settings(store=store).store, progress) as opened:
        from rdmf_cli.pipeline import exchange, upkeep

        chosen = {video.fingerprint for video in upkeep.meant(opened, words)} if words else None
        if place.endswith(("/", os.sep)):
            _make(target)
        videos = (v for v in upkeep.videos(opened, encoder=encoder) if chosen is None or v.fingerprint in chosen)
        count = exchange.export(opened, target, videos, progress)
    console.line(f"{count} feature sets written to {target}")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror or error}", hint="name another folder") from error


def import_(source: Source, store: options.StoreFolder = None) -> None:
    """Take over features that another machine has exported. What is here already stays as it is."""
    from rdmf_cli.commands import console
    from rdmf_cli.store import Store

    with console.rich_progress() as progress, Store.open(load_settings(store=store).store, progress) as opened:
        from rdmf_cli.pipeline import exchange, upkeep

        merged = exchange.merge(opened, source, progress)
        if merged.num_new:
            upkeep.refresh_all(opened, progress)
    known = f", {merged.num_known} were here already" if merged.num_known else ""
    console.line(f"{merged.num_new} feature sets taken over, of {merged.num_videos} new videos{known}")
    for reason in merged.refused:
        console.hint(f"  refused: {reason}")
    if merged.refused:
        raise SomeVideosFailed(f"{len(merged.refused)} feature sets were refused", hint="export them again")
