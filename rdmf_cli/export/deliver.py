"""From answers to files: what is chosen, under which names, checked early and written whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rdmf_cli.errors import OutputError
from rdmf_cli.export import names, otio, timeline, writing
from rdmf_cli.export.formats import FilePerVideo, FormatName, OneFile, format_of
from rdmf_cli.export.model import Answers, Selection, within


@dataclass(frozen=True)
class Wish:
    """A format and where it should go: a file, a folder that is there, or None for a name in this folder."""

    format: FormatName
    target: Path | None = None


@dataclass(frozen=True)
class Output:
    """The text of one file. `video` is None if it belongs to all."""

    text: str
    video: Path | None


@dataclass(frozen=True)
class Rendered:
    """What a format made of the answers."""

    outputs: tuple[Output, ...]
    warnings: tuple[str, ...] = ()
    refusals: tuple[OutputError, ...] = ()  # of videos whose moments the format can't hold
    nothing: str = ""  # why there is neither


def check(wish: Wish, videos: Sequence[Path], queries: Sequence[str], *, force: bool) -> None:
    """Say before a long search what would stop its export. Raises OutputError."""
    if wish.format == "otio":
        otio.check_library()
    for final in set(targets(wish, videos, queries).values()):
        writing.check_target(final, force=force)


def render(answers: Answers, name: FormatName, *, show_all: bool) -> Rendered:
    """The texts of a format; no outputs if there is no moment to export. Raises OutputError without the library."""
    kind = format_of(name)
    selections, warnings = _chosen(answers, show_all=show_all)
    if not selections and not (isinstance(kind, OneFile) and kind.holds_everything):
        return Rendered((), tuple(warnings), nothing=_why_nothing(answers, show_all=show_all))
    if isinstance(kind, OneFile):
        return Rendered((Output(kind.write(answers, selections), None),), tuple(warnings))
    outputs, refusals = [], []
    for selection in selections:
        try:
            outputs.append(Output(kind.write(selection), selection.video.path))
        except OutputError as error:
            refusals.append(error)
            continue
        if kind.is_timeline:
            warnings += timeline.doubts(selection)
    return Rendered(tuple(outputs), tuple(warnings), tuple(refusals))


def targets(wish: Wish, videos: Sequence[Path], queries: Sequence[str]) -> dict[Path | None, Path]:
    """The file of each video, or the one file under None, for all that were asked.

    Raises OutputError for a file that is one of the videos, which --force must not replace either.
    """
    found = _targets(wish, videos, queries)
    for final in found.values():
        if any(_is_same(final, video) for video in videos):
            raise OutputError(f"{final}: this is the video itself", hint="choose another name")
    return found


def _targets(wish: Wish, videos: Sequence[Path], queries: Sequence[str]) -> dict[Path | None, Path]:
    kind = format_of(wish.format)
    # Not Path.is_dir, which raises for names that are too long.
    folder = Path() if wish.target is None else wish.target if os.path.isdir(wish.target) else None
    if isinstance(kind, FilePerVideo):
        if folder is None:
            files = names.beside(wish.target or Path(), videos)
        else:
            files = names.inside(folder, videos, queries, kind.suffix)
        return dict(files.items())
    if folder is not None:
        return {None: folder / names.default_name(videos, queries, kind.suffix)}
    return {None: wish.target or Path()}


def _is_same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False  # one of them is not there


def write(rendered: Rendered, files: dict[Path | None, Path], *, force: bool) -> Iterator[Path]:
    """Write the outputs and tell each file once it is there; none before all are allowed. Raises OutputError."""
    finals = [files[output.video] for output in rendered.outputs]
    for final in finals:
        writing.check_target(final, force=force)
    for final, output in zip(finals, rendered.outputs, strict=True):
        writing.write_text(final, output.text, force=force)
        yield final


def _why_nothing(answers: Answers, *, show_all: bool) -> str:
    if show_all or any(result.relevance.confident for result in answers.results):
        return "no moments"
    return "no confident match; --all exports the moments anyway"


def _chosen(answers: Answers, *, show_all: bool) -> tuple[list[Selection], list[str]]:
    """Selections with at least one moment, and what was wrong with the others."""
    kept, warnings = [], []
    for selection in answers.selections(show_all=show_all):
        inside, lines = within(selection)
        warnings += lines
        if inside.hits:
            kept.append(inside)
    return kept, warnings
