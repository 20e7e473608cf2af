"""Which number tells a query that nothing answers? The best cosine, less what the sentence would reach anyway.

    python -m benchmarks.no_match [--data ../shared/data] [--json F] [--markdown F]

Made-up videos: pictures at random, with or without one that the sentence is about. Built-in encoder: the dev and test
photos, asked for by a caption, by their class, half and half, or by a common word that captions have, such as "a cat";
what a sentence reaches is what the encoder says (encoders/lite_reach.py). Real CLIP pairs: half of the pictures stand
for what is ordinary, queries and videos are of the other half. Development videos: as they are, the mean of the best
three snippets.

One cut-off for all kinds of queries: it lets 20 % of those pass that nothing answers, captions, classes and words alike
often. The second table shows whom it favours.

The rows "alone" leave the video out. Whether a sentence is answered can't be seen from the sentence, if matching and
other queries are written alike: what is far from 50 there tells how they were written.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
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
FALSE_ALARMS = 0.2
SHIPPED = "0.75 of the reach"  # what pipeline/calibration.py and the learned model take off
# Things that a caption hardly leaves out when they are there.
WORDS = (
    "airplane baby banana baseball bathroom beach bear bed bicycle bird boat broccoli bus cake cat clock cow dog donut "
    "elephant frisbee giraffe guitar horse kitchen kite laptop motorcycle pizza river sandwich sheep skateboard snow "
    "surfboard tennis toilet train umbrella zebra"
)
TEMPLATES = ("{}", "a {}", "a photo of a {}", "{} in the picture")
BEST = 3  # snippets of a real video whose mean counts, as in pipeline/calibration.py


@dataclass(frozen=True, eq=False)
class Asked:
    """Sentences about pictures."""

    cosines: Rows  # (S, P)
    answers: Sequence[Numbers]  # S times the pictures that the sentence may be about
    pictures: Sequence[Numbers]  # S times those of which it is known whether it is about them
    generality: Rows  # (S,)
    reach: Rows  # (S,)


@dataclass(frozen=True, eq=False)
class Trials:
    """Made-up videos (N,), each asked for something."""

    query: Numbers
    best: NDArray[np.float64]  # highest cosine
    match: NDArray[np.bool_]  # does a picture answer?


def offsets(generality: Rows, reach: Rows) -> dict[str, Rows]:
    """What is taken off the best cosine, by name."""
    taken = {"nothing": np.zeros_like(reach), "half the generality": generality / 2}
    return taken | {f"{share:g} of the reach": share * reach for share in SHARES}


def general(sentences: Rows, bank: Rows) -> Rows:
    """Mean cosine of each sentence (S, D) to the nearest other ones of the bank (M, D) → (S,)."""
    cosines = sentences @ bank.T
    return np.asarray(np.sort(np.where(cosines > SAME, -1, cosines), axis=1)[:, -NEAREST:].mean(axis=1))


def drawn(asked: Asked, queries: Numbers, num_pictures: int) -> Trials:
    """Videos for some of the sentences, every other one with a picture that answers."""
    rng = np.random.default_rng(0)
    chosen, best = rng.choice(queries, NUM_TRIALS), []
    for trial, query in enumerate(chosen):
        answers = asked.answers[query]
        shown = rng.choice(asked.pictures[query], num_pictures, replace=False)
        shown = shown[~np.isin(shown, answers)]
        shown = np.append(shown, rng.choice(answers)) if trial % 2 == 0 else shown
        best.append(float(asked.cosines[query, shown].max()))
    return Trials(chosen, np.array(best), np.arange(NUM_TRIALS) % 2 == 0)


def measured(asked: Asked, trials: Trials) -> dict[str, float]:
    """AUROC of every number over made-up videos."""
    return areas(trials.best, trials.match, asked.generality[trials.query], asked.reach[trials.query])


def shown_at_one_cutoff(asked: Asked, kinds: Mapping[str, Trials]) -> dict[str, tuple[float, float]]:
    """Per kind of query the share of videos that pass: with an answer, without one."""
    scores = {
        name: own.best - offsets(asked.generality[own.query], asked.reach[own.query])[SHIPPED]
        for name, own in kinds.items()
    }
    others = np.concatenate([scores[name][~own.match] for name, own in kinds.items()])
    cutoff = np.quantile(others, 1 - FALSE_ALARMS)
    return {
        name: (float((scores[name][own.match] >= cutoff).mean()), float((scores[name][~own.match] >= cutoff).mean()))
        for name, own in kinds.items()
    }


def areas(best: NDArray[Any], matches: NDArray[np.bool_], generality: Rows, reach: Rows) -> dict[str, float]:
    """AUROC of the best cosines (N,) less each offset, and of the offsets alone."""
    found = {name: auroc(best - taken, matches) for name, taken in offsets(generality, reach).items()}
    return found | {"generality alone": auroc(-generality, matches), "reach alone": auroc(-reach, matches)}


# --- what is asked ----------------------------------------------------------------------------------------------------


def photos(encoder: Any, data: Path, bank: Rows) -> tuple[Asked, dict[str, Trials]]:
    """Held-out photos through the built-in encoder, asked for by captions, classes and common words."""
    from rdmf_cli.learn.synthetic.composites import label_texts

    held = [p for p in read_photos(data / "photos") if p.split in ("dev", "test") and (p.captions or p.label)]
    rng = np.random.default_rng(1)
    texts = [str(rng.choice(list(photo.captions) or label_texts(_plain(photo)))) for photo in held]
    everything, captioned = np.arange(len(held)), np.flatnonzero([bool(photo.captions) for photo in held])
    classes = np.array([_plain(photo) for photo in held])
    answers = [
        np.array([number]) if photo.captions else np.flatnonzero(classes == classes[number])
        for number, photo in enumerate(held)
    ]
    known = [everything] * len(held)
    for word, said in _said(held):
        texts += [template.format(word) for template in TEMPLATES]
        answers += [said] * len(TEMPLATES)
        known += [captioned] * len(TEMPLATES)  # whether the others show it nobody has told
    sentences, pictures = encoder.encode_texts(texts), embed_photos(encoder, data / "photos", held)
    asked = Asked(
        cosines=sentences @ pictures.T,
        answers=answers,
        pictures=known,
        generality=general(sentences, bank),
        reach=encoder.reach(sentences),
    )
    labelled = np.setdiff1d(everything, captioned)
    kinds = {"captions": captioned, "classes": labelled, "words": np.arange(len(held), len(texts))}
    return asked, {name: drawn(asked, own, PICTURES) for name, own in kinds.items()}


def _said(held: Sequence[Photo]) -> list[tuple[str, Numbers]]:
    """Each word with the photos whose captions have it, where there are a few."""
    captions = [" ".join(photo.captions).lower() for photo in held]
    found = []
    for word in WORDS.split():
        pattern = re.compile(rf"\b{word}(s|es)?\b")
        said = np.flatnonzero([bool(pattern.search(text)) for text in captions])
        if len(said) > 1:
            found.append((word, said))
    return found


def _both(first: Trials, second: Trials) -> Trials:
    """Half of the one kind, half of the other."""
    half = NUM_TRIALS // 2
    names = ("query", "best", "match")
    return Trials(*(np.concatenate([getattr(own, name)[:half] for own in (first, second)]) for name in names))


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
        answers=place[owner][own][:, None],
        pictures=[np.arange(len(asked_for))] * int(own.sum()),
        generality=general(sentences, texts[~own]),
        reach=Reach(images[ordinary])(sentences),
    )
    return measured(asked, drawn(asked, np.arange(len(sentences)), num_pictures))


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


def as_markdown(
    figures: Mapping[str, Mapping[str, float]], shown: Mapping[str, tuple[float, float]], head: Sequence[str]
) -> str:
    """One column for each set, and for each kind of query of the photos."""
    names = list(next(iter(figures.values())))
    rows = [[name, *(f"{100 * own[name]:.1f}" for own in figures.values())] for name in names]
    text = [*head, "", "No-match AUROC, percent, of the best cosine less", "", table(["", *figures], rows), ""]
    text += [f"Shown, percent, at one cut-off for all (lite, photos, {SHIPPED})", ""]
    passed = [
        [name, *(f"{100 * own[place]:.0f}" for own in shown.values())]
        for place, name in enumerate(("one of the pictures answers", "none does"))
    ]
    return "\n".join([*text, table(["", *shown], passed)]) + "\n"


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
    asked, kinds = photos(encoder, arguments.data, bank)
    shown = shown_at_one_cutoff(asked, kinds)
    sets = {**kinds, "captions and classes": _both(kinds["captions"], kinds["classes"])}
    figures = {f"lite, {name}": measured(asked, own) for name, own in sets.items()}
    figures |= clip_pairs(arguments.data)
    figures["lite, development videos"] = development(encoder, arguments.data, bank)
    head = [f"Encoder lite ({encoder.fingerprint[:12]}), commit {(commit() or '?')[:12]}", f"Machine: {machine_line()}"]
    data = {"commit": commit(), "machine": machine(), "auroc": figures, "shown": shown}
    write(as_markdown(figures, shown, head), data, markdown=arguments.markdown, json_file=arguments.json)


if __name__ == "__main__":
    main()
