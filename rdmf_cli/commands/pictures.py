"""`--plot`, `--contact-sheet`, `--report`, `--explain`, `--preview`, `--open`: from answers to files and a player."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdmf_cli.errors import OutputError, UsageError, VideoError
from rdmf_cli.moments import Moment
from rdmf_cli.timebase import format_time

_PREVIEW_ROWS = 6  # text lines that a thumbnail is high
_PREVIEW_COLUMNS = 24  # and wide, at most
_HEAVY_BYTES = 100_000_000

Shown = tuple[Any, list[Moment]]  # an answer and those of its moments that were shown


@dataclass(frozen=True)
class Pictures:
    """What the user wants to have drawn or played."""

    plot: Path | None = None
    contact_sheet: Path | None = None
    report: Path | None = None
    embed: bool = False
    open_rank: int | None = None
    preview: bool = False
    force: bool = False
    explain: Path | None = None

    @property
    def files(self) -> dict[str, Path]:
        """The files wanted, by option."""
        wanted = {
            "--plot": self.plot,
            "--contact-sheet": self.contact_sheet,
            "--report": self.report,
            "--explain": self.explain,
        }
        return {option: path for option, path in wanted.items() if path is not None}


def check(pictures: Pictures, videos: list[Path], *, form: str, top: int) -> None:
    """Say before an hour of searching what can't work. Raises UsageError, OutputError."""
    if pictures.embed and pictures.report is None:
        raise UsageError("--embed needs --report FILE")
    if pictures.preview and form != "text":
        raise UsageError(f"--preview and --{form} exclude each other")
    if pictures.open_rank is not None and pictures.open_rank > top:
        raise UsageError(f"--open {pictures.open_rank}: at most {top} moments are shown", hint="--top N shows more")
    _check_files(pictures, videos)
    if pictures.preview:
        _check_terminal()


def _check_files(pictures: Pictures, videos: list[Path]) -> None:
    if not pictures.files:
        return
    from rdmf_cli.export.writing import check_target

    seen: dict[Path, str] = {}
    for option, out in pictures.files.items():
        suffixes = _suffixes(option)
        if out.suffix.lower() not in suffixes:
            raise UsageError(f"{option} {out}: the name must end in {_listed(suffixes)}")
        whole = out.absolute()
        if whole in seen:
            raise UsageError(f"{seen[whole]} and {option} name the same file")
        seen[whole] = option
        check_target(out, force=pictures.force)
        if any(os.path.exists(video) and os.path.exists(out) and os.path.samefile(out, video) for video in videos):
            raise OutputError(f"{out}: this is the video itself", hint="choose another name")
    _check_matplotlib(pictures)


def _check_matplotlib(pictures: Pictures) -> None:
    """Raise OutputError if one of the pictures needs it and it is missing."""
    from rdmf_cli.export.figures import check_matplotlib

    if pictures.plot is not None:
        check_matplotlib("--plot")
    if pictures.explain is not None and pictures.explain.suffix.lower() != ".json":
        check_matplotlib("--explain with a picture")


def _suffixes(option: str) -> tuple[str, ...]:
    """The endings of names that `option` takes."""
    from rdmf_cli.export import contact_sheet, explain, plot, report

    endings: dict[str, tuple[str, ...]] = {
        "--plot": plot.SUFFIXES,
        "--contact-sheet": contact_sheet.SUFFIXES,
        "--report": report.SUFFIXES,
        "--explain": explain.SUFFIXES,
    }
    return endings[option]


def _listed(suffixes: Iterable[str]) -> str:
    *others, last = suffixes
    return f"{', '.join(others)} or {last}"


def _check_terminal() -> None:
    from rdmf_cli.commands import console, terminal

    if terminal.picture_protocol() is None:
        console.note(
            "--preview: no pictures here: stdout is no terminal that knows Kitty's, iTerm2's or Sixel pictures"
        )


def preview(answer: Any, moments: list[Moment], progress: Any) -> None:
    """Frames of the moments on stdout, where the terminal can show them; else nothing.

    A video that is gone by now costs a warning: other answers may be to come.
    """
    from rdmf_cli.commands import terminal

    if terminal.picture_protocol() is None or not moments:
        return
    try:
        _show_frames(answer, moments)
    except VideoError as error:
        progress.warn(f"--preview: {error}")


def _show_frames(answer: Any, moments: list[Moment]) -> None:
    from rdmf_cli.commands import console, terminal, terminal_images
    from rdmf_cli.export.thumbnails import ranked_row

    protocol = terminal.picture_protocol()
    assert protocol is not None
    cell = terminal.cell_size_px()
    width = max(_PREVIEW_COLUMNS, console.width() - 3)
    per_line = max(1, width // _PREVIEW_COLUMNS)
    box_px = ((_PREVIEW_COLUMNS - 1) * cell[0], _PREVIEW_ROWS * cell[1])
    for first in range(0, len(moments), per_line):
        image = ranked_row(answer.info, tuple(moments), first, per_line, box_px, gap_px=cell[0])
        columns, rows = -(-image.width // cell[0]), -(-image.height // cell[1])
        console.raw(b"  " + terminal_images.encode(protocol, image, columns, rows) + b"\n")
    console.line("")


def finish(pictures: Pictures, shown: list[Shown], encoder: Any, model: dict[str, str], progress: Any) -> None:
    """Write the files, then open the player. Raises OutputError, VideoError, UsageError."""
    from rdmf_cli.commands import console

    if not shown:
        return  # every video failed, which is said elsewhere
    for option, out in pictures.files.items():
        num_clips = sum(len(moments) for _, moments in shown) if option == "--report" and pictures.embed else None
        progress.start(f"making {out.name}", num_clips, "clips" if num_clips else "")
        try:
            _write(option, out, pictures, shown, encoder, model, progress)
        finally:
            progress.finish()
        console.note(f"wrote {out}")
    if pictures.open_rank is not None:
        _open(pictures.open_rank, shown)


def _write(
    option: str,
    out: Path,
    pictures: Pictures,
    shown: list[Shown],
    encoder: Any,
    model: dict[str, str],
    progress: Any,
) -> None:
    from rdmf_cli.export.writing import write_bytes

    findings = [_finding(answer, moments) for answer, moments in shown]
    suffix = out.suffix.lower()
    if option == "--plot":
        from rdmf_cli.export import plot

        _warn_of_many(option, len(findings), plot.MOST_ROWS, "answers", progress)
        content = plot.plot(findings, suffix)
    elif option == "--contact-sheet":
        from rdmf_cli.export import contact_sheet

        _warn_of_many(option, sum(len(f.moments) or 1 for f in findings), contact_sheet.MOST_ROWS, "moments", progress)
        content = contact_sheet.contact_sheet(findings, suffix)
    elif option == "--explain":
        from rdmf_cli.export import explain

        if suffix != ".json":
            _warn_of_many(option, len(findings), explain.MOST_ANSWERS, "answers", progress)
        explained = [explain.Explained(f, answer.trace) for f, (answer, _) in zip(findings, shown, strict=True)]
        content = explain.explain(explained, suffix, encoder=encoder.name, model=model)
    else:
        from rdmf_cli.export import report

        content = report.report(findings, report.Page(out.absolute().parent, encoder.name, pictures.embed, progress))
        if len(content) > _HEAVY_BYTES:
            progress.warn(
                f"{out.name} has {len(content) / 1e6:.0f} MB, which is slow to open; --top shows fewer moments"
            )
    write_bytes(out, content, force=pictures.force)


def _finding(answer: Any, moments: list[Moment]) -> Any:
    from rdmf_cli.export.finding import Finding

    return Finding(
        answer.info,
        answer.duration_s,
        answer.query,
        answer.relevance,
        tuple(moments),
        answer.times_s,
        answer.saliency,
        answer.cuts_s,
    )


def _warn_of_many(option: str, count: int, most: int, what: str, progress: Any) -> None:
    if count > most:
        progress.warn(f"{option} shows the first {most} of {count} {what}")


def _open(rank: int, shown: list[Shown]) -> None:
    """Play moment `rank` of the most relevant answer that has so many."""
    from rdmf_cli.commands import console, player

    most = max(len(moments) for _, moments in shown)
    if most == 0:
        console.note(f"--open {rank}: nothing to play, no moment was found")
        return
    if rank > most:
        raise UsageError(f"--open {rank}: only {most} moment{'s were' if most > 1 else ' was'} found")
    able = [(answer, moments[rank - 1]) for answer, moments in shown if len(moments) >= rank]
    answer, moment = max(able, key=lambda pair: pair[0].relevance.score)
    used = player.play(answer.info.path, moment.start_s, answer.info.start_time_s)
    at = format_time(moment.start_s)
    about = f"“{answer.query}” in {answer.info.path.name}"
    if used.starts_there:
        console.note(f"playing moment {rank} of {about} at {at} with {used.name}")
    else:
        console.note(f"opened {about} with {used.name}, which can't be told where to start: go to {at}")
