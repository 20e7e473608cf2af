"""How fast is `rdmf evaluate`, and how much faster than a straightforward loop over queries?

    python -m benchmarks.evaluate [--queries 10000] [--repeats 3] [--json out.json] [--markdown out.md]

Made-up predictions of 10 windows and 75 saliency scores per query, 1 to 4 true windows, labels of three annotators. The
loop is what one writes first: query by query, threshold by threshold, with numpy for the arrays. Both must give the
same document to the last digit, else the benchmark stops. They run in turns; the best of `--repeats` counts. Times are
CPU seconds of this one process, which other work on the machine does not lengthen; for the whole way from files to
figures the seconds on the clock stand beside them.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import commit, machine, machine_line, table, write
from rdmf_cli.evaluation import highlights, report
from rdmf_cli.evaluation.conventions import CONVENTIONS, TIOU_THRESHOLDS, LengthRange
from rdmf_cli.evaluation.protocols import evaluate
from rdmf_cli.evaluation.retrieval import figures_by_range, pad

Floats = NDArray[np.float64]
Query = dict[str, Any]

CONVENTION = CONVENTIONS["univtg"]  # the one with most figures
DURATION_S, NUM_CLIPS, NUM_WINDOWS = 150.0, 75, 10
SEED = 2026


def made_up(num_queries: int, seed: int = SEED) -> list[Query]:
    """Queries with predictions that are often nearly right; windows on a grid of 2 s, so that ties happen."""
    rng = np.random.default_rng(seed)
    return [_query(rng) for _ in range(num_queries)]


def _query(rng: np.random.Generator) -> Query:
    starts = np.sort(rng.choice(NUM_CLIPS - 1, rng.integers(1, 5), replace=False)) * 2.0
    truth = np.stack([starts, np.minimum(starts + 2.0 * rng.integers(1, 30, len(starts)), DURATION_S)], axis=1)
    around = truth[rng.integers(0, len(truth), NUM_WINDOWS)] + 2.0 * rng.integers(-4, 5, (NUM_WINDOWS, 2))
    windows = np.clip(np.sort(around, axis=1), 0, DURATION_S)
    scores = np.sort(rng.integers(0, 100, NUM_WINDOWS) / 100)[::-1]
    labels = np.zeros((NUM_CLIPS, 3), dtype=np.int64)
    for start, end in truth.astype(int) // 2:
        labels[start:end] = rng.integers(0, 5, (end - start, 3))
    saliency = np.round(labels.mean(axis=1) + rng.normal(0, 1, NUM_CLIPS), 2)
    return {
        "windows": np.concatenate([windows, scores[:, None]], axis=1),
        "truth": truth,
        "labels": labels,
        "saliency": saliency,
    }


# --- as the program does it -------------------------------------------------------------------------------------------


def moments_at_once(queries: list[Query]) -> dict[str, Any]:
    """All queries in arrays."""
    predicted, true = pad([query["windows"] for query in queries], 3), pad([query["truth"] for query in queries], 2)
    return report.retrieval_document(figures_by_range(predicted, true, CONVENTION), CONVENTION)


def highlights_at_once(queries: list[Query]) -> dict[str, Any]:
    """All queries in arrays."""
    scores, labels = [query["saliency"] for query in queries], [query["labels"] for query in queries]
    return report.highlight_document(
        highlights.highlight_precisions(scores, labels), highlights.best_labels(scores, labels)
    )


# --- the loop ---------------------------------------------------------------------------------------------------------


def moments_one_by_one(queries: list[Query]) -> dict[str, Any]:
    """Query by query."""
    return {limits.name: _range_one_by_one(queries, limits) for limits in CONVENTION.ranges}


def _range_one_by_one(queries: list[Query], limits: LengthRange) -> dict[str, Any]:
    first, five, precisions = [], [], []
    for query in queries:
        lengths = query["truth"][:, 1] - query["truth"][:, 0]
        truth = query["truth"][(lengths > limits.low_s) & (lengths <= limits.high_s)]
        if len(truth):
            best = _tious(query["windows"][:5], truth, hull=True).max(axis=1)
            first.append(best[0])
            five.append(best.max())
            precisions.append(_precision(query["windows"], truth))
    by_threshold = np.array(precisions).mean(axis=0)
    precision = {str(limit): report.percent(value) for limit, value in zip(TIOU_THRESHOLDS, by_threshold, strict=True)}
    return {
        "MR-mIoU": report.percent(float(np.mean(first))),
        "MR-mAP": {**precision, "average": report.percent(by_threshold.mean())},
        "MR-R1": {str(t): report.percent(float(np.mean(np.array(first) >= t))) for t in CONVENTION.r1_thresholds},
        "MR-R5": {str(t): report.percent(float(np.mean(np.array(five) >= t))) for t in CONVENTION.r1_thresholds},
    }


def _tious(windows: Floats, truth: Floats, *, hull: bool = False) -> Floats:
    result = np.zeros((len(windows), len(truth)))
    for row, (start, end) in enumerate(windows[:, :2]):
        shared = np.maximum(0, np.minimum(end, truth[:, 1]) - np.maximum(start, truth[:, 0]))
        union = (end - start) + (truth[:, 1] - truth[:, 0]) - shared
        whole = np.maximum(end, truth[:, 1]) - np.minimum(start, truth[:, 0]) if hull else union
        result[row] = np.divide(shared, whole, out=np.zeros(len(truth)), where=whole > 0)
    return result


def _precision(windows: Floats, truth: Floats) -> list[float]:
    best = sorted(windows.tolist(), key=lambda row: -row[2])
    overlaps = _tious(np.array(best), truth)
    areas = []
    for threshold in TIOU_THRESHOLDS:
        taken: set[int] = set()
        found = np.zeros(len(best))
        for rank, row in enumerate(overlaps):
            for place in np.argsort(row, kind="stable")[::-1].tolist():
                if row[place] >= threshold and place not in taken:
                    taken.add(place)
                    found[rank] = 1
                    break
        hits = np.cumsum(found)
        precision = np.concatenate([[0], hits / np.arange(1, len(best) + 1), [0]])
        recall = np.concatenate([[0], hits / len(truth), [1]])
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        steps = np.flatnonzero(np.diff(recall)) + 1
        areas.append(float(np.sum((recall[steps] - recall[steps - 1]) * envelope[steps])))
    return areas


def highlights_one_by_one(queries: list[Query]) -> dict[str, Any]:
    """Query by query, annotator by annotator."""
    document = {}
    for name, level in highlights.LEVELS.items():
        hits, precisions = [], []
        for query in queries:
            positive = query["labels"] >= level
            hits.append(positive[np.argmax(query["saliency"])].any())
            precisions += [_pointwise(query["saliency"], positive[:, rater]) for rater in range(3)]
        document[f"HL-min-{name}"] = {
            "HL-mAP": report.percent(float(np.mean(precisions))),
            "HL-Hit1": report.percent(float(np.mean(hits))),
        }
    return document


def _pointwise(scores: Floats, positive: NDArray[np.bool_]) -> float:
    if positive.all() or not positive.any():
        return float(positive.all())
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # last of each score
    hits = np.cumsum(positive[order])[ends]
    envelope = np.maximum.accumulate((hits / (ends + 1))[::-1])[::-1]
    return float(np.mean(envelope[np.diff(hits, prepend=0) > 0]))


# --- the whole program ------------------------------------------------------------------------------------------------


def write_files(queries: list[Query], folder: Path) -> tuple[Path, Path]:
    """The same queries as prediction and ground truth files."""
    predictions, truth = folder / "predictions.jsonl", folder / "truth.jsonl"
    with predictions.open("w") as said, truth.open("w") as known:
        for number, query in enumerate(queries):
            shared = {"qid": number, "vid": f"v{number}", "query": "a made-up query"}
            places = np.flatnonzero(query["labels"].any(axis=1))
            windows, saliency = query["windows"].tolist(), query["saliency"].tolist()
            print(json.dumps({**shared, "pred_relevant_windows": windows, "pred_saliency_scores": saliency}), file=said)
            labels = {"relevant_clip_ids": places.tolist(), "saliency_scores": query["labels"][places].tolist()}
            windows = query["truth"].tolist()
            print(json.dumps({**shared, "duration": DURATION_S, "relevant_windows": windows, **labels}), file=known)
    return predictions, truth


class Stopwatch:
    """CPU seconds and seconds on the clock of named jobs, the best of each."""

    def __init__(self) -> None:
        self.cpu_s: dict[str, float] = {}
        self.clock_s: dict[str, float] = {}

    def time(self, name: str, job: Callable[[], Any]) -> Any:
        """Do `job` once more under `name`."""
        cpu, clock = time.process_time(), time.perf_counter()
        result = job()
        cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
        self.cpu_s[name] = min(cpu, self.cpu_s.get(name, cpu))
        self.clock_s[name] = min(clock, self.clock_s.get(name, clock))
        return result


def measure(num_queries: int, repeats: int) -> dict[str, Any]:
    """Every job `repeats` times, in turns."""
    queries, watch = made_up(num_queries), Stopwatch()
    jobs: dict[str, list[Callable[[list[Query]], Any]]] = {
        "moments": [moments_at_once, moments_one_by_one],
        "highlights": [highlights_at_once, highlights_one_by_one],
    }
    with tempfile.TemporaryDirectory(prefix="rdmf-evaluate-") as folder:
        files = write_files(queries, Path(folder))
        for _ in range(repeats):
            for name, (fast, slow) in jobs.items():
                at_once = watch.time(f"{name}, at once", partial(fast, queries))
                if at_once != watch.time(f"{name}, loop", partial(slow, queries)):
                    raise SystemExit(f"{name}: the loop gives other figures")
            watch.time("files to figures", partial(evaluate, *files))
            watch.time("files to figures, --ci", partial(evaluate, *files, with_ci=True))
        size_mb = sum(file.stat().st_size for file in files) / 1e6
    return {"num_queries": num_queries, "size_mb": size_mb, "cpu_s": watch.cpu_s, "clock_s": watch.clock_s}


def as_markdown(result: dict[str, Any]) -> str:
    """The report."""
    spent, clock = result["cpu_s"], result["clock_s"]
    rows = []
    for name in ("moments", "highlights"):
        fast, slow = spent[f"{name}, at once"], spent[f"{name}, loop"]
        rows.append([name, f"{fast:.3f}", f"{slow:.2f}", f"{slow / fast:.0f} x", ""])
    whole = ("files to figures", "files to figures, --ci")
    rows += [[name, f"{spent[name]:.3f}", "", "", f"{clock[name]:.2f}"] for name in whole]
    lines = [
        f"`python -m benchmarks.evaluate`, commit {(result['commit'] or 'none')[:12]}",
        f"Machine: {result['machine_line']}",
        f"{result['num_queries']} predictions of {NUM_WINDOWS} windows and {NUM_CLIPS} saliency scores, "
        f"files of {result['size_mb']:.1f} MB; CPU seconds, and those on the clock",
        "",
        table(["", "at once", "loop over queries", "ratio", "clock"], rows),
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed of rdmf evaluate.")
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the table here")
    asked = parser.parse_args()
    result = {"commit": commit(), "machine": machine(), "machine_line": machine_line()}
    result |= measure(asked.queries, asked.repeats)
    write(as_markdown(result), result, markdown=asked.markdown, json_file=asked.json)


if __name__ == "__main__":
    main()
