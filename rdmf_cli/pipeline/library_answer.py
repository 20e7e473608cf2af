"""What can be asked of the library, and what it gives back. Plain data, as pipeline/answer.py."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rdmf_cli.moments import Relevance
from rdmf_cli.pipeline.answer import Answer
from rdmf_cli.pipeline.query import Query


@dataclass(frozen=True)
class LibraryOptions:
    """What a caller may choose about a library search."""

    top: int = 5
    per_video: int = 2  # 0: any number
    path_glob: tuple[str, ...] = ()  # any of them; against the whole path and the file's name
    min_length_s: float = 0.0  # of the video
    since_s: float | None = None  # videos whose file has changed at this time (Unix, s) or later
    show_all: bool = False  # rank videos, too, that don't match confidently
    merge: bool = True  # near-identical moments of several videos are one hit
    min_score: float = 0.0
    explain: bool = False  # keep the curves behind each answer


@dataclass(frozen=True)
class Twin:
    """A moment of another video that shows the same."""

    video_id: str
    path: Path
    start_s: float
    end_s: float
    score: float


@dataclass(frozen=True)
class LibraryHit:
    """One place of the ranking: `answer.moments[moment]` of one video."""

    answer: Answer  # its moments are those in the ranking only
    moment: int
    score: float  # in [0, 1]: how likely the video answers, times the moment's strength relative to its best moment
    also: tuple[Twin, ...] = ()
    copies: tuple[Path, ...] = ()  # further paths of the very same content


@dataclass(frozen=True)
class LibraryAnswer:
    """What the library says to one query."""

    query: Query
    hits: tuple[LibraryHit, ...]  # best first
    best: Relevance  # of the video that answers best, whether it is shown or not
    num_videos: int  # searched, after filters
    num_snippets: int
    nearest_s: float  # spent on finding candidates
    total_s: float

    @property
    def answers(self) -> list[Answer]:
        """One per video with a hit, in the order of their best hits."""
        return list({id(hit.answer): hit.answer for hit in self.hits}.values())
