"""`--export FORMAT[=PATH]`, and what `rdmf export` shares with it: wishes understood, checked early, then written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rdmf_cli.commands.options import ExportFormat
from rdmf_cli.errors import OutputError, UsageError


def understand(words: Sequence[str]) -> tuple[Any, ...]:
    """Wishes from `FORMAT` or `FORMAT=PATH`. Raises UsageError."""
    if not words:
        return ()
    from rdmf_cli.export.deliver import Wish
    from rdmf_cli.export.formats import NAMES

    known = {str(name): name for name in NAMES}
    wishes = []
    for word in words:
        name, equals, place = word.partition("=")
        if name not in known:
            raise UsageError(f"--export {word}: no such format", hint=f"one of {', '.join(ExportFormat)}")
        if equals and not place:
            raise UsageError(f"--export {word}: no file behind the =")
        if place == "-":
            raise UsageError(
                f"--export {word}: standard output holds the answers already",
                hint=f"rdmf search … --json | rdmf export - {name}",
            )
        # The shell does not expand ~ behind an equals sign.
        wishes.append(Wish(known[name], target(os.path.expanduser(place)) if place else None))
    return tuple(wishes)


def target(place: str) -> Path:
    """The file or folder that a user named. Raises OutputError if it can only be a folder, and there is none."""
    if place.endswith(("/", os.sep)) and not os.path.isdir(place):
        raise OutputError(f"{place}: no such folder", hint="create it first")
    return Path(place)


def check(wishes: Sequence[Any], videos: Sequence[Path], queries: Sequence[str], *, force: bool) -> None:
    """Say before an hour is spent on searching what would stop an export. Raises OutputError, UsageError."""
    if not wishes:
        return
    from rdmf_cli.export import deliver

    taken: set[Path] = set()
    for wish in wishes:
        deliver.check(wish, videos, queries, force=force)
        finals = set(deliver.targets(wish, videos, queries).values())
        if finals & taken:
            raise UsageError(f"two exports go to {min(finals & taken)}", hint="name another file: --export FORMAT=PATH")
        taken |= finals


def write_all(document: dict[str, Any], wishes: Sequence[Any], *, show_all: bool, force: bool) -> list[OutputError]:
    """Every wish from the document of a search, all made before the first is written; what formats refused.

    Raises OutputError if a file can't be written.
    """
    if not wishes:
        return []
    from rdmf_cli.export import deliver
    from rdmf_cli.export.reading import read_answers

    answers = read_answers(document, "the answer")
    made = [(wish, deliver.render(answers, wish.format, show_all=show_all)) for wish in wishes]
    warn_all([line for _, rendered in made for line in rendered.warnings])
    refusals: list[OutputError] = []
    for wish, rendered in made:
        files = deliver.targets(wish, answers.paths, answers.queries)
        refusals += write(rendered, files, wish.format, force=force)
    return refusals


def write(rendered: Any, files: dict[Path | None, Path], name: str, *, force: bool) -> list[OutputError]:
    """Write what a format made and say so; what it refused. Raises OutputError."""
    from rdmf_cli.commands import console
    from rdmf_cli.export import deliver

    if rendered.nothing:
        console.note(f"{name} not written: {rendered.nothing}")
    for file in deliver.write(rendered, files, force=force):
        console.note(f"wrote {file}")
    return list(rendered.refusals)


def warn_all(lines: Sequence[str]) -> None:
    """Each warning once, on stderr."""
    from rdmf_cli.commands import console

    for line in dict.fromkeys(lines):
        console.warn(line)


def refuse(refusals: Sequence[OutputError]) -> None:
    """Raise what a format could not hold, if anything, once everything else is written."""
    from rdmf_cli.commands import console

    for refusal in refusals[:-1]:
        console.problem(str(refusal), refusal.hint)
    if refusals:
        raise refusals[-1]
