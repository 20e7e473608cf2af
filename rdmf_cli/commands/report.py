"""How answers reach the user: printed as they come, counted, and turned into an exit code at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import typer

from rdmf_cli.commands.options_cut import Cutting
from rdmf_cli.commands.pictures import Pictures
from rdmf_cli.errors import NOTHING_MATCHED, SomeVideosFailed, VideoError
from rdmf_cli.timebase import format_time


@dataclass(frozen=True)
class View:
    """How the user wants the answers."""

    form: str = "text"  # "text", "json" or "jsonl"
    top: int = 5
    min_score: float = 0.0
    show_all: bool = False
    clips: Path | None = None
    verbose: bool = False
    exports: tuple[Any, ...] = ()  # wishes of export/deliver.py
    force: bool = False  # replace files that are there
    before: Callable[[Any], None] | None = None  # called with each answer that is printed as text, before it
    pictures: Pictures = field(default_factory=Pictures)
    cutting: Cutting = field(default_factory=Cutting)

    def check(self, videos: list[Path], queries: tuple[str, ...] = ()) -> None:
        """Say before the work what could not be written after it. Raises OutputError, UsageError."""
        from rdmf_cli.commands import clips, exporting, pictures

        exporting.check(self.exports, videos, queries, force=self.force)
        pictures.check(self.pictures, videos, form=self.form, top=self.top)
        if self.clips is not None:
            clips.prepare(self.clips, self.cutting)


@dataclass
class Report:
    """Prints answers as they come and knows at the end how it went."""

    view: View
    encoder: Any
    progress: Any
    model: dict[str, str]  # what answered, for the JSON
    num_answers: int = 0
    num_matches: int = 0
    facts: tuple[str, ...] = ()  # more for the heading

    def add(self, answer: Any) -> None:
        """One more answer."""
        from rdmf_cli.commands import console, results

        self.progress.finish()  # else the bar and the answer would share a line
        view = self.view
        moments = results.shown(answer.moments, view.top, view.min_score)
        self.num_answers += 1
        self.num_matches += bool(answer.relevance.confident and moments)
        for warning in answer.warnings:
            self.progress.warn(warning)
        if view.form == "text":
            self._print(answer, moments)
        elif view.form == "jsonl":
            line = results.prediction(answer, self.num_answers, view.top, view.min_score)
            console.line(console.json_text(line))

    def finish(self, outcome: Any) -> None:
        """What can be said only at the end. Raises what becomes the exit code."""
        from rdmf_cli.commands import console, exporting, pictures

        view = self.view
        document = self._document(outcome) if view.form == "json" or view.exports else {}
        if view.form == "json":
            console.line(console.json_text(document))
        wishes = view.exports if outcome.answers else ()
        refused = exporting.write_all(document, wishes, show_all=view.show_all, force=view.force)
        if view.clips is not None:
            self._cut_clips(outcome.answers, view.clips)
        if view.verbose:
            spent = outcome.timings.to_json()
            console.note("time: " + ", ".join(f"{name} {value:.2f} s" for name, value in spent.items()))
        for failure in outcome.failures:
            console.problem(failure.message, failure.hint)
        pictures.finish(view.pictures, self._shown(outcome.answers), self.encoder, self.model, self.progress)
        exporting.refuse(refused)
        if outcome.failures:
            failed = len({failure.path for failure in outcome.failures})
            if not outcome.answers:
                raise VideoError(f"none of the {failed} videos could be searched")
            raise SomeVideosFailed(f"{failed} of {failed + _num_videos(outcome)} videos could not be searched")
        if not self.num_matches:
            raise typer.Exit(NOTHING_MATCHED)

    def _document(self, outcome: Any) -> dict[str, Any]:
        from rdmf_cli.commands import results

        view = self.view
        return results.search_document(outcome, self.encoder, self.model, view.top, view.min_score)

    def _shown(self, answers: list[Any]) -> list[tuple[Any, list[Any]]]:
        """Each answer with the moments that were shown of it; none where the match is not confident."""
        from rdmf_cli.commands import results

        view = self.view
        return [
            (answer, results.shown(answer.moments, view.top, view.min_score) if _is_shown(answer, view) else [])
            for answer in answers
        ]

    def _print(self, answer: Any, moments: list[Any]) -> None:
        from rdmf_cli.commands import console, pictures

        if self.view.before is not None:
            self.view.before(answer)
        facts = [format_time(answer.duration_s).partition(".")[0], *self.facts, f"encoder {self.encoder.name}"]
        console.print_heading(answer.query, str(answer.info.path), facts)
        relevance = answer.relevance
        if not relevance.confident:
            follow, nearest = self.view.show_all, next(iter(moments), None)
            console.print_no_match(relevance.score, relevance.cutoff, moments_follow=follow, nearest=nearest)
            if not follow:
                console.line("")
                return
        if moments:
            console.print_moments(moments)
        else:
            console.print_none_shown(self.view.min_score)
        console.print_curve(answer.times_s.tolist(), answer.saliency.tolist(), answer.duration_s, moments)
        if self.view.pictures.preview:
            pictures.preview(answer, moments, self.progress)

    def _cut_clips(self, answers: list[Any], folder: Path) -> None:
        """A file for each moment that was shown; after the search, so that no answer waits for it."""
        from rdmf_cli.commands import clips, results

        view = self.view
        chosen = [
            (answer, results.shown(answer.moments, view.top, view.min_score))
            for answer in answers
            if answer.relevance.confident or view.show_all
        ]
        clips.cut_all(chosen, folder, view.cutting, self.progress)


def _is_shown(answer: Any, view: View) -> bool:
    return bool(answer.relevance.confident or view.show_all)


def _num_videos(outcome: Any) -> int:
    return len({answer.info.path for answer in outcome.answers})
