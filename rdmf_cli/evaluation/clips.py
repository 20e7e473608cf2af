"""Protocols with one score per clip: TVSum and YouTube Highlights, mAP by domain."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.evaluation.bootstrap import Statistic, means
from rdmf_cli.evaluation.formats import Clips, read_clip_labels, read_clip_scores
from rdmf_cli.evaluation.highlights import domain_means, tvsum_precision, youtube_precision
from rdmf_cli.evaluation.lines import Line
from rdmf_cli.evaluation.matching import pair
from rdmf_cli.evaluation.options import Options
from rdmf_cli.evaluation.report import Evaluation, rounded

Floats = NDArray[np.float64]


def evaluate_clips(predictions: Path, truth: Path, options: Options) -> Evaluation:
    """{domain: mAP, ..., "AVG": their mean}, percent with three decimals, as published."""
    is_youtube = options.protocol == "youtube"
    truths = read_clip_labels(truth, one_annotator=is_youtube)
    scores = read_clip_scores(predictions)
    pairs, notes = pair(_keyed(scores), _keyed(truths), common=options.common)
    values = np.array([_precision(one, true, is_youtube) for one, true in pairs])
    domains = [true.domain for _, true in pairs]
    # Rounded as a fraction, as the originals do: 0.858125 becomes 85.813.
    document = {name: rounded(100 * rounded(value, 5), 3) for name, value in domain_means(values, domains).items()}
    tied = sum(_has_ties(one.values, None if is_youtube else 5) for one, _ in pairs)
    if tied:
        notes.append(f"{tied} of {len(pairs)} videos have tied scores that count: the earlier clip goes first")
    counts = {name: domains.count(name) for name in sorted(set(domains))}
    return Evaluation(
        document=document,
        brief=dict(document),
        statistic=_by_domain(values, domains),
        keys=[true.key for _, true in pairs],
        counts=counts,
        groups=counts,
        unit="videos",
        decimals=3,
        notes=notes,
    )


def _keyed(entries: list[Clips]) -> list[tuple[Hashable, Line, Clips]]:
    return [(f"vid {one.key}", one.line, one) for one in entries]


def _precision(one: Clips, true: Clips, is_youtube: bool) -> float:
    if len(one.values) != len(true.values):
        raise one.line.error(f"{len(one.values)} scores for the {len(true.values)} clips of {true.key}")
    return youtube_precision(one.values, true.values[:, 0]) if is_youtube else tvsum_precision(one.values, true.values)


def _has_ties(scores: Floats, top: int | None) -> bool:
    """Whether the order among equal scores can matter: anywhere, or for which clips are the `top` best and how."""
    best = np.sort(scores)[::-1][: None if top is None else top + 1]
    return bool((np.diff(best) == 0).any())


def _by_domain(values: Floats, domains: list[str]) -> Statistic:
    """Each domain's mean and the mean of those; NaN where a resample has no video of a domain."""
    names = np.array(domains)
    columns = [np.where(names == name, values, np.nan) for name in sorted(set(domains))]
    each = means(np.stack(columns, axis=1))

    def statistic(weights: Floats) -> Floats:
        found = each(weights)
        return np.concatenate([found, found.mean(axis=1, keepdims=True)], axis=1)

    return statistic
