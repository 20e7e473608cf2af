"""How fast and how exact a search of the library is, and what keeping it costs.

    python -m benchmarks.library [--parts scale,queries] [--dims 256,512] [--videos 2000] [--rows 500]
                                 [--data ../shared/data/videos/queries.jsonl] [--folder DIR]
                                 [--markdown F] [--json F]

`scale` makes a library of synthetic videos: shots of strongly correlated snippets, each near one of 400 topics,
pictures and texts in different corners of the space as real encoders have them. Its queries are texts near a topic.
Everything goes through the store and `Library` as in the product; only the encoder is a stub. `limit` and `kept` are
the promises of the design. Wall times depend on the load that the machine line tells; CPU time is what the process
itself used.

`queries` asks every development query of all development videos at once, by the trained model that comes with the
product and by pattern mode. A hit counts if it is in the video that the query was written for; other videos may show
the same and then count as wrong. See the notes under the table.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import ROOT, commit, machine, machine_line, table, write
from rdmf_cli.intervals import tiou

NUM_TOPICS = 400
NUM_QUERIES = 200
WARM_UP = 10
ADDITIONS = 15
SEED = 2026
AROUND_S = 2.0
Rows = NDArray[np.float32]


def unit(rows: NDArray[Any]) -> Rows:
    return np.asarray(rows / np.linalg.norm(rows, axis=-1, keepdims=True), dtype=np.float32)


class Stub:
    """An `Encoder` whose texts and pictures are made up, with the geometry of a real one: a cosine of a text and a
    picture that have nothing to do with each other is about 0, one of two pictures about 0.3, matches 0.2 to 0.4."""

    name = "stub"
    max_text_tokens = 64

    def __init__(self, dim: int) -> None:
        self.dim = dim
        self.fingerprint = hashlib.blake2b(f"stub {dim}".encode(), digest_size=16).hexdigest()
        rng = np.random.default_rng(SEED)
        self.picture_mean, self.text_mean = unit(rng.standard_normal((2, dim)))
        self.topics = unit(rng.standard_normal((NUM_TOPICS, dim)))

    def frame_size_px(self, width: int, height: int) -> tuple[int, int]:
        """(height, width): a small square."""
        return 32, 32

    def video(self, number: int, num_rows: int) -> Rows:
        """Snippets of one video: shots of ten snippets on average, three topics, slow drift inside a shot."""
        rng = np.random.default_rng([SEED, number])
        own, topics = unit(rng.standard_normal(self.dim)), rng.choice(NUM_TOPICS, 3)
        shot = np.cumsum(rng.random(num_rows) < 0.1)
        num_shots = int(shot[-1]) + 1
        centres = unit(
            0.7 * self.topics[rng.choice(topics, num_shots)]
            + 0.4 * own
            + 0.6 * unit(rng.standard_normal((num_shots, self.dim)))
        )
        steps = rng.standard_normal((num_rows, self.dim), dtype=np.float32) * (0.1 / self.dim**0.5)
        drift = np.cumsum(steps, axis=0)
        first = np.searchsorted(shot, np.arange(num_shots))
        drift -= drift[first[shot]]
        noise = unit(rng.standard_normal((num_rows, self.dim), dtype=np.float32))
        return unit(0.55 * self.picture_mean + 0.8 * centres[shot] + drift + 0.2 * noise)

    def encode_texts(self, texts: list[str]) -> Rows:
        """Each near a topic that its hash chooses."""
        rows = []
        for text in texts:
            rng = np.random.default_rng(
                int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
            )
            topic = self.topics[rng.integers(NUM_TOPICS)]
            rows.append(unit(0.6 * self.text_mean + 0.35 * topic + 0.75 * unit(rng.standard_normal(self.dim))))
        return np.array(rows, np.float32).reshape(-1, self.dim)

    def encode_images(self, frames: NDArray[np.uint8]) -> Rows:
        """Pictures of no topic."""
        rng = np.random.default_rng(int(frames[:, 0, 0, 0].astype(int).sum()))
        return unit(0.55 * self.picture_mean + 0.85 * unit(rng.standard_normal((len(frames), self.dim))))

    def text_length(self, text: str) -> int:
        return len(text.split())


def queries() -> list[str]:
    return [f"synthetic query {number}" for number in range(NUM_QUERIES)]


def rss_mib() -> float:
    """Resident memory of this process in MiB (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def fill(folder: Path, dim: int, num_videos: int, num_rows: int) -> None:
    """A store with synthetic videos. Their files are hard links to one real short video, so that they can be probed."""
    from rdmf_cli.store import Store

    encoder = Stub(dim)
    with Store.open(folder / "store") as store:
        (folder / "videos").mkdir(exist_ok=True)
        for number in range(num_videos):
            add(store, encoder, folder, number, num_rows)


def add(store: Any, encoder: Stub, folder: Path, number: int, num_rows: int) -> None:
    from rdmf_cli.pipeline.index import feature_spec
    from rdmf_cli.store import VideoFeatures

    path = folder / "videos" / f"video-{number:05d}.mp4"
    if not path.exists():
        os.link(folder / "one.mp4", path)
    rows = encoder.video(number, num_rows)
    times_s = np.arange(num_rows) / 2
    change = np.zeros(num_rows, np.float32)
    features = VideoFeatures(rows, times_s, change, times_s, num_rows / 2)
    store.save(f"{number:032x}", feature_spec(encoder, 2.0, "ffmpeg"), features, path)


def measure_searches(folder: Path, dim: int) -> dict[str, float]:
    """In a process of its own: opening, memory, and the time of each query."""
    import faiss  # noqa: F401  importing it is not opening a library

    from rdmf_cli.pipeline.learned import open_mode
    from rdmf_cli.pipeline.library import Library, LibraryOptions
    from rdmf_cli.settings import load_settings
    from rdmf_cli.store import Store

    encoder: Any = Stub(dim)
    with Store.open(folder / "store") as store:
        Library.open(store, encoder)  # the calibration is made once
        memory = rss_mib()
        started = time.perf_counter()
        library = Library.open(store, encoder)
        result = {"open_s": time.perf_counter() - started}
        encoded = library.encode(queries())
        options = LibraryOptions()
        for vector in encoded.vectors:
            for segment, counts in library._parts:
                segment.search(vector, 256, counts)
        result["memory_mib"] = rss_mib() - memory
        result |= search_times(library, encoded, options)
        result["process_mib"] = rss_mib()
        library.mode = open_mode("auto", load_settings().models, encoder)
        result |= {f"learned_{name}": value for name, value in search_times(library, encoded, options).items()}
        result["codes_mib"] = library.num_snippets * dim * 2 / 2**20
        result["snippets"] = library.num_snippets
        result["clustered"] = float(sum(s.num_rows for s, _ in library._parts if s.is_clustered))
    return result


def search_times(library: Any, encoded: Any, options: Any) -> dict[str, float]:
    """Wall and CPU time of every query, in the mode of the library."""
    nearest, whole, cpu, videos = [], [], [], []
    for number in [*range(WARM_UP), *range(NUM_QUERIES)]:
        used = time.process_time()
        answer = library.search(encoded, number, options)
        cpu.append(time.process_time() - used)
        nearest.append(answer.nearest_s)
        whole.append(answer.total_s)
        videos.append(len(answer.answers))
    result = {"videos_in_answer": float(np.mean(videos))}
    for name, values in (("nearest", nearest), ("whole", whole), ("cpu", cpu)):
        p50, p95 = np.percentile(values[WARM_UP:], [50, 95])
        result |= {f"{name}_p50_ms": 1000 * p50, f"{name}_p95_ms": 1000 * p95}
    return result


def measure_recall(folder: Path, dim: int, num_videos: int, num_rows: int) -> float:
    """Share of the exact 100 best snippets that the index finds, over half of the queries."""
    from rdmf_cli.pipeline.library import Library
    from rdmf_cli.store import Store

    encoder = Stub(dim)
    with Store.open(folder / "store") as store:
        library = Library.open(store, encoder)
        vectors = library.encode(queries()[: NUM_QUERIES // 2]).vectors
        best = np.full((len(vectors), 100), -np.inf, np.float32)
        ids = np.zeros((len(vectors), 100), np.int64)
        for number in range(num_videos):
            rows = encoder.video(number, num_rows).astype(np.float16).astype(np.float32)
            scores = np.concatenate([best, vectors @ unit(rows).T], axis=1)
            names = np.concatenate([ids, np.tile(number * num_rows + np.arange(num_rows), (len(vectors), 1))], axis=1)
            chosen = np.argpartition(-scores, 100, axis=1)[:, :100]
            best, ids = np.take_along_axis(scores, chosen, 1), np.take_along_axis(names, chosen, 1)
        shares = []
        for vector, exact in zip(vectors, ids, strict=True):
            found = []
            for segment, counts in library._parts:
                hits = segment.search(vector, 100, counts)
                videos = np.array([int(entry.video_id, 16) for entry in segment.entries])
                found += zip(hits.cosine.tolist(), (videos[hits.entry] * num_rows + hits.row).tolist(), strict=True)
            shares.append(len({name for _, name in sorted(found, reverse=True)[:100]} & set(exact.tolist())) / 100)
    return float(np.mean(shares))


def measure_additions(folder: Path, dim: int, num_videos: int, num_rows: int) -> dict[str, float]:
    """Adding one video to the library and to an empty one, turn by turn."""
    from rdmf_cli.encoders.base import FeatureSpec
    from rdmf_cli.pipeline.library import refresh
    from rdmf_cli.store import Store

    encoder = Stub(dim)
    spec = FeatureSpec(encoder.name, encoder.fingerprint, dim, "")
    whole: dict[str, list[float]] = {"full": [], "empty": []}
    index: dict[str, list[float]] = {"full": [], "empty": []}
    for turn in range(ADDITIONS):
        with Store.open(folder / "store") as full, Store.open(folder / f"empty-{turn}") as empty:
            for name, store in (("full", full), ("empty", empty)):
                started = time.perf_counter()
                add(store, encoder, folder, num_videos + turn, num_rows)
                saved = time.perf_counter()
                refresh(store, spec)
                index[name].append(time.perf_counter() - saved)
                whole[name].append(time.perf_counter() - started)
    middle = {
        f"{kind}_{name}_ms": 1000 * float(np.median(times[name]))
        for kind, times in (("add", whole), ("index", index))
        for name in times
    }
    worst = max(range(ADDITIONS), key=lambda turn: index["full"][turn])
    return {**middle, "index_full_worst_ms": 1000 * index["full"][worst]}


def scale(dim: int, num_videos: int, num_rows: int, parent: Path | None) -> dict[str, float]:
    """All figures of one dimension."""
    from rdmf_cli.encoders.base import FeatureSpec
    from rdmf_cli.pipeline.library import refresh
    from rdmf_cli.store import Store

    with tempfile.TemporaryDirectory(prefix=f"rdmf-library-{dim}-", dir=parent) as name:
        folder = Path(name)
        shutil.copy(ROOT / "rdmf_cli" / "demo.mp4", folder / "one.mp4")
        say(f"{dim}: making {num_videos} videos")
        fill(folder, dim, num_videos, num_rows)
        say(f"{dim}: building the index")
        encoder = Stub(dim)
        started, used = time.perf_counter(), time.process_time()
        with Store.open(folder / "store") as store:
            refresh(store, FeatureSpec(encoder.name, encoder.fingerprint, dim, ""))
        result = {"build_s": time.perf_counter() - started, "build_cpu_s": time.process_time() - used}
        result["index_mib"] = sum(f.stat().st_size for f in (folder / "store" / "library").rglob("*.faiss")) / 2**20
        say(f"{dim}: searching")
        result |= apart("searches", folder, dim)
        result["recall_at_100"] = measure_recall(folder, dim, num_videos, num_rows)
        say(f"{dim}: adding")
        return result | measure_additions(folder, dim, num_videos, num_rows)


def apart(job: str, folder: Path, dim: int) -> dict[str, float]:
    """`measure_<job>` in a new process, whose memory nobody else has used."""
    command = [sys.executable, "-m", "benchmarks.library", "--job", job, "--folder", str(folder), "--dims", str(dim)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


# What is promised: (row, how to get it from the figures, unit, limit)
Figure = Callable[[dict[str, float]], float]
ROWS: tuple[tuple[str, Figure, str, str, Callable[[float], bool] | None], ...] = (
    ("nearest snippets and videos, p50", lambda f: f["nearest_p50_ms"], "ms", "<= 50", lambda x: x <= 50),
    ("nearest snippets and videos, p95", lambda f: f["nearest_p95_ms"], "ms", "<= 150", lambda x: x <= 150),
    ("whole search in pattern mode, p50", lambda f: f["whole_p50_ms"], "ms", "<= 50", lambda x: x <= 50),
    ("whole search in pattern mode, p95", lambda f: f["whole_p95_ms"], "ms", "<= 150", lambda x: x <= 150),
    ("whole search with the learned model, p50", lambda f: f["learned_whole_p50_ms"], "ms", "<= 50", lambda x: x <= 50),
    (
        "whole search with the learned model, p95",
        lambda f: f["learned_whole_p95_ms"],
        "ms",
        "<= 150",
        lambda x: x <= 150,
    ),
    ("CPU time of a whole search in pattern mode, p50", lambda f: f["cpu_p50_ms"], "ms", "", None),
    ("CPU time of a whole search with the learned model, p50", lambda f: f["learned_cpu_p50_ms"], "ms", "", None),
    ("videos in an answer in pattern mode, mean", lambda f: f["videos_in_answer"], "", "", None),
    ("videos in an answer with the learned model, mean", lambda f: f["learned_videos_in_answer"], "", "", None),
    ("recall@100 of the index against exact", lambda f: f["recall_at_100"], "", ">= 0.97", lambda x: x >= 0.97),
    ("codes", lambda f: f["codes_mib"], "MiB", "", None),
    (
        "memory that the library adds to the process / codes",
        lambda f: f["memory_mib"] / f["codes_mib"],
        "",
        "<= 1.5",
        lambda x: x <= 1.5,
    ),
    ("the whole process, with torch / codes", lambda f: f["process_mib"] / f["codes_mib"], "", "", None),
    ("opening", lambda f: f["open_s"], "s", "< 1", lambda x: x < 1),
    ("building the index once", lambda f: f["build_s"], "s", "", None),
    ("its files", lambda f: f["index_mib"], "MiB", "", None),
    (
        "adding a video (features and index): full / empty library",
        lambda f: f["add_full_ms"] / f["add_empty_ms"],
        "",
        "<= 2",
        lambda x: x <= 2,
    ),
    (
        "the index's part of that: full / empty library",
        lambda f: f["index_full_ms"] / f["index_empty_ms"],
        "",
        "<= 2",
        lambda x: x <= 2,
    ),
    ("the index's part, full library, median", lambda f: f["index_full_ms"], "ms", "", None),
    ("the index's part, full library, slowest (with a merge)", lambda f: f["index_full_worst_ms"], "ms", "", None),
)


def scale_table(figures: dict[str, dict[str, float]]) -> str:
    header = ["what", *(f"{dim} dimensions" for dim in figures), "limit", "kept"]
    rows = []
    for name, value_of, unit_name, limit, is_kept in ROWS:
        values = [value_of(figure) for figure in figures.values()]
        kept = "" if is_kept is None else "yes" if all(map(is_kept, values)) else "NO"
        rows.append([name, *(f"{value:.3g} {unit_name}".strip() for value in values), limit, kept])
    return table(header, rows)


# --- the development queries ------------------------------------------------------------------------------------------


def ask_all(data: Path) -> dict[str, Any]:
    """Every query of the file on all its videos at once, in both modes."""
    from rdmf_cli.encoders import open_encoder
    from rdmf_cli.media.probe import find_videos
    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.index import index_video
    from rdmf_cli.pipeline.learned import open_mode
    from rdmf_cli.pipeline.library import Library, LibraryOptions
    from rdmf_cli.pipeline.modes import PATTERN_MODE
    from rdmf_cli.settings import load_settings
    from rdmf_cli.store import Store

    rows = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines() if line.strip()]
    settings = load_settings(encoder="lite")
    encoder = open_encoder("lite", models_folder=settings.models, device="cpu", offline=True)
    with tempfile.TemporaryDirectory(prefix="rdmf-library-") as folder, Store.open(Path(folder)) as store:
        videos = [
            index_video(video, encoder=encoder, store=store, options=SearchOptions())
            for video in find_videos(data.parent)
        ]
        options = LibraryOptions(top=24, per_video=2, show_all=True, merge=False)
        modes = {"learned": open_mode("auto", settings.models, encoder), "pattern": PATTERN_MODE}
        found: dict[str, Any] = {"num_queries": len(rows)}
        for name, mode in modes.items():
            library = Library.open(store, encoder, mode=mode)
            encoded = library.encode([row["query"] for row in rows])
            answers = [library.search(encoded, number, options) for number in range(len(rows))]
            found[name] = {**retrieval(rows, answers), **pictures(library, videos)}
            found |= {"num_videos": library.num_videos, "num_snippets": library.num_snippets}
        return found


def retrieval(rows: list[dict[str, Any]], answers: list[Any]) -> dict[str, float]:
    """R@1 and R@5 of the video, R1@0.5 and R5@0.5 of the moment, over the queries with windows."""
    names = ("video_r1", "video_r5", "moment_r1", "moment_r5")
    sums = dict.fromkeys(names, 0.0)
    asked = [(row, answer) for row, answer in zip(rows, answers, strict=True) if row["relevant_windows"]]
    for row, answer in asked:
        videos = list(dict.fromkeys(hit.answer.info.path.name for hit in answer.hits))
        right = [_is_right(hit, row) for hit in answer.hits]
        values = (row["vid"] in videos[:1], row["vid"] in videos[:5], any(right[:1]), any(right[:5]))
        for name, value in zip(names, values, strict=True):
            sums[name] += 100 * value / len(asked)
    confident = [
        answer.best.confident for row, answer in zip(rows, answers, strict=True) if not row["relevant_windows"]
    ]
    shown = [answer.best.confident for _, answer in asked]
    return {
        "num_answerable": len(asked),
        **sums,
        "shown_answerable": 100 * float(np.mean(shown)),
        "shown_others": 100 * float(np.mean(confident)),
    }


def _is_right(hit: Any, row: dict[str, Any]) -> bool:
    moment = hit.answer.moments[hit.moment]
    overlap = tiou([[moment.start_s, moment.end_s]], row["relevant_windows"]).max()
    return bool(hit.answer.info.path.name == row["vid"] and overlap >= 0.5)


def pictures(library: Any, videos: list[Any]) -> dict[str, float]:
    """A frame of each video, every 5 s, as the query: is its video first, and is it confident?

    And each video by itself, the one that the frame is from without what lies around it.
    """
    from rdmf_cli.pipeline.library import LibraryOptions
    from rdmf_cli.pipeline.query import Picture, Query

    asked = [
        (video, Query(picture=Picture(video.info.path, float(at_s))))
        for video in videos
        for at_s in np.arange(2.0, video.info.duration_s, 5)
    ]
    encoded = library.encode([query for _, query in asked])
    first, shown, again, elsewhere = [], [], [], []
    for number, (own, query) in enumerate(asked):
        answer = library.search(encoded, number, LibraryOptions(show_all=True))
        first.append(answer.hits[0].answer.info.path == own.info.path)
        shown.append(answer.best.confident)
        rest = [video for video in videos if video is not own]
        found = library.mode.answer(
            [_without(own, query.picture.at_s), *rest], encoded.only(number), library._calibration
        )
        again.append(found[0][0].relevance.confident)
        elsewhere += [other.relevance.confident for [other] in found[1:]]
    return {
        "num_pictures": len(asked),
        "picture_r1": 100 * float(np.mean(first)),
        "picture_shown": 100 * float(np.mean(shown)),
        "picture_again": 100 * float(np.mean(again)),
        "picture_elsewhere": 100 * float(np.mean(elsewhere)),
    }


def _without(video: Any, at_s: float) -> Any:
    """The video less what lies less than AROUND_S from a moment; all of it, if that leaves nothing."""
    features = video.features
    kept = np.abs(features.times_s - at_s) >= AROUND_S
    if not kept.any():
        return video
    rows = {name: getattr(features, name)[kept] for name in ("features", "times_s", "change", "change_time_s")}
    return replace(video, features=replace(features, **rows))


QUERY_ROWS = (
    ("video R@1, {num_answerable} queries with a match", "video_r1"),
    ("video R@5", "video_r5"),
    ("moment R1@0.5: first hit, in the right video", "moment_r1"),
    ("moment R5@0.5: any of the first five", "moment_r5"),
    ("queries with a match in their video that show a hit", "shown_answerable"),
    ("queries without a match in their video that show a hit", "shown_others"),
    ("a frame as the query ({num_pictures}): its video is first", "picture_r1"),
    ("a frame as the query: shown as a match", "picture_shown"),
    ("its own video without the 2 s around it: shown as a match", "picture_again"),
    ("each other video: shown as a match", "picture_elsewhere"),
)


def queries_table(figures: dict[str, Any]) -> str:
    learned, pattern = figures["learned"], figures["pattern"]
    rows = [[text.format_map(learned), f"{learned[name]:.1f} %", f"{pattern[name]:.1f} %"] for text, name in QUERY_ROWS]
    what = f"{figures['num_videos']} videos, {figures['num_snippets']} snippets, encoder lite"
    return table([what, "learned", "pattern mode"], rows)


SCALE_NOTES = """\
What misses its limit is the *whole* search. It runs the fusion of the videos whose moments it shows, some five of 500
snippets: hundreds of small array operations, and most of its time. Finding the nearest snippets is 5 to 10 % of it."""

NOTES = """How duplicates count: a query's right video is the one that it was written for, and only that one; chance is
8.3 % for R@1 and 41.7 % for R@5. No clip is in two of these videos, so nothing is merged away (`merge` is off). What is
in them alike does count against us: dogs, cats, roads and kitchens are in several videos, and a query such as "a dog"
may be answered as well by a video that it was not written for. The row about queries without a match
counts hits in any video; whether those are right there nobody has marked. Frames as queries come from the very videos
searched: the first two rows say that identical pictures are found, no more."""


def as_markdown(result: dict[str, Any]) -> str:
    lines = [f"Commit {(result['commit'] or 'none')[:12]}", f"Machine: {result['machine_line']}"]
    if figures := result.get("scale"):
        some = next(iter(figures.values()))
        lines += ["", f"**scale**: {int(some['snippets']):,} snippets, {result['num_videos']:,} videos", ""]
        lines += [scale_table(figures), "", SCALE_NOTES]
    if found := result.get("queries"):
        lines += ["", "**queries**", "", queries_table(found), "", NOTES]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Searching a library: speed, exactness, cost.")
    parser.add_argument("--parts", default="scale,queries")
    parser.add_argument("--dims", default="256,512")
    parser.add_argument("--videos", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=500, help="snippets of each video")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/videos/queries.jsonl")
    parser.add_argument("--folder", type=Path, help="make the libraries here; default: the temporary folder")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--job", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    dims = [int(dim) for dim in asked.dims.split(",")]
    if asked.job == "searches":
        print(json.dumps(measure_searches(asked.folder, dims[0])))
        return
    parts = asked.parts.split(",")
    result: dict[str, Any] = {"commit": commit(), "machine": machine(), "machine_line": machine_line()}
    result["num_videos"] = asked.videos
    if "queries" in parts:
        say("asking the development queries")
        result["queries"] = ask_all(asked.data)
    if "scale" in parts:
        result["scale"] = {str(dim): scale(dim, asked.videos, asked.rows, asked.folder) for dim in dims}
    write(as_markdown(result), result, markdown=asked.markdown, json_file=asked.json)


if __name__ == "__main__":
    main()
