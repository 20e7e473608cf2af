"""Composite videos: photos under a moving camera, through a real encoder, joined to timelines with known queries.

What costs is the encoder, so pixels are made once per photo: a few views along one path of the camera (pan, zoom,
shake, light). A shot sees a part of that path; frames between two views are taken between their features, and move as
features of real frames do (rendering.py). So one photo serves in many videos, and a video costs no frame. Real clips
serve as well: their frames in order are their views.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from rdmf_cli.encoders.base import Encoder, reach_of
from rdmf_cli.learn.synthetic.layouts import Floats
from rdmf_cli.learn.synthetic.timelines import GroupBank, Null, TimelineConfig

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels

# For pictures of an encoder that has seen the photos in its own training, which makes it look better on them than it
# is on anything else: each picture has another one mixed into it.
SEEN = TimelineConfig(confusion=(0.5, 2.4), sharpened_real=0.2)
HELD_OUT = TimelineConfig(near_query=0.35)  # what the encoder has not seen, as it is


@dataclass(frozen=True)
class CameraConfig:
    """How a photo is filmed. Areas are shares of the photo's."""

    views: int = 4
    area: tuple[float, float] = (0.45, 1.0)  # at the start and at the end of the path
    whole: float = 0.3  # share of paths that begin with the whole photo
    shake: float = 0.02  # of each view, as a share of the photo's sides
    light: float = 0.15  # change of brightness and colour along the path
    blur: float = 0.1  # share of views that are blurred


@dataclass(frozen=True, eq=False)
class Source:
    """One photo or clip with what it shows. `of` names what other sources may show as well (a class), or is empty."""

    views: Floats  # (V, D) unit length
    texts: tuple[str, ...]
    of: str = ""


def camera_path(rng: np.random.Generator, size: tuple[int, int], config: CameraConfig) -> list[Box]:
    """One box for each view, from one place of a photo of `size` (width, height) to another, inside it."""
    start, end = (_box(rng, size, config) for _ in range(2))
    if rng.random() < config.whole:
        start = (0.0, 0.0, float(size[0]), float(size[1]))
    boxes = []
    for share in np.linspace(0, 1, config.views):
        box = (1 - share) * np.array(start) + share * np.array(end)
        shift = rng.normal(0, config.shake, 2) * size
        box += np.tile(shift, 2)
        low, high = np.zeros(4), np.tile(np.array(size, np.float64), 2)
        boxes.append(tuple(float(value) for value in np.clip(box, low, high)))
    return [(left, top, max(right, left + 1), max(bottom, top + 1)) for left, top, right, bottom in boxes]


def _box(rng: np.random.Generator, size: tuple[int, int], config: CameraConfig) -> Box:
    side = float(np.sqrt(rng.uniform(*config.area)))
    width, height = side * size[0], side * size[1]
    left, top = rng.uniform(0, size[0] - width), rng.uniform(0, size[1] - height)
    return (left, top, left + width, top + height)


def film(image: Image.Image, encoder: Encoder, seed: Sequence[int], config: CameraConfig) -> NDArray[np.uint8]:
    """Frames of a photo, (V, H, W, 3) RGB, at the size that the encoder wants. A function of photo, seed and config."""
    rng = np.random.default_rng(list(seed))
    height, width = encoder.frame_size_px(*image.size)
    light = 1 + rng.uniform(-config.light, config.light, size=(2, 2))  # (start or end, brightness or colour)
    frames = []
    for share, box in zip(np.linspace(0, 1, config.views), camera_path(rng, image.size, config), strict=True):
        view = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
        brightness, colour = (1 - share) * light[0] + share * light[1]
        view = ImageEnhance.Color(ImageEnhance.Brightness(view).enhance(brightness)).enhance(colour)
        if rng.random() < config.blur:
            view = view.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.5, 1.5))))
        frames.append(np.asarray(view))
    return np.stack(frames)


def encode_films(films: Sequence[NDArray[np.uint8]], encoder: Encoder) -> Floats:
    """Frames of several photos (each (V, H, W, 3)) → (N, V, D). Frames of one size go to the encoder together."""
    result = np.zeros((len(films), len(films[0]), encoder.dim), np.float32)
    by_size: dict[tuple[int, ...], list[int]] = {}
    for i, frames in enumerate(films):
        by_size.setdefault(frames.shape, []).append(i)
    for rows in by_size.values():
        encoded = encoder.encode_images(np.concatenate([films[i] for i in rows]))
        result[rows] = encoded.reshape(len(rows), -1, encoder.dim)
    return result


def black_frame(encoder: Encoder) -> Floats:
    """(D,) the vector of a black frame of 16:9."""
    return np.asarray(encoder.encode_images(np.zeros((1, *encoder.frame_size_px(640, 360), 3), np.uint8))[0])


def composite_bank(sources: Sequence[Source], encoder: Encoder, null: Null) -> GroupBank:
    """A group bank of real pictures: each captioned source is a group, all sources of one class are one.

    Its timelines are composite videos. null: the encoder's calibration, as a search uses it.
    """
    groups: dict[str, list[int]] = {}
    for i, source in enumerate(sources):
        groups.setdefault(source.of or f"source {i}", []).append(i)
    texts: list[str] = []
    text_group: list[int] = []
    labels: list[bool] = []
    view_group = np.zeros(len(sources), np.int64)
    for number, members in enumerate(groups.values()):
        own = dict.fromkeys(text for i in members for text in sources[i].texts)
        texts += own
        text_group += [number] * len(own)
        view_group[members] = number
        labels.append(bool(sources[members[0]].of))
    views = np.stack([source.views for source in sources])
    vectors = encoder.encode_texts(texts)
    return GroupBank(
        texts=vectors,
        text_group=np.asarray(text_group, np.int64),
        sentences=tuple(texts),
        views=views,
        view_group=view_group,
        is_label=np.asarray(labels, bool),
        of_words=False,
        black=black_frame(encoder),
        null=null,
        reach=reach_of(encoder, vectors),
    )


def label_texts(label: str) -> tuple[str, ...]:
    """Ways to ask for a class."""
    article = "an" if label[:1].lower() in "aeiou" else "a"
    return (label, f"{article} {label}", f"a picture of {article} {label}", f"{article} {label} is seen")
