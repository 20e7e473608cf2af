"""What a search gives back: one Answer per video and query, and the time it took. Plain data, no user interface."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.timebase import rate_text

if TYPE_CHECKING:
    from rdmf_cli.fusion.trace import Trace
    from rdmf_cli.pipeline.query import Query

SCHEMA = "rdmf.search/1"


@dataclass(frozen=True)
class Answer:
    """What one video says to one query."""

    info: VideoInfo
    video_id: str  # content fingerprint
    duration_s: float  # end of the last frame that could be decoded
    query: str
    relevance: Relevance
    moments: tuple[Moment, ...]  # all of them, best first, whether confident or not
    times_s: NDArray[np.float64]  # (T,) one per snippet
    saliency: NDArray[np.float32]  # (T,) in [0, 1]
    warnings: tuple[str, ...] = ()
    cuts_s: tuple[float, ...] = ()  # where one shot ends and the next begins
    asked: Query | None = None  # the whole query, of which `query` is the text; None: a text and nothing else
    trace: Trace | None = None  # the curves behind it; only if they were asked for, they are large


@dataclass
class Timings:
    """Seconds spent, added up over all videos of a run. Decoding and encoding overlap, so they may exceed `total_s`."""

    probe_s: float = 0.0
    decode_s: float = 0.0  # waiting for frames; 0 when features came from the store
    encode_s: float = 0.0  # frames through the encoder; 0 when features came from the store
    fusion_s: float = 0.0  # affinity, reaction-diffusion, moments
    total_s: float = 0.0

    def to_json(self) -> dict[str, float]:
        """`timings_s` of the JSON answer."""
        return {name.removesuffix("_s"): round(value, 4) for name, value in vars(self).items()}


@dataclass(frozen=True)
class SearchOptions:
    """What a caller may choose about a search."""

    sample_fps: float | None = None  # None: 2 up to ten minutes, 1 beyond
    backend: str = "ffmpeg"  # decoder
    batch_size: int = 32
    max_moments: int = 100
    explain: bool = False  # keep the curves behind each answer


@dataclass(frozen=True)
class Failure:
    """A video that could not be searched, and why."""

    path: str
    message: str
    hint: str = ""
    exit_code: int = 3


@dataclass
class Outcome:
    """Everything a run of several videos and queries gave."""

    answers: list[Answer] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    timings: Timings = field(default_factory=Timings)
    library: dict[str, Any] | None = None  # `library` of the JSON answer, if all that is indexed was searched


def answer_to_json(answer: Answer, *, top: int | None = None) -> dict[str, Any]:
    """One entry of `results`. `top`: how many moments at most; None all."""
    return {
        "video": _video_to_json(answer),
        "query": {"text": answer.query} if answer.asked is None else answer.asked.to_json(),
        "relevance": {
            "score": round(answer.relevance.score, 4),
            "cutoff": answer.relevance.cutoff,
            "confident": answer.relevance.confident,
        },
        "moments": [
            {
                "rank": rank,
                "start_s": round(moment.start_s, 3),
                "end_s": round(moment.end_s, 3),
                "score": round(moment.score, 4),
                "peak_s": round(moment.peak_s, 3),
            }
            for rank, moment in enumerate(answer.moments[:top], start=1)
        ],
        "saliency": {
            "times_s": [round(float(t), 3) for t in answer.times_s],
            "values": [round(float(v), 4) for v in answer.saliency],
        },
        "warnings": list(answer.warnings),
    }


def _video_to_json(answer: Answer) -> dict[str, Any]:
    info = answer.info
    video: dict[str, Any] = {
        "path": str(info.path),
        "id": answer.video_id,
        "duration_s": round(answer.duration_s, 3),
        # A video of the library whose file is gone has neither size nor rate.
        "width": info.width or None,
        "height": info.height or None,
        "source_fps": rate_text(info.source_fps) if info.width else None,
        "start_time_s": round(info.start_time_s, 6),
        "variable_rate": info.is_variable_rate,
        "has_audio": info.has_audio,
    }
    return video if info.timecode is None else {**video, "timecode": info.timecode}
