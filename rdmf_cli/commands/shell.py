"""`rdmf shell`: many queries with everything loaded once."""

from __future__ import annotations

from typing import Annotated

import typer

from rdmf_cli.commands import options, options_library
from rdmf_cli.commands.asking import Filters
from rdmf_cli.commands.report import View

Places = Annotated[
    list[str] | None,
    typer.Argument(metavar="VIDEO", help="Videos or folders; without any, all that is indexed.", show_default=False),
]


def shell(
    places: Places = None,
    top: options.Top = 5,
    per_video: options_library.PerVideo = 2,
    show_all: options.ShowAll = False,
    as_jsonl: options.JsonLines = False,
    fusion: options.FusionChoice = None,
    model: options.ModelName = None,
    encoder: options.Encoder = None,
    device: options.DeviceChoice = None,
    store: options.StoreFolder = None,
    offline: options.Offline = False,
) -> None:
    """Ask one query after the other; :help lists what else can be typed.

    Reads queries from stdin as well, one per line. Exit code: 0.
    """
    from rdmf_cli.commands.prompt import Shell

    settings = options.settings_for_search(
        fusion, model, store=store, encoder=encoder, device=device, offline=offline or None
    )
    view = View("jsonl" if as_jsonl else "text", top, show_all=show_all)
    Shell(settings, view, Filters(per_video), tuple(places or ())).run()
