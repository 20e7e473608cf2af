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

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.media.frames import Sampling, open_frames
from rdmf_cli.store import Store

VERSION = 1  # part of the cache's name: raise it when the bank or the statistic changes
CUTOFF = 0.5
_DEMO_SIZE = (640, 360)  # (width, height) of the demo video

# Probability that a video answers the query, from the statistic below in standard deviations above what background
# queries reach on unrelated pictures. Fitted on the development videos with the built-in encoder
# (benchmarks/accuracy.py --fit-relevance; docs/experiments.md).
_SLOPE = 1.033
MIDPOINT = 1.9

# The statistic is the mean of the best cosines less half of the query's mean cosine to the nearest background
# queries: a query that is near many sentences ("a person outdoors") is near many pictures too, whatever they show.
_BEST = 3
_GENERALITY_SHARE = 0.5
_NEAREST = 3
_SCENE_S = 5  # no scene of the demo video is as long
_SAME_QUERY = 0.999  # cosine from which two queries count as one


@dataclass(frozen=True)
class Calibration:
    """The bank of one encoder, and mean and spread of the statistic on pictures that do not answer."""

    bank: NDArray[np.float32]  # (M, D) unit length
    null_mean: float
    null_spread: float

    def relevance(
        self,
        queries: NDArray[np.float32],
        cosines: NDArray[np.float32],
        general: NDArray[np.float32] | None = None,
    ) -> NDArray[np.float64]:
        """Queries (Q, D), their cosines (Q, T) along a video → (Q,) probability in [0, 1] that it answers.

        general (Q,): their generality, where it is not simply that of the vector (pipeline/query.py).
        """
        best = np.sort(cosines, axis=1)[:, -_BEST:].mean(axis=1)
        statistic = best - _GENERALITY_SHARE * (generality(queries, self.bank) if general is None else general)
        deviations = (statistic - self.null_mean) / self.null_spread
        return np.asarray(1 / (1 + np.exp(-_SLOPE * (deviations - MIDPOINT))), dtype=np.float64)


def generality(queries: NDArray[np.float32], bank: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean cosine of each query (Q, D) to the nearest other queries of the bank (M, D) → (Q,).

    The query itself, if it is in the bank, is none of them: it would look general just for being ordinary.
    """
    cosines = queries @ bank.T
    nearest = np.sort(np.where(cosines > _SAME_QUERY, -1, cosines), axis=1)[:, -_NEAREST:]
    return np.asarray(nearest.mean(axis=1), dtype=np.float32)


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
    mean, spread = _null_statistic(bank, encoder)
    packed = np.concatenate([bank, np.zeros((1, encoder.dim), np.float32)])
    packed[-1, :2] = mean, spread
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
    return Calibration(packed[:-1], float(packed[-1, 0]), max(float(packed[-1, 1]), 1e-4))


def _null_statistic(bank: NDArray[np.float32], encoder: Encoder) -> tuple[float, float]:
    """Mean and spread of the statistic over background queries on unrelated pictures."""
    pictures = _demo_pictures(encoder)
    statistic = bank @ pictures.T - _GENERALITY_SHARE * generality(bank, bank)[:, None]  # (M, P)
    return float(statistic.mean()), float(statistic.std())


def _demo_frames(height_px: int, width_px: int) -> NDArray[np.uint8]:
    """One frame a second of the demo video, (P, H, W, 3)."""
    with as_file(files("rdmf_cli").joinpath("demo.mp4")) as path:
        source = open_frames(path, Sampling(1.0, height_px, width_px))
        return np.concatenate([batch.frames for batch in source.batches(16)])
