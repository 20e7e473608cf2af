"""Moments of one or many videos joined into one file."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rdmf_cli.errors import OutputError, UsageError
from rdmf_cli.export.titles import can_write, card
from rdmf_cli.export.writing import check_target, whole_file
from rdmf_cli.media.joining import (
    Piece,
    ReelFormat,
    can_map_tones,
    fades,
    format_of,
    join,
    make_piece,
    make_still,
)
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.media.tracks import Tracks
from rdmf_cli.moments import Moment
from rdmf_cli.timebase import format_time

SUFFIXES = (".mp4", ".mkv")
TITLE_S = 2.0


@dataclass(frozen=True)
class Part:
    """One clip of a reel."""

    info: VideoInfo
    tracks: Tracks
    moment: Moment
    title: str  # for its card; "" shows the video's name


@dataclass(frozen=True)
class ReelOptions:
    """How the parts are joined."""

    titles: bool = False
    crossfade_s: float = 0.0
    loudnorm: bool = False
    force: bool = False


def check_reel(out: Path, sources: list[Path], *, force: bool) -> None:
    """Say before the work what would fail after it. Raises UsageError, OutputError."""
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{out}: a reel is an .mp4 or .mkv file", hint=f"for example {out.with_suffix('.mp4').name}")
    for source in sources:
        if out.exists() and source.exists() and out.samefile(source):
            raise OutputError(f"{out}: this is one of the videos", hint="choose another name")
    check_target(out, force=force)


def make_reel(
    parts: list[Part],
    out: Path,
    options: ReelOptions,
    *,
    advance: Callable[[float], None] = lambda seconds: None,
    warn: Callable[[str], None] = lambda text: None,
) -> float:
    """Join `parts`, at least one, in their order; the reel's length in seconds.

    That is the sum of the parts, each rounded to frames, plus TITLE_S for each card, minus the cross-fades. `advance`
    hears of seconds of work; there are `work_s` of them. Raises OutputError, VideoError.
    """
    if not parts:
        raise OutputError(f"{out}: no moments, so no reel")
    reel = format_of([(part.info, part.moment.length_s) for part in parts])
    _warn(parts, options, warn)
    with whole_file(out, force=options.force) as partial, _hidden_folder(out) as folder:
        pieces: list[Piece] = []
        for place, part in enumerate(parts):
            if options.titles:
                pieces.append(_title(part, reel, folder, place))
            pieces.append(_piece(part, reel, folder / f"{place}.mov", options, _steps(advance)))
        join(pieces, reel, options.crossfade_s, partial, _steps(advance))
    shared = sum(fades(pieces, reel, options.crossfade_s))
    return float((sum(piece.num_frames for piece in pieces) - shared) / reel.rate)


def work_s(parts: list[Part], options: ReelOptions) -> float:
    """About how many seconds of video `make_reel` writes: every part twice."""
    return sum(2 * part.moment.length_s + TITLE_S * options.titles for part in parts)


@contextlib.contextmanager
def _hidden_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` for what only lives until it is joined: the same disk has to hold the reel."""
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".rdmf-") as name:
        try:
            yield Path(name)
        except OutputError as error:
            raise OutputError(str(error).replace(name, str(out.parent)), hint=error.hint) from error


def _piece(part: Part, reel: ReelFormat, out: Path, options: ReelOptions, on_time: Callable[[float], None]) -> Piece:
    start_s, end_s = part.moment.start_s, part.moment.end_s
    loud = options.loudnorm
    return make_piece(part.info, part.tracks, start_s, end_s, reel, out, evenly_loud=loud, on_time=on_time)


def _title(part: Part, reel: ReelFormat, folder: Path, place: int) -> Piece:
    when = format_time(part.moment.start_s).partition(".")[0]
    note = f"{part.info.path.name}  {when}" if part.title else when
    picture = folder / f"{place}.png"
    try:
        card(part.title or part.info.path.stem, note, reel.width, reel.height).save(picture)
    except OSError as error:
        raise OutputError(f"{folder.parent}: {error.strerror or error}", hint="choose another folder") from error
    return make_still(picture, TITLE_S, reel, folder / f"{place}-title.mov")


def _warn(parts: list[Part], options: ReelOptions, warn: Callable[[str], None]) -> None:
    if any(part.tracks.colour.is_hdr for part in parts) and not can_map_tones():
        warn("this ffmpeg can't turn HDR into ordinary colours: those clips look pale in the reel")
    if options.titles and not all(can_write(part.title) for part in parts):
        warn("no font here has all signs of the titles; rectangles stand for the missing ones")


def _steps(advance: Callable[[float], None]) -> Callable[[float], None]:
    """What hears of seconds done so far, and passes on how many more they are."""
    told = 0.0

    def hear(done_s: float) -> None:
        nonlocal told
        if done_s > told:
            advance(done_s - told)
            told = done_s

    return hear
