"""What is exported: the answers of a search as `rdmf search --json` tells them, checked and typed.

`rdmf search --export` and `rdmf export` share this path: both start from the JSON document (docs/json.md).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.timebase import format_time


@dataclass(frozen=True)
class Video:
    """The source of moments. Times count from its first presented frame, which bears `timecode`."""

    path: Path
    id: str  # content fingerprint
    duration_s: float
    width: int  # as displayed, px
    height: int
    source_fps: Fraction  # the average if the rate is variable
    is_variable_rate: bool = False
    has_audio: bool = False
    timecode: str | None = None

    @property
    def place(self) -> Path:
        """Where an editor finds the file, from anywhere: absolute, without links and `..`."""
        return self.path.resolve()


@dataclass(frozen=True)
class Hit:
    """One moment and the question it answers. `rank` counts from 1, best first, within its answer."""

    query: str
    rank: int
    moment: Moment
    relevance: Relevance  # of the whole answer

    @property
    def label(self) -> str:
        """Query and score, for people."""
        return f"{self.query} ({self.moment.score:.2f})"


@dataclass(frozen=True)
class Selection:
    """What one video gives to an export: the moments of all its answers, in the order asked and best first."""

    video: Video
    hits: tuple[Hit, ...]

    def chronological(self) -> list[Hit]:
        """The moments by start, then by end; equal ones stay in the order asked."""
        return sorted(self.hits, key=lambda hit: (hit.moment.start_s, hit.moment.end_s))


@dataclass(frozen=True)
class Result:
    """One video's answer to one query."""

    video: Video
    query: str
    relevance: Relevance
    hits: tuple[Hit, ...]


@dataclass(frozen=True)
class Answers:
    """A whole document: `results` in the order asked, `document` as it was read."""

    results: tuple[Result, ...]
    document: dict[str, Any]
    failed: tuple[Path, ...] = ()  # videos that could not be searched

    @property
    def paths(self) -> list[Path]:
        """All videos that were asked, each once: those with answers first."""
        return list(dict.fromkeys([*(result.video.path for result in self.results), *self.failed]))

    @property
    def queries(self) -> list[str]:
        """All queries, each once, in the order asked."""
        return list(dict.fromkeys(result.query for result in self.results))

    def selections(self, *, show_all: bool) -> list[Selection]:
        """The videos that have moments to export: those of confident answers, with `show_all` those of all."""
        groups: dict[Path, Selection] = {}
        for result in self.results:
            if not (result.relevance.confident or show_all) or not result.hits:
                continue
            group = groups.get(result.video.path, Selection(result.video, ()))
            groups[result.video.path] = replace(group, hits=group.hits + result.hits)
        return list(groups.values())


def within(selection: Selection) -> tuple[Selection, list[str]]:
    """Moments beyond the end of their video left out or cut there, and a line for each. Our own never are."""
    video, kept, lines = selection.video, [], []
    for hit in selection.hits:
        moment = hit.moment
        where = f"{video.path}: moment {hit.rank} of “{hit.query}”"
        if moment.start_s >= video.duration_s:
            lines.append(f"{where} starts after the end of the video and is left out")
        elif moment.end_s > video.duration_s:
            lines.append(f"{where} is cut at the end of the video, {format_time(video.duration_s)}")
            peak_s = min(moment.peak_s, video.duration_s)
            kept.append(replace(hit, moment=replace(moment, end_s=video.duration_s, peak_s=peak_s)))
        else:
            kept.append(hit)
    return replace(selection, hits=tuple(kept)), lines
