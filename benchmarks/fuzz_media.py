"""Mutated media files through `probe` and `search`: nothing may crash, hang, leak a process or answer nonsense.

    python -m benchmarks.fuzz_media                       10,000 cases; goes on where an earlier run stopped
    python -m benchmarks.fuzz_media --cases 500 --out /tmp/x

Each worker is a process of its own (fuzz_worker.py) that is killed if one case takes longer than `--patience`. Writes
one line per case to OUT/results.jsonl and, when all are done, the table to benchmarks/fuzz_media.md (or OUT).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from benchmarks.report import ROOT, commit, machine_line, table

CASES = 10_000
PATIENCE_S = 120.0  # a case takes a fraction of a second on a free machine; the limit must hold on a busy one
_LINE_BYTES = 65_536

Told = dict[str, Any]


class Worker:
    """A running fuzz_worker; `ask` never waits longer than it is told."""

    def __init__(self, seed_folder: Path, folder: Path, seed: int, command: list[str] | None = None) -> None:
        ours = [sys.executable, "-m", "benchmarks.fuzz_worker", str(seed_folder), str(folder), str(seed)]
        self._log = (folder / "stderr.txt").open("ab")
        self._process = subprocess.Popen(
            command or ours,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=ROOT,
            start_new_session=os.name == "posix",
        )
        self._lines: queue.Queue[bytes] = queue.Queue()
        self._reader = threading.Thread(target=_pass_on, args=(self._process.stdout, self._lines), daemon=True)
        self._reader.start()
        self.is_ready = self._next(600.0) == b"ready\n"

    def ask(self, case: int, patience_s: float) -> Told:
        """The answer of the worker, or that it hung or crashed; then it can't be asked again."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.write(b"%d\n" % case)
            self._process.stdin.flush()
        line = self._next(patience_s)
        if line is None:
            return {"case": case, "outcome": "hung", "said": f"no answer in {patience_s:g} s"}
        if not line.endswith(b"\n"):
            status = self._process.wait()
            return {"case": case, "outcome": "crashed", "said": f"the process ended with {status}"}
        answer: Told = json.loads(line)
        return answer

    def stop(self) -> int:
        """End it; how many children it left running."""
        left = _children_of(self._process.pid) if self._process.poll() is None else []
        for pid in [*left, self._process.pid]:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            with contextlib.suppress(OSError):
                stream.close()  # type: ignore[union-attr]
        return len(left)

    def _next(self, patience_s: float) -> bytes | None:
        try:
            return self._lines.get(timeout=patience_s)
        except queue.Empty:
            return None


def _pass_on(stream: IO[bytes], lines: queue.Queue[bytes]) -> None:
    for line in iter(lambda: stream.readline(_LINE_BYTES), b""):
        lines.put(line)
    lines.put(b"")


def _children_of(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(child) for child in task.read_text().split()]
    return found


def fuzz(cases: list[int], out: Path, *, seed: int = 0, workers: int = 2, patience_s: float = PATIENCE_S) -> None:
    """Try `cases` and append what came of each to `out`/results.jsonl."""
    from benchmarks.media_seeds import make_seeds

    make_seeds(out / "seeds")
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for case in cases:
        waiting.put(case)
    lock = threading.Lock()
    with (out / "results.jsonl").open("a", encoding="utf-8") as results:

        def work() -> None:
            for told in _answers(waiting, out, seed, patience_s):
                with lock:
                    results.write(json.dumps(told) + "\n")
                    results.flush()

        threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def run(
    wanted: range, out: Path, *, seed: int = 0, workers: int = os.cpu_count() or 1, patience_s: float = PATIENCE_S
) -> list[Told]:
    """The results of the cases `wanted`: those that `out` has, and the others, which are tried now."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / "results.jsonl"
    done = {told["case"] for told in read_results(file) if told["outcome"] != "hung"}
    fuzz([case for case in wanted if case not in done], out, seed=seed, workers=workers, patience_s=patience_s)
    return [told for told in read_results(file) if told["case"] in wanted]


def _answers(waiting: queue.SimpleQueue[int], out: Path, seed: int, patience_s: float) -> Iterator[Told]:
    """One worker after another: a new one only where the last one crashed or hung."""
    worker: Worker | None = None
    with tempfile.TemporaryDirectory(prefix="worker-", dir=out) as folder:
        try:
            while True:
                case = waiting.get_nowait()
                if worker is None:
                    worker = Worker(out / "seeds", Path(folder), seed)
                told = worker.ask(case, patience_s)
                if told["outcome"] == "hung":  # a busy machine, or a hang? With time enough only a hang hangs again
                    worker.stop()
                    worker = Worker(out / "seeds", Path(folder), seed)
                    told = worker.ask(case, 5 * patience_s)
                if told["outcome"] in ("hung", "crashed"):
                    told["leaked"] = worker.stop()
                    worker = None
                yield told
        except queue.Empty:
            pass
        finally:
            if worker is not None:
                worker.stop()


@dataclass(frozen=True)
class Summary:
    """What a run of the fuzzer came to."""

    counts: Counter[str]  # by outcome
    leaked: int  # processes
    longest_s: float
    own_mib: int  # highest resident memory of a worker
    child_mib: int  # and of an ffmpeg that it started
    troubles: list[Told]

    @property
    def tried(self) -> int:
        """Number of files."""
        return sum(self.counts.values())


def read_results(file: Path) -> list[Told]:
    """The lines of results.jsonl, one per case (the last counts)."""
    if not file.exists():
        return []
    found: dict[int, Told] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):  # a line cut off by a kill
            told = json.loads(line)
            found[told["case"]] = told
    return list(found.values())


def summary_of(results: list[Told]) -> Summary:
    """Add up."""
    return Summary(
        counts=Counter(told["outcome"] for told in results),
        leaked=sum(told.get("leaked", 0) for told in results),
        longest_s=max((told.get("took_s", 0.0) for told in results), default=0.0),
        own_mib=max((told.get("own_mib", 0) for told in results), default=0),
        child_mib=max((told.get("child_mib", 0) for told in results), default=0),
        troubles=[told for told in results if told["outcome"] not in ("answered", "refused")],
    )


def report_of(results: list[Told]) -> str:
    """The Markdown page."""
    summary = summary_of(results)
    rows = [
        ["mutated files tried", f"{summary.tried:,}"],
        ["answered", f"{summary.counts['answered']:,}"],
        ["refused with one line (exit code 3)", f"{summary.counts['refused']:,}"],
        ["wrong error, traceback or impossible answer", str(summary.counts["bug"])],
        ["hung", str(summary.counts["hung"])],
        ["crashed", str(summary.counts["crashed"])],
        ["processes left behind", str(summary.leaked)],
        ["longest search", f"{summary.longest_s:.1f} s"],
        ["peak memory of rdmf", f"{summary.own_mib} MiB"],
        ["peak memory of an ffmpeg, at most", f"{summary.child_mib} MiB"],
    ]
    by_seed = Counter((told.get("file", "?"), told["outcome"]) for told in results)
    names = sorted({name for name, _ in by_seed})
    seeds = [[name, *(str(by_seed[name, outcome]) for outcome in ("answered", "refused"))] for name in names]
    said = [f"- case {t['case']}: {t['outcome']}: {t.get('file', '')} {t.get('said', '')}" for t in summary.troubles]
    return "\n".join(
        [
            "# Mutated media files through probe and search",
            "",
            f"`python -m benchmarks.fuzz_media`, seed 0, commit {(commit() or 'unknown')[:12]}",
            f"Machine: {machine_line()}",
            "",
            table(["what", "value"], rows),
            "",
            table(["seed file", "answered", "refused"], seeds),
            "",
            *said[:100],
        ]
    ).rstrip() + "\n"  # fmt: skip


def main() -> None:
    """Run what is missing, then write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=CASES)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--patience", type=float, default=PATIENCE_S, metavar="SECONDS")
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()) / "rdmf-fuzz-media")
    parser.add_argument("--page", type=Path, default=ROOT / "benchmarks" / "fuzz_media.md")
    chosen = parser.parse_args()
    wanted = range(chosen.first, chosen.first + chosen.cases)
    results = run(wanted, chosen.out, seed=chosen.seed, workers=chosen.workers, patience_s=chosen.patience)
    page = report_of(results)
    print(page)
    chosen.page.write_text(page, encoding="utf-8")
    summary = summary_of(results)
    sys.exit(1 if summary.troubles or summary.leaked else 0)


if __name__ == "__main__":
    main()
