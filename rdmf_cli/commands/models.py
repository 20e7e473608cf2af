"""`rdmf models`: which encoders there are, which are here, and fetching them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from rdmf_cli.encoders import available, unknown_encoder
from rdmf_cli.encoders.presets import PRESETS, RECOMMENDED, Preset, find_folder, preset_for
from rdmf_cli.errors import UsageError
from rdmf_cli.settings import Settings, load_settings

app = typer.Typer(help="Look after the encoders: which there are, which are here, fetching them.", no_args_is_help=True)

ModelsFolder = Annotated[
    Path | None, typer.Option("--models", metavar="DIR", help="Folder of fetched weights. [env: RDMF_MODELS]")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(help="A name that 'rdmf models list' shows, hf:ID or openclip:MODEL/TAG.")]


@app.command("list")
def list_models(models: ModelsFolder = None, as_json: Json = False) -> None:
    """List the encoders; the one that is used if none is named is marked."""
    from rdmf_cli.commands import console

    settings = load_settings(models=models)
    default = _default_name(settings)
    rows = [_facts(preset, settings, default) for preset in PRESETS.values()]
    if as_json:
        console.line(json.dumps({"schema": "rdmf.models/1", "models_folder": str(settings.models), "models": rows}))
        return
    console.print_table(
        "Encoders",
        ["", "name", "dim", "size", "licence", "here", ""],
        [
            [
                "*" if row["default"] else "",
                row["name"],
                str(row["dim"]),
                _size(row["download_mb"]),
                row["licence"],
                "yes" if row["present"] else "no",
                row["description"],
            ]
            for row in rows
        ],
    )
    if not any(row["present"] for row in rows if row["download_mb"]):
        console.hint(f"for better answers: rdmf models pull {RECOMMENDED}")


@app.command()
def show(name: Name, models: ModelsFolder = None, as_json: Json = False) -> None:
    """Say everything about one encoder."""
    from rdmf_cli.commands import console

    settings = load_settings(models=models)
    facts = _facts(_preset(name), settings, _default_name(settings))
    if as_json:
        console.line(json.dumps({"schema": "rdmf.model/1", **facts}))
        return
    console.print_table(name, ["", ""], [[key.replace("_", " "), _text(value)] for key, value in facts.items()])


@app.command()
def pull(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Don't ask.")] = False,
    models: ModelsFolder = None,
    offline: Annotated[bool, typer.Option("--offline", help="Use no network. [env: RDMF_OFFLINE]")] = False,
) -> None:
    """Fetch an encoder's weights. Shows their size and licence first, and asks."""
    from rdmf_cli.commands import console
    from rdmf_cli.encoders import download

    settings = load_settings(models=models, offline=offline or None)
    preset = _preset(name)
    present = find_folder(preset, settings.models)
    if present is not None:
        console.line(f"{name} is here: {present}")
        return
    plan = download.plan_pull(preset, offline=settings.offline)
    console.hint(f"{name}: {plan.size_mb:.0f} MB from {plan.repo.repo}, licence: {plan.licence}")
    if not _agreed(yes):
        console.hint("nothing was fetched")
        return
    with console.rich_progress() as progress:
        folder = download.pull(preset, settings.models, progress, offline=settings.offline, plan=plan)
    console.line(f"{name} is here: {folder}")


def _agreed(yes: bool) -> bool:
    if yes:
        return True
    if not _can_ask():
        raise UsageError("fetching asks first, and nobody is there to answer", hint="--yes answers for you")
    return typer.confirm("Fetch it?", err=True)


def _can_ask() -> bool:
    return sys.stdin.isatty()


def _preset(name: str) -> Preset:
    preset = preset_for(name)
    if preset is None:
        raise unknown_encoder(name)
    return preset


def _default_name(settings: Settings) -> str:
    """The encoder that a search uses here if none is named."""
    if settings.encoder != "auto":
        return settings.encoder
    return next(iter(available(settings.models)), "lite")


def _facts(preset: Preset, settings: Settings, default: str) -> dict[str, Any]:
    folder = find_folder(preset, settings.models)
    return {
        "name": preset.name,
        "description": preset.description,
        "backend": preset.backend,
        "source": preset.source,
        "repo": preset.repo,
        "dim": preset.dim,
        "image_size_px": preset.image_size_px,
        "licence": preset.licence,
        "download_mb": preset.download_mb,
        "present": folder is not None,
        "folder": str(folder) if folder else None,
        "default": preset.name == default,
    }


def _size(download_mb: int) -> str:
    return f"about {download_mb} MB" if download_mb else "built in"


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if value not in (None, "", 0) else "-"
