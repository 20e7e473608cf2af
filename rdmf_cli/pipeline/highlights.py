"""Videos → what stands out in them: no query, the same features."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import VideoError
from rdmf_cli.fusion.standout import Candidate, StandoutConfig, candidates, choose, saliency
from rdmf_cli.heads.decode import Timeline
from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.pipeline.answer import Answer, Failure, Outcome, SearchOptions, answer_to_json
from rdmf_cli.pipeline.index import Indexed, index_video
from rdmf_cli.pipeline.snippets import snippets_of
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store

SCHEMA = "rdmf.highlights/1"
CONFIG = StandoutConfig()
SHORTEST_S = 1.0  # of a highlight, unless less is asked for in all
_ROUNDS = (1.0, 0.5, 0.25)  # of the clip's length: shorter ones fill what the longer ones leave


def highlights(
    videos: list[Path],
    *,
    length_s: float,
    clip_s: float,
    encoder: Encoder,
    store: Store | None,
    options: SearchOptions,
    progress: Progress = SILENT,
) -> Outcome:
    """The highlights of all `videos` together, `length_s` in all, each at most `clip_s` long.

    One answer per video, without a query and without relevance to one; its moments are best first. Where the videos
    are shorter than `length_s`, all that is long enough to be shown comes. A video that can't be read is listed in
    `failures`; if it is the only one its VideoError is raised.
    """
    started = time.perf_counter()
    outcome = Outcome()
    rounds: list[list[Candidate]] = [[] for _ in _ROUNDS]
    for video in videos:
        try:
            indexed = index_video(video, encoder=encoder, store=store, options=options, progress=progress)
        except VideoError as error:
            if len(videos) == 1:
                raise
            outcome.failures.append(Failure(str(video), str(error), error.hint, error.exit_code))
            continue
        began = time.perf_counter()
        answer, mine = _weighed(indexed, len(outcome.answers), min(clip_s, length_s))
        outcome.answers.append(answer)
        for whole, part in zip(rounds, mine, strict=True):
            whole += part
        timings = outcome.timings
        timings.probe_s += indexed.timings.probe_s
        timings.decode_s += indexed.timings.decode_s
        timings.encode_s += indexed.timings.encode_s
        timings.fusion_s += time.perf_counter() - began
    moments = _fitted(_chosen(rounds, length_s), length_s)
    outcome.answers = [
        replace(answer, moments=tuple(sorted(moments.get(place, []), key=lambda moment: -moment.score)))
        for place, answer in enumerate(outcome.answers)
    ]
    outcome.timings.total_s = time.perf_counter() - started
    return outcome


def highlight_to_json(answer: Answer) -> dict[str, Any]:
    """One entry of `results`: as of a search, but without a query there is no relevance to one."""
    entry = answer_to_json(answer)
    if not answer.query:
        entry["query"] = None
        entry["relevance"] = None
    return entry


def _weighed(indexed: Indexed, place: int, clip_s: float) -> tuple[Answer, list[list[Candidate]]]:
    features, timeline = snippets_of(indexed.features, indexed.sample_fps)
    rows = features.astype(np.float64)
    values = saliency(rows, timeline.is_cut, timeline.spacing_s, CONFIG)
    answer = Answer(
        info=indexed.info,
        video_id=indexed.video_id,
        duration_s=timeline.end_s,
        query="",
        relevance=Relevance(1.0, 0.0),
        moments=(),
        times_s=timeline.starts_s,
        saliency=values.astype(np.float32),
        warnings=indexed.features.warnings,
    )
    borders = _borders(timeline)
    lengths_s = [max(clip_s * share, min(SHORTEST_S, clip_s)) for share in _ROUNDS]
    return answer, [candidates(place, rows, values, timeline.starts_s, borders, length_s) for length_s in lengths_s]


def _chosen(rounds: list[list[Candidate]], length_s: float) -> list[Candidate]:
    chosen: list[Candidate] = []
    for found in rounds:
        left_s = length_s - sum(one.end_s - one.start_s for one in chosen)
        if left_s < SHORTEST_S and chosen:
            break
        chosen += choose(found, left_s, CONFIG, tuple(chosen))
    return chosen


def _borders(timeline: Timeline) -> list[float]:
    cuts = timeline.cut_s[~np.isnan(timeline.cut_s)].tolist()
    return [0.0, *(cut for cut in cuts if 0 < cut < timeline.end_s), timeline.end_s]


def _fitted(chosen: list[Candidate], length_s: float) -> dict[int, list[Moment]]:
    """Moments of each video; what is too long for the rest of `length_s` is shortened, what is too short left out."""
    moments: dict[int, list[Moment]] = {}
    left_s = length_s
    for one in chosen:
        take_s = min(one.end_s - one.start_s, left_s)
        if take_s < min(SHORTEST_S, length_s) - 1e-9 and take_s < one.end_s - one.start_s:
            break
        start_s = min(max(one.start_s, one.peak_s - take_s / 2), one.end_s - take_s)
        peak_s = min(max(one.peak_s, start_s), start_s + take_s)
        moments.setdefault(one.source, []).append(Moment(start_s, start_s + take_s, one.score, peak_s))
        left_s -= take_s
    return moments
