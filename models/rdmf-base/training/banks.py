"""Banks of groups for the generators: captions, filmed photos, real CLIP pairs. What costs is kept on disk."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from photos import Photo, PhotoReader

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.learn.synthetic.composites import CameraConfig, Source, composite_bank, encode_films, film, label_texts
from rdmf_cli.learn.synthetic.timelines import Floats, GroupBank, Null
from rdmf_cli.pipeline.calibration import background_queries, calibrate
from rdmf_cli.store import Store

CHUNK = 100  # photos encoded between two writes
CAMERA = CameraConfig()


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    train: int = 16000
    composites: float = 0.4  # share of train
    validation: int = 600
    heldout: int = 400
    heldout_long: int = 200
    photos: int = 5000  # captioned train photos that are filmed
    labels: int = 100  # classes of train photos
    per_label: int = 8
    groups: int = 6000  # captioned train photos whose captions make timelines
    test_photos: int = 1000
    dev_photos: int = 500


SMALL = Sizes(400, 0.4, 60, 60, 6, 80, 4, 6, 150, 80, 60)


@dataclass
class Workshop:
    """What all sets share."""

    data: Path
    work: Path
    encoder: Encoder
    store: Store
    sizes: Sizes
    seed: int
    photos: list[Photo]  # in an order of their own, the same every time
    real_s: Floats  # lengths of annotated moments
    clips: Sequence[Source] = ()  # of real videos, for the composites of train
    with_features: bool = False  # examples keep the encoder's own features

    def some(self, split: str, count: int) -> list[Photo]:
        """The first `count` captioned photos of a split."""
        return [photo for photo in self.photos if photo.split == split and photo.captions][:count]

    def labelled(self) -> list[Photo]:
        """Train photos of the classes that have enough of them."""
        by_label: dict[str, list[Photo]] = {}
        for photo in self.photos:
            if photo.split == "train" and photo.label and not photo.captions:
                by_label.setdefault(photo.label, []).append(photo)
        many = [members for members in by_label.values() if len(members) >= self.sizes.per_label]
        return [photo for members in many[: self.sizes.labels] for photo in members[: self.sizes.per_label]]

    def null(self) -> Null:
        """The encoder's calibration, as a search has it."""
        known = calibrate(self.encoder, self.store)
        return Null(known.bank, known.null_mean, known.null_spread)


def digest(*parts: str) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


# --- vectors that cost ------------------------------------------------------------------------------------------------


def filmed(shop: Workshop, photos: list[Photo]) -> Floats:
    """Views of the photos, (N, V, D), encoded once and kept for each photo."""
    folder = shop.work / "cache" / f"photos-{shop.encoder.fingerprint}-{digest(repr((CAMERA, shop.seed)))}"
    folder.mkdir(parents=True, exist_ok=True)
    kept: dict[int, Floats] = {}
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as opened:
            kept |= dict(zip(opened["index"].tolist(), opened["views"].astype(np.float32), strict=True))
    missing = [photo for photo in photos if photo.index not in kept]
    reader = PhotoReader(shop.data / "photos")
    for start in range(0, len(missing), CHUNK):
        part = missing[start : start + CHUNK]
        films = [film(reader.open(photo), shop.encoder, (shop.seed, photo.index), CAMERA) for photo in part]
        views = encode_films(films, shop.encoder)
        _save(folder / f"{part[0].index:06d}-{len(part)}.npz", index=[p.index for p in part], views=views)
        kept |= {photo.index: row for photo, row in zip(part, views, strict=True)}
        print(f"  photos encoded: {start + len(part)} of {len(missing)}", flush=True)
    return np.stack([kept[photo.index] for photo in photos])


def encoded_texts(shop: Workshop, texts: list[str]) -> Floats:
    """(N, D), kept as a whole."""
    file = shop.work / "cache" / f"texts-{shop.encoder.fingerprint}-{digest(*texts)}.npz"
    if file.exists():
        with np.load(file) as opened:
            return np.asarray(opened["texts"])
    print(f"  encoding {len(texts)} texts", flush=True)
    vectors = shop.encoder.encode_texts(texts)
    file.parent.mkdir(parents=True, exist_ok=True)
    _save(file, texts=vectors)
    return vectors


def _save(file: Path, **arrays: object) -> None:
    temporary = file.with_name(f".{file.name}.part")
    with temporary.open("wb") as opened:
        np.savez(opened, **arrays)  # type: ignore[arg-type]
    temporary.replace(file)


# --- banks ------------------------------------------------------------------------------------------------------------


def caption_bank(shop: Workshop, photos: list[Photo]) -> GroupBank:
    """Groups of captions of one photo; no picture is needed."""
    texts = [caption for photo in photos for caption in photo.captions]
    group = np.repeat(np.arange(len(photos)), [len(photo.captions) for photo in photos])
    vectors = encoded_texts(shop, texts)
    return GroupBank(
        texts=vectors,
        text_group=group,
        sentences=tuple(texts),
        views=vectors[:, None],
        view_group=group,
        is_label=np.zeros(len(photos), bool),
        of_words=True,
        background=encoded_texts(shop, list(background_queries())),
    )


def photo_bank(shop: Workshop, photos: list[Photo], clips: Sequence[Source] = ()) -> GroupBank:
    """Real photos, and clips, through the encoder, with its own calibration."""
    views = filmed(shop, photos)
    sources = [
        Source(row, photo.captions or label_texts(_name(photo)), "" if photo.captions else _name(photo))
        for photo, row in zip(photos, views, strict=True)
    ]
    return composite_bank([*sources, *clips], shop.encoder, shop.null())


def _name(photo: Photo) -> str:
    """The first name of the photo's class."""
    return (photo.label or "").split(",")[0].strip().replace("_", " ").lower()


def pair_bank(texts: Floats, images: Floats, group: list[int], sentences: list[str]) -> GroupBank:
    """Real pairs of somebody else's encoder: one picture for each group, as it is."""
    return GroupBank(
        texts=_unit(texts),
        text_group=np.asarray(group, np.int64),
        sentences=tuple(sentences),
        views=_unit(images)[:, None],
        view_group=np.arange(len(images)),
        is_label=np.zeros(len(images), bool),
        of_words=False,
    )


def _unit(x: np.ndarray) -> Floats:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


def clip_pairs(folder: Path) -> GroupBank:
    """ViT-B/32 on 100 photos of Flickr8k with five captions each."""
    with (folder / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = (folder / "image_ids.txt").read_text(encoding="utf-8").split()
    group = [names.index(row["image_id"]) for row in rows]
    texts, images = (np.load(folder / f"{kind}_embeddings.npy") for kind in ("text", "image"))
    return pair_bank(texts.astype(np.float32), images.astype(np.float32), group, [row["caption"] for row in rows])


def marqo_pairs(folder: Path) -> GroupBank:
    """Marqo-FashionCLIP on 1,126 products with a description each."""
    with (folder / "metadata2.csv").open(encoding="utf-8") as file:
        sentences = [" ".join(row["description"].split()) for row in csv.DictReader(file)]
    with np.load(folder / "pairs.npz") as opened:
        texts, images = opened["text"].astype(np.float32), opened["image"].astype(np.float32)
    return pair_bank(texts, images, list(range(len(images))), sentences)
