"""Videos and queries → answers: the whole line from file to moments."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.pipeline.answer import Answer, Failure, Outcome, SearchOptions
from rdmf_cli.pipeline.calibration import calibrate
from rdmf_cli.pipeline.index import index_video
from rdmf_cli.pipeline.modes import PATTERN_MODE, Mode
from rdmf_cli.pipeline.query import Query, as_query, encode_queries
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store


def search_videos(
    videos: list[Path],
    queries: Sequence[str | Query],
    *,
    encoder: Encoder,
    store: Store | None,
    options: SearchOptions,
    mode: Mode = PATTERN_MODE,
    progress: Progress = SILENT,
    on_answer: Callable[[Answer], None] | None = None,
) -> Outcome:
    """Answer every query on every video, video by video in the order given.

    A video that can't be read is listed in `failures` and the others go on; if it is the only one its VideoError is
    raised. `on_answer` hears of each answer as soon as it is there. `mode`: fusion and head.
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
        [answers] = mode.answer(
            [indexed], encoded, calibration, max_moments=options.max_moments, explain=options.explain
        )
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
