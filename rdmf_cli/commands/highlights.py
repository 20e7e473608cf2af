"""`rdmf highlights`: what stands out in videos, with or without a query, as a list, clips or one reel."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from rdmf_cli.commands import clips as cut_clips
from rdmf_cli.commands import inputs, options, options_cut, reels
from rdmf_cli.commands.options_cut import Cutting
from rdmf_cli.errors import NOTHING_MATCHED, SomeVideosFailed, UsageError, VideoError
from rdmf_cli.moments import Moment

_REEL = "How to join"

Videos = Annotated[
    list[str] | None, typer.Argument(metavar="VIDEO", help="Videos or folders of videos.", show_default=False)
]
Query = Annotated[str | None, typer.Option("--query", "-q", metavar="TEXT", help="Only moments that this describes.")]
Length = Annotated[str, typer.Option("--length", metavar="TIME", help="Of all highlights together: 60s, 1.5m, 1:30.")]
ClipLength = Annotated[
    str, typer.Option("--clip-length", metavar="TIME", help="Of one highlight at most (without a query).")
]
Reel = Annotated[
    Path | None, typer.Option("--reel", metavar="FILE", help="Join the highlights into FILE.", rich_help_panel=_REEL)
]
Titles = Annotated[bool, typer.Option("--titles", help="A card with text and time before each.", rich_help_panel=_REEL)]
Crossfade = Annotated[
    float, typer.Option("--crossfade", min=0, max=10, metavar="S", help="Fade for S seconds.", rich_help_panel=_REEL)
]
Loudnorm = Annotated[bool, typer.Option("--loudnorm", help="Make all equally loud.", rich_help_panel=_REEL)]


@dataclass(frozen=True)
class Wish:
    """What to make of which videos."""

    videos: list[Path]
    query: str
    length_s: float
    clip_s: float
    show_all: bool
    as_json: bool
    clips: Path | None
    cutting: Cutting
    reel: Path | None
    joining: reels.Joining

    def check(self) -> None:
        """Say before the work what could not be written after it. Raises UsageError, OutputError."""
        options_cut.check_used(self.cutting, has_clips=self.clips is not None, has_reel=self.reel is not None)
        if self.clips is not None:
            cut_clips.prepare(self.clips, self.cutting)
        if self.reel is not None:
            reels.prepare(self.reel, self.videos, self.cutting)


def highlights(
    videos: Videos = None,
    query: Query = None,
    length: Length = "60s",
    clip_length: ClipLength = "5s",
    show_all: options.ShowAll = False,
    as_json: options.Json = False,
    reel: Reel = None,
    titles: Titles = False,
    crossfade: Crossfade = 0.0,
    loudnorm: Loudnorm = False,
    clips: options.Clips = None,
    copy: options_cut.Copy = False,
    smart: options_cut.Smart = False,
    pad: options_cut.Pad = 0.0,
    merge_gap: options_cut.MergeGap = None,
    max_clips: options_cut.MaxClips = None,
    name: options_cut.Name = options_cut.DEFAULT_NAME,
    force: options.Force = False,
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
) -> None:
    """Find what stands out in VIDEO, or the best of what --query describes.

    Exit code: 0 found, 1 no confident match, 3 the video can't be read.
    """
    if not videos:
        raise UsageError("no video", hint="for example: rdmf highlights holiday.mp4 --reel best.mp4")
    if query is not None and not query.strip():
        raise UsageError("the query is empty", hint="leave --query out to get what stands out")
    options.check_fps(fps)
    if query is None and (fusion is not None or model is not None):
        raise UsageError("--fusion and --model need --query", hint="what stands out is found without a model")
    if reel is None and (titles or crossfade or loudnorm):
        raise UsageError("--titles, --crossfade and --loudnorm are for --reel", hint="add --reel FILE")
    wish = Wish(
        videos=inputs.find(tuple(videos)),
        query=(query or "").strip(),
        length_s=options_cut.seconds_of(length, "--length"),
        clip_s=options_cut.seconds_of(clip_length, "--clip-length"),
        show_all=show_all,
        as_json=as_json,
        clips=clips,
        cutting=options_cut.cutting(
            copy=copy, smart=smart, pad=pad, merge_gap=merge_gap, max_clips=max_clips, name=name, force=force
        ),
        reel=reel,
        joining=reels.Joining(titles, crossfade, loudnorm),
    )
    wish.check()
    settings = options.settings_for_search(
        fusion, model, store=store, encoder=encoder, device=device, offline=offline or None
    )
    chosen = {"sample_fps": fps, "batch_size": batch_size, "backend": decoder.value}
    _make(wish, settings, chosen, use_store=not no_cache)


def _make(wish: Wish, settings: Any, chosen: dict[str, Any], *, use_store: bool) -> None:
    from rdmf_cli.commands import console, session

    session.use_ffmpeg(settings)
    with console.rich_progress() as progress:
        encoder = session.encoder(settings, chosen["batch_size"], progress)
        mode = session.mode(settings, encoder) if wish.query else None
        session.warn_of_long_queries((wish.query,) if wish.query else (), encoder, progress)
        with session.store(settings, progress, wanted=use_store) as store:
            from rdmf_cli.pipeline.answer import SearchOptions

            how = {"encoder": encoder, "store": store, "options": SearchOptions(**chosen), "progress": progress}
            outcome = _found(wish, how, mode)
        progress.finish()
        for answer in outcome.answers:
            for warning in answer.warnings:
                progress.warn(warning)
        picked = _picked(wish, outcome.answers)
        outcome.answers = [answer for answer, _ in picked]
        _show(wish, outcome, encoder, mode)
        if wish.clips is not None:
            cut_clips.cut_all(picked, wish.clips, wish.cutting, progress)
        if wish.reel is not None:
            reels.join(picked, wish.reel, wish.cutting, wish.joining, progress)
        _leave(outcome, console)


def _found(wish: Wish, how: dict[str, Any], mode: Any) -> Any:
    if wish.query:
        from rdmf_cli.pipeline.search import search_videos

        return search_videos(wish.videos, [wish.query], mode=mode, **how)
    from rdmf_cli.pipeline.highlights import highlights as stand_out

    return stand_out(wish.videos, length_s=wish.length_s, clip_s=wish.clip_s, **how)


def _picked(wish: Wish, answers: list[Any]) -> cut_clips.Chosen:
    """Answers with the moments that are shown: without a query all; with one the best that fill the length."""
    if not wish.query:
        return [(answer, list(answer.moments)) for answer in answers]
    from rdmf_cli.export.arrange import fill

    open_ones = [
        (moment, place)
        for place, answer in enumerate(answers)
        for moment in answer.moments
        if answer.relevance.confident or wish.show_all
    ]
    open_ones.sort(key=lambda pair: -pair[0].score)
    kept: list[list[Moment]] = [[] for _ in answers]
    for moment, (_, place) in zip(fill([moment for moment, _ in open_ones], wish.length_s), open_ones, strict=False):
        kept[place].append(moment)
    return [(replace(answer, moments=tuple(mine)), mine) for answer, mine in zip(answers, kept, strict=True)]


def _show(wish: Wish, outcome: Any, encoder: Any, mode: Any) -> None:
    from rdmf_cli.commands import console, results
    from rdmf_cli.pipeline.highlights import SCHEMA, highlight_to_json
    from rdmf_cli.timebase import format_time

    if wish.as_json:
        model = {"name": "standout", "kind": "pattern"} if mode is None else results.model_of(mode)
        document = results.search_document(outcome, encoder, model, 0, 0.0)
        document |= {"schema": SCHEMA, "length_s": wish.length_s}
        document["results"] = [highlight_to_json(answer) for answer in outcome.answers]
        console.line(console.json_text(document))
        return
    for answer in outcome.answers:
        total_s = sum(moment.length_s for moment in answer.moments)
        facts = [
            f"{total_s:.1f} s of {format_time(answer.duration_s).partition('.')[0]}",
            *(() if mode is None else results.facts_of(mode)),
            f"encoder {encoder.name}",
        ]
        console.print_heading(answer.query or "highlights", str(answer.info.path), facts)
        moments = list(answer.moments)
        if moments:
            console.print_moments(moments)
        elif wish.query and not answer.relevance.confident:
            console.print_no_match(answer.relevance.score, answer.relevance.cutoff, moments_follow=wish.show_all)
            console.line("")
            continue
        console.print_curve(answer.times_s.tolist(), answer.saliency.tolist(), answer.duration_s, moments)


def _leave(outcome: Any, console: Any) -> None:
    """Raise what becomes the exit code."""
    for failure in outcome.failures:
        console.problem(failure.message, failure.hint)
    failed = len(outcome.failures)
    if failed and not outcome.answers:
        raise VideoError(f"none of the {failed} videos could be searched")
    if failed:
        raise SomeVideosFailed(f"{failed} of {failed + len(outcome.answers)} videos could not be searched")
    if not any(answer.moments for answer in outcome.answers):
        raise typer.Exit(NOTHING_MATCHED)
