"""`rdmf doctor`: is everything here that a search needs, and what to do if not."""

from __future__ import annotations

from typing import Any

import typer

from rdmf_cli.commands import options
from rdmf_cli.settings import load_settings


def doctor(
    as_json: options.Json = False,
    encoder: options.Encoder = None,
    device: options.DeviceChoice = None,
    store: options.StoreFolder = None,
) -> None:
    """Check that everything a search needs is here. Uses no network.

    Exit code: 0 a search works; else 3 ffmpeg, 4 encoder, 5 store.
    """
    from rdmf_cli.commands import checks, console, session

    settings = load_settings(encoder=encoder, device=device, store=store, offline=True)
    session.use_ffmpeg(settings)
    found: list[Any] = []
    with console.rich_progress() as progress:
        progress.start("looking", None, "")
        for check in checks.all_checks(settings):
            found.append(check)
            if not as_json:
                progress.finish()
                console.print_check(check.name, check.value, check.status, check.advice)
    failed = next((check.exit_code for check in found if check.status == "problem"), 0)
    if as_json:
        document = {"schema": "rdmf.doctor/1", "works": not failed, "checks": [check.to_json() for check in found]}
        console.line(console.json_text(document))
    elif failed:
        console.note("a search does not work here yet: see the lines marked 'problem'")
    else:
        console.note("a search works here; try: rdmf demo")
    raise typer.Exit(failed)
