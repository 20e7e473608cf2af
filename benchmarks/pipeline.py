"""How fast the pipeline is against its own parts and against other decoders, and what memory it takes.

    python -m benchmarks.pipeline [--encoder lite] [--parts speed,backends,growth,memory] [--json F] [--markdown F]
    python -m benchmarks.pipeline --quick          # smoke test: a small video and a stub encoder, seconds
    python -m benchmarks.pipeline --parts memory   # the long one: 10 minutes and 2 hours of 1080p

Makes its own videos in a temporary folder (about 4 GB for `memory`, --folder names another place). Every job runs in
a process of its own; jobs that are compared take turns; figures are medians of --repeats (fusion's growth: best of 5),
and only ratios within one run mean something on a machine that has other work.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.report import ROOT, commit, machine, machine_line, table, write
from rdmf_cli.errors import RdmfError
from rdmf_cli.media.ffmpeg import ffmpeg_path

Row = dict[str, Any]  # {"what", "value", "unit", "limit"?: text, "ok"?: bool}

SAMPLE_FPS = 2.0
POLL_S = 0.1
MIN_EFFICIENCY = 0.85
MAX_FUSION_SHARE = 0.05
MAX_MEMORY_GROWTH = 1.10
MAX_COST_GROWTH = 1.3  # growth of time / growth of length from one length to the next; 1 is linear
GROWTH_RUNS = 5
SHOT_S = 4
SHOTS = ("testsrc2", "mandelbrot", "gradients", "testsrc2", "life", "gradients")


@dataclass(frozen=True)
class Plan:
    """How large everything is. Lengths in seconds."""

    width_px: int = 1920
    height_px: int = 1080
    bit_rate: str = "4M"
    short_s: int = 120
    memory_s: tuple[int, int] = (600, 7200)
    growth: tuple[int, ...] = (1_000, 4_000, 16_000, 64_000)  # snippets
    repeats: int = 3


QUICK = Plan(640, 360, "1M", short_s=24, memory_s=(24, 96), growth=(200, 800), repeats=1)


class Bench:
    """Where the videos lie, and how jobs are run."""

    def __init__(self, folder: Path, plan: Plan, encoder: str) -> None:
        self.folder = folder / f"{plan.width_px}x{plan.height_px}"  # videos of another plan have the same names
        self.folder.mkdir(parents=True, exist_ok=True)
        self.plan, self.encoder = plan, encoder

    def video(self, name: str, length_s: int, *, tiny: bool = False) -> Path:
        """The basic clip over and over, without encoding it again; `tiny`: 64 x 36 px at SAMPLE_FPS."""
        path = self.folder / f"{name}.mp4"
        if not path.exists():
            clip = self._tiny_clip() if tiny else self._clip()
            loops = -(-length_s // (SHOT_S * len(SHOTS))) - 1
            _ffmpeg("-stream_loop", str(loops), "-i", clip, "-c", "copy", "-t", str(length_s), path)
        return path

    def run(self, **job: Any) -> Row:
        """Run a job of workloads.py; adds `peak_mib`, the process tree's largest resident memory (None: unknown)."""
        if job["job"] == "search":  # always a new store: a first search must find nothing
            job["store"] = tempfile.mkdtemp(prefix="store-", dir=self.folder)
        job = {"encoder": self.encoder, "sample_fps": SAMPLE_FPS, **job}
        command = [sys.executable, "-m", "benchmarks.workloads", json.dumps(job, default=str)]
        child = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        with TreeMemory(child.pid) as memory:
            output, _ = child.communicate()
        if child.returncode:
            raise SystemExit(f"benchmark job failed ({child.returncode}): {job}")
        return {**json.loads(output.splitlines()[-1]), "peak_mib": memory.peak_mib}

    def _clip(self) -> Path:
        """Shots of moving patterns with noise, joined by hard cuts, H.264: made once, as its encoding is slow."""
        path = self.folder / "clip.mp4"
        if not path.exists():
            size = f"s={self.plan.width_px}x{self.plan.height_px}:r=25"
            graph = "".join(
                f"{shot}={size},trim=duration={SHOT_S},hue=h={60 * index},noise=alls=8:allf=t,format=yuv420p[v{index}];"
                for index, shot in enumerate(SHOTS)
            )
            inputs = "".join(f"[v{index}]" for index in range(len(SHOTS)))
            graph += f"{inputs}concat=n={len(SHOTS)}"
            codec = ("-c:v", "libx264", "-preset", "veryfast", "-b:v", self.plan.bit_rate, "-g", "100")
            _ffmpeg("-f", "lavfi", "-i", graph, *codec, path)
        return path

    def _tiny_clip(self) -> Path:
        path = self.folder / "tiny_clip.mp4"
        if not path.exists():
            codec = ("-c:v", "libx264", "-bf", "0", "-g", "8", "-r", str(SAMPLE_FPS))
            _ffmpeg("-i", self._clip(), "-vf", "scale=64:36", *codec, path)
        return path


class TreeMemory:
    """Watches resident memory of a process and all its descendants, summed, every POLL_S, through /proc.

    Pages that two of them share count twice; so the sum is rather too large. Without /proc the peak is None.
    """

    def __init__(self, pid: int) -> None:
        self.peak_mib: float | None = None
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> TreeMemory:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while Path("/proc/self/stat").exists() and not self._over.wait(POLL_S):
            self.peak_mib = max(self.peak_mib or 0.0, tree_mib(self._pid))


def tree_mib(root: int) -> float:
    """Resident memory of `root` and its descendants in MiB."""
    return sum(map(_resident_mib, family(root)))


def family(root: int) -> set[int]:
    """`root` and its descendants, by what /proc says now."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name in brackets may hold anything; after it come the state and the parent.
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
    found, size = {root}, 0
    while len(found) > size:
        size = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found


def speed(bench: Bench) -> list[Row]:
    """Decode alone, encode alone, first and second search."""
    video, warm_up = bench.video("short", bench.plan.short_s), bench.video("warm_up", SHOT_S)
    size_px = bench_size_px(bench)
    runs = []
    for _ in range(bench.plan.repeats):
        decode = bench.run(job="decode", video=video, warm_up=warm_up, backend="ffmpeg", size_px=size_px)
        encode = bench.run(job="encode", video=video)
        search = bench.run(job="search", video=video, warm_up=warm_up, again=1)
        runs.append((decode["seconds"], encode["seconds"], search["first"], search["again"][0]))
    decode_s, encode_s = (median(run[column] for run in runs) for column in (0, 1))
    first_s = median(run[2]["seconds"] for run in runs)
    share = median(run[2]["fusion_s"] / run[2]["seconds"] for run in runs)
    touched = max(run[3]["decode_s"] + run[3]["encode_s"] for run in runs)
    efficiency = max(decode_s, encode_s) / first_s
    return [
        _row("decode alone", decode_s, "s"),
        _row("encode alone", encode_s, "s"),
        _row("first search", first_s, "s"),
        _row("second search", median(run[3]["seconds"] for run in runs), "s"),
        _row(
            "max(decode, encode) / first search", efficiency, "", f">= {MIN_EFFICIENCY}", efficiency >= MIN_EFFICIENCY
        ),
        _row("(decode + encode) / first search: above 1 they overlap", (decode_s + encode_s) / first_s, ""),
        _row("second search: decode + encode", touched, "s", "0", touched == 0.0),
        _row("fusion + head / first search", share, "", f"< {MAX_FUSION_SHARE}", share < MAX_FUSION_SHARE),
    ]


def backends(bench: Bench) -> list[Row]:
    """The same sampled 224 x 224 frames from three decoders. Ours also look at all frames for cuts; OpenCV doesn't."""
    video, warm_up = bench.video("short", bench.plan.short_s), bench.video("warm_up", SHOT_S)
    names = ["ffmpeg", *(name for name, module in (("decord", "decord"), ("opencv", "cv2")) if _has(module))]
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(bench.plan.repeats):
        for name in names:
            done = bench.run(job="decode", video=video, warm_up=warm_up, backend=name, size_px=(224, 224))
            seconds[name].append(done["seconds"])
    rows = [_row(f"{name} backend", median(seconds[name]), "s") for name in names]
    for name in names[1:]:
        rows.append(_row(f"{name} / ffmpeg: above 1 ffmpeg is faster", median(seconds[name]) / rows[0]["value"], ""))
        same = share_of_same(_kept(bench, video, "ffmpeg"), _kept(bench, video, name))
        rows.append(_row(f"{name}: share of samples that look like ffmpeg's", same, ""))
    missing = sorted({"decord", "opencv"} - set(names))
    return rows + [_row(f"{name}: not installed, left out", float("nan"), "") for name in missing]


def share_of_same(ours: dict[str, Any], theirs: dict[str, Any]) -> float:
    """Share of `theirs` that look more like our sample of the same number than like the ones before and after it.

    0 if the times differ by more than a millisecond. Not an absolute difference: decoders differ in colour matrix and
    in how they shrink by more than half a second of a calm shot does.
    """
    if ours["times_s"].shape != theirs["times_s"].shape or np.abs(ours["times_s"] - theirs["times_s"]).max() > 1e-3:
        return 0.0
    first, second = ours["frames"], theirs["frames"]
    own = np.abs(first - second).mean(axis=(1, 2, 3))
    before = np.abs(first[:-1] - second[1:]).mean(axis=(1, 2, 3))  # our earlier sample, their later one
    after = np.abs(first[1:] - second[:-1]).mean(axis=(1, 2, 3))
    others = np.minimum(np.append(np.inf, before), np.append(after, np.inf))
    return float(np.mean(own <= others))


def growth(bench: Bench) -> list[Row]:
    """Time of fusion and head against the number of snippets, on stored features of a stub encoder."""
    rows, times_s, lengths = [], [], []
    for num_snippets in bench.plan.growth:
        video = bench.video(f"tiny{num_snippets}", round(num_snippets / SAMPLE_FPS), tiny=True)
        done = bench.run(job="search", video=video, encoder="stub:32", again=GROWTH_RUNS)
        times_s.append(min(run["fusion_s"] for run in done["again"]))  # other work on the machine only adds
        lengths.append(done["first"]["num_snippets"])
        rows.append(_row(f"fusion + head, {lengths[-1]} snippets", times_s[-1], "s"))
    # From row to row, not first to last: fixed costs of the shortest would hide that the longest grow too fast.
    ratio = float(np.max(np.divide(times_s[1:], times_s[:-1]) / np.divide(lengths[1:], lengths[:-1])))
    what, limit = "growth of time / growth of length, worst step: 1 is linear", f"<= {MAX_COST_GROWTH}"
    return [*rows, _row(what, ratio, "", limit, ratio <= MAX_COST_GROWTH)]


def memory(bench: Bench) -> list[Row]:
    """Largest resident memory of the whole process tree during a first search, long video against short."""
    peaks, rows = [], []
    for length_s in bench.plan.memory_s:
        video = bench.video(f"long{length_s}", length_s)
        done = bench.run(job="search", video=video, sample_fps=None)
        if done["peak_mib"] is None:
            return [_row("memory: this system has no /proc, left out", float("nan"), "")]
        peaks.append(done["peak_mib"])
        rows.append(_row(f"peak memory, {length_s} s ({done['first']['num_snippets']} snippets)", peaks[-1], "MiB"))
        rows.append(_row(f"first search, {length_s} s", done["first"]["seconds"], "s"))
    ratio, limit = peaks[1] / peaks[0], f"<= {MAX_MEMORY_GROWTH}"
    return [*rows, _row("peak memory, long / short", ratio, "", limit, ratio <= MAX_MEMORY_GROWTH)]


PARTS = {"speed": speed, "backends": backends, "growth": growth, "memory": memory}


def bench_size_px(bench: Bench) -> tuple[int, int]:
    """(height, width) of the frames that the encoder wants of the 1080p video."""
    from benchmarks.workloads import encoder_of

    return encoder_of({"encoder": bench.encoder}).frame_size_px(1920, 1080)


def as_markdown(result: dict[str, Any]) -> str:
    """One table per part."""
    lines = [
        f"Encoder {result['encoder']}, commit {(result['commit'] or 'none')[:12]}, {result['plan']}",
        f"Machine: {result['machine_line']}",
    ]
    for part, rows in result["parts"].items():
        cells = [[row["what"], _number(row), row.get("limit", ""), _verdict(row)] for row in rows]
        lines += ["", f"**{part}**", "", table(["what", "value", "limit", "kept"], cells)]
    return "\n".join(lines)


def measure(parts: list[str], *, plan: Plan, encoder: str, folder: Path) -> dict[str, Any]:
    """Everything, as plain data for JSON."""
    bench = Bench(folder, plan, encoder)
    size = f"{plan.width_px}x{plan.height_px} H.264 25 fps {plan.bit_rate}bit/s, {plan.short_s} s"
    return {
        "encoder": encoder,
        "commit": commit(),
        "machine": machine(),
        "machine_line": machine_line(),
        "plan": f"{size}, median of {plan.repeats}",
        "parts": {part: PARTS[part](bench) for part in parts},
    }


def _row(what: str, value: float, unit: str, limit: str | None = None, ok: bool | None = None) -> Row:
    row: Row = {"what": what, "value": value if np.isfinite(value) else None, "unit": unit}
    return row if limit is None else {**row, "limit": limit, "ok": bool(ok)}


def _number(row: Row) -> str:
    return "-" if row["value"] is None else f"{row['value']:.3g} {row['unit']}".strip()


def _verdict(row: Row) -> str:
    return {None: "", True: "yes", False: "NO"}[row.get("ok")]


def _kept(bench: Bench, video: Path, backend: str) -> dict[str, Any]:
    """Times and small copies of the frames that a decoder samples."""
    file = bench.folder / f"kept_{backend}.npz"
    bench.run(job="decode", video=video, warm_up=video, backend=backend, size_px=(224, 224), keep=file)
    with np.load(file) as arrays:
        return dict(arrays)


def _resident_mib(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0  # it ended meanwhile
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([ffmpeg_path(), "-nostdin", "-v", "error", "-y", *map(str, arguments)], check=True)


def _has(module: str) -> bool:
    from importlib.util import find_spec

    return find_spec(module) is not None


def main() -> None:
    parser = argparse.ArgumentParser(description="Speed and memory of the pipeline.")
    parser.add_argument("--encoder", help="a preset, a path, or stub; default lite (with --quick: stub)")
    parser.add_argument("--parts", default=",".join(PARTS), help=f"some of {','.join(PARTS)}")
    parser.add_argument("--quick", action="store_true", help="small videos, no repetitions: only shows that it runs")
    parser.add_argument("--repeats", type=int, help="runs of each job; default 3, with --quick 1")
    parser.add_argument("--folder", type=Path, help="make the videos here and leave them; default: a temporary folder")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--markdown", type=Path, help="write the tables here")
    asked = parser.parse_args()
    plan = QUICK if asked.quick else Plan()
    if asked.repeats:
        plan = Plan(**{**vars(plan), "repeats": asked.repeats})
    parts = asked.parts.split(",")
    if unknown := sorted(set(parts) - set(PARTS)):
        parser.error(f"unknown part: {', '.join(unknown)}")
    encoder = asked.encoder or ("stub" if asked.quick else "lite")
    with tempfile.TemporaryDirectory(prefix="rdmf-pipeline-") as scratch:
        result = measure(parts, plan=plan, encoder=encoder, folder=asked.folder or Path(scratch))
    write(as_markdown(result), result, markdown=asked.markdown, json_file=asked.json)


if __name__ == "__main__":
    try:
        main()
    except RdmfError as error:
        raise SystemExit(f"{error}") from None
