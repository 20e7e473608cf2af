"""`--reel FILE`: moments joined into one file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rdmf_cli.commands.clips import Chosen
from rdmf_cli.commands.options_cut import Cutting
from rdmf_cli.progress import Progress


@dataclass(frozen=True)
class Joining:
    """How the user wants the reel."""

    titles: bool = False
    crossfade_s: float = 0.0
    loudnorm: bool = False


def prepare(out: Path, videos: list[Path], cutting: Cutting) -> None:
    """Say before the work what would fail after it. Raises UsageError, OutputError."""
    from rdmf_cli.export.reel import check_reel

    check_reel(out, videos, force=cutting.force)


def join(chosen: Chosen, out: Path, cutting: Cutting, joining: Joining, progress: Progress) -> None:
    """Join the moments: video by video, and in each in the order of time; what touches is one stretch."""
    from rdmf_cli.commands import console
    from rdmf_cli.export.arrange import arrange
    from rdmf_cli.export.clips import check_source
    from rdmf_cli.export.reel import Part, ReelOptions, make_reel, work_s
    from rdmf_cli.media.tracks import tracks_of
    from rdmf_cli.timebase import format_time

    parts = []
    for answer, moments in chosen:
        if not moments:
            continue
        check_source(answer.info, answer.video_id)
        tracks = tracks_of(answer.info)
        stretches = arrange(
            moments,
            answer.duration_s,
            pad_s=cutting.pad_s,
            merge_gap_s=cutting.merge_gap_s or 0.0,
            max_clips=cutting.max_clips,
        )
        in_time = sorted(stretches, key=lambda moment: moment.start_s)
        parts += [Part(answer.info, tracks, moment, answer.query) for moment in in_time]
    if not parts:
        console.note("no moments, so no reel")
        return
    options = ReelOptions(joining.titles, joining.crossfade_s, joining.loudnorm, cutting.force)
    progress.start("making the reel", work_s(parts, options), "s")
    try:
        length_s = make_reel(parts, out, options, advance=progress.advance, warn=progress.warn)
    finally:
        progress.finish()
    clips = "1 clip" if len(parts) == 1 else f"{len(parts)} clips"
    console.note(f"wrote {out} ({clips}, {format_time(length_s)})")
