"""The photos of ../shared/data as a table, and the crops that training sees.

A crop is a function of (photo, round) only: every stage of the recipe, and a resumed run, sees the same pixels.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

SIZE_PX = 224  # what the classifiers read; the student works at the same grid so that activations line up


@dataclass(frozen=True)
class Photo:
    """One row of manifest.jsonl.gz; `index` is its line number and the seed of its crops."""

    index: int
    shard: str
    name: str
    label: str | None
    captions: tuple[str, ...]
    split: str


def read_manifest(folder: Path) -> list[Photo]:
    with gzip.open(folder / "manifest.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [
        Photo(i, r["shard"], r["name"], r["label"], tuple(r["captions"] or ()), r["split"]) for i, r in enumerate(rows)
    ]


class PhotoReader:
    """Opens photos from the zip shards; keeps the shards open."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._zips: dict[str, zipfile.ZipFile] = {}

    def open(self, photo: Photo) -> Image.Image:
        if photo.shard not in self._zips:
            self._zips[photo.shard] = zipfile.ZipFile(self.folder / photo.shard)
        data = self._zips[photo.shard].read(photo.name)
        return Image.open(io.BytesIO(data)).convert("RGB")


def whole(image: Image.Image) -> np.ndarray:
    """The whole picture squashed to a square: (224, 224, 3) uint8. What `rdmf search` feeds the tower."""
    return np.asarray(image.resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR))


def random_crop(image: Image.Image, rng: np.random.Generator) -> np.ndarray:
    """An augmented view: 35-100 % of the area (a fifth of the views whole), flips, light, blur: (224, 224, 3) uint8.

    Whole squashed views are frequent because that is how video frames arrive.
    """
    width, height = image.size
    if rng.random() > 0.2:
        area = rng.uniform(0.35, 1.0) * width * height
        aspect = width / height * np.exp(rng.uniform(-0.35, 0.35))
        crop_w = min(width, round((area * aspect) ** 0.5))
        crop_h = min(height, round((area / aspect) ** 0.5))
        left, top = rng.integers(0, width - crop_w + 1), rng.integers(0, height - crop_h + 1)
        box = (int(left), int(top), int(left + crop_w), int(top + crop_h))
    else:
        box = (0, 0, width, height)
    view = image.resize((SIZE_PX, SIZE_PX), Image.Resampling.BILINEAR, box=box)
    if rng.random() < 0.5:
        view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if rng.random() < 0.5:
        view = ImageEnhance.Brightness(view).enhance(rng.uniform(0.7, 1.3))
        view = ImageEnhance.Color(view).enhance(rng.uniform(0.6, 1.3))
    if rng.random() < 0.15:
        view = view.filter(ImageFilter.GaussianBlur(rng.uniform(0.5, 2.0)))
    return np.asarray(view)


def crop_of(reader: PhotoReader, photo: Photo, round_index: int) -> np.ndarray:
    """The view of `photo` in round `round_index`; dev and test photos are never augmented."""
    image = reader.open(photo)
    if photo.split != "train":
        return whole(image)
    return random_crop(image, np.random.default_rng([photo.index, round_index]))
