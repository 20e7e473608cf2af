"""Videos and a trained model → scored stretches (violence) or curves (valence, arousal)."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.errors import ModelError, VideoError
from rdmf_cli.model import AffectNetwork
from rdmf_cli.pipeline.answer import Answer, Failure, Outcome, SearchOptions
from rdmf_cli.pipeline.rating import Curve, answer_of
from rdmf_cli.pipeline.streams import Streamed, StreamTools, video_streams
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store
from rdmf_cli.windows import VideoStreams, over_time

_AT_ONCE = 256  # windows: bounds the memory, whatever the length of the video
Rate = Callable[[Path], list[Answer]]


def check_sources(network: AffectNetwork, tools: StreamTools) -> None:
    """Raises ModelError if a stream would be made by something else than the model was trained on."""
    for name, made in vars(tools.sources).items():
        known = getattr(network.config.sources, name)
        if made is None or known is None or (made.fingerprint, made.dim) == (known.fingerprint, known.dim):
            continue
        same = made.name == known.name
        what = f"another version of {known.name}" if same else f"{made.name}, not of {known.name}"
        hint = "train it again" if same or name != "image" else f"--encoder {known.name}, or train it again"
        raise ModelError(f"the model was not trained on these {name} features: they are of {what}", hint=hint)


def rate_windows(network: AffectNetwork, video: VideoStreams) -> NDArray[np.float32]:
    """(N, outputs) of every window: probabilities, or values in (-1, 1). A missing stream counts as not there."""
    dims, parts = network.config.sources.dims(), []
    for start in range(0, video.num_windows, _AT_ONCE):
        windows = np.arange(start, min(start + _AT_ONCE, video.num_windows))
        streams, valid = {}, {}
        for name in network.config.fusion.streams:
            if name in video.streams:
                rows, present = video.gather(name, windows)
            else:
                rows = np.zeros((len(windows), 1, dims[name]), np.float32)
                present = np.zeros((len(windows), 1), dtype=bool)
            streams[name], valid[name] = torch.from_numpy(rows), torch.from_numpy(present)
        parts.append(network.rate(streams, valid).numpy())
    return np.concatenate(parts)


def answers_of(network: AffectNetwork, streamed: Streamed, threshold: float) -> list[Answer]:
    """The answers of one video: for the positive class, or for each dimension, mapped from [-1, 1] to [0, 1]."""
    head = network.config.head
    times_s, scores = over_time(rate_windows(network, streamed.video), streamed.video)
    if head.task == "classification":
        curves = [Curve(head.outputs[-1], times_s, scores[:, -1])]
    else:
        curves = [Curve(name, times_s, np.float32(0.5) * (1 + scores[:, i])) for i, name in enumerate(head.outputs)]
    duration_s = streamed.video.duration_s
    return [
        answer_of(streamed.info, streamed.video_id, duration_s, curve, threshold, streamed.warnings) for curve in curves
    ]


def rate_videos(
    videos: list[Path],
    network: AffectNetwork,
    tools: StreamTools,
    *,
    store: Store | None,
    options: SearchOptions,
    threshold: float,
    progress: Progress = SILENT,
    on_answer: Callable[[Answer], None] | None = None,
) -> Outcome:
    """Rate every video. Failures are handled as a search does it. Raises ModelError for other features."""
    check_sources(network, tools)
    outcome = Outcome()

    def rate(video: Path) -> list[Answer]:
        streamed = video_streams(video, tools, store=store, options=options, progress=progress)
        for name in ("probe_s", "decode_s", "encode_s"):
            setattr(outcome.timings, name, getattr(outcome.timings, name) + getattr(streamed.timings, name))
        started = time.perf_counter()
        answers = answers_of(network, streamed, threshold)
        outcome.timings.fusion_s += time.perf_counter() - started
        return answers

    return rate_each(videos, rate, outcome, on_answer)


def rate_each(videos: list[Path], rate: Rate, outcome: Outcome, on_answer: Callable[[Answer], None] | None) -> Outcome:
    """Rate video by video; one that can't be read is a failure, and its error if it is the only one."""
    started = time.perf_counter()
    for video in videos:
        try:
            answers = rate(video)
        except VideoError as error:
            if len(videos) == 1:
                raise
            outcome.failures.append(Failure(str(video), str(error), error.hint, error.exit_code))
            continue
        outcome.answers += answers
        if on_answer:
            for answer in answers:
                on_answer(answer)
    outcome.timings.total_s = time.perf_counter() - started
    return outcome
