"""Everything the learned fusion is trained and measured on, as packs: one file per set, made once.

    python models/rdmf-base/training/prepare.py --data ../shared/data --work work/base [--small] [--features]
        [--clips train.jsonl --clip-features features/]

Sets (rdmf_cli/learn/datasets/packs.py reads them):

- train.npz: simulated timelines from captions of train photos (60 %) and composite videos of train photos (40 %); one
  in 250 is longer than five minutes, up to an hour
- validation.npz: the same, half and half, of dev photos and their captions
- heldout-composites.npz: composite videos of test photos, whose like no training has seen
- heldout-long.npz: such videos of 2.5 minutes to an hour
- heldout-pairs.npz: timelines of real CLIP pairs, half ViT-B/32 on Flickr8k, half Marqo-FashionCLIP on products
- development.npz: the development videos with their queries, sampled as `rdmf search` does

--features keeps the encoder's own features in the packs, for fusion.input = "features"; then all of train and
validation are composites. --clips takes annotated windows of real videos into the composites of train: annotations in
the layout of QVHighlights, and the folder that `rdmf extract` made of their videos with the same encoder. None are
used for what ships: the only real videos at hand are the development set.

A set that is there and was made by the same code from the same settings and weights is kept; vectors of photos and
captions are kept in WORK/cache by the encoder's fingerprint. Whatever changes, running this again is enough.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT), str(ROOT / "models/rdmf-lite/training")]

from banks import (  # noqa: E402
    CAMERA,
    SMALL,
    Sizes,
    Workshop,
    caption_bank,
    clip_pairs,
    digest,
    marqo_pairs,
    photo_bank,
)
from photos import read_manifest  # noqa: E402

from rdmf_cli.encoders import open_encoder  # noqa: E402
from rdmf_cli.encoders.base import reach_of  # noqa: E402
from rdmf_cli.errors import ModelError, RdmfError  # noqa: E402
from rdmf_cli.fusion.inputs import snippet_inputs  # noqa: E402
from rdmf_cli.learn.datasets.examples import Example  # noqa: E402
from rdmf_cli.learn.datasets.packs import pack_facts, save_pack  # noqa: E402
from rdmf_cli.learn.synthetic.clips import clip_sources  # noqa: E402
from rdmf_cli.learn.synthetic.composites import HELD_OUT, SEEN  # noqa: E402
from rdmf_cli.learn.synthetic.layouts import LayoutConfig  # noqa: E402
from rdmf_cli.learn.synthetic.timelines import Floats, GroupBank, TimelineConfig, timeline_example  # noqa: E402
from rdmf_cli.pipeline.answer import SearchOptions  # noqa: E402
from rdmf_cli.pipeline.index import index_video  # noqa: E402
from rdmf_cli.pipeline.snippets import snippets_of  # noqa: E402
from rdmf_cli.settings import load_settings  # noqa: E402
from rdmf_cli.store import Store  # noqa: E402

CODE = (
    "learn/synthetic/layouts.py",
    "learn/synthetic/rendering.py",
    "learn/synthetic/timelines.py",
    "learn/synthetic/composites.py",
    "fusion/inputs.py",
)
FILMED = TimelineConfig(confusion=(0.2, 2.0))  # photos are easier than frames of a video
HOURS = LayoutConfig(hour_share=0.004)  # a long one costs a batch of its own


# --- sets -------------------------------------------------------------------------------------------------------------


def timelines(
    shop: Workshop, bank: GroupBank, config: TimelineConfig, count: int, name: str, seed: int
) -> Iterator[Example]:
    config = replace(config, keep_features=shop.with_features)
    started = time.perf_counter()
    for number in range(count):
        yield timeline_example(bank, shop.real_s, config, shop.seed * 1000 + seed, number, name)
        if (number + 1) % 1000 == 0:
            print(f"  {name}: {number + 1} of {count}, {time.perf_counter() - started:.0f} s", flush=True)


def train(shop: Workshop) -> list[Example]:
    sizes = shop.sizes
    composites = sizes.train if shop.with_features else round(sizes.train * sizes.composites)
    words = caption_bank(shop, shop.some("train", sizes.groups))
    pictures = photo_bank(shop, shop.some("train", sizes.photos) + shop.labelled(), shop.clips)
    return [
        *timelines(shop, words, TimelineConfig(HOURS), sizes.train - composites, "timeline", 1),
        *timelines(shop, pictures, replace(SEEN, layout=HOURS), composites, "composite", 2),
    ]


def validation(shop: Workshop) -> list[Example]:
    photos = shop.some("dev", shop.sizes.dev_photos)
    count = shop.sizes.validation
    simulated = 0 if shop.with_features else count // 2
    return [
        *timelines(shop, caption_bank(shop, photos), TimelineConfig(), simulated, "timeline", 3),
        *timelines(shop, photo_bank(shop, photos), FILMED, count - simulated, "composite", 4),
    ]


def heldout_composites(shop: Workshop) -> list[Example]:
    bank = photo_bank(shop, shop.some("test", shop.sizes.test_photos))
    return list(timelines(shop, bank, HELD_OUT, shop.sizes.heldout, "composite", 5))


def heldout_long(shop: Workshop) -> list[Example]:
    bank = photo_bank(shop, shop.some("test", shop.sizes.test_photos))
    config = replace(HELD_OUT, layout=LayoutConfig(hour_share=1.0))
    return list(timelines(shop, bank, config, shop.sizes.heldout_long, "long", 8))


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
        words = shop.encoder.encode_texts([row["query"] for row in own])
        inputs = snippet_inputs(
            torch.from_numpy(features),
            torch.from_numpy(words),
            torch.from_numpy(null.bank),
            torch.from_numpy(timeline.is_cut),
            timeline.spacing_s,
            null_mean=null.mean,
            null_spread=null.spread,
            reach=torch.from_numpy(reach_of(shop.encoder, words)),
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
                    features=features.astype(np.float16) if shop.with_features else None,
                    words=words[i].astype(np.float16) if shop.with_features else None,
                    text=row["query"],
                    cut_at=cut_at,
                )
            )
    return examples


SETS: dict[str, Callable[[Workshop], list[Example]]] = {
    "development": development,
    "heldout-pairs": heldout_pairs,
    "heldout-composites": heldout_composites,
    "heldout-long": heldout_long,
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


def identity(shop: Workshop) -> str:
    """What a set must have been made from to be kept."""
    code = [(ROOT / "rdmf_cli" / name).read_text(encoding="utf-8") for name in CODE]
    script = "".join(
        file.read_text(encoding="utf-8") for file in (Path(__file__), Path(__file__).with_name("banks.py"))
    )
    clips = [digest(source.views.tobytes().hex(), *source.texts) for source in shop.clips]
    null = shop.null()
    known = (null.mean, null.spread)
    settings = repr((shop.sizes, shop.seed, shop.with_features, clips, CAMERA, SEEN, FILMED, HELD_OUT, known))
    return digest(shop.encoder.fingerprint, settings, script, *code)


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
    parser.add_argument("--train", type=int, help="examples to train on; default 16000")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--features", action="store_true", help="keep features; all examples are composites")
    parser.add_argument("--clips", type=Path, help="annotated windows of real videos to take into the composites")
    parser.add_argument("--clip-features", type=Path, help="their features, by `rdmf extract`")
    parser.add_argument("--small", action="store_true", help="a small one of everything, to try it out")
    asked = parser.parse_args()
    if (asked.clips is None) != (asked.clip_features is None):
        parser.error("--clips and --clip-features go together")
    torch.set_num_threads(1)
    settings = load_settings(encoder=asked.encoder)
    encoder = open_encoder(settings.encoder, models_folder=settings.models, device="cpu", offline=True)
    photos = read_manifest(asked.data / "photos")
    random.Random(asked.seed).shuffle(photos)
    sizes = SMALL if asked.small else Sizes(**({"train": asked.train} if asked.train else {}))
    asked.work.mkdir(parents=True, exist_ok=True)
    clips = []
    if asked.clips is not None:
        clips = clip_sources(asked.clips, asked.clip_features, encoder=encoder.fingerprint, views=CAMERA.views)
    with Store.open(asked.work / "cache" / "store") as store:
        lengths = annotated_lengths(asked.data)
        shop = Workshop(
            asked.data, asked.work, encoder, store, sizes, asked.seed, photos, lengths, clips, asked.features
        )
        # Real pairs and captions alone have no frames that one encoder saw.
        names = [name for name in asked.sets if not (asked.features and name == "heldout-pairs")]
        for name in names:
            make(shop, name)


if __name__ == "__main__":
    try:
        main()
    except RdmfError as error:
        raise SystemExit(f"{error}" + (f"\nhint: {error.hint}" if error.hint else "")) from None
