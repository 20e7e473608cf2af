"""Simulated timelines: training examples made of vectors alone, without a single frame.

A group bank holds groups of vectors that mean the same: captions of one photo, or real pictures with their captions.
One member of a group is the query; shots are made of other members, seen through a made-up encoder (gap between texts
and pictures, strength, noise; drawn anew for each timeline, from hardly better than chance to better than CLIP), or of
the real pictures as they are. Every example is a function of the bank, the config, the seed and its number.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.fusion.inputs import snippet_inputs
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.synthetic.layouts import Floats, Layout, LayoutConfig, draw_layout
from rdmf_cli.learn.synthetic.rendering import MotionConfig, Palette, render, unit

Numbers = NDArray[np.int64]


@dataclass(frozen=True)
class TimelineConfig:
    """What timelines are made of; ranges are drawn from evenly."""

    layout: LayoutConfig = field(default_factory=LayoutConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    strength: tuple[float, float] = (0.15, 0.85)  # made-up encoders: share of what a picture shows in its vector
    sharpened: float = 0.5  # share of made-up encoders whose pictures come nearer to the mean of their group
    mean_cosine: tuple[float, float] = (0.0, 0.35)  # of a text and a picture that have nothing in common
    gap: tuple[float, float] = (0.25, 0.85)  # length of what all vectors of a kind share
    confusion: tuple[float, float] = (0.0, 0.0)  # real pictures: weight of another picture mixed into each
    sharpened_real: float = 0.0  # share of timelines of real pictures whose encoder is made better than it is
    topical: float = 0.45  # share of videos whose scenes are all near in topic
    near_query: float = 0.5  # share of queries without a match that are near in topic to what is seen
    label_share: float = 0.12  # share of queries for a class, if the bank has some
    most_alike: float = 0.6  # groups nearer than this (cosine of their means) may mean the same, and never meet
    most_alike_label: float = 0.45  # the same where the query names a class and not one picture
    bank_size: tuple[int, int] = (80, 300)  # background queries, as many as there are
    # Share of timelines that compare with ordinary queries, if the bank has some; else with captions.
    background_share: float = 0.6
    keep_features: bool = False  # for input = "features"; half precision, as the store keeps them


@dataclass(frozen=True, eq=False)
class Null:
    """What an encoder's relevance statistic is on pictures that do not answer, with the queries that told."""

    bank: Floats  # (M, D) unit length
    mean: float
    spread: float


@dataclass(frozen=True, eq=False)
class GroupBank:
    """G groups of texts and pictures that mean the same."""

    texts: Floats  # (M, D) unit length
    text_group: Numbers  # (M,) in [0, G); every group has one
    sentences: tuple[str, ...]  # (M,)
    views: Floats  # (N, V, D) unit length, V views of a picture along a camera's path; made of words: the texts, V = 1
    view_group: Numbers  # (N,); every group has one, of words at least two
    is_label: NDArray[np.bool_]  # (G,) the texts name a class, which other groups may show as well
    of_words: bool  # there are no pictures: `views` are `texts`, one for one
    background: Floats | None = None  # (B, D) ordinary queries
    black: Floats | None = None  # (D,) unit length: a black frame
    null: Null | None = None  # the encoder's own calibration, if it has one
    reach: Floats | None = None  # (M,) what the texts reach on ordinary photographs, if the encoder knows

    @cached_property
    def text_mean(self) -> Floats:
        """(D,) what all texts share."""
        return np.asarray(self.texts.mean(axis=0), np.float32)

    @cached_property
    def view_mean(self) -> Floats:
        """(D,) what all pictures share."""
        return np.asarray(self.views.mean(axis=(0, 1)), np.float32)

    @cached_property
    def view_length(self) -> float:
        """Mean length of a picture without what all share."""
        return float(np.linalg.norm(self.views - self.view_mean, axis=-1).mean())

    @cached_property
    def means(self) -> Floats:
        """(G, D) unit length: mean text of each group, without what all texts share."""
        sums = np.zeros((len(self.is_label), self.texts.shape[1]), np.float32)
        np.add.at(sums, self.text_group, unit(self.texts - self.text_mean))
        return unit(sums)

    @cached_property
    def texts_of(self) -> list[Numbers]:
        """Rows of `texts` for each group."""
        return _members(self.text_group, len(self.is_label))

    @cached_property
    def views_of(self) -> list[Numbers]:
        """Rows of `views` for each group."""
        return _members(self.view_group, len(self.is_label))

    @cached_property
    def palette(self) -> Palette:
        """Directions in which pictures of one thing differ: along the camera's path, else between any two."""
        rng = np.random.default_rng(0)
        if self.views.shape[1] > 1:
            moves = (self.views[:, 1:] - self.views[:, :-1]).reshape(-1, self.views.shape[2])
        else:
            moves = self.views[rng.permutation(len(self.views)), 0] - self.views[:, 0]
        moves = moves[rng.integers(0, len(moves), min(len(moves), 1000))]
        anything = np.asarray(rng.standard_normal(self.views.shape[2]), np.float32)
        others = self.views[rng.integers(0, len(self.views), min(len(self.views), 1000)), 0]
        return Palette(
            unit(moves),
            unit(others - self.view_mean),
            unit(anything if self.black is None else self.black - self.view_mean),
        )


def timeline_example(
    bank: GroupBank, real_s: Floats, config: TimelineConfig, seed: int, number: int, name: str
) -> Example:
    """Example `number` of a set. real_s (L,): lengths of annotated moments in seconds."""
    rng = np.random.default_rng([seed, number])
    layout = draw_layout(rng, config.layout, real_s)
    cast = _cast(rng, bank, layout, config)
    encoder = _real_encoder(rng, bank, config) if not bank.of_words else _made_up_encoder(rng, bank, config)
    known = {views: encoder.picture(rng, views) for views in dict.fromkeys(cast.pictures)}
    common = encoder.picture(rng, (cast.common,))[0]
    content = render(rng, layout, [known[views] for views in cast.pictures], common, bank.palette, config.motion)
    query = encoder.words(bank.texts[[cast.query]])
    return _example(
        f"{name}-{number:05d}-{layout.style.name}-{cast.match}",
        layout,
        encoder.lifted(content),
        query,
        _null(rng, bank, encoder, cast, config),
        None if bank.reach is None else bank.reach[[cast.query]],
        bank.sentences[cast.query],
        keep_features=config.keep_features,
    )


def _example(
    name: str,
    layout: Layout,
    features: Floats,
    query: Floats,
    null: Null,
    reach: Floats | None,
    text: str,
    *,
    keep_features: bool,
) -> Example:
    inputs = snippet_inputs(
        torch.from_numpy(features),
        torch.from_numpy(query),
        torch.from_numpy(null.bank),
        torch.from_numpy(layout.is_cut),
        layout.spacing_s,
        null_mean=null.mean,
        null_spread=null.spread,
        reach=None if reach is None else torch.from_numpy(reach),
    )
    return Example(
        name=name,
        values=inputs.values[0].numpy(),
        query=inputs.query[0].numpy(),
        distance=inputs.distance.numpy(),
        is_cut=layout.is_cut,
        spacing_s=layout.spacing_s,
        windows=layout.windows,
        saliency=layout.saliency(),
        features=features.astype(np.float16) if keep_features else None,
        words=query[0].astype(np.float16) if keep_features else None,
        text=text,
        cut_at=layout.cut_at,
    )


def _members(group: Numbers, count: int) -> list[Numbers]:
    order = np.argsort(group, kind="stable")
    return np.split(order, np.searchsorted(group[order], np.arange(1, count)))


# --- who plays which scene --------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Cast:
    query: int  # row of the bank's texts
    pictures: list[tuple[int, ...]]  # rows of the bank's views for each shot: one picture, or words from first to last
    common: int  # row of the picture that stands for what all frames share
    groups: Numbers  # that are seen or asked for
    match: str  # "match", or "near" or "far": how near the query is to what is seen


def _cast(rng: np.random.Generator, bank: GroupBank, layout: Layout, config: TimelineConfig) -> _Cast:
    """Groups for the scenes, pictures of them for the shots, and the query."""
    asks_label = bank.is_label.any() and rng.random() < config.label_share
    wanted = int(rng.choice(np.flatnonzero(bank.is_label))) if asks_label else int(rng.integers(len(bank.is_label)))
    num_scenes = max(shot.scene for shot in layout.shots) + 1
    is_topical = rng.random() < config.topical
    groups = np.concatenate([[wanted], _others(rng, bank, wanted, num_scenes - 1, config, near=is_topical)])
    match, asked = "match", wanted
    if not layout.matches:
        is_near = rng.random() < config.near_query
        match, asked = "near" if is_near else "far", _missing(rng, bank, groups, config, near=is_near)
    query = int(rng.choice(bank.texts_of[asked]))
    # The query's own vector is never one of the pictures.
    free = {int(g): [int(row) for row in bank.views_of[g] if not (bank.of_words and row == query)] for g in groups}
    main = [_picture(rng, bank, free[int(group)]) for group in groups]
    pictures = []
    takes: dict[tuple[int, int], tuple[int, ...]] = {}
    for shot in layout.shots:
        key = (shot.scene, shot.take)
        if key not in takes:
            again = shot.take == -1 or (shot.scene > 0 and rng.random() < 0.6)
            takes[key] = main[shot.scene] if again else _picture(rng, bank, free[int(groups[shot.scene])])
        pictures.append(takes[key])
    common = int(rng.choice(bank.views_of[int(rng.integers(len(bank.is_label)))]))
    return _Cast(query, pictures, common, np.append(groups, asked), match)


def _picture(rng: np.random.Generator, bank: GroupBank, free: list[int]) -> tuple[int, ...]:
    """A picture of those that are free; of words, the way from one to another, half the time."""
    first, last = (int(row) for row in rng.choice(free, 2))
    return (first, last) if bank.of_words and rng.random() < 0.5 else (first,)


def _limit(bank: GroupBank, groups: Numbers, config: TimelineConfig) -> NDArray[np.float64]:
    """How alike each of `groups` and another may be without meaning the same, (n,)."""
    return np.where(bank.is_label[groups], config.most_alike_label, config.most_alike)


def _others(
    rng: np.random.Generator, bank: GroupBank, wanted: int, count: int, config: TimelineConfig, *, near: bool
) -> Numbers:
    """`count` groups that do not mean the same as `wanted`: any, or those near in topic. Raises ValueError."""
    alike = bank.means @ bank.means[wanted]
    allowed = np.flatnonzero(
        alike < np.minimum(_limit(bank, np.array([wanted]), config), _limit(bank, _all(bank), config))
    )
    if near and len(allowed) > count:
        order = allowed[np.argsort(-alike[allowed])]
        allowed = order[: max(count, int(rng.integers(20, 200)))]
    if not len(allowed):
        raise ValueError("the bank has no two groups that mean something else")
    # Never more than half of them: a query that nothing answers needs a group that is not seen.
    pool = rng.choice(allowed, min(max(count, 1), max(len(allowed) // 2, 1)), replace=False)
    return np.asarray(pool if count == len(pool) else rng.choice(pool, count), np.int64)


def _missing(rng: np.random.Generator, bank: GroupBank, seen: Numbers, config: TimelineConfig, *, near: bool) -> int:
    """A group that none of the groups `seen` means."""
    alike = bank.means @ bank.means[seen].T  # (G, seen)
    limit = np.minimum(_limit(bank, _all(bank), config)[:, None], _limit(bank, seen, config))
    closest = alike.max(axis=1)
    closest[seen] = np.inf
    allowed = np.flatnonzero((alike < limit).all(axis=1) & np.isfinite(closest))
    if not len(allowed):
        return int(closest.argmin())
    return int(rng.choice(allowed[np.argsort(-closest[allowed])][:60] if near else allowed))


def _all(bank: GroupBank) -> Numbers:
    return np.arange(len(bank.is_label))


# --- encoders ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Encoder:
    """How a timeline's texts and pictures look: content + what all of a kind share."""

    bank: GroupBank
    text_gap: Floats | None  # (D,); None: texts are taken as they are
    view_gap: Floats  # (D,)
    text_scale: float  # length of the content beside the gap
    view_scale: float
    strength: float  # share of what a picture shows in its content; the rest is another picture's
    sharpening: float  # weight of the mean of its group

    def words(self, texts: Floats) -> Floats:
        """(n, D) vectors of texts."""
        if self.text_gap is None:
            return texts
        return unit(self.text_gap + self.text_scale * unit(texts - self.bank.text_mean))

    def picture(self, rng: np.random.Generator, rows: tuple[int, ...]) -> Floats:
        """(V, D) content of a picture of the bank, with what this encoder sees in it besides."""
        bank = self.bank
        content = unit(np.concatenate(bank.views[list(rows)]) - bank.view_mean)
        if self.sharpening:
            content = unit(content + self.sharpening * bank.means[bank.view_group[rows[0]]])
        besides = bank.views[rng.integers(0, len(bank.views), 3), 0] - bank.view_mean
        noise = unit(besides.sum(axis=0))
        return unit(self.strength * content + np.float32(np.sqrt(1 - self.strength**2)) * noise)

    def lifted(self, content: Floats) -> Floats:
        """(n, D) vectors of pictures from their content."""
        return unit(self.view_gap + self.view_scale * content)


def _real_encoder(rng: np.random.Generator, bank: GroupBank, config: TimelineConfig) -> _Encoder:
    """The bank's own encoder; with `confusion` a weaker one, sharpened a stronger one."""
    strength = 1 / float(np.hypot(1, rng.uniform(*config.confusion)))
    sharpening = float(rng.uniform(0, 1)) if rng.random() < config.sharpened_real else 0.0
    return _Encoder(bank, None, bank.view_mean, 1.0, bank.view_length, strength, sharpening)


def _made_up_encoder(rng: np.random.Generator, bank: GroupBank, config: TimelineConfig) -> _Encoder:
    """An encoder that nobody has: a modality gap, a strength, a mean cosine of what has nothing in common."""
    dim = bank.texts.shape[1]
    text_gap, view_gap = rng.uniform(*config.gap, size=2)
    cosine = min(float(rng.uniform(*config.mean_cosine)) / (text_gap * view_gap), 1.0)
    first, second = np.linalg.qr(rng.standard_normal((dim, 2)))[0].T.astype(np.float32)
    other = cosine * first + np.float32(np.sqrt(1 - cosine**2)) * second
    sharpening = rng.uniform(0, 1.5) if rng.random() < config.sharpened else 0.0
    return _Encoder(
        bank,
        np.float32(text_gap) * first,
        np.float32(view_gap) * other,
        float(np.sqrt(1 - text_gap**2)),
        float(np.sqrt(1 - view_gap**2)),
        float(rng.uniform(*config.strength)),
        float(sharpening),
    )


def _null(rng: np.random.Generator, bank: GroupBank, encoder: _Encoder, cast: _Cast, config: TimelineConfig) -> Null:
    """Background queries and what they reach on pictures of other things, as pipeline/calibration.py measures it."""
    count = int(rng.integers(config.bank_size[0], config.bank_size[1] + 1))
    if bank.null is not None:
        some = rng.permutation(len(bank.null.bank))[:count]
        return Null(bank.null.bank[np.sort(some)], bank.null.mean, bank.null.spread)
    if bank.background is not None and rng.random() < config.background_share:
        texts = bank.background[rng.permutation(len(bank.background))[:count]]
    else:
        free = np.flatnonzero(~np.isin(bank.text_group, cast.groups))
        texts = bank.texts[rng.choice(free, min(count, len(free)), replace=False)]
    queries = encoder.words(texts)
    unseen = np.flatnonzero(~np.isin(bank.view_group, cast.groups))
    rows = rng.choice(unseen, min(24, len(unseen)), replace=False)
    common = 0.4 * encoder.picture(rng, (int(rows[0]),))[0]
    pictures = encoder.lifted(unit(np.stack([encoder.picture(rng, (int(row),))[0] for row in rows]) + common))
    statistic = queries @ pictures.T
    return Null(queries, float(statistic.mean()), float(statistic.std()))
