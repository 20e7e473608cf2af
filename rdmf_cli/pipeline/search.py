"""Videos and queries → answers: the whole line from file to moments."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.fusion.affinity import AffinityConfig
from rdmf_cli.fusion.pattern import Pattern, PatternConfig, Snippets, run_patterns
from rdmf_cli.heads.decode import DecodeConfig, Timeline, moments_of
from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.pipeline.answer import Answer, Failure, Outcome, SearchOptions
from rdmf_cli.pipeline.calibration import CUTOFF, Calibration, calibrate
from rdmf_cli.pipeline.index import Indexed, index_video
from rdmf_cli.pipeline.query import Encoded, Query, as_query, encode_queries
from rdmf_cli.pipeline.snippets import snippets_of
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store

AFFINITY = AffinityConfig()
PATTERN = PatternConfig()
DECODE = DecodeConfig()


def search_videos(
    videos: list[Path],
    queries: Sequence[str | Query],
    *,
    encoder: Encoder,
    store: Store | None,
    options: SearchOptions,
    progress: Progress = SILENT,
    on_answer: Callable[[Answer], None] | None = None,
) -> Outcome:
    """Answer every query on every video, video by video in the order given.

    A video that can't be read is listed in `failures` and the others go on; if it is the only one its VideoError is
    raised. `on_answer` hears of each answer as soon as it is there.
    """
    started = time.perf_counter()
    asked = [as_query(query) for query in queries]
    if not asked or not all(query.label.strip() for query in asked):
        raise UsageError("the query is empty", hint='say what to look for: rdmf search video.mp4 "a dog in the snow"')
    outcome = Outcome()
    calibration = calibrate(encoder, store)
    encoded = encode_queries(asked, encoder, calibration, store)
    for video in videos:
        try:
            indexed = index_video(video, encoder=encoder, store=store, options=options, progress=progress)
        except VideoError as error:
            if len(videos) == 1:
                raise
            outcome.failures.append(Failure(str(video), str(error), error.hint, error.exit_code))
            continue
        fusion_started = time.perf_counter()
        answers = answer_encoded(indexed, encoded, calibration, max_moments=options.max_moments)
        fusion_s = time.perf_counter() - fusion_started
        timings = outcome.timings
        timings.probe_s += indexed.timings.probe_s
        timings.decode_s += indexed.timings.decode_s
        timings.encode_s += indexed.timings.encode_s
        timings.fusion_s += fusion_s
        outcome.answers += answers
        if on_answer:
            for answer in answers:
                on_answer(answer)
    outcome.timings.total_s = time.perf_counter() - started
    return outcome


def answer_encoded(
    indexed: Indexed, encoded: Encoded, calibration: Calibration, *, max_moments: int = 100
) -> list[Answer]:
    """Answers of one indexed video."""
    answers = answer_queries(
        indexed, encoded.labels, encoded.vectors, calibration, max_moments=max_moments, general=encoded.generality
    )
    return [replace(answer, asked=query) for answer, query in zip(answers, encoded.queries, strict=True)]


def answer_queries(
    indexed: Indexed,
    queries: list[str],
    vectors: NDArray[np.float32],
    calibration: Calibration,
    *,
    max_moments: int = 100,
    general: NDArray[np.float32] | None = None,
) -> list[Answer]:
    """Answers of one indexed video. vectors (Q, D), of unit length but for composed ones; general (Q,): see Encoded."""
    [answers] = answer_videos([indexed], queries, vectors, calibration, max_moments=max_moments, general=general)
    return answers


def answer_videos(
    videos: Sequence[Indexed],
    queries: list[str],
    vectors: NDArray[np.float32],
    calibration: Calibration,
    *,
    max_moments: int = 100,
    general: NDArray[np.float32] | None = None,
) -> list[list[Answer]]:
    """`answer_queries` for each of several indexed videos, at least one: the same answers, sooner."""
    prepared = [snippets_of(indexed.features, indexed.sample_fps) for indexed in videos]
    patterns = run_patterns(
        [Snippets(torch.from_numpy(x), torch.from_numpy(time.is_cut), time.spacing_s) for x, time in prepared],
        torch.from_numpy(vectors),
        torch.from_numpy(calibration.bank),
        affinity_config=AFFINITY,
        config=PATTERN,
    )
    found = []
    for indexed, (features, timeline), pattern in zip(videos, prepared, patterns, strict=True):
        scores = calibration.relevance(vectors, vectors @ features.T, general)
        found.append(_answers(indexed, queries, timeline, pattern, scores, max_moments))
    return found


def _answers(
    indexed: Indexed,
    queries: list[str],
    timeline: Timeline,
    pattern: Pattern,
    scores: NDArray[np.float64],
    max_moments: int,
) -> list[Answer]:
    """One answer per query. scores (Q,): relevance."""
    cuts_s = tuple(float(cut_s) for cut_s in timeline.cut_s[1:][timeline.is_cut])
    answers = []
    for i, query in enumerate(queries):
        moments = _ranked(pattern, i, timeline, float(scores[i]))[:max_moments]
        answers.append(
            Answer(
                info=indexed.info,
                video_id=indexed.video_id,
                duration_s=timeline.end_s,
                query=query,
                relevance=Relevance(float(scores[i]) if moments else 0.0, CUTOFF),
                moments=tuple(moments),
                times_s=timeline.starts_s,
                saliency=_saliency(pattern.affinity[i].numpy()),
                warnings=indexed.features.warnings,
                cuts_s=cuts_s,
            )
        )
    return answers


def _ranked(pattern: Pattern, index: int, timeline: Timeline, relevance: float) -> list[Moment]:
    """Moments best first. A moment's score is its own strength times the chance that the video answers at all."""
    v, evidence = pattern.v[index].double().numpy(), pattern.affinity[index].double().numpy()
    found = moments_of(v, evidence, timeline, DECODE)
    return [Moment(m.start_s, m.end_s, m.score * relevance, m.peak_s) for m, _ in found]


def _saliency(evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Affinity (T,) in [0, 1]; a half is where the active state begins to exist."""
    return np.asarray(1 / (1 + np.exp(-(evidence - PATTERN.threshold))), dtype=np.float32)
