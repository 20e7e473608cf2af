"""`rdmf classify`: which stretches of a video belong to a class, such as violence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from rdmf_cli.commands import exporting, inputs, options, options_cut, options_pictures, pictures, rating
from rdmf_cli.commands.clips import prepare
from rdmf_cli.commands.report import Report, View
from rdmf_cli.errors import UsageError
from rdmf_cli.settings import load_settings

Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        min=0,
        max=1,
        metavar="S",
        help="Score from which on a stretch counts. Default: the model's, 0.5.",
    ),
]


def classify(
    videos: rating.Videos,
    model: rating.ModelName = None,
    threshold: Threshold = None,
    zero_shot: rating.ZeroShot = False,
    top: options.Top = 10,
    min_score: options.MinScore = 0.0,
    show_all: options.ShowAll = False,
    as_json: options.Json = False,
    as_jsonl: options.JsonLines = False,
    clips: options.Clips = None,
    export: options.Exports = None,
    plot: options_pictures.Plot = None,
    report: options_pictures.ReportPage = None,
    force: options.Force = False,
    verbose: options.Verbose = False,
    encoder: options.Encoder = None,
    device: options.DeviceChoice = None,
    batch_size: options.BatchSize = 32,
    decoder: options.DecoderChoice = options.Decoder.ffmpeg,
    store: options.StoreFolder = None,
    no_cache: options.NoCache = False,
    offline: options.Offline = False,
) -> None:
    """Score VIDEO over time: violence, or the class that a trained model knows.

    Exit code: 0 some stretch scores the threshold, 1 none does, 3 the video can't be read, 4 no model.
    """
    if as_json and as_jsonl:
        raise UsageError("--json and --jsonl exclude each other")
    rating.check(model, zero_shot, "classify")
    paths = inputs.find(tuple(videos))
    form = "json" if as_json else "jsonl" if as_jsonl else "text"
    view = View(
        form,
        top,
        min_score,
        show_all,
        clips,
        verbose,
        exports=exporting.understand(export or []),
        force=force,
        pictures=pictures.Pictures(plot=plot, report=report, force=force),
        cutting=options_cut.Cutting(force=force),
    )
    _check_outputs(view, paths)
    settings = load_settings(store=store, encoder=encoder, device=device, offline=offline or None)
    from rdmf_cli.commands import console, session
    from rdmf_cli.pipeline.zero_shot import VIOLENCE

    network = rating.open_network(model, settings, "classification", "affect") if model else None
    default = network.config.threshold if network is not None else 0.5
    job = rating.Job(
        videos=paths,
        settings=rating.encoder_settings(settings, encoder, network),
        chosen={"batch_size": batch_size, "backend": decoder.value},
        threshold=default if threshold is None else threshold,
        model=model,
        network=network,
        scales=(VIOLENCE,),
        use_store=not no_cache,
    )
    session.use_ffmpeg(settings)
    with console.rich_progress() as progress:
        opened = session.encoder(job.settings, batch_size, progress)
        answers = Report(view, opened, progress, model=job.said, facts=job.facts)
        answers.finish(rating.run(job, opened, progress, answers.add))


def _check_outputs(view: View, videos: list[Path]) -> None:
    """Say before the work what could not be written after it. Raises OutputError, UsageError."""
    exporting.check(view.exports, videos, (), force=view.force)
    pictures.check(view.pictures, videos, form=view.form, top=view.top)
    if view.clips is not None:
        prepare(view.clips, view.cutting)
