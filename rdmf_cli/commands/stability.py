"""`rdmf stability`: what the mathematics says of a fusion, and how a pattern forms on a video."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

from rdmf_cli.commands import options
from rdmf_cli.errors import UsageError
from rdmf_cli.settings import Settings, load_settings
from rdmf_cli.timebase import format_time

Video = Annotated[
    Path | None,
    typer.Option(
        "--video", "-v", metavar="FILE", help="Also show how the pattern forms on this video.", show_default=False
    ),
]
Query = Annotated[str | None, typer.Option("--query", "-q", metavar="TEXT", help="What to look for in --video.")]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="A trained model, by name or folder. Default: pattern mode."),
]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw it; .png or .svg. Needs rdmf-cli's extra 'plot'.")
]
Spacing = Annotated[
    float | None,
    typer.Option("--fps", metavar="N", help="Snippets per second. Default: 2, with --video what a search would take."),
]
_SAID = {
    "dies": "dies out",
    "swings": "swings: an active state, but not a steady one",
    "peaks": "Turing: peaks grow at a distance of their own",
    "fills": "steady: fills its shot evenly",
}
_DEFAULT_FPS = 2.0


def stability(
    video: Video = None,
    query: Query = None,
    model: Model = None,
    plot: Plot = None,
    as_json: options.Json = False,
    force: options.Force = False,
    fps: Spacing = None,
    encoder: options.Encoder = None,
    device: options.DeviceChoice = None,
    decoder: options.DecoderChoice = options.Decoder.ffmpeg,
    store: options.StoreFolder = None,
    no_cache: options.NoCache = False,
    offline: options.Offline = False,
) -> None:
    """Show what a fusion does with evidence: which channels live, which moment lengths they prefer, when they rest.

    Without a model: pattern mode. What the words mean: docs/stability.md.
    """
    options.check_fps(fps)
    _check(video, query, plot, force)
    settings = load_settings(store=store, encoder=encoder, device=device, offline=offline or None)
    from rdmf_cli.pipeline import stability as pipeline

    named = None if model is None else pipeline.open_model(model, settings.models)
    watched = None
    if video is not None and query is not None:
        chosen = {"sample_fps": fps, "backend": decoder.value}
        watched = _watch(video, query, named, settings, chosen, use_store=not no_cache)
    spacing_s = watched.timeline.spacing_s if watched is not None else 1 / (fps or _DEFAULT_FPS)
    found = pipeline.pattern_stability(spacing_s) if named is None else pipeline.model_stability(*named, spacing_s)
    if plot is not None:
        _draw(found, watched, plot, force=force)
    if as_json:
        from rdmf_cli.commands import console

        extra = {} if watched is None else {"video": watched.to_json()}
        console.line(console.json_text({**found.to_json(), **extra}))
        return
    _print(found)
    if watched is not None:
        _print_watched(watched)


def _check(video: Path | None, query: str | None, plot: Path | None, force: bool) -> None:
    """Say before the work what could not be done after it. Raises UsageError, OutputError."""
    if (video is None) != (query is None):
        raise UsageError("--video and --query go together", hint='--video holiday.mp4 --query "a dog"')
    if query is not None and not query.strip():
        raise UsageError("the query is empty", hint='--video holiday.mp4 --query "a dog"')
    if plot is None:
        return
    from rdmf_cli.export.figures import SUFFIXES, check_matplotlib
    from rdmf_cli.export.writing import check_target

    if plot.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--plot {plot}: not a kind of picture that is drawn", hint=f"one of {', '.join(SUFFIXES)}")
    check_matplotlib()
    check_target(plot, force=force)


def _watch(video: Path, query: str, named: Any, settings: Settings, chosen: dict[str, Any], *, use_store: bool) -> Any:
    from rdmf_cli.commands import console, session

    session.use_ffmpeg(settings)
    with console.rich_progress() as progress:
        encoder = session.encoder(settings, 32, progress)
        with session.store(settings, progress, wanted=use_store) as store:
            from rdmf_cli.pipeline.answer import SearchOptions
            from rdmf_cli.pipeline.stability import watch_model, watch_pattern

            how: dict[str, Any] = {"encoder": encoder, "store": store, "options": SearchOptions(**chosen)}
            if named is None:
                return watch_pattern(video, query, progress=progress, **how)
            return watch_model(video, query, named[1], progress=progress, **how)


def _draw(found: Any, watched: Any, file: Path, *, force: bool) -> None:
    from rdmf_cli.export.stability_plot import Shown, plot
    from rdmf_cli.export.writing import write_bytes

    shown = None if watched is None else Shown(watched.formation, watched.timeline, _heading(watched), found.threshold)
    write_bytes(file, plot(found.channels, _title(found), file.suffix.lower(), shown), force=force)


def _title(found: Any) -> str:
    name = "Pattern mode" if found.model == "pattern" else f"Model {found.model}"
    return f"{name}, snippets {found.spacing_s:.3g} s apart"


def _heading(watched: Any) -> str:
    formation = watched.formation
    steps = f"{formation.num_steps} steps"
    ended = f"at rest after {steps}" if formation.rested else f"after {steps}"
    return f"“{watched.query}” in {watched.path.name}: {ended}"


def _print(found: Any) -> None:
    from rdmf_cli.commands import console

    console.line(_title(found))
    if not found.ranges:
        console.line(f"  {_summary(found)}")
    if found.ranges:
        console.print_table("", ["affinity", "what becomes of evidence there"], [_range_row(r) for r in found.ranges])
    rows = [_channel_row(channel) for channel in found.channels]
    columns = [
        "affinity" if found.ranges else "channel",
        "F/g",
        "k/g",
        "Du/Dv",
        "evidence",
        "wave",
        "waves that grow",
        "reach",
    ]
    console.print_table("", columns, rows)


def _summary(found: Any) -> str:
    """How many channels do what, and which waves the model prefers."""
    counts = [(found.count(regime), regime) for regime in _SAID]
    told = ", ".join(f"{count} {_SAID[regime].partition(':')[0]}" for count, regime in counts if count)
    waves_s = [channel.wavelength_s for channel in found.channels if channel.wavelength_s is not None]
    waves = f"; waves of {min(waves_s):.1f} to {max(waves_s):.1f} s" if waves_s else ""
    return f"{len(found.channels)} channels: {told}{waves}"


def _range_row(found: Any) -> list[str]:
    stop = "and more" if math.isinf(found.stop) else f"to {found.stop:.3f}"
    return [f"{found.start:.3f} {stop}", _SAID[found.regime]]


def _channel_row(channel: Any) -> list[str]:
    feed, kill = channel.plane
    wavelength_s, band_s = channel.wavelength_s, channel.band_s
    is_turing = wavelength_s is not None and band_s is not None
    return [
        channel.name.removeprefix("affinity "),
        f"{feed:.4f}",
        f"{kill:.4f}",
        f"{channel.diff_ratio:.2f}",
        str(channel.regime),
        f"{wavelength_s:.1f} s" if is_turing else "-",
        f"{band_s[0]:.1f} - {band_s[1]:.1f}" if is_turing else "-",
        f"{channel.reach_s:.1f} s",
    ]


def _print_watched(watched: Any) -> None:
    from rdmf_cli.commands import console

    formation, timeline = watched.formation, watched.timeline
    console.line(_heading(watched))
    last = f"{formation.change[-1]:.1e}" if formation.num_steps else "nothing"
    rest = f"; rest is less than {formation.tolerance:g}" if formation.tolerance else ""
    console.line(f"  the last step changed v by {last} at most{rest}")
    v = formation.v[-1]
    best = int(v.argmax())
    name = "v" if formation.tolerance else "the activity"
    console.line(f"  {name} is {v[best]:.2f} at most, at {format_time(float(timeline.starts_s[best]))}")
    heights = (v / max(1.0, float(v.max()))).tolist()
    console.print_curve(timeline.starts_s.tolist(), heights, timeline.end_s, [])
