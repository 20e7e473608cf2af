"""How answers reach the user: printed as they come, counted, and turned into an exit code at the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

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
    before: Callable[[Any], None] | None = None  # called with each answer that is printed as text, before it


@dataclass
class Report:
    """Prints answers as they come and knows at the end how it went."""

    view: View
    encoder: Any
    progress: Any
    num_answers: int = 0
    num_matches: int = 0
    model: dict[str, str] | None = None  # what answered, for the JSON; None: pattern mode
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
        from rdmf_cli.commands import console, results

        view = self.view
        if view.form == "json":
            document = results.search_document(
                outcome, self.encoder, self.model or results.PATTERN_MODEL, view.top, view.min_score
            )
            console.line(console.json_text(document))
        if view.clips is not None:
            self._cut_clips(outcome.answers, view.clips)
        if view.verbose:
            spent = outcome.timings.to_json()
            console.note("time: " + ", ".join(f"{name} {value:.2f} s" for name, value in spent.items()))
        for failure in outcome.failures:
            console.problem(failure.message, failure.hint)
        if outcome.failures:
            failed = len({failure.path for failure in outcome.failures})
            if not outcome.answers:
                raise VideoError(f"none of the {failed} videos could be searched")
            raise SomeVideosFailed(f"{failed} of {failed + _num_videos(outcome)} videos could not be searched")
        if not self.num_matches:
            raise typer.Exit(NOTHING_MATCHED)

    def _print(self, answer: Any, moments: list[Any]) -> None:
        from rdmf_cli.commands import console

        if self.view.before is not None:
            self.view.before(answer)
        facts = [format_time(answer.duration_s).partition(".")[0], *self.facts, f"encoder {self.encoder.name}"]
        console.print_heading(answer.query, str(answer.info.path), facts)
        relevance = answer.relevance
        if not relevance.confident:
            console.print_no_match(relevance.score, relevance.cutoff, moments_follow=self.view.show_all)
            if not self.view.show_all:
                console.line("")
                return
        if moments:
            console.print_moments(moments)
        else:
            console.print_none_shown(self.view.min_score)
        console.print_curve(answer.times_s.tolist(), answer.saliency.tolist(), answer.duration_s, moments)

    def _cut_clips(self, answers: list[Any], folder: Path) -> None:
        """A file for each moment that was shown; after the search, so that no answer waits for it."""
        from rdmf_cli.commands import clips, console, results

        view = self.view
        chosen = [
            (answer, results.shown(answer.moments, view.top, view.min_score))
            for answer in answers
            if answer.relevance.confident or view.show_all
        ]
        self.progress.start("cutting clips", sum(len(moments) for _, moments in chosen), "clips")
        taken: set[str] = set()
        written: list[Path] = []
        for answer, moments in chosen:
            for file in clips.cut_all(answer, moments, folder, taken):
                self.progress.advance(1)
                written.append(file)
        self.progress.finish()
        for file in written:
            console.note(f"wrote {file}")


def _num_videos(outcome: Any) -> int:
    return len({answer.info.path for answer in outcome.answers})
