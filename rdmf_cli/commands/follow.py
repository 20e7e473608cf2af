"""`rdmf search --follow`: moments of a video that is still coming, printed as they close."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from rdmf_cli import interrupts
from rdmf_cli.commands import asking, inputs
from rdmf_cli.commands.pictures import Pictures
from rdmf_cli.commands.report import View
from rdmf_cli.errors import NOTHING_MATCHED, UsageError
from rdmf_cli.settings import Settings
from rdmf_cli.timebase import format_time

_DEFAULT_FPS = 2.0


def check(places: tuple[str, ...], view: View, decoder: str, *, in_library: bool) -> None:
    """Raise UsageError for what does not go with --follow."""
    if in_library:
        raise UsageError("--library and --follow exclude each other")
    if len(places) != 1:
        raise UsageError(f"--follow takes one video, not {len(places)}", hint="or - for a pipe")
    if view.form == "json":
        raise UsageError("--follow prints moments as they come; --json is one document", hint="--jsonl: a line each")
    drawn = view.pictures != Pictures(force=view.pictures.force)
    given = {
        "--clips": view.clips is not None,
        "--export": bool(view.exports),
        "pictures": drawn,
    }
    for flag, is_given in {**given, f"--decoder {decoder}": decoder != "ffmpeg"}.items():
        if is_given:
            raise UsageError(f"--follow and {flag} exclude each other", hint="what --follow can do: docs/streaming.md")


def follow(
    place: str, queries: tuple[str, ...], settings: Settings, view: View, extras: asking.Extras, fps: float | None
) -> None:
    """Print until the video ends or Ctrl-C. Raises what becomes the exit code: 1 if there was nothing to print."""
    from rdmf_cli.commands import console, session
    from rdmf_cli.media.growing import Growing

    session.use_ffmpeg(settings)
    if settings.model == "auto":
        settings = replace(settings, model="pattern")  # a learned model tells moments only minutes after their end
    growing = Growing(_stdin() if place == inputs.FROM_STDIN else Path(place))
    count = 0

    def tell(told: Any) -> None:
        nonlocal count
        if (told.relevance.confident or view.show_all) and told.moment.score >= view.min_score:
            count += 1
            console.line(console.json_text(told.to_json()) if view.form == "jsonl" else _line(told, len(queries) > 1))

    def begin(info: Any, promise: Any) -> None:
        when = (
            f"when its shot ends, or {promise.delay_s:.0f} s after it"
            if promise.closes_at_cuts
            else f"{promise.delay_s:.0f} s after its end"
        )
        console.note(f"following {place}: {info.width} x {info.height}; a moment is told {when}; Ctrl-C ends it")

    try:
        with console.rich_progress() as progress:
            encoder = session.encoder(settings, 4, progress)
            mode = session.mode(settings, encoder)
            session.warn_of_long_queries((*queries, *extras.negatives), encoder, progress)
            with session.store(settings, progress) as store, interrupts.gently(growing.stop):
                from rdmf_cli.pipeline.follow import follow as run
                from rdmf_cli.pipeline.following import FollowOptions

                seen_s = run(
                    growing,
                    asking.compose(queries, extras),
                    encoder=encoder,
                    store=store,
                    options=FollowOptions(sample_fps=fps or _DEFAULT_FPS),
                    on_moment=tell,
                    on_start=begin,
                    mode=mode,
                )
    finally:
        growing.close()
    console.note(f"{format_time(seen_s)} seen, {count} moment{'' if count == 1 else 's'} told")
    if not count:
        raise typer.Exit(NOTHING_MATCHED)


def _stdin() -> Any:
    stream = getattr(sys.stdin, "buffer", None)
    if stream is None or stream.isatty():
        raise UsageError("no video on stdin", hint='pipe one in: ffmpeg … -f mpegts - | rdmf search - "a dog" --follow')
    return stream


def _line(told: Any, with_query: bool) -> str:
    """One moment for people."""
    from rdmf_cli.commands.console import plain

    moment = told.moment
    unsure = "" if told.relevance.confident else "  (not confident)"
    query = f"  {plain(told.query.label)}" if with_query else ""
    return (
        f"{format_time(moment.start_s)} - {format_time(moment.end_s)}  {moment.length_s:6.1f} s  "
        f"{moment.score:.2f}{query}{unsure}"
    )
