"""`rdmf search --follow`: the moments of a video that is still coming, each as soon as it has closed.

Frames → features → even snippets → running affinity → streaming pattern → closed moments. Everything between has
bounded memory. Nothing is kept in the store: the file is another one every second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import UsageError
from rdmf_cli.fusion.affinity import AffinityConfig
from rdmf_cli.fusion.pattern import PatternConfig
from rdmf_cli.fusion.running import Released, RunningAffinity
from rdmf_cli.fusion.streaming import State, StreamingPattern
from rdmf_cli.heads.closing import ClosingMoments, Stretch
from rdmf_cli.heads.decode import DecodeConfig
from rdmf_cli.media.cuts import CUT_THRESHOLD
from rdmf_cli.media.ffmpeg_frames import FfmpegFrames
from rdmf_cli.media.frames import FrameBatch, Sampling
from rdmf_cli.media.growing import Growing, look
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.media.repeats import Repeats, spread
from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.pipeline.calibration import CUTOFF, Calibration, calibrate
from rdmf_cli.pipeline.query import Encoded, Query, encode_queries
from rdmf_cli.store import Store

SCHEMA = "rdmf.follow/1"
_BEST = 3  # cosines that the relevance looks at
_MOST_REPEATS = 3600  # snippets that one gap in the times may add


@dataclass(frozen=True)
class FollowOptions:
    """What a caller may choose about following."""

    sample_fps: float = 2.0
    batch_size: int = 4  # frames encoded at once; more cost less, and wait longer
    lag_s: float = 4.0  # a snippet is judged so long after it was seen
    warm_up_s: float = 20.0  # and not before so much has been seen
    longest_s: float = 1800.0  # a longer moment is told in pieces
    chunk: int = 4  # snippets for which the pattern is run again, at least

    @property
    def spacing_s(self) -> float:
        """Distance of snippets."""
        return 1 / self.sample_fps


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


class Follower:
    """Samples in, moments out. One for all queries."""

    def __init__(self, encoded: Encoded, calibration: Calibration, options: FollowOptions) -> None:
        pattern, spacing_s = PatternConfig(), options.spacing_s
        self._encoded, self._calibration, self._options = encoded, calibration, options
        self._affinity = RunningAffinity(
            torch.from_numpy(encoded.vectors),
            torch.from_numpy(calibration.bank),
            AffinityConfig(),
            conductance_reach=pattern.conductance_reach,
            lag=round(options.lag_s / spacing_s),
            warm_up=round(options.warm_up_s / spacing_s),
        )
        self._pattern = StreamingPattern(spacing_s, pattern, chunk=options.chunk)
        longest = max(1, round(options.longest_s / spacing_s))
        self._closing = [ClosingMoments(DecodeConfig(), longest=longest) for _ in encoded.queries]
        self._best: NDArray[np.float32] = np.zeros((len(encoded.queries), 0), np.float32)
        self._waiting: list[tuple[NDArray[np.float32], float, float]] = []  # of the newest sample: row, time, cut
        self._starts_s = self._cut_s = np.zeros(0)  # of what has not come out of the pattern
        self._seen_s, self._was_fed = 0.0, False

    @property
    def delay_s(self) -> float:
        """Seconds after its end, in the video's time, by which a moment in a running shot is told."""
        behind = self._pattern.delay_snippets + 3  # decoding looks two ahead, and a sample waits for the next
        return self._options.lag_s + (behind + self._options.batch_size) * self._options.spacing_s

    def push(self, features: NDArray[np.float32], batch: FrameBatch) -> list[Told]:
        """features (N, D) of the frames of `batch`."""
        self._see(features)
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
        released = self._affinity.finish()
        told += self._settled(self._pattern.push(*released)) if released.evidence.shape[1] else []
        told += self._settled(self._pattern.finish())
        for number, closing in enumerate(self._closing):
            told += [self._told(number, moment) for moment in closing.finish(max(end_s, time_s + 1e-3))]
        return told

    def _repeats(self, time_s: float, next_s: float) -> int:
        """Grid steps from one sample to the next: its frame was on screen for so long (snippets.py)."""
        fps = self._options.sample_fps
        steps = int(np.floor(next_s * fps + 1e-3)) - int(np.floor(time_s * fps + 1e-3))
        return min(max(steps, 1), _MOST_REPEATS)

    def _see(self, features: NDArray[np.float32]) -> None:
        """The relevance is that of the best snippets so far."""
        cosines = np.concatenate([self._best, self._encoded.vectors @ features.T], axis=1)
        self._best = np.sort(cosines, axis=1)[:, -_BEST:]

    def _fuse(self, rows: list[NDArray[np.float32]], starts: list[float], cuts: list[float]) -> list[Told]:
        if not rows:
            return []
        if not self._was_fed:
            cuts = [np.nan, *cuts[1:]]
            self._was_fed = True
        self._starts_s = np.concatenate([self._starts_s, starts])
        self._cut_s = np.concatenate([self._cut_s, cuts])
        is_cut = torch.from_numpy(~np.isnan(np.array(cuts)))
        released: Released = self._affinity.push(torch.from_numpy(np.stack(rows)), is_cut)
        if not released.evidence.shape[1]:
            return []
        return self._settled(self._pattern.push(*released))

    def _settled(self, found: tuple[State, torch.Tensor]) -> list[Told]:
        state, evidence = found
        count = state.v.shape[1]
        starts_s, self._starts_s = self._starts_s[:count], self._starts_s[count:]
        cut_s, self._cut_s = self._cut_s[:count], self._cut_s[count:]
        ahead, told = self._ahead(), []
        for number, closing in enumerate(self._closing if count else ()):
            v, own = state.v[number].double().numpy(), evidence[number].double().numpy()
            moments = closing.push(Stretch(v, own, starts_s, cut_s), ahead)
            told += [self._told(number, moment) for moment in moments]
        return told

    def _ahead(self) -> Stretch | None:
        """Where the next two snippets lie, if what is final ends at a cut."""
        starts_s, cut_s = self._starts_s[:2], self._cut_s[:2]
        if not len(cut_s) or np.isnan(cut_s[0]):
            return None
        unknown = np.zeros(len(starts_s))
        return Stretch(unknown, unknown, starts_s, cut_s)

    def _told(self, number: int, moment: Moment) -> Told:
        one = slice(number, number + 1)
        encoded = self._encoded
        relevance = self._calibration.relevance(encoded.vectors[one], self._best[one], encoded.generality[one])
        score = float(relevance[0])
        weighed = Moment(moment.start_s, moment.end_s, moment.score * score, moment.peak_s)
        return Told(encoded.queries[number], weighed, Relevance(score, CUTOFF), self._seen_s)


def follow(
    growing: Growing,
    queries: Sequence[str | Query],
    *,
    encoder: Encoder,
    store: Store | None,
    options: FollowOptions,
    on_moment: Callable[[Told], None],
    on_start: Callable[[VideoInfo, float], None] = lambda info, delay_s: None,
) -> float:
    """Tell each moment until the video is over or `growing` is stopped; how many seconds were seen.

    `on_start` hears what the video is and how long after its end a moment is told, at most. Raises VideoError.
    """
    asked = [query if isinstance(query, Query) else Query(query) for query in queries]
    if not asked or not all(query.label.strip() for query in asked):
        raise UsageError("the query is empty", hint='say what to look for: rdmf search - "a dog" --follow')
    calibration = calibrate(encoder, store)
    follower = Follower(encode_queries(asked, encoder, calibration, store), calibration, options)
    found = look(growing)
    if found is None:
        return 0.0
    info, feed = found
    on_start(info, follower.delay_s)
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
