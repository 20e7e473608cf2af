"""`rdmf search --library`: one ranking over all that is indexed, printed, counted and turned into an exit code."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from rdmf_cli.commands import asking
from rdmf_cli.commands.report import Report, View
from rdmf_cli.errors import StoreError
from rdmf_cli.settings import Settings


@dataclass
class LibraryReport:
    """Prints rankings as they come; everything else is the report of any search."""

    report: Report
    outcome: Any
    num_videos: int
    num_snippets: int
    rankings: list[dict[str, Any]] = field(default_factory=list)

    def add(self, found: Any) -> None:
        """The answer to one more query."""
        from rdmf_cli.commands import console, console_library, results

        self.report.progress.finish()
        view, first = self.report.view, len(self.outcome.answers)
        answers = found.answers
        self.outcome.answers += answers
        self.outcome.timings.fusion_s += found.total_s - found.nearest_s
        self.rankings.append(ranking(found, first))
        for answer in answers:
            self.report.num_answers += 1
            self.report.num_matches += bool(answer.relevance.confident and answer.moments)
            for warning in answer.warnings:
                self.report.progress.warn(warning)
            if view.form == "jsonl":
                line = results.prediction(answer, self.report.num_answers, view.top, view.min_score)
                console.line(console.json_text(line))
        if view.form == "text":
            console_library.print_answer(found, view, (*self.report.facts, f"encoder {self.report.encoder.name}"))

    def finish(self) -> None:
        """What can be said only at the end. Raises what becomes the exit code."""
        self.outcome.library = {
            "videos": self.num_videos,
            "snippets": self.num_snippets,
            "rankings": self.rankings,
        }
        self.report.finish(self.outcome)


def ranking(found: Any, first: int) -> dict[str, Any]:
    """One entry of `library.rankings`; `first`: the number of its first answer in `results`."""
    numbers = {id(answer): first + number for number, answer in enumerate(found.answers)}
    return {
        "query": found.query.to_json(),
        "relevance": {
            "score": round(found.best.score, 4),
            "cutoff": found.best.cutoff,
            "confident": found.best.confident,
        },
        "searched": found.num_videos,
        "hits": [
            {
                "rank": rank,
                "result": numbers[id(hit.answer)],
                "moment": hit.moment + 1,
                "score": round(hit.score, 4),
                "also": [_twin(twin) for twin in hit.also],
                "copies": [str(path) for path in hit.copies],
            }
            for rank, hit in enumerate(found.hits, start=1)
        ],
    }


def _twin(twin: Any) -> dict[str, Any]:
    return {
        "path": str(twin.path),
        "id": twin.video_id,
        "start_s": round(twin.start_s, 3),
        "end_s": round(twin.end_s, 3),
        "score": round(twin.score, 4),
    }


def search_library(
    texts: tuple[str, ...],
    extras: asking.Extras,
    settings: Settings,
    view: View,
    filters: asking.Filters,
    batch_size: int,
) -> None:
    """Search, print, and raise what becomes the exit code."""
    from rdmf_cli.commands import console, session

    session.use_ffmpeg(settings)
    with console.rich_progress() as progress:
        with opened_store(settings, progress) as store:
            encoder = session.encoder(settings, batch_size, progress)
            mode = session.mode(settings, encoder)
            session.warn_of_long_queries((*texts, *extras.negatives), encoder, progress)
            started = time.perf_counter()
            library = open_library(store, encoder, mode, progress)
            report = new_report(library, view, encoder, progress)
            encoded = library.encode(asking.compose(texts, extras))
            options = library_options(view, filters)
            for number in range(len(encoded.queries)):
                report.add(library.search(encoded, number, options))
            report.outcome.timings.total_s = time.perf_counter() - started
        report.finish()


def opened_store(settings: Settings, progress: Any) -> Any:
    """The store; unlike a search of a file, the library is nothing without it. Raises StoreError."""
    from rdmf_cli.store import Store

    if not settings.store.exists():
        raise StoreError(f"{settings.store}: the library is empty", hint="index a folder first: rdmf index FOLDER")
    return Store.open(settings.store, progress)


def open_library(store: Any, encoder: Any, mode: Any, progress: Any) -> Any:
    """Everything that the encoder has seen. Raises StoreError."""
    from rdmf_cli.pipeline.library import Library

    return Library.open(store, encoder, progress, mode=mode)


def library_options(view: View, filters: asking.Filters) -> Any:
    """The pipeline's options."""
    from rdmf_cli.pipeline.library import LibraryOptions

    return LibraryOptions(
        top=view.top,
        per_video=filters.per_video,
        path_glob=filters.path_glob,
        min_length_s=filters.min_length_s,
        since_s=filters.since_s,
        show_all=view.show_all or view.form != "text",  # documents list all, and say which are confident
        merge=not filters.copies,
        min_score=view.min_score,
        explain=view.pictures.explain is not None,
    )


def new_report(library: Any, view: View, encoder: Any, progress: Any) -> LibraryReport:
    """A report without answers yet."""
    from rdmf_cli.commands import results
    from rdmf_cli.pipeline.answer import Outcome

    said = Report(view, encoder, progress, model=results.model_of(library.mode), facts=results.facts_of(library.mode))
    return LibraryReport(said, Outcome(), library.num_videos, library.num_snippets)
