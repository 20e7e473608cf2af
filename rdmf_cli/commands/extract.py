"""`rdmf extract`: a folder of videos → features that `rdmf train` reads, in the layout of QVHighlights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from rdmf_cli.commands import options
from rdmf_cli.errors import SomeVideosFailed, VideoError
from rdmf_cli.settings import Settings, load_settings

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Videos, also in folders below.", show_default=False)]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the features go.", show_default=False)]
Annotations = Annotated[
    list[Path] | None,
    typer.Option(
        "--annotations",
        metavar="FILE.jsonl",
        help="Queries to encode, in the layout of QVHighlights; only their videos are read. May be repeated.",
        show_default=False,
    ),
]


def extract(
    folder: Folder,
    out: Out,
    annotations: Annotations = None,
    as_json: options.Json = False,
    encoder: options.Encoder = None,
    device: options.DeviceChoice = None,
    fps: options.SampleFps = None,
    batch_size: options.BatchSize = 32,
    decoder: options.DecoderChoice = options.Decoder.ffmpeg,
    store: options.StoreFolder = None,
    no_cache: options.NoCache = False,
    offline: options.Offline = False,
) -> None:
    """Write the features of all videos in FOLDER, and of annotated queries, for 'rdmf train'.

    What is there and up to date is kept: stop it at any time, it goes on from there.

    Exit code: 0 all is written, 7 some videos failed.
    """
    options.check_fps(fps)
    settings = load_settings(store=store, encoder=encoder, device=device, offline=offline or None)
    videos, queries = _asked(folder, annotations or [])
    chosen = {"sample_fps": fps, "batch_size": batch_size, "backend": decoder.value}
    report = _extract(videos, queries, out, settings, chosen, use_store=not no_cache)
    _tell(report, as_json=as_json)


def _asked(folder: Path, files: list[Path]) -> tuple[dict[str, Path], list[Any]]:
    """The videos by name, and the queries. Raises UsageError, VideoError before anything slow is loaded."""
    from rdmf_cli.feature_folder import is_plain_name, video_stem
    from rdmf_cli.learn.datasets.annotations import read_queries
    from rdmf_cli.pipeline.extract import Wanted, the_one, videos_by_name

    found = videos_by_name(folder)
    if not files:
        return {name: the_one(paths, name) for name, paths in found.items()}, []
    videos: dict[str, Path] = {}
    texts: dict[str, Any] = {}
    for one in (one for file in files for one in read_queries(file)):
        name = video_stem(one.video)
        if name not in found:
            raise one.line.error(f"no video {one.video!r} in {folder}", "'vid' is its name, with or without suffix")
        if not is_plain_name(one.query_id):
            raise one.line.error(f"'qid' {one.query_id!r} can't be the name of a file")
        if texts.setdefault(one.query_id, one).query != one.query:
            other = texts[one.query_id].line
            raise one.line.error(f"'qid' {one.query_id} is another query in {other.file}, line {other.number}")
        videos[name] = the_one(found[name], name)
    return videos, [Wanted(key, one.query) for key, one in texts.items()]


def _extract(
    videos: dict[str, Path],
    queries: list[Any],
    out: Path,
    settings: Settings,
    chosen: dict[str, Any],
    *,
    use_store: bool,
) -> Any:
    from rdmf_cli.commands import console, session
    from rdmf_cli.media.ffmpeg import ffmpeg_path
    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.extract import extract

    session.use_ffmpeg(settings)
    ffmpeg_path()  # if there is none, that is no failure of the videos
    with console.rich_progress() as progress:
        encoder = session.encoder(settings, chosen["batch_size"], progress)
        session.warn_of_long_queries(tuple(query.text for query in queries), encoder, progress)
        with session.store(settings, progress, wanted=use_store) as store:
            how = {"store": store, "options": SearchOptions(**chosen), "progress": progress}
            return extract(videos, queries, out, encoder=encoder, **how)


def _tell(report: Any, *, as_json: bool) -> None:
    """Print the report; raises what becomes the exit code."""
    from rdmf_cli.commands import console

    if as_json:
        console.line(console.json_text(report.to_json()))
    else:
        console.line(console.plain(_summary(report)))
        for video in report.videos:
            if video.status == "failed":
                console.line(console.plain(f"  {video.message}"))
    failed = report.count("failed")
    if failed and failed == len(report.videos):
        only = report.videos[0]
        raise VideoError(only.message, hint=only.hint) if failed == 1 else VideoError(f"all {failed} videos failed")
    if failed:
        raise SomeVideosFailed(f"{failed} of {len(report.videos)} videos failed")


def _summary(report: Any) -> str:
    snippets = sum(video.num_snippets for video in report.videos if video.status == "written")
    parts = [f"{report.count('written')} videos written ({snippets} snippets)"]
    parts += [f"{report.count(status)} {status}" for status in ("unchanged", "failed") if report.count(status)]
    texts = report.num_texts_written + report.num_texts_unchanged
    if texts:
        parts.append(f"{report.num_texts_written} of {texts} queries written")
    return f"{report.out}: {', '.join(parts)}"
