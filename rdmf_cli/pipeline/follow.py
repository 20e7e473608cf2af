"""`rdmf search --follow`: the moments of a video that is still coming, each as soon as it has closed.

Frames → features → even snippets → fusion on a stream → closed moments (follow_pattern.py, follow_learned.py).
Everything between has bounded memory. Nothing is kept in the store: the file is another one every second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import UsageError
from rdmf_cli.media.cuts import CUT_THRESHOLD
from rdmf_cli.media.ffmpeg_frames import FfmpegFrames
from rdmf_cli.media.frames import FrameBatch, Sampling
from rdmf_cli.media.growing import Growing, look
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.media.repeats import Repeats, spread
from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.pipeline.calibration import Calibration, calibrate
from rdmf_cli.pipeline.follow_learned import LearnedFollowing
from rdmf_cli.pipeline.follow_pattern import PatternFollowing
from rdmf_cli.pipeline.following import Following, FollowOptions
from rdmf_cli.pipeline.learned import LearnedMode
from rdmf_cli.pipeline.modes import PATTERN_MODE, Mode
from rdmf_cli.pipeline.query import Encoded, Query, encode_queries
from rdmf_cli.store import Store

SCHEMA = "rdmf.follow/1"
_MOST_REPEATS = 3600  # snippets that one gap in the times may add


@dataclass(frozen=True)
class Told:
    """A moment that has closed."""

    query: Query
    moment: Moment
    relevance: Relevance  # of all that was seen so far
    seen_s: float  # how far the video had been read

    def to_json(self) -> dict[str, Any]:
        """One line of `--jsonl`."""
        return {
            "schema": SCHEMA,
            "query": self.query.to_json(),
            "start_s": round(self.moment.start_s, 3),
            "end_s": round(self.moment.end_s, 3),
            "score": round(self.moment.score, 4),
            "peak_s": round(self.moment.peak_s, 3),
            "relevance": {
                "score": round(self.relevance.score, 4),
                "cutoff": self.relevance.cutoff,
                "confident": self.relevance.confident,
            },
            "seen_s": round(self.seen_s, 3),
        }


@dataclass(frozen=True)
class Promise:
    """When a moment will be told."""

    delay_s: float  # seconds after its end, in the video's time, at most
    closes_at_cuts: bool  # sooner where its shot ends


class Follower:
    """Samples in, moments out. One for all queries."""

    def __init__(
        self, encoded: Encoded, calibration: Calibration, options: FollowOptions, mode: Mode = PATTERN_MODE
    ) -> None:
        self._encoded, self._options = encoded, options
        self._following: Following = (
            LearnedFollowing(mode, encoded, calibration, options)
            if isinstance(mode, LearnedMode)
            else PatternFollowing(encoded, calibration, options)
        )
        self._waiting: list[tuple[NDArray[np.float32], float, float]] = []  # of the newest sample: row, time, cut
        self._seen_s, self._was_fed = 0.0, False

    @property
    def promise(self) -> Promise:
        """What the caller may expect."""
        behind = self._following.delay_snippets + 1 + self._options.batch_size  # a sample waits for the next
        return Promise(behind * self._options.spacing_s, self._following.closes_at_cuts)

    def push(self, features: NDArray[np.float32], batch: FrameBatch) -> list[Told]:
        """features (N, D) of the frames of `batch`."""
        self._following.see(features)
        rows, starts, cuts = [], [], []
        cut_s = np.where(batch.change >= CUT_THRESHOLD, batch.change_time_s, np.nan)
        for row, time_s, cut in zip(features, batch.times_s, cut_s, strict=True):
            if self._waiting:
                [before] = self._waiting
                for step in range(self._repeats(before[1], float(time_s))):
                    rows.append(before[0])
                    starts.append(before[1] + step * self._options.spacing_s)
                    cuts.append(before[2] if step == 0 else np.nan)
            self._waiting = [(row, float(time_s), float(cut))]
        self._seen_s = float(batch.times_s[-1])
        return self._fuse(rows, starts, cuts)

    def finish(self, end_s: float) -> list[Told]:
        """The rest, at the end of the video."""
        self._seen_s = end_s
        if not self._waiting:
            return []
        [(row, time_s, cut)] = self._waiting
        told = self._fuse([row], [time_s], [cut])
        return told + self._told(self._following.finish(max(end_s, time_s + 1e-3)))

    def _repeats(self, time_s: float, next_s: float) -> int:
        """Grid steps from one sample to the next: its frame was on screen for so long (snippets.py)."""
        fps = self._options.sample_fps
        steps = int(np.floor(next_s * fps + 1e-3)) - int(np.floor(time_s * fps + 1e-3))
        return min(max(steps, 1), _MOST_REPEATS)

    def _fuse(self, rows: list[NDArray[np.float32]], starts: list[float], cuts: list[float]) -> list[Told]:
        if not rows:
            return []
        if not self._was_fed:
            cuts = [np.nan, *cuts[1:]]
            self._was_fed = True
        return self._told(self._following.push(np.stack(rows), np.array(starts), np.array(cuts)))

    def _told(self, moments: list[tuple[int, Moment]]) -> list[Told]:
        found = []
        for number, moment in moments:
            relevance = self._following.relevance(number)
            weighed = replace(moment, score=self._following.score(moment, relevance))
            found.append(Told(self._encoded.queries[number], weighed, relevance, self._seen_s))
        return found


def follow(
    growing: Growing,
    queries: Sequence[str | Query],
    *,
    encoder: Encoder,
    store: Store | None,
    options: FollowOptions,
    on_moment: Callable[[Told], None],
    on_start: Callable[[VideoInfo, Promise], None] = lambda info, promise: None,
    mode: Mode = PATTERN_MODE,
) -> float:
    """Tell each moment until the video is over or `growing` is stopped; how many seconds were seen.

    `on_start` hears what the video is and when moments will be told. Raises VideoError, and UsageError for a `mode`
    that can't follow.
    """
    asked = [query if isinstance(query, Query) else Query(query) for query in queries]
    if not asked or not all(query.label.strip() for query in asked):
        raise UsageError("the query is empty", hint='say what to look for: rdmf search - "a dog" --follow')
    calibration = calibrate(encoder, store)
    follower = Follower(encode_queries(asked, encoder, calibration, store), calibration, options, mode)
    found = look(growing)
    if found is None:
        return 0.0
    info, feed = found
    on_start(info, follower.promise)
    height, width = encoder.frame_size_px(info.width, info.height)
    source = FfmpegFrames(info, Sampling(options.sample_fps, height, width), stall_s=float("inf"), feed=feed)
    repeats, last = Repeats(), np.zeros(encoder.dim, np.float32)
    try:
        for batch in source.batches(options.batch_size):
            is_new = repeats.new(batch.frames)
            encoded = encoder.encode_images(batch.frames[is_new]) if is_new.any() else last[None][:0]
            rows = spread(encoded, is_new, last)
            last = rows[-1]
            for told in follower.push(rows, batch):
                on_moment(told)
    finally:
        source.close()
    end_s = source.report.frames_decoded and source.report.duration_s
    for told in follower.finish(float(end_s)):
        on_moment(told)
    return float(end_s)
