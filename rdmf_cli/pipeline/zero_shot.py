"""Rating by text prompts alone: sentences for the one end of a scale against sentences for the other. Nothing trained.

For each snippet the cosines to all prompts are taken in standard deviations from what ordinary sentences reach there
(fusion/affinity.py), the best ones of each end are averaged smoothly, and the score is a logistic curve of their
difference, smoothed over about two seconds. It says which sentences the picture is nearer to, and no more than that.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.fusion.affinity import against_bank
from rdmf_cli.pipeline.affect import rate_each
from rdmf_cli.pipeline.answer import Answer, Outcome, SearchOptions
from rdmf_cli.pipeline.calibration import calibrate
from rdmf_cli.pipeline.index import index_video
from rdmf_cli.pipeline.rating import Curve, answer_of
from rdmf_cli.pipeline.snippets import snippets_of
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store

NAME = "prompts"
_SLOPE = 1.0  # of the logistic curve, per standard deviation
_SMOOTH_S = 2.0  # about a window of the trained model


@dataclass(frozen=True)
class Scale:
    """What is rated, by sentences for both of its ends."""

    label: str
    high: tuple[str, ...]
    low: tuple[str, ...]
    shift: float = 0.0  # standard deviations that the high end must be ahead for a score of one half


# Neutral prompts are many and ordinary on purpose: violence must win against everyday life, not against one sentence.
VIOLENCE = Scale(
    "violence",
    high=(
        "two people fighting",
        "a man punching another man",
        "people hitting and kicking each other",
        "a violent attack on a person",
        "a brawl in the street",
    ),
    low=(
        "people walking",
        "people talking with each other",
        "a person sitting",
        "people doing sports",
        "a person working with their hands",
        "an animal",
        "a landscape without people",
        "a street with cars",
        "an object on a table",
        "an ordinary everyday scene",
    ),
    shift=1.0,
)
AFFECT = (
    Scale(
        "valence",
        high=("a happy smiling person", "people laughing together", "a joyful, cheerful scene", "a beautiful place"),
        low=("a sad crying person", "an angry person shouting", "a frightening, gloomy scene", "an ugly, dirty place"),
    ),
    Scale(
        "arousal",
        high=("an excited person", "fast, hectic action", "a wild crowd", "a person shouting and gesturing"),
        low=("a calm, relaxed person", "a still, quiet scene", "a sleepy, bored person", "nothing happens"),
    ),
)


def rate_by_prompts(
    videos: list[Path],
    scales: tuple[Scale, ...],
    *,
    encoder: Encoder,
    store: Store | None,
    options: SearchOptions,
    threshold: float,
    progress: Progress = SILENT,
    on_answer: Callable[[Answer], None] | None = None,
) -> Outcome:
    """Rate every video on every scale; the features are those of a search. Failures as a search handles them."""
    bank = calibrate(encoder, store).bank
    vectors = [(encoder.encode_texts(list(scale.high)), encoder.encode_texts(list(scale.low))) for scale in scales]
    outcome = Outcome()

    def rate(video: Path) -> list[Answer]:
        indexed = index_video(video, encoder=encoder, store=store, options=options, progress=progress)
        for name in ("probe_s", "decode_s", "encode_s"):
            setattr(outcome.timings, name, getattr(outcome.timings, name) + getattr(indexed.timings, name))
        started = time.perf_counter()
        features, timeline = snippets_of(indexed.features, indexed.sample_fps)
        answers = []
        for scale, (high, low) in zip(scales, vectors, strict=True):
            scores = smoothed(prompt_scores(features, high, low, bank, scale.shift), indexed.sample_fps)
            curve = Curve(scale.label, timeline.starts_s, scores)
            facts = indexed.info, indexed.video_id, timeline.end_s
            answers.append(answer_of(*facts, curve, threshold, indexed.features.warnings))
        outcome.timings.fusion_s += time.perf_counter() - started
        return answers

    return rate_each(videos, rate, outcome, on_answer)


def prompt_scores(
    features: NDArray[np.float32],
    high: NDArray[np.float32],
    low: NDArray[np.float32],
    bank: NDArray[np.float32],
    shift: float = 0.0,
) -> NDArray[np.float32]:
    """features (T, D), prompts (H, D) and (L, D), bank (M, D), all unit length → (T,) in (0, 1)."""
    pictures, ordinary = torch.from_numpy(features), torch.from_numpy(bank)
    bank_cosines = ordinary @ pictures.T
    ends = [against_bank(torch.from_numpy(end) @ pictures.T, bank_cosines) for end in (high, low)]
    # The smooth maximum, less what the number of prompts adds to it.
    best = [torch.logsumexp(end, dim=0) - np.log(len(end)) for end in ends]
    scores: NDArray[np.float32] = (_SLOPE * (best[0] - best[1] - shift)).sigmoid().numpy()
    return scores


def smoothed(scores: NDArray[np.float32], sample_fps: float) -> NDArray[np.float32]:
    """Running mean of scores (T,) over about two seconds; shorter at the ends."""
    width = max(1, round(_SMOOTH_S * sample_fps))
    kernel = np.ones(width)
    total = np.convolve(scores, kernel, mode="full")[(width - 1) // 2 :][: len(scores)]
    count = np.convolve(np.ones(len(scores)), kernel, mode="full")[(width - 1) // 2 :][: len(scores)]
    return (total / count).astype(np.float32)
