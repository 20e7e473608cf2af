"""`rdmf classify`: which stretches of a video belong to a class, such as violence."""

from __future__ import annotations

from typing import Annotated

import typer

from rdmf_cli.commands import exporting, inputs, options, options_cut, options_pictures, pictures, rating
from rdmf_cli.commands.report import Report, View
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
    rating.check(model, zero_shot, "classify")
    paths = inputs.find(tuple(videos))
    view = View(
        options.form_of(as_json=as_json, as_jsonl=as_jsonl),
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
    view.check(paths)
    settings = load_settings(store=store, encoder=encoder, device=device, offline=offline or None)
    from rdmf_cli.pipeline.zero_shot import VIOLENCE

    chosen = {"batch_size": batch_size, "backend": decoder.value}
    rates = rating.Rates("classification", "affect", (VIOLENCE,))
    job = rating.job(paths, rates, model, threshold, settings, encoder, chosen, use_store=not no_cache)
    with rating.opened(job) as (opened, progress):
        answers = Report(view, opened, progress, model=job.said, facts=job.facts)
        answers.finish(rating.run(job, opened, progress, answers.add))
