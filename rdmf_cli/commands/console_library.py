"""The table of a library search: many videos in one ranking. Beside console.py, which would grow too long."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rdmf_cli.commands import console, curve
from rdmf_cli.timebase import format_time

_BAR_COLUMNS = 10
_NARROW = 72  # columns below which there are no bars and no lengths
_MOST_ALSO = 3  # twins that are named; of more, the number


def print_answer(found: Any, view: Any, facts: tuple[str, ...]) -> None:
    """One query's ranking, or the honest line that there is none."""
    from rich.text import Text

    console._print(_heading(found, facts))
    if not found.best.confident:
        if found.num_videos == 0:
            console._print(Text("  no video passes the filters", style="yellow"))
        else:
            console.print_no_match(found.best.score, found.best.cutoff, moments_follow=view.show_all)
    if found.hits:
        names, folder = _names({hit.answer.info.path for hit in found.hits})
        if folder:
            console._print(Text(f"  in {console.plain(folder)}", style="dim"))
        console._print(_table(found, names))
    elif found.best.confident:
        console.print_none_shown(view.min_score)
    console.line("")


def _heading(found: Any, facts: tuple[str, ...]) -> Any:
    from rich.text import Text

    videos = f"{found.num_videos} video{'' if found.num_videos == 1 else 's'}"
    text = Text().append(f"“{console.plain(found.query.label)}”", style="bold")
    text.append(f"  ({', '.join((videos, f'{found.total_s * 1000:.0f} ms', *facts))})", style="dim")
    return console._asciified(text)


def _table(found: Any, names: dict[Path, str]) -> Any:
    from rich.table import Table
    from rich.text import Text

    is_wide = console._out().width >= _NARROW
    unicode = console._unicode()
    table = Table(box=None, header_style="dim", padding=(0, 1), pad_edge=False)
    table.add_column("  #", justify="right", no_wrap=True)
    table.add_column("score", justify="right", no_wrap=True)
    if is_wide:
        table.add_column("", no_wrap=True, width=_BAR_COLUMNS)
    table.add_column("start – end" if unicode else "start - end", no_wrap=True)
    table.add_column("video", overflow="fold")
    for rank, hit in enumerate(found.hits, start=1):
        moment = hit.answer.moments[hit.moment]
        dash = "–" if unicode else "-"
        style = "bold green" if rank == 1 else "cyan"
        video = Text(console.plain(names[hit.answer.info.path]), style=style)
        for note in _notes(hit):
            video.append(f"\n{console.plain(note)}", style="dim")
        cells = [Text(str(rank), style=style), Text(f"{hit.score:.2f}", style=style)]
        if is_wide:
            cells.append(Text(curve.bar(hit.score, _BAR_COLUMNS, unicode=unicode), style=style))
        cells += [Text(f"{format_time(moment.start_s)} {dash} {format_time(moment.end_s)}"), video]
        table.add_row(*cells)
    return table


def _notes(hit: Any) -> list[str]:
    """Where else the same is."""
    notes = [f"also in {twin.path.name} at {format_time(twin.start_s)}" for twin in hit.also[:_MOST_ALSO]]
    if len(hit.also) > _MOST_ALSO:
        notes.append(f"and in {len(hit.also) - _MOST_ALSO} more")
    if hit.copies:
        notes.append(f"and {len(hit.copies)} cop{'y' if len(hit.copies) == 1 else 'ies'} of the file")
    return notes


def _names(paths: set[Path]) -> tuple[dict[Path, str], str]:
    """What to call each, and the folder from which that counts: "" for full paths and paths from where we are."""
    here = os.getcwd()
    if all(str(path).startswith(here + os.path.sep) for path in paths):
        return {path: os.path.relpath(path, here) for path in paths}, ""
    try:
        shared = os.path.commonpath([str(path.parent) for path in paths])
    except ValueError:  # two drives
        shared = ""
    if shared in ("", os.path.sep):
        return {path: str(path) for path in paths}, ""
    return {path: os.path.relpath(path, shared) for path in paths}, shared
