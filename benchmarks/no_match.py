"""Which number tells a query that nothing answers? The best cosine, less what the sentence would reach anyway.

    python -m benchmarks.no_match [--data ../shared/data] [--json F] [--markdown F]

Made-up videos: pictures at random, with or without the one that the sentence is about. Built-in encoder: the dev and
test photos, asked for by a caption, by their class, or half and half; what a sentence reaches is what the encoder says
(encoders/lite_reach.py). Real CLIP pairs: half of the pictures stand for what is ordinary, queries and videos are of
the other half. Development videos: as they are, the mean of the best three snippets.

The rows "alone" leave the video out. Whether a sentence is answered can't be seen from the sentence, if matching and
other queries are written alike: what is far from 50 there tells how they were written.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.encoder import Photo, embed_photos, read_photos
from benchmarks.report import ROOT, commit, machine, machine_line, table, write
from rdmf_cli.encoders.lite_reach import Reach
from rdmf_cli.evaluation.classification import auroc

Rows = NDArray[np.float32]
Numbers = NDArray[np.int64]
NUM_TRIALS = 8000
PICTURES = 60  # of a made-up video
SHARES = (0.5, 0.75, 1.0)
NEAREST = 3  # background queries that made a query general, until 2026-11-26
SAME = 0.999  # cosine from which two sentences are one
BEST = 3  # snippets of a real video whose mean counts, as in pipeline/calibration.py


@dataclass(frozen=True, eq=False)
class Asked:
    """Sentences about pictures."""

    cosines: Rows  # (S, P)
    owner: Numbers  # (S,) picture that each sentence is about
    kin: Numbers  # (P,) pictures of one number may be what another one's sentence asks for
    generality: Rows  # (S,)
    reach: Rows  # (S,)


def offsets(generality: Rows, reach: Rows) -> dict[str, Rows]:
    """What is taken off the best cosine, by name."""
    taken = {"nothing": np.zeros_like(reach), "half the generality": generality / 2}
    return taken | {f"{share:g} of the reach": share * reach for share in SHARES}


def general(sentences: Rows, bank: Rows) -> Rows:
    """Mean cosine of each sentence (S, D) to the nearest other ones of the bank (M, D) → (S,)."""
    cosines = sentences @ bank.T
    return np.asarray(np.sort(np.where(cosines > SAME, -1, cosines), axis=1)[:, -NEAREST:].mean(axis=1))


def measured(asked: Asked, choose: Callable[[np.random.Generator], int], num_pictures: int) -> dict[str, float]:
    """AUROC of every number over made-up videos; `choose` draws a sentence."""
    rng = np.random.default_rng(0)
    queries, best, matches = [], [], []
    for trial in range(NUM_TRIALS):
        query = choose(rng)
        own = asked.owner[query]
        shown = rng.choice(len(asked.kin), num_pictures, replace=False)
        shown = shown[asked.kin[shown] != asked.kin[own]]
        match = trial % 2 == 0
        shown = np.append(shown, own) if match else shown
        queries.append(query)
        matches.append(match)
        best.append(float(asked.cosines[query, shown].max()))
    rows = np.array(queries)
    return areas(np.array(best), np.array(matches), asked.generality[rows], asked.reach[rows])


def areas(best: NDArray[Any], matches: NDArray[np.bool_], generality: Rows, reach: Rows) -> dict[str, float]:
    """AUROC of the best cosines (N,) less each offset, and of the offsets alone."""
    found = {name: auroc(best - taken, matches) for name, taken in offsets(generality, reach).items()}
    return found | {"generality alone": auroc(-generality, matches), "reach alone": auroc(-reach, matches)}


# --- what is asked ----------------------------------------------------------------------------------------------------


def photos(encoder: Any, data: Path, bank: Rows) -> dict[str, dict[str, float]]:
    """Held-out photos through the built-in encoder."""
    from rdmf_cli.learn.synthetic.composites import label_texts

    held = [p for p in read_photos(data / "photos") if p.split in ("dev", "test") and (p.captions or p.label)]
    rng = np.random.default_rng(1)
    texts = [str(rng.choice(list(photo.captions) or label_texts(_plain(photo)))) for photo in held]
    sentences, pictures = encoder.encode_texts(texts), embed_photos(encoder, data / "photos", held)
    classes = {label: number for number, label in enumerate(sorted({_plain(photo) for photo in held}))}
    kin = [number if photo.captions else -1 - classes[_plain(photo)] for number, photo in enumerate(held)]
    asked = Asked(
        cosines=sentences @ pictures.T,
        owner=np.arange(len(held)),
        kin=np.array(kin),
        generality=general(sentences, bank),
        reach=encoder.reach(sentences),
    )
    by_caption = np.array([bool(photo.captions) for photo in held])
    captions, labels = np.flatnonzero(by_caption), np.flatnonzero(~by_caption)
    return {
        "captions": measured(asked, lambda rng: int(rng.choice(captions)), PICTURES),
        "classes": measured(asked, lambda rng: int(rng.choice(labels)), PICTURES),
        "both": measured(asked, lambda rng: int(rng.choice(labels if rng.random() < 0.5 else captions)), PICTURES),
    }


def _plain(photo: Photo) -> str:
    return (photo.label or "").split(",")[0].replace("_", " ").strip().lower()


def pairs(texts: Rows, images: Rows, owner: Numbers, num_pictures: int) -> dict[str, float]:
    """Real pairs of an encoder: one half of the pictures is ordinary, the other is asked for."""
    texts, images = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (texts, images))
    order = np.random.default_rng(2).permutation(len(images))
    ordinary, asked_for = np.split(order, 2)
    place = np.full(len(images), -1)
    place[asked_for] = np.arange(len(asked_for))
    own = place[owner] >= 0
    sentences = texts[own]
    asked = Asked(
        cosines=sentences @ images[asked_for].T,
        owner=place[owner][own],
        kin=np.arange(len(asked_for)),
        generality=general(sentences, texts[~own]),
        reach=Reach(images[ordinary])(sentences),
    )
    return measured(asked, lambda rng: int(rng.integers(len(sentences))), num_pictures)


def clip_pairs(data: Path) -> dict[str, dict[str, float]]:
    """The published pairs."""
    folder = data / "published/features"
    flickr = folder / "flickr8k_clip_vitb32_pairs"
    words, pictures = (np.load(flickr / f"{kind}_embeddings.npy").astype(np.float32) for kind in ("text", "image"))
    with np.load(folder / "marqo_fashionclip_pairs" / "pairs.npz") as opened:
        products, descriptions = opened["image"].astype(np.float32), opened["text"].astype(np.float32)
    own = np.repeat(np.arange(len(pictures)), len(words) // len(pictures))
    return {
        "ViT-B/32, Flickr8k": pairs(words, pictures, own, 20),
        "FashionCLIP, products": pairs(descriptions, products, np.arange(len(products)), PICTURES),
    }


def development(encoder: Any, data: Path, bank: Rows) -> dict[str, float]:
    """The development queries on their videos."""
    import tempfile

    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.index import video_features
    from rdmf_cli.store import Store

    folder = data / "videos"
    rows = [json.loads(line) for line in (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()]
    sentences = encoder.encode_texts([row["query"] for row in rows])
    with tempfile.TemporaryDirectory() as name, Store.open(Path(name)) as store:
        videos = {
            video: video_features(folder / video, encoder=encoder, store=store, options=SearchOptions()).features
            for video in dict.fromkeys(row["vid"] for row in rows)
        }
    best = [
        np.sort(videos[row["vid"]] @ sentence)[-BEST:].mean() for row, sentence in zip(rows, sentences, strict=True)
    ]
    matches = np.array([bool(row["relevant_windows"]) for row in rows])
    return areas(np.array(best), matches, general(sentences, bank), encoder.reach(sentences))


# --- all of it --------------------------------------------------------------------------------------------------------


def as_markdown(figures: Mapping[str, Mapping[str, float]], head: Sequence[str]) -> str:
    """One column for each set."""
    names = list(next(iter(figures.values())))
    rows = [[name, *(f"{100 * own[name]:.1f}" for own in figures.values())] for name in names]
    text = [*head, "", "No-match AUROC, percent, of the best cosine less", "", table(["", *figures], rows)]
    return "\n".join(text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    from rdmf_cli.encoders.lite import load_lite
    from rdmf_cli.pipeline.calibration import background_queries

    encoder = load_lite(ROOT / "models/rdmf-lite")
    bank = encoder.encode_texts(list(background_queries()))
    figures = {f"lite, {name}": own for name, own in photos(encoder, arguments.data, bank).items()}
    figures |= clip_pairs(arguments.data)
    figures["lite, development videos"] = development(encoder, arguments.data, bank)
    head = [f"Encoder lite ({encoder.fingerprint[:12]}), commit {(commit() or '?')[:12]}", f"Machine: {machine_line()}"]
    data = {"commit": commit(), "machine": machine(), "auroc": figures}
    write(as_markdown(figures, head), data, markdown=arguments.markdown, json_file=arguments.json)


if __name__ == "__main__":
    main()
