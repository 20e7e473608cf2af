"""Does it help the built-in encoder to look at more than one frame, or at how much moves?

    python -m benchmarks.temporal [--data ../shared/data/videos/queries.jsonl] [--encoder lite] [--store DIR]
                                  [--json F] [--markdown F]

The plain cosine of query and snippet, without any fusion, is compared with

- the same of the mean of a snippet and its neighbours, inside the shot or across cuts;
- for queries with an action word: plus a share of how much the picture, or its features, change around the snippet
  (standardised within the video, capped at its 90th percentile, mean of three).

HIT@1: the best snippet lies in a true window; of all queries with one, of those with an action word, of the others.
AUROC: queries with a match against those without, by the mean of the best three cosines.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.accuracy import Query, load_queries
from benchmarks.report import ROOT, commit, machine, machine_line, table, write
from rdmf_cli.evaluation.classification import auroc
from rdmf_cli.evaluation.highlights import hit_at_1
from rdmf_cli.media.cuts import CUT_THRESHOLD

if TYPE_CHECKING:
    from rdmf_cli.store import VideoFeatures

Floats = NDArray[np.floating[Any]]
ACTIONS = re.compile(r"\w+ing\b|\b(runs?|jumps?|throws?|walks?|lifts?|pours?|drops?)\b")
NEIGHBOURS = (1, 2, 4)
SHARES = (0.01, 0.02, 0.04)


def pooled(video: VideoFeatures, reach: int, *, across_cuts: bool) -> Floats:
    """(T, D) unit: mean of each snippet and up to `reach` on either side."""
    features, count = video.features, len(video.features)
    shot = np.zeros(count, int) if across_cuts else np.cumsum(video.change >= CUT_THRESHOLD)
    rows = np.zeros_like(features)
    for place in range(count):
        near = np.arange(max(0, place - reach), min(count, place + reach + 1))
        rows[place] = features[near[shot[near] == shot[place]]].mean(axis=0)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def movement(change: Floats) -> Floats:
    """(T,) standardised within the video."""
    smooth = np.convolve(np.minimum(change, np.percentile(change, 90)), np.ones(3) / 3, "same")
    return np.asarray((smooth - smooth.mean()) / (smooth.std() + 1e-9))


def feature_change(video: VideoFeatures) -> Floats:
    """(T,) cosine distance to the snippet before."""
    return np.asarray(np.r_[0.0, 1 - (video.features[1:] * video.features[:-1]).sum(axis=1)])


def figures(
    queries: Sequence[Query], videos: Mapping[str, VideoFeatures], curves: Sequence[Floats], acting: NDArray[np.bool_]
) -> dict[str, float]:
    """HIT@1 and AUROC of one curve per query."""
    answered = np.array([bool(query.windows) for query in queries])
    hits = np.array(
        [
            bool(query.windows) and hit_at_1(videos[query.video].times_s, curve, query.windows)
            for query, curve in zip(queries, curves, strict=True)
        ]
    )
    best = np.array([np.sort(curve)[-3:].mean() for curve in curves])
    groups = {"all": answered, "action": answered & acting, "others": answered & ~acting}
    return {name: float(hits[own].mean()) for name, own in groups.items()} | {"auroc": auroc(best, answered)}


def evaluate(queries: Sequence[Query], videos: Mapping[str, VideoFeatures], words: Floats) -> dict[str, Any]:
    """{what was done: figures}, and how many queries there are. words (Q, D) unit."""
    acting = np.array([bool(ACTIONS.search(query.text)) for query in queries])

    def cosines(features: Mapping[str, Floats]) -> list[Floats]:
        return [features[query.video] @ word for query, word in zip(queries, words, strict=True)]

    plain = cosines({name: video.features for name, video in videos.items()})
    found = {"single frames": plain}
    for across in (False, True):
        for reach in NEIGHBOURS:
            place = "across cuts" if across else "inside the shot"
            means = {name: pooled(video, reach, across_cuts=across) for name, video in videos.items()}
            found[f"mean of {reach} on each side, {place}"] = cosines(means)
    kinds: dict[str, Callable[[VideoFeatures], Floats]] = {"picture": lambda v: v.change, "features": feature_change}
    for kind, change in kinds.items():
        moves = {name: movement(change(video)) for name, video in videos.items()}
        for share in SHARES:
            found[f"action words: plus {share} × change of the {kind}"] = [
                curve + share * moves[query.video] * acts
                for query, curve, acts in zip(queries, plain, acting, strict=True)
            ]
    counts = {
        "with a match": sum(bool(query.windows) for query in queries),
        "of them with an action word": int(sum(acting[[bool(query.windows) for query in queries]])),
    }
    rows = {name: figures(queries, videos, curves, acting) for name, curves in found.items()}
    return {"queries": len(queries), **counts, "rows": rows}


def as_markdown(result: dict[str, Any]) -> str:
    rows = [
        [name, *(f"{100 * own[key]:.1f}" for key in ("all", "action", "others", "auroc"))]
        for name, own in result["rows"].items()
    ]
    return "\n".join(
        [
            f"Encoder {result['encoder']}, commit {(result['commit'] or 'none')[:12]}",
            f"Machine: {result['machine_line']}",
            f"{result['queries']} queries, {result['with a match']} with a match, "
            f"{result['of them with an action word']} of them with an action word; percent",
            "",
            table(["cosine of", "HIT@1", "action words", "others", "AUROC"], rows),
        ]
    )


def main() -> None:
    from rdmf_cli.encoders import open_encoder
    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.index import video_features
    from rdmf_cli.settings import load_settings
    from rdmf_cli.store import Store

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/videos/queries.jsonl")
    parser.add_argument("--encoder", default="lite", help="a preset or a path")
    parser.add_argument("--store", type=Path, help="keep features here; default: a temporary folder")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    settings = load_settings(encoder=asked.encoder)
    encoder = open_encoder(settings.encoder, models_folder=settings.models, device=settings.device, offline=True)
    queries = load_queries(asked.data)
    with (
        tempfile.TemporaryDirectory(prefix="rdmf-temporal-") as scratch,
        Store.open(asked.store or Path(scratch)) as store,
    ):
        videos = {
            name: video_features(asked.data.parent / name, encoder=encoder, store=store, options=SearchOptions())
            for name in dict.fromkeys(query.video for query in queries)
        }
    result = evaluate(queries, videos, encoder.encode_texts([query.text for query in queries]))
    result |= {"encoder": f"{encoder.name} ({encoder.fingerprint[:12]})", "commit": commit(), "machine": machine()}
    result["machine_line"] = machine_line()
    write(as_markdown(result), result, markdown=asked.markdown, json_file=asked.json)


if __name__ == "__main__":
    main()
