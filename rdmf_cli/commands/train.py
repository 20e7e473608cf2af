"""`rdmf train`: from a recipe to a model folder. The recipe's `kind` says what is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from rdmf_cli.commands import options
from rdmf_cli.errors import UsageError
from rdmf_cli.settings import Settings, load_settings

Recipe = Annotated[
    Path, typer.Argument(metavar="RECIPE.toml", help="What to train, on what, and how: docs/training.md.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="DIR", help="Folder of the model. Default: the recipe's name in the user's models."),
]
Compare = Annotated[
    bool,
    typer.Option("--compare", help="Also train each stream alone and concatenation, on the same seeds; paired tests."),
]
Tensorboard = Annotated[
    Path | None, typer.Option("--tensorboard", metavar="DIR", help="Also write TensorBoard events there.")
]


def train(
    recipe: Recipe,
    out: Out = None,
    compare: Compare = False,
    tensorboard: Tensorboard = None,
    as_json: options.Json = False,
    device: options.DeviceChoice = None,
    batch_size: options.BatchSize = 32,
    decoder: options.DecoderChoice = options.Decoder.ffmpeg,
    store: options.StoreFolder = None,
    offline: options.Offline = False,
) -> None:
    """Train a model. A training that was stopped goes on where it was when the same command is given again."""
    from rdmf_cli.commands import console
    from rdmf_cli.learn.recipe import read_recipe

    settings = load_settings(store=store, device=device, offline=offline or None)
    read = read_recipe(recipe)
    folder = out if out is not None else settings.models / recipe.stem
    # A later kind is one more entry here and in learn/recipe.py.
    trainers = {"affect": _affect, "moments": _moments}
    chosen = Chosen({"batch_size": batch_size, "backend": decoder.value}, compare, tensorboard)
    done = trainers[read.kind](read, recipe.parent, folder, settings, chosen)
    if done is None:  # another process of the same training speaks
        return
    if as_json:
        console.line(console.json_text({"schema": "rdmf.train/1", "model": str(folder), **done.report.to_json()}))
        return
    done.show(done.report)
    console.hint(f"use it: rdmf {done.command} --model {folder}")


@dataclass(frozen=True)
class Chosen:
    """What the command line says besides the recipe."""

    frames: dict[str, Any]  # how videos are read
    compare: bool
    tensorboard: Path | None


@dataclass(frozen=True)
class Done:
    """What a trainer hands back: what it has to report, how that is shown, and which command uses the model."""

    report: Any
    show: Callable[[Any], None]
    command: str


def _affect(recipe: Any, base: Path, folder: Path, settings: Settings, chosen: Chosen) -> Done | None:
    """Labels → streams → training."""
    from rdmf_cli.commands import console, session
    from rdmf_cli.learn.affect.run import check_folder, labels_of, train_affect
    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.streams import open_tools, video_streams

    if chosen.tensorboard is not None:
        raise UsageError("--tensorboard is for recipes of kind moments")
    check_folder(folder)
    labels = labels_of(recipe, base)
    session.use_ffmpeg(settings)
    settings = replace(settings, encoder=recipe.encoder)
    computing = "cpu" if settings.device == "auto" else settings.device
    with console.rich_progress() as progress:
        encoder = session.encoder(settings, chosen.frames["batch_size"], progress)
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
                "options": SearchOptions(**chosen.frames),
                "progress": progress,
            }
            streams = [video_streams(label.video, tools, **made).video for label in labels]
        report = train_affect(
            recipe, labels, streams, tools.sources, folder, compare=chosen.compare, device=computing, progress=progress
        )
    return Done(report, _print_affect, f"{'classify' if recipe.is_class else 'affect'} VIDEO")


def _moments(recipe: Any, base: Path, folder: Path, settings: Settings, chosen: Chosen) -> Done | None:
    """Examples → training. None in the processes of a training that only help the first one."""
    from rdmf_cli.commands import console
    from rdmf_cli.learn.affect.run import check_folder
    from rdmf_cli.learn.engine import open_engine
    from rdmf_cli.learn.moments.run import train_moments
    from rdmf_cli.learn.moments.sets import load_sets
    from rdmf_cli.learn.moments.start import first_weights
    from rdmf_cli.progress import SILENT

    if chosen.compare:
        raise UsageError("--compare is for recipes of kind affect", hint="python -m benchmarks.fusion compares fusions")
    check_folder(folder)
    start = first_weights(recipe, base, settings.models)
    computing = "cpu" if settings.device == "auto" else settings.device
    engine = open_engine(computing, recipe.training.precision, recipe.training.devices)
    engine.launch()
    with console.rich_progress() as shown:
        progress = shown if engine.number == 0 else SILENT
        sets = load_sets(recipe, base, progress)
        report = train_moments(
            recipe, sets, folder, start=start, engine=engine, events=chosen.tensorboard, progress=progress
        )
    return Done(report, _print_moments, 'search VIDEO "QUERY"') if engine.number == 0 else None


def _print_moments(report: Any) -> None:
    """Figures of the kept weights beside those of pattern mode."""
    from rdmf_cli.commands import console
    from rdmf_cli.learn.moments.card import TITLES, rows_for_people

    metrics = report.to_json()
    counts = metrics["examples"]
    console.line(f"{counts['training']} examples for training, {counts['validation']} for validation")
    console.print_table("", ["", *TITLES.values()], rows_for_people(metrics))
    console.line(f"wrote {report.folder} (seed {metrics['seed']}, step {metrics['step']})")


def _print_affect(report: Any) -> None:
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
