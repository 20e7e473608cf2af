"""What an encoder's cosines mean: the background bank, and how likely a video answers a query at all.

Built once per encoder from the background queries and the demo video's frames, and cached in the store. So the same
cut-off means the same for every encoder, and nothing is tuned per video or data set.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder, reach_of
from rdmf_cli.fusion.inputs import REACH_SHARE
from rdmf_cli.media.frames import Sampling, open_frames
from rdmf_cli.store import Store

VERSION = 2  # part of the cache's name: raise it when the bank, the statistic or what lite knows of reach changes
CUTOFF = 0.5
_DEMO_SIZE = (640, 360)  # (width, height) of the demo video

# Probability that a video answers the query, from the statistic below in standard deviations above what background
# queries reach on unrelated pictures. Fitted on the development videos with the built-in encoder
# (benchmarks/accuracy.py --fit-relevance; docs/experiments.md).
_SLOPE = 1.7
MIDPOINT = 1.9

# The statistic is the mean of the best cosines less a share of what the query reaches on ordinary photographs anyway:
# "people on a beach" is near many pictures, whatever they show (decision 15).
_BEST = 3
_SCENE_S = 5  # no scene of the demo video is as long


@dataclass(frozen=True)
class Calibration:
    """The bank of one encoder, and mean and spread of the statistic on pictures that do not answer."""

    bank: NDArray[np.float32]  # (M, D) unit length
    null_mean: float
    null_spread: float
    usual_reach: float = 0.0  # mean of what the background queries reach

    def relevance(self, cosines: NDArray[np.float32], reach: NDArray[np.float32]) -> NDArray[np.float64]:
        """Cosines (Q, T) of queries along a video, what each reaches anyway (Q,) → (Q,) chance that it answers."""
        best = np.sort(cosines, axis=1)[:, -_BEST:].mean(axis=1)
        deviations = (best - REACH_SHARE * reach - self.null_mean) / self.null_spread
        return np.asarray(1 / (1 + np.exp(-_SLOPE * (deviations - MIDPOINT))), dtype=np.float64)


@cache
def background_queries() -> tuple[str, ...]:
    """A few hundred ordinary queries, written for this project; fusion/background_queries.txt."""
    text = files("rdmf_cli").joinpath("fusion/background_queries.txt").read_text(encoding="utf-8")
    return tuple(line for line in text.splitlines() if line)


def calibrate(encoder: Encoder, store: Store | None) -> Calibration:
    """The calibration of `encoder`, from the store's cache if it is there."""
    name = f"calibration-{VERSION}-{encoder.fingerprint}"
    kept = store.load_array(name) if store else None
    if kept is not None and _is_usable(kept, encoder.dim):
        return _unpacked(kept)
    bank = encoder.encode_texts(list(background_queries()))
    reach = reach_of(encoder, bank)
    packed = np.concatenate([bank, np.zeros((1, encoder.dim), np.float32)])
    packed[-1, :3] = *_null_statistic(bank, reach, encoder), reach.mean()
    if store:
        store.save_array(name, packed)
    return _unpacked(packed)


def _is_usable(kept: NDArray[Any], dim: int) -> bool:
    """Has an array from the cache, which somebody else may have written, the shape and kind that we write?"""
    return _is_sound(kept, (len(background_queries()) + 1, dim))


def _is_sound(kept: NDArray[Any], shape: tuple[int, ...]) -> bool:
    return kept.shape == shape and kept.dtype == np.float32 and bool(np.isfinite(kept).all())


@dataclass(frozen=True, eq=False)
class PictureScale:
    """What products of two pictures mean to an encoder: measured between the scenes of the demo video."""

    mean: NDArray[np.float32]  # (D,) of all its pictures
    offset: float  # mean of (picture − mean) · another picture of another scene
    spread: float  # standard deviation of that
    unrelated: float  # mean cosine of pictures of different scenes


def picture_scale(encoder: Encoder, store: Store | None) -> PictureScale:
    """The scale of `encoder`, from the store's cache if it is there."""
    name = f"pictures-{VERSION}-{encoder.fingerprint}"
    pictures = store.load_array(name) if store else None
    wanted = None if pictures is None or pictures.ndim != 2 else (max(len(pictures), _SCENE_S + 1), encoder.dim)
    if pictures is None or wanted is None or not _is_sound(pictures, wanted):
        pictures = _demo_pictures(encoder)
        if store:
            store.save_array(name, pictures)
    return _scale_of(pictures)


def _scale_of(pictures: NDArray[np.float32]) -> PictureScale:
    """pictures (P, D), one a second. Those less than `_SCENE_S` apart may be of one scene and are not compared."""
    numbers = np.arange(len(pictures))
    apart = np.abs(numbers[:, None] - numbers) >= _SCENE_S
    mean = pictures.mean(axis=0)
    products, cosines = (pictures - mean) @ pictures.T, pictures @ pictures.T
    spread = max(float(products[apart].std()), 1e-4)
    return PictureScale(mean, float(products[apart].mean()), spread, float(cosines[apart].mean()))


def _demo_pictures(encoder: Encoder) -> NDArray[np.float32]:
    """The demo video's frames encoded, (P, D)."""
    return encoder.encode_images(_demo_frames(*encoder.frame_size_px(*_DEMO_SIZE)))


def _unpacked(packed: NDArray[np.float32]) -> Calibration:
    mean, spread, usual_reach = (float(value) for value in packed[-1, :3])
    return Calibration(packed[:-1], mean, max(spread, 1e-4), usual_reach)


def _null_statistic(bank: NDArray[np.float32], reach: NDArray[np.float32], encoder: Encoder) -> tuple[float, float]:
    """Mean and spread of the statistic over background queries (M, D), which reach (M,), on unrelated pictures."""
    pictures = _demo_pictures(encoder)
    statistic = bank @ pictures.T - REACH_SHARE * reach[:, None]  # (M, P)
    return float(statistic.mean()), float(statistic.std())


def _demo_frames(height_px: int, width_px: int) -> NDArray[np.uint8]:
    """One frame a second of the demo video, (P, H, W, 3)."""
    with as_file(files("rdmf_cli").joinpath("demo.mp4")) as path:
        source = open_frames(path, Sampling(1.0, height_px, width_px))
        return np.concatenate([batch.frames for batch in source.batches(16)])
