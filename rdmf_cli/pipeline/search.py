"""Videos and queries → answers: the whole line from file to moments."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.fusion.affinity import AffinityConfig
from rdmf_cli.fusion.pattern import Pattern, PatternConfig, run_pattern
from rdmf_cli.heads.decode import DecodeConfig, Timeline, moments_of
from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.pipeline.answer import Answer, Failure, Outcome, SearchOptions
from rdmf_cli.pipeline.calibration import CUTOFF, Calibration, calibrate
from rdmf_cli.pipeline.index import Indexed, index_video
from rdmf_cli.pipeline.snippets import snippets_of
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store

AFFINITY = AffinityConfig()
PATTERN = PatternConfig()
DECODE = DecodeConfig()


def search_videos(
    videos: list[Path],
    queries: list[str],
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
    if not queries or not all(query.strip() for query in queries):
        raise UsageError("the query is empty", hint='say what to look for: rdmf search video.mp4 "a dog in the snow"')
    outcome = Outcome()
    vectors = encoder.encode_texts(queries)
    calibration = calibrate(encoder, store)
    for video in videos:
        try:
            indexed = index_video(video, encoder=encoder, store=store, options=options, progress=progress)
        except VideoError as error:
            if len(videos) == 1:
                raise
            outcome.failures.append(Failure(str(video), str(error), error.hint, error.exit_code))
            continue
        fusion_started = time.perf_counter()
        answers = answer_queries(indexed, queries, vectors, calibration, max_moments=options.max_moments)
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


def answer_queries(
    indexed: Indexed,
    queries: list[str],
    vectors: NDArray[np.float32],
    calibration: Calibration,
    *,
    max_moments: int = 100,
) -> list[Answer]:
    """Answers of one indexed video. vectors (Q, D), unit length."""
    features, timeline = snippets_of(indexed.features, indexed.sample_fps)
    pattern = run_pattern(
        torch.from_numpy(features),
        torch.from_numpy(vectors),
        torch.from_numpy(calibration.bank),
        torch.from_numpy(timeline.is_cut),
        timeline.spacing_s,
        affinity_config=AFFINITY,
        config=PATTERN,
    )
    scores = calibration.relevance(vectors, vectors @ features.T)
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
