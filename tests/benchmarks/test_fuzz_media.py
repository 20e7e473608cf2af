"""A slice of the media fuzzer, and that it would notice what it looks for."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.fuzz_media import Worker, fuzz, read_results, report_of, summary_of
from benchmarks.fuzz_mutations import KINDS, mutated

FIRST, COUNT = 20_000, 68  # cases that the whole run does not have; each seed file twice


@pytest.mark.skipif(sys.platform == "win32", reason="the workers limit themselves as POSIX allows")
def test_a_slice(tmp_path: Path) -> None:
    fuzz(list(range(FIRST, FIRST + COUNT)), tmp_path, workers=1, patience_s=300)
    results = read_results(tmp_path / "results.jsonl")
    summary = summary_of(results)
    assert summary.tried == COUNT
    assert summary.troubles == []
    assert summary.leaked == 0
    assert summary.counts["answered"] > 10
    assert summary.counts["refused"] > 10
    assert summary.own_mib < 1500
    assert "| hung " in report_of(results)
    assert not list(tmp_path.glob("worker-*"))


def test_mutations_are_always_the_same() -> None:
    seeds = [bytes(range(256)) * 8, b"\0\0\0\x18ftypmoov" * 40]
    for case in range(300):
        assert mutated(seeds, case) == mutated(seeds, case)
    cases = [mutated(seeds, case) for case in range(300)]
    assert {kind for _, kinds, _ in cases for kind in kinds.split("+")} == set(KINDS)
    assert sum(data != seeds[index] for index, _, data in cases) > 290
    assert mutated(seeds, 1, seed=0) != mutated(seeds, 1, seed=1)


def worker_of(tmp_path: Path, code: str) -> Worker:
    return Worker(tmp_path, tmp_path, 0, [sys.executable, "-c", f"print('ready', flush=True); line = input(); {code}"])


@pytest.mark.parametrize(
    ("code", "outcome"),
    [
        ("import time; time.sleep(1000)", "hung"),
        ("import os; os.abort()", "crashed"),
        ("raise SystemExit(3)", "crashed"),
        ("print('half a li', end='', flush=True); import os; os._exit(1)", "crashed"),
    ],
)
def test_what_a_worker_does_is_noticed(tmp_path: Path, code: str, outcome: str) -> None:
    worker = worker_of(tmp_path, code)
    try:
        assert worker.is_ready
        assert worker.ask(7, 60.0 if outcome == "crashed" else 0.5)["outcome"] == outcome
    finally:
        worker.stop()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_processes_that_a_worker_leaves_are_counted(tmp_path: Path) -> None:
    start = (
        "import subprocess, time; p = subprocess.Popen(['sleep', '1000']); print('{}', flush=True); time.sleep(1000)"
    )
    worker = worker_of(tmp_path, start)
    worker.ask(1, 60)
    assert worker.stop() == 1


def test_a_run_that_was_cut_off_goes_on(tmp_path: Path) -> None:
    file = tmp_path / "results.jsonl"
    lines = [{"case": 1, "outcome": "hung"}, {"case": 1, "outcome": "answered"}, {"case": 2, "outcome": "refused"}]
    file.write_text("\n".join(map(json.dumps, lines)) + '\n{"case": 3, "outc')
    assert {told["case"]: told["outcome"] for told in read_results(file)} == {1: "answered", 2: "refused"}
