"""From a layout and the pictures of its shots to the features of a video, snippet by snippet.

Between two frames of one shot the feature of a real video moves a little, in bursts, and wanders off over seconds: an
AR(1) process along the directions in which pictures of the encoder differ. All frames of a video also have something
in common (place, light, camera, letterbox), which makes its scenes more alike than pictures from anywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.learn.layouts import Floats, Layout


@dataclass(frozen=True)
class MotionConfig:
    """Movement of features inside shots. Medians are those of the built-in encoder on the development videos.

    There neighbours at 2 a second lie 0.02 apart (cosine distance, median; 0.03 to 0.3 for the tenth that moves most),
    0.03 to 0.1 after 1 s and 0.1 after 4 s; scenes of one video have cosines of 0.4 to 0.9.
    """

    wander: float = 0.35  # length of the AR(1) noise beside a picture of length 1: median over videos
    wander_spread: float = 0.55  # of its logarithm, over videos; and over shots, half of it
    memory_s: float = 3.0  # after which it has forgotten 63 %; median over shots
    jitter: float = 0.08  # noise of single frames
    burst: float = 0.07  # chance of a frame to move three times as much
    static: float = 0.35  # share of shots whose camera does not move


@dataclass(frozen=True, eq=False)
class Palette:
    """What an encoder's pictures are like, for rendering."""

    directions: Floats  # (R, D) unit length: how pictures of one thing differ
    black: Floats  # (D,) unit length: a black frame


def unit(x: Floats) -> Floats:
    """x (..., D) scaled to length 1; zeros stay zeros."""
    return np.asarray(x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9), np.float32)


def render(
    rng: np.random.Generator,
    layout: Layout,
    pictures: list[Floats],
    common: Floats,
    palette: Palette,
    config: MotionConfig,
) -> Floats:
    """Features of the video, (T, D) of unit length.

    pictures: one for each shot, (V, D): views along its camera's path, of which a shot sees a part; common (D,): the
    picture that stands for what all frames share.
    """
    shares, black = layout.shares()  # (T, shots), (T,)
    sameness = rng.uniform(*layout.style.sameness)
    wander = rng.lognormal(np.log(config.wander), config.wander_spread)
    mixed = np.zeros((layout.num_snippets, common.shape[-1]), np.float32)
    for i, views in enumerate(pictures):
        seen = np.flatnonzero(shares[:, i] > 0)
        if not len(seen):
            continue
        first, last = int(seen[0]), int(seen[-1]) + 1
        path = _camera(rng, views, last - first, config)
        path = unit(path + sameness * common)
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
    places = np.linspace(start, end, count) * (len(views) - 1)
    lower = np.minimum(places.astype(int), len(views) - 2)
    share = (places - lower)[:, None]
    return unit((1 - share) * views[lower] + share * views[lower + 1])


def _movement(
    rng: np.random.Generator, count: int, spacing_s: float, wander: float, palette: Palette, config: MotionConfig
) -> Floats:
    """(count, D) of AR(1) noise with the jitter of single frames."""
    amount = wander * rng.lognormal(0.0, config.wander_spread / 2)
    keep = float(np.exp(-spacing_s / rng.lognormal(np.log(config.memory_s), 0.6)))
    steps = rng.standard_normal((count, _RANK)).astype(np.float32)
    steps[rng.random(count) < config.burst] *= 3
    state = rng.standard_normal(_RANK).astype(np.float32)
    walk = np.empty_like(steps)
    for t in range(count):
        state = state * keep + steps[t] * np.sqrt(1 - keep**2)
        walk[t] = state
    return amount * _noise(rng, palette, count, walk) + config.jitter * _noise(rng, palette, count)


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
