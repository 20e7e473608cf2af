"""How good a search is against rules without training: same encoder, same features, same queries.

    python -m benchmarks.accuracy --encoder lite [--data ../shared/data/videos/queries.jsonl] [--store DIR]
                                  [--json out.json] [--markdown out.md] [--fit-relevance]

Queries are lines in the form of QVHighlights ({"vid", "query", "relevant_windows", ...}), the videos lie beside them.
The first two systems are the product itself (`search_videos`): the trained model that comes with it, and pattern mode.
Baselines get the features that it has stored.

- HIT@1: the best snippet of the saliency curve lies inside a true window. All baselines but `random` share the raw
  affinity as their curve, so they share this figure; `random` draws a snippet.
- R1@m, mAP: see rdmf_cli/evaluation/retrieval.py. A query's class of length is that of its longest window.
- AUROC: answerable against unanswerable queries. The product by its relevance score, baselines by the largest cosine.
- `random` is the mean of 20 draws.
- --fit-relevance also fits the two constants of the relevance score to these queries; see benchmarks/relevance.py.
- dR1@.5: the first system minus this one in percentage points, with the 95 % interval of a paired bootstrap.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.baselines import BASELINES, Curve
from benchmarks.relevance import fit_relevance
from benchmarks.report import ROOT, commit, machine, machine_line, table, write
from rdmf_cli.errors import RdmfError
from rdmf_cli.evaluation import bootstrap
from rdmf_cli.evaluation.classification import auroc
from rdmf_cli.evaluation.highlights import hit_at_1
from rdmf_cli.evaluation.retrieval import mean_ap, r1_at
from rdmf_cli.moments import Moment

if TYPE_CHECKING:
    from rdmf_cli.encoders.base import Encoder
    from rdmf_cli.pipeline.modes import Mode
    from rdmf_cli.store import Store, VideoFeatures

Floats = NDArray[np.float64]

LEARNED, PATTERN = "learned", "pattern"
SEED = 2026
RANDOM_DRAWS = 20
NUM_RESAMPLES = 10_000
CLASSES = ("all", "< 2 s", "2-10 s", "> 10 s")
METRICS = ("hit_at_1", "r1_30", "r1_50", "r1_70", "map")
R1_THRESHOLDS = {"r1_30": 0.3, "r1_50": 0.5, "r1_70": 0.7}


@dataclass(frozen=True)
class Query:
    """One line of the query file. No windows: nothing in the video answers it."""

    video: str  # file name, beside the query file
    text: str
    windows: tuple[tuple[float, float], ...]  # (start s, end s)

    @property
    def length_class(self) -> str | None:
        """One of CLASSES[1:], by the longest window; None without windows."""
        if not self.windows:
            return None
        longest_s = max(end - start for start, end in self.windows)
        return CLASSES[1] if longest_s < 2 else CLASSES[2] if longest_s <= 10 else CLASSES[3]


@dataclass(frozen=True, eq=False)
class Said:
    """What one system says to one query."""

    moments: Sequence[Moment]  # best first
    times_s: Floats  # (T,)
    saliency: NDArray[Any]  # (T,)
    relevance: float  # higher: more sure that the video answers the query
    confident: bool = False  # shown as a match


@dataclass
class Scores:
    """One system's figures, query by query, in the order of the file."""

    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})  # NaN: no truth
    relevance: list[list[float]] = field(default_factory=list)  # per query, one per draw
    confident: list[bool] = field(default_factory=list)  # per query, of the first draw

    def add(self, query: Query, draws: Sequence[Said]) -> None:
        """Several draws (of a system that throws dice) count as their mean."""
        rows = [_figures(query, said) for said in draws]
        for name in METRICS:
            self.values[name].append(float(np.mean([row[name] for row in rows])))
        self.relevance.append([said.relevance for said in draws])
        self.confident.append(draws[0].confident)


def load_queries(path: Path) -> list[Query]:
    """Lines with "vid", "query" and "relevant_windows"; further keys are ignored."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [
        Query(row["vid"], row["query"], tuple((float(a), float(b)) for a, b in row["relevant_windows"])) for row in rows
    ]


def baseline_scores(
    queries: Sequence[Query], videos: Mapping[str, VideoFeatures], embeddings: NDArray[np.float32]
) -> dict[str, Scores]:
    """Every rule on every query. `embeddings` (Q, D) unit rows, in the order of the queries."""
    scores = {name: Scores() for name in BASELINES}
    for index, (query, embedding) in enumerate(zip(queries, embeddings, strict=True)):
        curve = _curve(videos[query.video], embedding)
        for name in BASELINES:
            scores[name].add(query, _baseline_says(name, curve, index))
    return scores


def product_scores(queries: Sequence[Query], folder: Path, *, encoder: Encoder, store: Store, mode: Mode) -> Scores:
    """The product's own answers, video by video. Raises RdmfError if a video fails."""
    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.search import search_videos

    said: dict[tuple[str, str], Said] = {}
    options = SearchOptions()
    for video in dict.fromkeys(query.video for query in queries):
        texts = list(dict.fromkeys(query.text for query in queries if query.video == video))
        outcome = search_videos([folder / video], texts, encoder=encoder, store=store, options=options, mode=mode)
        if outcome.failures:
            raise RdmfError(f"{video}: {outcome.failures[0].message}")
        for answer in outcome.answers:
            judged = answer.relevance
            said[video, answer.query] = Said(
                answer.moments, answer.times_s, answer.saliency, judged.score, judged.confident
            )
    scores = Scores()
    for query in queries:
        scores.add(query, [said[query.video, query.text]])
    return scores


def summarise(queries: Sequence[Query], scores: Mapping[str, Scores]) -> dict[str, Any]:
    """{class: {"num_queries", "systems": {system: {metric: fraction}}}}; classes without queries are left out."""
    result: dict[str, Any] = {}
    for name in CLASSES:
        member = members(queries, name)
        if member.any():
            systems = {system: _summary(queries, values, member) for system, values in scores.items()}
            result[name] = {"num_queries": int(member.sum()), "systems": systems}
    return result


def members(queries: Sequence[Query], name: str) -> NDArray[np.bool_]:
    """(Q,) which queries with windows belong to the class `name`."""
    return np.array([bool(query.windows) and name in ("all", query.length_class) for query in queries])


def paired_difference(first: Floats, second: Floats, *, seed: int = SEED) -> dict[str, float]:
    """Mean of first - second (both (Q,), same queries) and its 95 % interval by bootstrap over queries."""
    apart = first - second
    low, high = bootstrap.interval(bootstrap.means(apart[:, None]), len(apart), seed=seed, num_resamples=NUM_RESAMPLES)
    return {"difference": float(apart.mean()), "low": float(low[0]), "high": float(high[0])}


def differences(queries: Sequence[Query], scores: Mapping[str, Scores], system: str) -> dict[str, dict[str, float]]:
    """R1@0.5 of `system` minus that of each other, over all queries with windows."""
    member = members(queries, "all")
    r1 = {name: np.array(values.values["r1_50"])[member] for name, values in scores.items()}
    return {name: paired_difference(r1[system], r1[name]) for name in scores if name != system}


def as_markdown(result: dict[str, Any]) -> str:
    """The report: one table per class of length."""
    encoder = result["encoder"]
    lines = [
        f"Encoder {encoder['name']} ({encoder['fingerprint'][:12]}), commit {(result['commit'] or 'none')[:12]}",
        f"Machine: {result['machine_line']}",
        f"{result['num_queries']} queries, {result['num_unanswerable']} of them without a match; percent",
    ]
    for name, part in result["classes"].items():
        versus = result["r1_50_first_minus"] if name == "all" else {}
        lines += ["", f"**{name}** ({part['num_queries']} queries)", "", _class_table(part["systems"], versus)]
    for name, shown in result.get("shown_as_match", {}).items():
        answerable, others = 100 * shown["answerable"], 100 * shown["unanswerable"]
        rates = f"{answerable:.1f} % of the answerable queries, {others:.1f} % of the others"
        lines += ["", f"Shown as a match by {name}: {rates}"]
    if fit := result.get("relevance_fit"):
        lines += ["", f"Relevance fitted here: slope {fit['slope']:.3f}, midpoint {fit['midpoint']:.3f}"]
    return "\n".join(lines)


def evaluate(
    queries_file: Path, *, encoder: Encoder, store: Store, modes: Mapping[str, Mode], fit: bool = False
) -> dict[str, Any]:
    """Everything, as plain data for JSON. `modes`: the product's, by name. `fit`: also the constants of pattern mode's
    relevance score.
    """
    from rdmf_cli.encoders.base import reach_of
    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.calibration import calibrate
    from rdmf_cli.pipeline.index import video_features

    queries, folder = load_queries(queries_file), queries_file.parent
    product = {
        name: product_scores(queries, folder, encoder=encoder, store=store, mode=mode) for name, mode in modes.items()
    }
    videos = {
        name: video_features(folder / name, encoder=encoder, store=store, options=SearchOptions())
        for name in dict.fromkeys(query.video for query in queries)
    }
    embeddings = encoder.encode_texts([query.text for query in queries])
    scores = product | baseline_scores(queries, videos, embeddings)
    result = {"encoder": {"name": encoder.name, "fingerprint": encoder.fingerprint}, **as_data(queries, scores)}
    answered = np.array([bool(query.windows) for query in queries])
    if answered.any() and not answered.all():
        result["shown_as_match"] = {name: _shown(own, answered) for name, own in product.items()}
    if fit:
        rows = [videos[query.video].features for query in queries]
        result["relevance_fit"] = fit_relevance(
            calibrate(encoder, store), embeddings, reach_of(encoder, embeddings), rows, answered
        )
    return result


def _shown(scores: Scores, answered: NDArray[np.bool_]) -> dict[str, float]:
    """Shares of the queries with and without a match that the cut-off lets pass."""
    passed = np.array(scores.confident)
    return {"answerable": float(passed[answered].mean()), "unanswerable": float(passed[~answered].mean())}


def as_data(queries: Sequence[Query], scores: Mapping[str, Scores]) -> dict[str, Any]:
    """The result without the encoder's name. The first system is the one that others are compared with."""
    return {
        "commit": commit(),
        "machine": machine(),
        "machine_line": machine_line(),
        "num_queries": len(queries),
        "num_unanswerable": sum(not query.windows for query in queries),
        "classes": summarise(queries, scores),
        "r1_50_first_minus": differences(queries, scores, next(iter(scores))),
    }


def _curve(video: VideoFeatures, embedding: NDArray[np.float32]) -> Curve:
    affinity = (video.features @ embedding).astype(np.float64)
    return Curve(video.times_s, affinity, video.features, video.change, video.change_time_s, video.duration_s)


def _baseline_says(name: str, curve: Curve, query_index: int) -> list[Said]:
    rule = BASELINES[name]
    if name != "random":
        rng = np.random.default_rng(SEED)
        return [Said(rule(curve, rng), curve.times_s, curve.affinity, float(curve.affinity.max()))]
    generators = [np.random.default_rng([SEED, query_index, draw]) for draw in range(RANDOM_DRAWS)]
    return [Said(rule(curve, rng), curve.times_s, rng.random(len(curve.times_s)), rng.random()) for rng in generators]


def _figures(query: Query, said: Said) -> dict[str, float]:
    if not query.windows:
        return dict.fromkeys(METRICS, float("nan"))
    rows = np.array([[m.start_s, m.end_s, m.score] for m in said.moments]).reshape(-1, 3)
    figures = {name: r1_at([rows], [query.windows], threshold) for name, threshold in R1_THRESHOLDS.items()}
    figures["hit_at_1"] = float(hit_at_1(said.times_s, said.saliency, query.windows))
    figures["map"] = mean_ap([rows], [query.windows])
    return figures


def _summary(queries: Sequence[Query], scores: Scores, member: NDArray[np.bool_]) -> dict[str, float | None]:
    means: dict[str, float | None] = {name: float(np.mean(np.array(scores.values[name])[member])) for name in METRICS}
    nothing = np.array([not query.windows for query in queries])
    asked = member | nothing
    draws = np.array(scores.relevance)[asked]  # (asked queries, draws)
    both = bool(nothing.any())  # AUROC needs queries without a match
    values = [auroc(draws[:, draw], member[asked]) for draw in range(draws.shape[1])] if both else []
    means["auroc"] = float(np.mean(values)) if values else None
    return means


def _class_table(systems: dict[str, dict[str, float | None]], versus: dict[str, dict[str, float]]) -> str:
    header = ["system", "HIT@1", "R1@.3", "R1@.5", "R1@.7", "mAP", "AUROC"] + (["dR1@.5 (95 %)"] if versus else [])
    rows = []
    for name, figures in systems.items():
        cells = ["-" if figures[key] is None else f"{100 * figures[key]:.1f}" for key in (*METRICS, "auroc")]
        rows.append([name, *cells] + ([_interval(versus.get(name))] if versus else []))
    return table(header, rows)


def _interval(apart: dict[str, float] | None) -> str:
    if apart is None:
        return ""
    return f"{100 * apart['difference']:+.1f} [{100 * apart['low']:+.1f}, {100 * apart['high']:+.1f}]"


def main() -> None:
    from rdmf_cli.encoders import open_encoder
    from rdmf_cli.pipeline.learned import open_mode
    from rdmf_cli.settings import load_settings
    from rdmf_cli.store import Store

    parser = argparse.ArgumentParser(description="The trained model and pattern mode against training-free rules.")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/videos/queries.jsonl")
    parser.add_argument("--encoder", default="lite", help="a preset or a path")
    parser.add_argument("--store", type=Path, help="keep features here; default: a temporary folder")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    parser.add_argument("--fit-relevance", action="store_true", help="fit the relevance score's constants, too")
    asked = parser.parse_args()
    settings = load_settings(encoder=asked.encoder)
    encoder = open_encoder(settings.encoder, models_folder=settings.models, device=settings.device, offline=True)
    modes = {name: open_mode(name, settings.models, encoder) for name in (LEARNED, PATTERN)}
    with (
        tempfile.TemporaryDirectory(prefix="rdmf-accuracy-") as scratch,
        Store.open(asked.store or Path(scratch)) as store,
    ):
        result = evaluate(asked.data, encoder=encoder, store=store, modes=modes, fit=asked.fit_relevance)
    write(as_markdown(result), result, markdown=asked.markdown, json_file=asked.json)


if __name__ == "__main__":
    try:
        main()
    except RdmfError as error:
        raise SystemExit(f"{error}") from None
