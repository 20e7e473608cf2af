"""What indexing costs: again over what is known, per hour of video, by videos at once, and what repeated frames save.

    python -m benchmarks.indexing [--parts rerun,repeats,jobs,volume] [--videos DIR] [--json F] [--markdown F]
    python -m benchmarks.indexing --quick          # smoke test: few files and a stub encoder, seconds

Makes its own videos in a temporary folder. `--videos` adds videos of one's own to the part `repeats`. On a machine
that has other work only ratios within one run mean something; runs that are compared take turns.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.report import commit, machine, machine_line, table, write
from benchmarks.workloads import StubEncoder
from rdmf_cli.encoders.base import Encoder
from rdmf_cli.media.ffmpeg import ffmpeg_path
from rdmf_cli.media.frames import Sampling, open_frames
from rdmf_cli.media.probe import find_videos, fingerprint, probe
from rdmf_cli.media.repeats import Repeats, spread
from rdmf_cli.pipeline.index import feature_spec
from rdmf_cli.pipeline.indexing import Indexer, Summary
from rdmf_cli.pipeline.planning import IndexOptions
from rdmf_cli.settings import load_settings, share_cores
from rdmf_cli.store import Store, VideoFeatures
from rdmf_cli.store.folder import state_of

Row = dict[str, Any]  # {"what", "value", "unit", "limit"?: text, "ok"?: bool}

MAX_RERUN_S = 2.0
MAX_RERUN_MS = 1.0
MIN_COSINE = 0.999  # of a row that is used in place of a frame's own: docs/decisions/0007-repeated-frames.md
CLIPS = {
    "slides, one every 10 s": "testsrc2=s={1}:r=1/10:d={0},fps=25",
    "still camera, a little noise": "mandelbrot=s={1}:r=25,trim=end_frame=1,loop=-1:1,noise=alls=3:allf=t",
    "still camera, more noise": "mandelbrot=s={1}:r=25,trim=end_frame=1,loop=-1:1,noise=alls=6:allf=t",
    "everything moves": "gradients=s={1}:r=25:speed=0.2:seed=1,noise=alls=3:allf=t",
}


@dataclass(frozen=True)
class Plan:
    """How large everything is."""

    num_files: int = 2000
    size: str = "1280x720"
    clip_s: int = 40
    num_short: int = 12
    short_s: int = 6
    long_s: int = 60
    repeats: int = 3


QUICK = Plan(num_files=100, size="320x180", clip_s=4, num_short=4, short_s=2, long_s=8, repeats=1)


class Bench:
    """Where the videos lie, and the encoder."""

    def __init__(self, folder: Path, plan: Plan, encoder: Encoder, videos: Path | None) -> None:
        self.folder, self.plan, self.encoder, self.videos = folder, plan, encoder, videos

    def clip(self, name: str, source: str, length_s: int) -> Path:
        """A video made by an ffmpeg filter."""
        path = self.folder / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            codec = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "26", "-pix_fmt", "yuv420p")
            command = [
                ffmpeg_path(),
                "-nostdin",
                "-v",
                "error",
                "-y",
                "-f",
                "lavfi",
                "-i",
                source.format(length_s, self.plan.size),
            ]
            subprocess.run([*command, "-t", str(length_s), *codec, path], check=True)
        return path

    def index(self, store: Store, place: Path, jobs: int = 1) -> tuple[Summary, float]:
        """Index a folder; the summary and the seconds it took."""
        indexer = Indexer(encoder=self.encoder, store=store, options=IndexOptions(jobs=jobs))
        begin = time.perf_counter()
        indexer.run([place])
        return indexer.summary, time.perf_counter() - begin


def rerun(bench: Bench) -> list[Row]:
    """Index again what has not changed. The library is filled as indexing leaves it, without the encoding."""
    place, count = bench.folder / "files", bench.plan.num_files
    original = bench.clip("tiny.mp4", "color=red:s=64x36:r=5:d={0}", 2).read_bytes()
    times_s = []
    with Store.open(bench.folder / "rerun") as store:
        for number in range(count):
            video = place / f"{number % 20}" / f"{number}.mp4"
            video.parent.mkdir(parents=True, exist_ok=True)
            video.write_bytes(original + b"\0\0\0\x10free" + number.to_bytes(8, "big"))
            _enter(store, bench.encoder, video)
        for _ in range(bench.plan.repeats + 1):
            summary, seconds = bench.index(store, place)
            if summary.count("unchanged") != count:
                raise RuntimeError(f"not all unchanged: {summary.counts}")
            times_s.append(seconds)
    again_s = median(times_s[1:])
    return [
        _row(f"index again, {count} unchanged files", again_s, "s", f"< {MAX_RERUN_S:g}", again_s < MAX_RERUN_S),
        _row("per file", 1e3 * again_s / count, "ms", f"<= {MAX_RERUN_MS:g}", 1e3 * again_s / count <= MAX_RERUN_MS),
    ]


def repeats(bench: Bench) -> list[Row]:
    """What encoding repeated frames once saves, and how far the row that is used is from the frame's own."""
    rows = []
    clips = {name: bench.clip(f"{name}.mp4", source, bench.plan.clip_s) for name, source in CLIPS.items()}
    own = find_videos(bench.videos) if bench.videos else []
    for name, video in {**clips, **{video.name: video for video in own}}.items():
        info = probe(video)
        size_px = bench.encoder.frame_size_px(info.width, info.height)
        batches = list(open_frames(info, Sampling(2.0, *size_px)).batches(32))
        frames = np.concatenate([batch.frames for batch in batches])
        bench.encoder.encode_images(frames[:1])
        begin = time.perf_counter()
        exact = bench.encoder.encode_images(frames)
        middle = time.perf_counter()
        is_new = Repeats().new(frames)
        used = spread(bench.encoder.encode_images(frames[is_new]), is_new, exact[0])
        end = time.perf_counter()
        cosine = float((exact * used).sum(axis=1).min())
        rows.append(_row(f"{name}: share of {len(frames)} frames not encoded", 1 - float(is_new.mean()), ""))
        rows.append(_row(f"{name}: time of encoding, against all frames", (end - middle) / (middle - begin), ""))
        rows.append(_row(f"{name}: worst cosine", cosine, "", f">= {MIN_COSINE}", cosine >= MIN_COSINE))
    return rows


def jobs(bench: Bench) -> list[Row]:
    """Many short videos, several at once; the result is the same."""
    place = bench.folder / "short"
    for number in range(bench.plan.num_short):
        bench.clip(f"short/{number}.mp4", "testsrc2=s=640x360:r=25,hue=h=" + str(20 * number), bench.plan.short_s)
    numbers = (1, 2, 4)
    times_s: dict[int, list[float]] = {number: [] for number in numbers}
    for turn in range(bench.plan.repeats):
        for number in numbers:
            with Store.open(bench.folder / f"jobs-{number}-{turn}") as store:
                times_s[number].append(bench.index(store, place, number)[1])
    what = f"{bench.plan.num_short} videos of {bench.plan.short_s} s"
    first_s = median(times_s[1])
    rows = [_row(f"{what}, {number} at once", median(times_s[number]), "s") for number in numbers]
    return rows + [_row(f"speed-up by {n} at once", first_s / median(times_s[n]), "times") for n in numbers[1:]]


def volume(bench: Bench) -> list[Row]:
    """Time and bytes per hour of video, from one long moving video (or `--videos`) and what the store holds of it.

    Core-seconds besides seconds: they depend less on what else the machine does.
    """
    bench.clip("long/long.mp4", "testsrc2=s={1}:r=25", bench.plan.long_s)
    bench.encoder.encode_images(np.zeros((1, *bench.encoder.frame_size_px(640, 360), 3), np.uint8))
    with Store.open(bench.folder / "volume") as store:
        own_s, others_s = _cpu_s()
        summary, seconds = bench.index(store, bench.videos or bench.folder / "long")
        own_s, others_s = _cpu_s()[0] - own_s, _cpu_s()[1] - others_s
        size = sum(file.stat().st_size for file in (store.folder / "features").rglob("*.faiss"))
    hours = summary.duration_s / 3600
    return [
        _row("frames looked at per second of work", summary.num_frames / seconds, "frames/s"),
        _row("video indexed per second of work", summary.duration_s / seconds, "s/s"),
        _row("encoding: core-seconds per frame", own_s / summary.num_frames, "s"),
        _row("decoding: core-seconds per hour of video", others_s / hours, "s"),
        _row("snippets per hour of video at 2 fps", summary.num_frames / hours, ""),
        _row(f"features per hour of video, {bench.encoder.dim} dimensions, 2 fps", size / hours / 1e6, "MB"),
    ]


PARTS: dict[str, Callable[[Bench], list[Row]]] = {"rerun": rerun, "repeats": repeats, "jobs": jobs, "volume": volume}


def measure(parts: list[str], *, plan: Plan, encoder: Encoder, folder: Path, videos: Path | None) -> dict[str, Any]:
    """Everything, as plain data for JSON."""
    bench = Bench(folder, plan, encoder, videos)
    return {
        "encoder": encoder.name,
        "commit": commit(),
        "machine": machine(),
        "machine_line": machine_line(),
        "parts": {part: _told(part, bench) for part in parts},
    }


def _told(part: str, bench: Bench) -> list[Row]:
    """The rows of a part; said at once, because a part takes minutes."""
    rows = PARTS[part](bench)
    print(f"{part}:", *(f"  {row['what']}: {row['value']:.4g} {row['unit']}" for row in rows), sep="\n", flush=True)
    return rows


def as_markdown(result: dict[str, Any]) -> str:
    """One table per part."""
    lines = [
        f"Encoder {result['encoder']}, commit {(result['commit'] or 'none')[:12]}",
        f"Machine: {result['machine_line']}",
    ]
    for part, rows in result["parts"].items():
        cells = [
            [row["what"], f"{row['value']:.4g} {row['unit']}".strip(), row.get("limit", ""), _verdict(row)]
            for row in rows
        ]
        lines += ["", f"**{part}**", "", table(["what", "value", "limit", "kept"], cells)]
    return "\n".join(lines)


def _cpu_s() -> tuple[float, float]:
    """Core-seconds so far: of this process, and of the ffmpegs that have ended."""
    times = os.times()
    return times.user + times.system, times.children_user + times.children_system


def _enter(store: Store, encoder: Encoder, video: Path) -> None:
    """What indexing would leave of a video of 2 s."""
    rows = np.random.default_rng(int(video.stem)).standard_normal((4, encoder.dim)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    times_s = np.arange(4) / 2
    features = VideoFeatures(rows, times_s, np.zeros(4, np.float32), times_s, 2.0)
    state, video_id = state_of(video), fingerprint(video)
    assert state is not None
    store.save(video_id, feature_spec(encoder, 2.0, "ffmpeg"), features, video)
    store.remember_duration(video_id, 2.0)
    store.remember_place(state, video_id)


def _row(what: str, value: float, unit: str, limit: str | None = None, ok: bool | None = None) -> Row:
    row: Row = {"what": what, "value": value, "unit": unit}
    return row if limit is None else {**row, "limit": limit, "ok": bool(ok)}


def _verdict(row: Row) -> str:
    return {None: "", True: "yes", False: "NO"}[row.get("ok")]


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of indexing.")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="few files, a stub encoder: only shows that it runs")
    parser.add_argument("--videos", type=Path, help="videos of one's own, for the part repeats")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    asked = parser.parse_args()
    parts = asked.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"unknown part: {', '.join(unknown)}")
    share_cores()
    encoder: Encoder = StubEncoder()
    if not asked.quick:
        from rdmf_cli.encoders import open_encoder

        encoder = open_encoder("lite", models_folder=load_settings().models)
    with tempfile.TemporaryDirectory(prefix="rdmf-indexing-") as scratch:
        plan = QUICK if asked.quick else Plan()
        result = measure(parts, plan=plan, encoder=encoder, folder=Path(scratch), videos=asked.videos)
    write(as_markdown(result), result, markdown=asked.markdown, json_file=asked.json)


if __name__ == "__main__":
    main()
