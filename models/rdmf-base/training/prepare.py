"""Everything the learned fusion is trained and measured on, as packs: one file per set, made once.

    python models/rdmf-base/training/prepare.py --data ../shared/data --work work/base [--small]

Sets (rdmf_cli/learn/packs.py reads them):

- train.npz: simulated timelines from captions of train photos (60 %) and composite videos of train photos (40 %)
- validation.npz: the same, half and half, of dev photos and their captions
- heldout-composites.npz: composite videos of test photos, whose like no training has seen
- heldout-pairs.npz: timelines of real CLIP pairs, half ViT-B/32 on Flickr8k, half Marqo-FashionCLIP on products
- development.npz: the development videos with their queries, sampled as `rdmf search` does

A set that is there and was made by the same code from the same settings and weights is kept; vectors of photos and
captions are kept in WORK/cache by the encoder's fingerprint. Whatever changes, running this again is enough.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "models/rdmf-lite/training")]

from photos import Photo, PhotoReader, read_manifest  # noqa: E402

from rdmf_cli.encoders import open_encoder  # noqa: E402
from rdmf_cli.encoders.base import Encoder  # noqa: E402
from rdmf_cli.errors import ModelError, RdmfError  # noqa: E402
from rdmf_cli.fusion.inputs import snippet_inputs  # noqa: E402
from rdmf_cli.learn.composites import (  # noqa: E402
    HELD_OUT,
    SEEN,
    CameraConfig,
    Source,
    composite_bank,
    encode_films,
    film,
    label_texts,
)
from rdmf_cli.learn.examples import Example  # noqa: E402
from rdmf_cli.learn.packs import pack_facts, save_pack  # noqa: E402
from rdmf_cli.learn.timelines import Floats, GroupBank, Null, TimelineConfig, timeline_example  # noqa: E402
from rdmf_cli.pipeline.answer import SearchOptions  # noqa: E402
from rdmf_cli.pipeline.calibration import background_queries, calibrate  # noqa: E402
from rdmf_cli.pipeline.index import index_video  # noqa: E402
from rdmf_cli.pipeline.snippets import snippets_of  # noqa: E402
from rdmf_cli.settings import load_settings  # noqa: E402
from rdmf_cli.store import Store  # noqa: E402

CODE = ("learn/layouts.py", "learn/rendering.py", "learn/timelines.py", "learn/composites.py", "fusion/inputs.py")
CHUNK = 100  # photos encoded between two writes
CAMERA = CameraConfig()
FILMED = TimelineConfig(confusion=(0.0, 1.2))  # photos are easier than frames of a video


@dataclass(frozen=True)
class Sizes:
    """How much of everything."""

    train: int = 6000
    composites: float = 0.4  # share of train
    validation: int = 600
    heldout: int = 400
    photos: int = 2200  # captioned train photos that are filmed
    labels: int = 50  # classes of train photos
    per_label: int = 8
    groups: int = 3000  # captioned train photos whose captions make timelines
    test_photos: int = 1000
    dev_photos: int = 500


SMALL = Sizes(400, 0.4, 60, 60, 80, 4, 6, 150, 80, 60)


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


# --- vectors that cost ------------------------------------------------------------------------------------------------


def filmed(shop: Workshop, photos: list[Photo]) -> Floats:
    """Views of the photos, (N, V, D), encoded once and kept for each photo."""
    folder = shop.work / "cache" / f"photos-{shop.encoder.fingerprint}-{_digest(repr(CAMERA))}"
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
    file = shop.work / "cache" / f"texts-{shop.encoder.fingerprint}-{_digest(*texts)}.npz"
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


def photo_bank(shop: Workshop, photos: list[Photo]) -> GroupBank:
    """Real photos through the encoder, with its own calibration."""
    views = filmed(shop, photos)
    sources = [
        Source(row, photo.captions or label_texts(_name(photo)), "" if photo.captions else _name(photo))
        for photo, row in zip(photos, views, strict=True)
    ]
    return composite_bank(sources, shop.encoder, shop.null())


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


# --- sets -------------------------------------------------------------------------------------------------------------


def timelines(
    shop: Workshop, bank: GroupBank, config: TimelineConfig, count: int, name: str, seed: int
) -> Iterator[Example]:
    started = time.perf_counter()
    for number in range(count):
        yield timeline_example(bank, shop.real_s, config, shop.seed * 1000 + seed, number, name)
        if (number + 1) % 1000 == 0:
            print(f"  {name}: {number + 1} of {count}, {time.perf_counter() - started:.0f} s", flush=True)


def train(shop: Workshop) -> list[Example]:
    sizes = shop.sizes
    composites = round(sizes.train * sizes.composites)
    words = caption_bank(shop, shop.some("train", sizes.groups))
    pictures = photo_bank(shop, shop.some("train", sizes.photos) + shop.labelled())
    return [
        *timelines(shop, words, TimelineConfig(), sizes.train - composites, "timeline", 1),
        *timelines(shop, pictures, SEEN, composites, "composite", 2),
    ]


def validation(shop: Workshop) -> list[Example]:
    photos = shop.some("dev", shop.sizes.dev_photos)
    half = shop.sizes.validation // 2
    return [
        *timelines(shop, caption_bank(shop, photos), TimelineConfig(), half, "timeline", 3),
        *timelines(shop, photo_bank(shop, photos), FILMED, half, "composite", 4),
    ]


def heldout_composites(shop: Workshop) -> list[Example]:
    bank = photo_bank(shop, shop.some("test", shop.sizes.test_photos))
    return list(timelines(shop, bank, HELD_OUT, shop.sizes.heldout, "composite", 5))


def heldout_pairs(shop: Workshop) -> list[Example]:
    folder, half = shop.data / "published" / "features", shop.sizes.heldout // 2
    clip, marqo = clip_pairs(folder / "flickr8k_clip_vitb32_pairs"), marqo_pairs(folder / "marqo_fashionclip_pairs")
    return [
        *timelines(shop, clip, HELD_OUT, half, "clip-vitb32", 6),
        *timelines(shop, marqo, HELD_OUT, half, "marqo-fashion", 7),
    ]


def development(shop: Workshop) -> list[Example]:
    """All queries of the development videos; features, cuts and calibration are those of a search."""
    folder = shop.data / "videos"
    rows = [json.loads(line) for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    null = shop.null()
    examples = []
    for video in dict.fromkeys(row["vid"] for row in rows):
        indexed = index_video(folder / video, encoder=shop.encoder, store=shop.store, options=SearchOptions())
        features, timeline = snippets_of(indexed.features, indexed.sample_fps)
        own = [row for row in rows if row["vid"] == video]
        inputs = snippet_inputs(
            torch.from_numpy(features),
            torch.from_numpy(shop.encoder.encode_texts([row["query"] for row in own])),
            torch.from_numpy(null.bank),
            torch.from_numpy(timeline.is_cut),
            timeline.spacing_s,
            null_mean=null.mean,
            null_spread=null.spread,
        )
        edges_s = np.append(timeline.starts_s, timeline.end_s)
        cut_at = np.interp(timeline.cut_s[1:], edges_s, np.arange(len(edges_s))).astype(np.float32)  # nan stays nan
        for i, row in enumerate(own):
            windows_s = np.asarray(row["relevant_windows"], np.float64).reshape(-1, 2)
            inside = (timeline.starts_s[:, None] >= windows_s[:, 0] - 1e-3) & (
                timeline.starts_s[:, None] < windows_s[:, 1]
            )
            examples.append(
                Example(
                    name=f"{Path(video).stem}-{row['qid']}",
                    values=inputs.values[i].numpy(),
                    query=inputs.query[i].numpy(),
                    distance=inputs.distance.numpy(),
                    is_cut=timeline.is_cut,
                    spacing_s=timeline.spacing_s,
                    windows=np.interp(windows_s, edges_s, np.arange(len(edges_s))).astype(np.float32),
                    saliency=inside.any(axis=1).astype(np.float32),
                    text=row["query"],
                    cut_at=cut_at,
                )
            )
    return examples


SETS: dict[str, Callable[[Workshop], list[Example]]] = {
    "development": development,
    "heldout-pairs": heldout_pairs,
    "heldout-composites": heldout_composites,
    "validation": validation,
    "train": train,
}


def annotated_lengths(data: Path) -> Floats:
    """Lengths in seconds of the moments of QVHighlights (train), ActivityNet Captions and TACoS."""
    published = data / "published"
    with gzip.open(published / "qvhighlights/gt/highlight_train_release.jsonl.gz", "rt", encoding="utf-8") as file:
        lines = list(file)
    for name in ("anet/activitynet_val.first600.jsonl", "tacos/tacos_test.jsonl"):
        lines += (published / "others" / name).read_text(encoding="utf-8").splitlines()
    windows = [window for line in lines for window in json.loads(line)["relevant_windows"]]
    return np.array([end - start for start, end in windows if end > start], np.float32)


def _digest(*parts: str) -> str:
    return hashlib.blake2b("\n".join(parts).encode(), digest_size=8).hexdigest()


def identity(shop: Workshop) -> str:
    """What a set must have been made from to be kept."""
    code = [(ROOT / "rdmf_cli" / name).read_text(encoding="utf-8") for name in CODE]
    script = Path(__file__).read_text(encoding="utf-8")
    settings = repr((shop.sizes, shop.seed, CAMERA, SEEN, FILMED, HELD_OUT))
    return _digest(shop.encoder.fingerprint, settings, script, *code)


def make(shop: Workshop, name: str) -> None:
    """One set, unless it is there already."""
    path, wanted = shop.work / f"{name}.npz", identity(shop)
    try:
        if pack_facts(path).get("identity") == wanted:
            print(f"{path}: kept")
            return
    except ModelError:
        pass  # not there, or of another time
    started = time.perf_counter()
    examples = SETS[name](shop)
    matched = sum(len(example.windows) > 0 for example in examples)
    facts = {"identity": wanted, "encoder": shop.encoder.name, "fingerprint": shop.encoder.fingerprint}
    save_pack(path, examples, facts)
    print(
        f"{path}: {len(examples)} examples, {matched} with a match, {time.perf_counter() - started:.0f} s", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Packs for training and measuring the learned fusion.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--work", type=Path, default=ROOT / "work/base")
    parser.add_argument("--encoder", default="lite")
    parser.add_argument("--sets", nargs="+", choices=list(SETS), default=list(SETS))
    parser.add_argument("--train", type=int, help="examples to train on; default 6000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="a small one of everything, to try it out")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = load_settings(encoder=asked.encoder)
    encoder = open_encoder(settings.encoder, models_folder=settings.models, device="cpu", offline=True)
    photos = read_manifest(asked.data / "photos")
    random.Random(asked.seed).shuffle(photos)
    sizes = SMALL if asked.small else Sizes(**({"train": asked.train} if asked.train else {}))
    asked.work.mkdir(parents=True, exist_ok=True)
    with Store.open(asked.work / "cache" / "store") as store:
        lengths = annotated_lengths(asked.data)
        shop = Workshop(asked.data, asked.work, encoder, store, sizes, asked.seed, photos, lengths)
        for name in asked.sets:
            make(shop, name)


if __name__ == "__main__":
    try:
        main()
    except RdmfError as error:
        raise SystemExit(f"{error}" + (f"\nhint: {error.hint}" if error.hint else "")) from None
