"""`rdmf train`: from a recipe to a model folder. The recipe's `kind` says what is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from rdmf_cli.commands import options
from rdmf_cli.settings import Settings, load_settings

Recipe = Annotated[Path, typer.Argument(metavar="RECIPE.toml", help="What to train, on what, and how: docs/affect.md.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder of the model. Default: the recipe's name in the user's models."),
]
Compare = Annotated[
    bool,
    typer.Option("--compare", help="Also train each stream alone and concatenation, on the same seeds; paired tests."),
]


def train(
    recipe: Recipe,
    out: Out = None,
    compare: Compare = False,
    as_json: options.Json = False,
    device: options.DeviceChoice = None,
    batch_size: options.BatchSize = 32,
    decoder: options.DecoderChoice = options.Decoder.ffmpeg,
    store: options.StoreFolder = None,
    offline: options.Offline = False,
) -> None:
    """Train a model. A training that was stopped goes on where it was when the same command is given again."""
    from rdmf_cli.learn.recipe import read_recipe

    settings = load_settings(store=store, device=device, offline=offline or None)
    read = read_recipe(recipe)
    folder = out if out is not None else settings.models / recipe.stem
    # A later kind is one more entry here and in learn/recipe.py.
    trainers = {"affect": _affect}
    chosen = {"batch_size": batch_size, "backend": decoder.value}
    trainers[read.kind](read, recipe.parent, folder, settings, chosen, compare=compare, as_json=as_json)


def _affect(
    recipe: Any,
    base: Path,
    folder: Path,
    settings: Settings,
    chosen: dict[str, Any],
    *,
    compare: bool,
    as_json: bool,
) -> None:
    """Labels → streams → training → a table."""
    from rdmf_cli.commands import console, session
    from rdmf_cli.learn.affect_run import check_folder, labels_of, train_affect
    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.streams import open_tools, video_streams

    check_folder(folder)
    labels = labels_of(recipe, base)
    session.use_ffmpeg(settings)
    settings = replace(settings, encoder=recipe.encoder)
    computing = "cpu" if settings.device == "auto" else settings.device
    with console.rich_progress() as progress:
        encoder = session.encoder(settings, chosen["batch_size"], progress)
        with session.store(settings, progress) as store:
            tools = open_tools(
                recipe.streams,
                encoder,
                recipe.fusion.streams,
                store=store,
                models_folder=settings.models,
                device=computing,
                progress=progress,
            )
            made = {
                "store": store,
                "options": SearchOptions(**chosen),
                "progress": progress,
            }
            streams = [video_streams(label.video, tools, **made).video for label in labels]
        report = train_affect(
            recipe, labels, streams, tools.sources, folder, compare=compare, device=computing, progress=progress
        )
    if as_json:
        console.line(console.json_text({"schema": "rdmf.train/1", "model": str(folder), **report.to_json()}))
        return
    _print(report)
    command = "classify" if recipe.is_class else "affect"
    console.hint(f"use it: rdmf {command} VIDEO --model {folder}")


def _print(report: Any) -> None:
    """A row for the recipe and each variant that it was compared with."""
    from rdmf_cli.commands import console

    document = report.to_json()
    rows = [
        [
            row["name"],
            f"{row['mean']:.3f} ± {row['sd']:.3f}",
            "" if row["p_against_recipe"] is None else f"{row['p_against_recipe']:.3f}",
            " ".join(f"{value:.3f}" for value in row["values"]),
        ]
        for row in document["variants"]
    ]
    windows = document["windows"]
    console.line(f"{windows['training']} windows for training, {windows['validation']} for validation, split by video")
    console.print_table("", ["", f"{report.figure} (validation)", "p", "each seed"], rows)
    console.line(f"wrote {report.folder} (seed {report.best.seed}, epoch {report.best.epoch + 1})")
