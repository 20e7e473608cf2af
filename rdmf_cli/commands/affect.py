"""`rdmf affect`: valence and arousal of a video over time."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from rdmf_cli.commands import exporting, inputs, options, options_pictures, pictures, rating
from rdmf_cli.commands.report import View
from rdmf_cli.errors import SomeVideosFailed, VideoError
from rdmf_cli.settings import load_settings
from rdmf_cli.timebase import format_time

_DECIMALS = 4

Threshold = Annotated[
    float,
    typer.Option(
        "--threshold",
        min=-1,
        max=1,
        metavar="V",
        help="Value in [-1, 1] from which on a stretch is listed.",
        show_default=True,
    ),
]


def affect(
    videos: rating.Videos,
    model: rating.ModelName = None,
    zero_shot: rating.ZeroShot = False,
    threshold: Threshold = 0.2,
    top: options.Top = 5,
    as_json: options.Json = False,
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
    """Draw valence (unpleasant to pleasant) and arousal (calm to excited) of VIDEO over time, each in [-1, 1].

    Exit code: 0 done, 3 the video can't be read, 4 no model.
    """
    rating.check(model, zero_shot, "affect")
    paths = inputs.find(tuple(videos))
    outputs = View(
        options.form_of(as_json=as_json),
        top,
        verbose=verbose,
        exports=exporting.understand(export or []),
        force=force,
        pictures=pictures.Pictures(plot=plot, report=report, force=force),
    )
    outputs.check(paths)
    settings = load_settings(store=store, encoder=encoder, device=device, offline=offline or None)
    from rdmf_cli.pipeline.zero_shot import AFFECT

    chosen = {"batch_size": batch_size, "backend": decoder.value}
    rates = rating.Rates("regression", "classify", AFFECT)
    job = rating.job(paths, rates, model, (1 + threshold) / 2, settings, encoder, chosen, use_store=not no_cache)
    with rating.opened(job) as (opened, progress):

        def show(answer: Any) -> None:
            progress.finish()  # else the bar and the answer would share a line
            for warning in answer.warnings:
                progress.warn(warning)
            if not as_json:
                _print(answer, (*job.facts, f"encoder {opened.name}"), threshold, top)

        outcome = rating.run(job, opened, progress, show)
        _write(outcome, _document(outcome, opened, job.said, top), outputs, threshold, opened, progress)
        _finish(outcome)


def _write(
    outcome: Any, document: dict[str, Any], outputs: View, threshold: float, encoder: Any, progress: Any
) -> None:
    """All that is not printed as the answers come. Raises OutputError."""
    from rdmf_cli.commands import console

    if outputs.form == "json":
        console.line(console.json_text(document))
    wishes = outputs.exports if outcome.answers else ()
    refused = exporting.write_all(document, wishes, show_all=True, force=outputs.force)
    shown = [(answer, _listed(answer, threshold, outputs.top)) for answer in outcome.answers]
    pictures.finish(outputs.pictures, shown, encoder, document["model"], progress)
    exporting.refuse(refused)
    if outputs.verbose:
        spent = outcome.timings.to_json()
        console.note("time: " + ", ".join(f"{name} {value:.2f} s" for name, value in spent.items()))


def _document(outcome: Any, encoder: Any, model: dict[str, str], top: int) -> dict[str, Any]:
    """The document of a search, with the curve on its own scale besides."""
    from rdmf_cli.commands import results

    document = results.search_document(outcome, encoder, model, top, 0.0)
    for result, answer in zip(document["results"], outcome.answers, strict=True):
        values = [round(float(2 * score - 1), _DECIMALS) for score in answer.saliency]
        result["affect"] = {
            "dimension": answer.query,
            "values": values,
            "mean": round(sum(values) / len(values), _DECIMALS),
        }
    return document


def _print(answer: Any, facts: tuple[str, ...], threshold: float, top: int) -> None:
    from rdmf_cli.commands import console

    values = 2 * answer.saliency - 1
    length = format_time(answer.duration_s).partition(".")[0]
    console.print_heading(answer.query, str(answer.info.path), [length, *facts])
    ends = [(name, int(place)) for name, place in (("lowest", values.argmin()), ("highest", values.argmax()))]
    told = [f"{name} {values[place]:+.2f} at {format_time(answer.times_s[place])}" for name, place in ends]
    console.line(f"  mean {values.mean():+.2f}, {', '.join(told)}")
    shown = _listed(answer, threshold, top)
    if shown:
        rows = [
            [
                str(rank),
                f"{format_time(moment.start_s)} - {format_time(moment.end_s)}",
                f"{moment.length_s:.1f} s",
                f"{2 * moment.score - 1:+.2f}",
            ]
            for rank, moment in enumerate(shown, start=1)
        ]
        console.print_table("", ["#", f"{answer.query} of {threshold:+.2f} or more", "length", "mean"], rows)
    else:
        console.line(f"  never {threshold:+.2f} or more")
    console.print_curve(answer.times_s.tolist(), answer.saliency.tolist(), answer.duration_s, shown)


def _listed(answer: Any, threshold: float, top: int) -> list[Any]:
    """The stretches at or above the threshold, highest first."""
    from rdmf_cli.commands import results

    return results.shown(answer.moments, top, (1 + threshold) / 2)


def _finish(outcome: Any) -> None:
    """Say which videos failed; raises what becomes the exit code."""
    from rdmf_cli.commands import console

    for failure in outcome.failures:
        console.problem(failure.message, failure.hint)
    failed, rated = len(outcome.failures), len({answer.info.path for answer in outcome.answers})
    if failed and not rated:
        raise VideoError(f"none of the {failed} videos could be rated")
    if failed:
        raise SomeVideosFailed(f"{failed} of {failed + rated} videos could not be rated")
