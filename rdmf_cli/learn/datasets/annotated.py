"""A folder of features and annotations in the layout of QVHighlights → Examples, ready to train on.

Axes: T snippets, W windows, Q queries of one video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Words
from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.evaluation.highlights import CLIP_S
from rdmf_cli.feature_folder import Bank
from rdmf_cli.fusion.inputs import REACH_SHARE, snippet_inputs
from rdmf_cli.heads.decode import Timeline
from rdmf_cli.learn.datasets.annotations import Annotation, check_disjoint, read_annotations, split_by_video
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.datasets.features import FeatureFolders, FeatureSet, VideoRows
from rdmf_cli.progress import SILENT, Progress

Floats = NDArray[np.float64]
Rows = NDArray[np.float32]

_BANK_SIZE = 512  # training queries that stand in for a bank
_NULL_VIDEOS, _NULL_SNIPPETS = 64, 16  # what the null statistic is measured on where no bank tells it
_LEAST_QUERIES = 2


@dataclass(frozen=True)
class LayoutConfig:
    """Where a set lies. Paths as the caller resolved them."""

    features: Path  # the folder of folders
    train: Path  # JSON lines
    validation: Path | None = None  # None: a share of the training's videos
    validation_share: float = 0.2
    split_seed: int = 0
    folders: FeatureFolders = field(default_factory=FeatureFolders)
    allow_no_match: bool = True  # queries without a window teach the relevance
    with_features: bool = False  # fill Example.features and .words, for models of input = "features"


@dataclass(frozen=True, eq=False)
class MomentData:
    """Both sides of a split, without a video in common."""

    train: list[Example]
    validation: list[Example]
    bank: Bank
    num_dims: int  # E of Example.features; of the shared space where there are none


def load_layout(
    config: LayoutConfig, *, encoder: str = "", feature_dim: int | None = None, progress: Progress = SILENT
) -> MomentData:
    """Read a set whole. Memory: 4 · T · len(INPUT_NAMES) bytes a query, and 2 · T · E a video `with_features`.

    Parameters
    ----------
    encoder
        Fingerprint of the encoder that a model to be tuned further was made for; "": any.
    feature_dim
        E that such a model takes, if it looks at features.

    Raises
    ------
    UsageError
        Anything wrong with the files or in them, by name and line.
    ModelError
        The features are sound, but not those of the model.
    """
    annotations = read_annotations(config.train, allow_no_match=config.allow_no_match)
    if config.validation is None:
        train, validation = split_by_video(annotations, config.validation_share, config.split_seed)
    else:
        train = annotations
        validation = read_annotations(config.validation, allow_no_match=config.allow_no_match)
        check_disjoint(train, validation)
    features = FeatureSet(config.features, config.folders, concatenate=config.with_features, encoder=encoder)
    bank = features.bank or measured_bank(features, train)
    examples = [load_examples(features, side, bank, progress) for side in (train, validation)]
    if feature_dim is not None and features.num_dims != feature_dim:
        raise ModelError(
            f"{config.features}: the features have {features.num_dims} dimensions, the model takes {feature_dim}",
            hint="rdmf extract --encoder NAME with the encoder of the model, and the same 'more' folders",
        )
    return MomentData(examples[0], examples[1], bank, features.num_dims)


def load_examples(
    features: FeatureSet, annotations: Sequence[Annotation], bank: Bank, progress: Progress = SILENT
) -> list[Example]:
    """An example for each annotation, in their order. Each video is read once. Raises UsageError, ModelError."""
    places: dict[str, list[int]] = {}
    for place, one in enumerate(annotations):
        places.setdefault(one.video, []).append(place)
    made: dict[int, Example] = {}
    progress.start("reading features", len(places), "videos")
    try:
        for video, numbers in places.items():
            asked = [annotations[number] for number in numbers]
            rows = features.video(video, asked[0].line)
            made |= zip(numbers, _examples(features, rows, asked, bank), strict=True)
            progress.advance(1)
    finally:
        progress.finish()
    return [made[place] for place in range(len(annotations))]


def measured_bank(features: FeatureSet, annotations: Sequence[Annotation]) -> Bank:
    """A bank of the training's own queries, for sets that come without one: up to 512 of them, evenly drawn.

    The null statistic is measured on the snippets of up to 64 videos with the queries of the others.
    """
    texts = {one.query: one for one in reversed(annotations)}
    chosen = [texts[text] for text in _evenly(sorted(texts), _BANK_SIZE)]
    words = [features.query(one.query_id, one.line) for one in chosen]
    vectors, reach = _stacked(words)
    if len(vectors) < _LEAST_QUERIES:
        raise UsageError(
            f"{annotations[0].line.file}: one query alone tells nothing of what is ordinary",
            hint="more queries, or a folder that 'rdmf extract' wrote: it has background queries",
        )
    videos = {one.video: one for one in reversed(annotations)}
    statistics = []
    for video in _evenly(sorted(videos), _NULL_VIDEOS):
        rows = features.video(video, videos[video].line).features
        shown = rows[np.linspace(0, len(rows) - 1, min(_NULL_SNIPPETS, len(rows))).astype(np.int64)]
        others = np.array([one.video != video for one in chosen])
        statistics.append((vectors @ shown.T - REACH_SHARE * reach[:, None])[others].ravel())
    null = np.concatenate(statistics) if any(map(len, statistics)) else np.zeros(1)
    return Bank(vectors, float(null.mean()), max(float(null.std()), 1e-4))


def _stacked(words: Sequence[Words]) -> tuple[Rows, Rows]:
    """(N, D) vectors and (N,) reaches."""
    return np.stack([one.vector for one in words]), np.array([one.reach for one in words], np.float32)


def edges_s(timeline: Timeline) -> Floats:
    """(T+1,) where snippets begin and end in seconds, the first at 0, as heads/moment_decode.py's `seconds` has them.

    A cut lies between two edges where the frames show it, not on one: that is how a search decodes and snaps, too.
    """
    edges = np.append(timeline.starts_s, timeline.end_s)
    edges[0] = 0.0
    return edges


def in_snippets(times_s: Floats, edges: Floats) -> Floats:
    """Times of any shape as positions along the snippets, in [0, T]: linear between the edges (T+1,)."""
    return np.interp(times_s, edges, np.arange(len(edges)))


def snippet_saliency(annotation: Annotation, edges: Floats) -> Rows:
    """(T,) in [0, 1]: mean label of the clips under each snippet, or without labels the share that windows cover.

    Where labels say nothing of most of a snippet, past the last whole clip, it is nan.
    """
    if annotation.saliency is None:
        borders = np.unique(np.concatenate([[0.0, edges[-1]], annotation.windows_s.ravel()]))
        middles = (borders[1:] + borders[:-1]) / 2
        inside = (annotation.windows_s[:, 0, None] <= middles) & (middles < annotation.windows_s[:, 1, None])
        values = inside.any(axis=0).astype(np.float64)
    else:
        borders, values = np.arange(len(annotation.saliency) + 1) * CLIP_S, annotation.saliency
    widths = np.maximum(np.diff(edges), 1e-9)
    sums = np.concatenate([[0.0], np.cumsum(values * np.diff(borders))])
    known = np.diff(edges.clip(borders[0], borders[-1]))  # s of each snippet
    means = np.diff(np.interp(edges, borders, sums)) / np.maximum(known, 1e-9)
    return np.where(known >= widths / 2, means.clip(0, 1), np.nan).astype(np.float32)


def _examples(features: FeatureSet, rows: VideoRows, asked: list[Annotation], bank: Bank) -> list[Example]:
    """All annotations of one video."""
    words, reach = _stacked([features.query(one.query_id, one.line) for one in asked])
    timeline, edges = rows.timeline, edges_s(rows.timeline)
    inputs = snippet_inputs(
        torch.from_numpy(rows.features),
        torch.from_numpy(words),
        torch.from_numpy(bank.vectors),
        torch.from_numpy(timeline.is_cut),
        timeline.spacing_s,
        null_mean=bank.null_mean,
        null_spread=bank.null_spread,
        reach=torch.from_numpy(reach),
    )
    cut_at = np.interp(timeline.cut_s[1:], edges, np.arange(len(edges))).astype(np.float32)  # nan stays nan
    found = []
    for place, one in enumerate(asked):
        rows.check_duration(one.line, one.duration_s)
        found.append(
            Example(
                name=one.query_id,
                values=inputs.values[place].numpy(),
                query=inputs.query[place].numpy(),
                distance=inputs.distance.numpy(),
                is_cut=timeline.is_cut,
                spacing_s=timeline.spacing_s,
                windows=_windows(one, edges),
                saliency=snippet_saliency(one, edges),
                features=rows.all_features,
                words=None if rows.all_features is None else _beside(words[place], rows.all_features.shape[1]),
                text=one.query,
                cut_at=cut_at,
            )
        )
    return found


def _windows(one: Annotation, edges: Floats) -> Rows:
    """(W, 2) in snippets. Raises UsageError for a window after the last of them."""
    windows = in_snippets(one.windows_s, edges)
    for (start_s, end_s), (start, end) in zip(one.windows_s.tolist(), windows.tolist(), strict=True):
        if end - start < 1e-6:
            raise one.line.error(
                f"the window [{start_s:g}, {end_s:g}] is outside the video, which ends at {edges[-1]:g} s"
            )
    return windows.astype(np.float32)


def _beside(words: Rows, num_dims: int) -> NDArray[np.float16]:
    """The query (D,) as (E,): zeros beside what is set behind the shared space, about which words say nothing."""
    return np.pad(words, (0, num_dims - len(words))).astype(np.float16)


def _evenly(items: list[str], most: int) -> list[str]:
    """At most that many of them, evenly spaced."""
    if len(items) <= most:
        return items
    return [items[place] for place in np.linspace(0, len(items) - 1, most).astype(np.int64)]
