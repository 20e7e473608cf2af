"""`rdmf search`: the moments of a video that a sentence describes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from rdmf_cli.commands import (
    asking,
    exporting,
    inputs,
    options,
    options_cut,
    options_library,
    options_pictures,
    pictures,
)
from rdmf_cli.commands.report import Report, View
from rdmf_cli.settings import Settings

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="VIDEO... QUERY",
        help="Videos or folders of videos, then what to look for; '-' reads queries from stdin, one per line.",
        show_default=False,
    ),
]
Queries = Annotated[
    list[str] | None,
    typer.Option("--query", "-q", metavar="TEXT", help="What to look for; may be repeated. Then all words are videos."),
]


class SearchCommand(TyperCommand):
    """The command with a usage line that says what comes last."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """As people write it; made from the arguments it would read `[VIDEO... QUERY]...`."""
        return ["[OPTIONS]", "VIDEO...", "QUERY"]


def search(
    words: Words = None,
    query: Queries = None,
    top: options.Top = 5,
    min_score: options.MinScore = 0.0,
    show_all: options.ShowAll = False,
    as_json: options.Json = False,
    as_jsonl: options.JsonLines = False,
    clips: options.Clips = None,
    export: options.Exports = None,
    force: options.Force = False,
    copy: options_cut.Copy = False,
    smart: options_cut.Smart = False,
    pad: options_cut.Pad = 0.0,
    merge_gap: options_cut.MergeGap = None,
    max_clips: options_cut.MaxClips = None,
    name: options_cut.Name = options_cut.DEFAULT_NAME,
    verbose: options.Verbose = False,
    plot: options_pictures.Plot = None,
    contact_sheet: options_pictures.ContactSheet = None,
    report: options_pictures.ReportPage = None,
    embed: options_pictures.Embed = False,
    open_rank: options_pictures.Open = None,
    preview: options_pictures.Preview = False,
    explain: options_pictures.Explain = None,
    fusion: options.FusionChoice = None,
    model: options.ModelName = None,
    encoder: options.Encoder = None,
    device: options.DeviceChoice = None,
    fps: options.SampleFps = None,
    batch_size: options.BatchSize = 32,
    decoder: options.DecoderChoice = options.Decoder.ffmpeg,
    store: options.StoreFolder = None,
    no_cache: options.NoCache = False,
    offline: options.Offline = False,
    image: options_library.Image = None,
    at: options_library.At = None,
    image_weight: options_library.ImageWeight = None,
    not_: options_library.Not = None,
    not_weight: options_library.NotWeight = None,
    queries: options_library.QueriesFile = None,
    library: options_library.InLibrary = False,
    per_video: options_library.PerVideo = 2,
    path_glob: options_library.PathGlob = None,
    min_length: options_library.MinLength = None,
    since: options_library.Since = None,
    copies: options_library.Copies = False,
    follow: options.Follow = False,
) -> None:
    """Find the moments of VIDEO that QUERY describes; with --library, of all videos that are indexed.

    Exit code: 0 found, 1 no confident match, 3 the video can't be read.
    """
    form = options.form_of(as_json=as_json, as_jsonl=as_jsonl)
    options.check_fps(fps)
    extras = asking.Extras(image, at, image_weight, tuple(not_ or ()), not_weight)
    asked = asking.understand(words or [], query or [], queries, extras, in_library=library)
    filters = asking.filters(per_video, path_glob, min_length, since, copies)
    misplaced = {"--fps": fps is not None, "--no-cache": no_cache} if library else asking.given(filters)
    asking.check_places(misplaced, in_library=library)
    settings = options.settings_for_search(
        fusion, model, store=store, encoder=encoder, device=device, offline=offline or None
    )
    cutting = options_cut.cutting(
        copy=copy, smart=smart, pad=pad, merge_gap=merge_gap, max_clips=max_clips, name=name, force=force
    )
    options_cut.check_used(cutting, has_clips=clips is not None)
    view = View(
        form,
        top,
        min_score,
        show_all,
        clips,
        verbose,
        exports=exporting.understand(export or []),
        force=force,
        pictures=pictures.Pictures(plot, contact_sheet, report, embed, open_rank, preview, force, explain),
        cutting=cutting,
    )
    if follow:
        from rdmf_cli.commands import follow as following

        following.check(asked.places, view, decoder, in_library=library)
        following.follow(asked.places[0], asked.queries, settings, view, extras, fps)
        return
    videos = [] if library else inputs.find(asked.places)
    view.check(videos, asked.queries)
    if library:
        from rdmf_cli.commands import library_search

        library_search.search_library(asked.queries, extras, settings, view, filters, batch_size)
        return
    chosen = {"sample_fps": fps, "batch_size": batch_size, "backend": decoder.value}
    answer_all(videos, asked.queries, settings, view, chosen, use_store=not no_cache, extras=extras)


_WORDS_ONLY = asking.Extras()


def answer_all(
    videos: list[Path],
    queries: tuple[str, ...],
    settings: Settings,
    view: View,
    chosen: dict[str, Any],
    *,
    use_store: bool = True,
    extras: asking.Extras = _WORDS_ONLY,
) -> None:
    """Search, print, and raise what becomes the exit code."""
    from rdmf_cli.commands import console, results, session

    session.use_ffmpeg(settings)
    with console.rich_progress() as progress:
        encoder = session.encoder(settings, chosen["batch_size"], progress)
        mode = session.mode(settings, encoder)
        session.warn_of_long_queries((*queries, *extras.negatives), encoder, progress)
        report = Report(view, encoder, progress, model=results.model_of(mode), facts=results.facts_of(mode))
        with session.store(settings, progress, wanted=use_store) as store:
            from rdmf_cli.pipeline.answer import SearchOptions
            from rdmf_cli.pipeline.search import search_videos

            outcome = search_videos(
                videos,
                asking.compose(queries, extras),
                encoder=encoder,
                store=store,
                options=SearchOptions(**chosen, explain=view.pictures.explain is not None),
                mode=mode,
                progress=progress,
                on_answer=report.add,
            )
        report.finish(outcome)
