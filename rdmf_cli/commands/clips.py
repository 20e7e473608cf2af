"""`--clips DIR`: moments as files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdmf_cli.commands.options_cut import Cutting
from rdmf_cli.errors import OutputError
from rdmf_cli.moments import Moment
from rdmf_cli.progress import Progress

Chosen = list[tuple[Any, list[Moment]]]  # answers with the moments of each to cut


@dataclass(frozen=True)
class _Job:
    """One clip to cut."""

    info: Any
    tracks: Any
    moment: Moment
    file: Path


def prepare(folder: Path, cutting: Cutting) -> None:
    """Check the names and make `folder`, before an hour is spent on searching. Raises UsageError, OutputError."""
    from rdmf_cli.commands import console
    from rdmf_cli.export.templates import parse

    for warning in parse(cutting.name).warnings:
        console.warn(warning)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        reason = "" if os.access(folder, os.W_OK | os.X_OK) else "the folder is read-only"
    except OSError as error:
        reason = error.strerror or str(error)
    if reason:
        raise OutputError(f"{folder}: {reason}", hint="name another folder with --clips")


def cut_all(chosen: Chosen, folder: Path, cutting: Cutting, progress: Progress) -> None:
    """Cut the moments, tell which files were written and what is to know about them.

    Nothing is cut if one of the files is there already (without --force), or a video is not what was searched. Raises
    OutputError, VideoError, UsageError.
    """
    from rdmf_cli.commands import console
    from rdmf_cli.export.clips import cut_clip

    jobs = _jobs(chosen, folder, cutting, progress)
    if not jobs:
        console.note("no moments, so no clips")
        return
    _refuse_existing([job.file for job in jobs], cutting)
    lines: list[str] = []
    progress.start("cutting clips", sum(job.moment.length_s for job in jobs), "s")
    try:
        for job in jobs:
            meter = Meter(progress)
            report = cut_clip(
                job.info, job.tracks, job.moment, job.file, mode=cutting.mode, force=cutting.force, on_time=meter
            )
            meter(job.moment.length_s)
            if report.note:
                progress.warn(report.note)
            lines.append(f"wrote {job.file}{_how_far_off(report)}")
    finally:
        progress.finish()
        for line in lines:
            console.note(line)


class Meter:
    """Seconds done of one piece of work, added up for a `Progress`."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._done_s = 0.0

    def __call__(self, done_s: float) -> None:
        """So much of the piece is done; what is told twice counts once."""
        if done_s > self._done_s:
            self._progress.advance(done_s - self._done_s)
            self._done_s = done_s


def _jobs(chosen: Chosen, folder: Path, cutting: Cutting, progress: Progress) -> list[_Job]:
    from rdmf_cli.export import clips, templates
    from rdmf_cli.export.arrange import arrange
    from rdmf_cli.media.tracks import tracks_of

    template = templates.parse(cutting.name)
    taken: set[str] = set()
    jobs = []
    for answer, moments in chosen:
        if not moments:
            continue
        clips.check_source(answer.info, answer.video_id)
        tracks = tracks_of(answer.info)
        suffix = clips.container_for(tracks, cutting.mode, template.container)
        for lost in (*tracks.lost, *clips.left_behind(tracks, cutting.mode, suffix)):
            progress.warn(f"{answer.info.path.name}: {lost} can't be kept")
        stretches = arrange(
            moments,
            answer.duration_s,
            pad_s=cutting.pad_s,
            merge_gap_s=cutting.merge_gap_s,
            max_clips=cutting.max_clips,
        )
        for rank, moment in enumerate(stretches, start=1):
            name = templates.clip_name(template, answer.info.path, rank, moment, answer.query)
            jobs.append(_Job(answer.info, tracks, moment, folder / _free(name, suffix, taken)))
    return jobs


def _free(name: str, suffix: str, taken: set[str]) -> str:
    """`name` with a number if this run has it already: two videos may be called alike."""
    free, number = name, 2
    while free.casefold() in taken:
        free, number = f"{name}-{number}", number + 1
    taken.add(free.casefold())
    return f"{free}{suffix}"


def _refuse_existing(files: list[Path], cutting: Cutting) -> None:
    there = [] if cutting.force else [file for file in files if os.path.lexists(file)]
    if there:
        more = f" (and {len(there) - 1} more)" if len(there) > 1 else ""
        raise OutputError(f"{there[0]}: already exists{more}", hint="--force replaces it; --name gives other names")


def _how_far_off(report: Any) -> str:
    """` (starts 0.84 s early, ends 0.12 s late)`, or nothing."""
    parts = []
    for amount_s, verb, words in (
        (report.starts_early_s, "starts", ("early", "late")),
        (report.ends_late_s, "ends", ("late", "early")),
    ):
        if abs(amount_s) >= 0.001:
            parts.append(f"{verb} {abs(amount_s):.3f} s {words[amount_s < 0]}")
    return f" ({', '.join(parts)})" if parts else ""
