"""From a layout and the pictures of its shots to the features of a video, snippet by snippet.

Between two frames of one shot the feature of a real video moves a little, in bursts, and wanders off over seconds: an
AR(1) process along the directions in which pictures of the encoder differ. Other things come into the picture and go,
while what it is about stays. All frames of a video also have something
in common (place, light, camera, letterbox), which makes its scenes more alike than pictures from anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.learn.synthetic.layouts import Floats, Layout


@dataclass(frozen=True)
class MotionConfig:
    """Movement of features inside shots. Medians are those of the built-in encoder on the development videos.

    There neighbours at 2 a second lie 0.02 apart (cosine distance, median; 0.03 to 0.3 for the tenth that moves most),
    0.03 to 0.1 after 1 s and 0.1 after 4 s; scenes of one video have cosines of 0.4 to 0.9.
    """

    wander: float = 0.45  # length of the AR(1) noise beside a picture of length 1: median over videos
    wander_spread: float = 0.5  # of its logarithm, over videos
    shot_spread: float = 0.6  # of the logarithm of both kinds of noise, over the shots of a video
    memory_s: float = 2.5  # after which it has forgotten 63 %; median over shots
    jitter: float = 0.04  # noise of single frames; median over shots
    bursts: float = 0.7  # spread of the logarithm of how much single frames move
    distraction: tuple[float, float] = (0.0, 0.9)  # weight of what else comes and goes in a shot; drawn for each video
    distracted: float = 0.6  # share of shots with that
    still: float = 0.06  # share of shots in which nothing moves: slides, test cards
    static: float = 0.35  # share of shots whose camera does not move


@dataclass(frozen=True, eq=False)
class Palette:
    """What an encoder's pictures are like, for rendering. All without what every picture of the encoder shares."""

    directions: Floats  # (R, D) unit length: how pictures of one thing differ
    others: Floats  # (K, D) unit length: any pictures
    black: Floats  # (D,) unit length: a black frame


def unit(x: Floats) -> Floats:
    """x (..., D) scaled to length 1; zeros stay zeros."""
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9), np.float32)


def along(views: Floats, places: NDArray[np.float64]) -> Floats:
    """Points of a path: views (V, D) of unit length, places (n,) in [0, V - 1] → (n, D) of unit length."""
    if len(views) == 1:
        return np.repeat(views, len(places), axis=0)
    lower = np.minimum(places.astype(int), len(views) - 2)
    share = (places - lower)[:, None]
    return unit((1 - share) * views[lower] + share * views[lower + 1])


def render(
    rng: np.random.Generator,
    layout: Layout,
    pictures: list[Floats],
    common: Floats,
    palette: Palette,
    config: MotionConfig,
) -> Floats:
    """Content of the video's frames, (T, D) of unit length: features without what every picture of the encoder shares.

    pictures: one for each shot, (V, D) of unit length: views along its camera's path, of which a shot sees a part;
    common (D,): the picture that stands for what all frames of this video share.
    """
    shares, black = layout.shares()  # (T, shots), (T,)
    sameness = rng.uniform(*layout.style.sameness)
    wander = rng.lognormal(np.log(config.wander), config.wander_spread)
    distraction = rng.uniform(*config.distraction)
    mixed = np.zeros((layout.num_snippets, common.shape[-1]), np.float32)
    for i, views in enumerate(pictures):
        seen = np.flatnonzero(shares[:, i] > 0)
        if not len(seen):
            continue
        first, last = int(seen[0]), int(seen[-1]) + 1
        path = _camera(rng, views, last - first, config)
        path = unit(path + sameness * common)
        if rng.random() < config.distracted:
            other = palette.others[rng.integers(len(palette.others))]
            path = unit(path + distraction * _presence(rng, len(path), layout.spacing_s)[:, None] * other)
        path = path + _movement(rng, len(path), layout.spacing_s, wander, palette, config)
        mixed[first:last] += shares[first:last, i, None] * unit(path)
    # Added before the mix with black: a frame that is nearly black has little left of what it shows.
    result = (1 - black[:, None]) * mixed + black[:, None] * palette.black
    for flash in layout.flashes:
        result[flash] = unit(result[flash]) + rng.uniform(0.4, 1.2) * _noise(rng, palette, 1)[0]
    return unit(result)


def _camera(rng: np.random.Generator, views: Floats, count: int, config: MotionConfig) -> Floats:
    """(count, D) along the path of `views` (V, D), from one place of it to another."""
    if len(views) == 1:
        return np.repeat(views, count, axis=0)
    start, end = rng.random(2)
    if rng.random() < config.static:
        end = start
    return along(views, np.linspace(start, end, count) * (len(views) - 1))


def _presence(rng: np.random.Generator, count: int, spacing_s: float) -> Floats:
    """(count,) how much of something else is there: smooth, from 0 up to about 1."""
    period_s = rng.lognormal(np.log(8.0), 0.6)
    phase = 2 * np.pi * (np.arange(count) * spacing_s / period_s + rng.random())
    return np.asarray(np.maximum(0.0, np.sin(phase) + rng.uniform(-0.5, 0.5)) / 1.5, np.float32)


def _movement(
    rng: np.random.Generator, count: int, spacing_s: float, wander: float, palette: Palette, config: MotionConfig
) -> Floats:
    """(count, D) of AR(1) noise with the jitter of single frames."""
    if rng.random() < config.still:
        return np.zeros((count, palette.directions.shape[1]), np.float32)
    amount, jitter = rng.lognormal(np.log([wander, config.jitter]), config.shot_spread)
    keep = float(np.exp(-spacing_s / rng.lognormal(np.log(config.memory_s), 0.6)))
    steps = rng.standard_normal((count, _RANK)).astype(np.float32)
    steps *= rng.lognormal(-(config.bursts**2), config.bursts, (count, 1)).astype(np.float32)  # mean square 1
    state = rng.standard_normal(_RANK).astype(np.float32)
    walk = np.empty_like(steps)
    for t in range(count):
        state = state * keep + steps[t] * np.sqrt(1 - keep**2)
        walk[t] = state
    return np.asarray(amount * _noise(rng, palette, count, walk) + jitter * _noise(rng, palette, count), np.float32)


_RANK = 24  # directions that one shot moves along


def _noise(
    rng: np.random.Generator, palette: Palette, count: int, weights: NDArray[np.float32] | None = None
) -> Floats:
    """(count, D) of length about 1: half along the palette's directions, half along any."""
    directions = palette.directions[rng.integers(0, len(palette.directions), _RANK // 2)]
    anywhere = unit(rng.standard_normal((_RANK - _RANK // 2, directions.shape[1])).astype(np.float32))
    basis = np.concatenate([directions, anywhere])
    if weights is None:
        weights = rng.standard_normal((count, _RANK)).astype(np.float32)
    return np.asarray(weights @ basis / np.sqrt(_RANK), np.float32)
