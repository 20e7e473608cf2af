"""One command, one table: what was tried to break rdmf, and what came of it.

    python -m benchmarks.reliability              about a quarter of an hour on two free cores
    python -m benchmarks.reliability --quick      only the fast tests and 300 mutated files

Three parts. Difficult videos (tests/media/torture) go through the whole search, one after the other, in a process of
their own. Mutated files go through the fuzzer (fuzz_media.py), which goes on where it stopped. Faults and bad inputs
are tests: each injects one thing and then checks the exit code, the store, leftover files and processes; they are run
and counted here. Writes benchmarks/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import fuzz_media
from benchmarks.report import ROOT, commit, machine_line, table

# What counts as what; a test is one fault injected, or one bad input tried.
FAULTS = ("tests/faults", "tests/media/test_ffmpeg_faults.py", "tests/store/test_store_faults.py",
          "tests/encoders/test_out_of_memory.py")  # fmt: skip
BAD_INPUTS = ("tests/test_bad_input.py", "tests/media/torture/test_torture_hostile.py",
              "tests/store/test_store_hostile.py", "tests/encoders/test_hostile_models.py",
              "tests/test_hostile_words.py")  # fmt: skip
SAME = ("tests/test_same_answer.py",)
LIMIT_S = 3600


@dataclass(frozen=True)
class Tests:
    """Outcome of a group of tests."""

    passed: int
    failed: int
    skipped: int
    names: tuple[str, ...]  # of those that failed


def run_tests(places: tuple[str, ...], *, quick: bool) -> Tests:
    """Run tests, the slow ones as well unless `quick`."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        marks = [] if quick else ["-m", "not gpu and not network"]
        command = [sys.executable, "-m", "pytest", *places, *marks, "--junitxml", str(report), "-p", "no:cacheprovider"]
        subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=LIMIT_S)
        cases = list(ET.parse(report).iter("testcase"))
    bad = [case for case in cases if case.find("failure") is not None or case.find("error") is not None]
    skipped = sum(case.find("skipped") is not None for case in cases)
    names = tuple(f"{case.get('classname')}::{case.get('name')}" for case in bad)
    return Tests(len(cases) - len(bad) - skipped, len(bad), skipped, names)


def search_corpus(folder: Path) -> list[dict[str, Any]]:
    """Every difficult video through the search, in a worker that is watched as the fuzzer's are."""
    command = [sys.executable, "-m", "benchmarks.reliability", "--worker"]
    from tests.media.torture.making import CORPUS

    told: list[dict[str, Any]] = []
    worker: fuzz_media.Worker | None = None
    for number, name in enumerate(CORPUS):
        if worker is None:
            worker = fuzz_media.Worker(folder, folder, 0, command)
        answer = worker.ask(number, fuzz_media.PATIENCE_S * 5)
        if answer["outcome"] in ("hung", "crashed"):
            worker.stop()
            worker = None
        told.append({"name": name, **answer})
    if worker is not None:
        worker.stop()
    return told


def work() -> None:
    """The other side of `search_corpus`: numbers of cases on stdin, what came of each on stdout."""
    from benchmarks.fuzz_worker import Search, children, limit, memory
    from tests.media.torture.making import CORPUS

    limit()
    search = Search()
    cases = list(CORPUS.values())
    print("ready", flush=True)
    for line in sys.stdin:
        case = cases[int(line)]
        told = search(case.make())
        if (told["outcome"] == "refused") != bool(case.refused):
            told = {"outcome": "bug", "said": f"{told['outcome']}, which was not expected: {told['said']}"}
        print(json.dumps({"case": int(line), **told, "leaked": len(children()), **memory()}), flush=True)


def main() -> None:
    """Try everything, write the page, end with 1 if something broke."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--fuzz-out", type=Path, default=Path(tempfile.gettempdir()) / "rdmf-fuzz-media")
    parser.add_argument("--page", type=Path, default=ROOT / "benchmarks" / "reliability.md")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.worker:
        work()
        return
    cases = 300 if chosen.quick else fuzz_media.CASES
    fuzzed = fuzz_media.run(range(cases), chosen.fuzz_out)
    with tempfile.TemporaryDirectory() as folder:
        difficult = search_corpus(Path(folder))
    groups = {name: run_tests(places, quick=chosen.quick) for name, places in
              (("faults", FAULTS), ("bad", BAD_INPUTS), ("same", SAME))}  # fmt: skip
    page = page_of(fuzzed, difficult, groups)
    print(page)
    chosen.page.write_text(page, encoding="utf-8")
    broken = fuzz_media.summary_of([*fuzzed, *difficult]).troubles or any(group.failed for group in groups.values())
    sys.exit(1 if broken else 0)


def page_of(fuzzed: list[dict[str, Any]], difficult: list[dict[str, Any]], groups: dict[str, Tests]) -> str:
    """The Markdown page."""
    columns = [fuzz_media.summary_of(difficult), fuzz_media.summary_of(fuzzed)]
    rows = [
        ["files tried", *(f"{part.tried:,}" for part in columns)],
        ["answered", *(f"{part.counts['answered']:,}" for part in columns)],
        ["refused with one line and exit code 3", *(f"{part.counts['refused']:,}" for part in columns)],
        ["wrong error, traceback, impossible answer", *(str(part.counts["bug"]) for part in columns)],
        ["hung", *(str(part.counts["hung"]) for part in columns)],
        ["crashed", *(str(part.counts["crashed"]) for part in columns)],
        ["processes left behind", *(str(part.leaked) for part in columns)],
        ["peak memory of rdmf, MiB", *(str(part.own_mib) for part in columns)],
    ]
    tried = [
        [label, str(group.passed + group.failed), str(group.passed), str(group.failed), str(group.skipped)]
        for label, group in zip(("faults injected", "bad inputs tried", "same answer"), groups.values(), strict=True)
    ]
    troubles = [f"- {told.get('name', told.get('case'))}: {told['outcome']}: {told.get('said', '')}"
                for part in columns for told in part.troubles]  # fmt: skip
    troubles += [f"- {name}" for group in groups.values() for name in group.names]
    lines = [
        "# What was tried to break it",
        "",
        f"`python -m benchmarks.reliability`, commit {(commit() or 'unknown')[:12]}",
        f"Machine: {machine_line()}, {os.name}",
        "",
        table(["what", "difficult videos", "mutated files"], rows),
        "",
        table(["what", "tried", "survived", "not survived", "not possible here"], tried),
        "",
        "Mutated files that an earlier run has tried are not tried again: "
        "benchmarks/fuzz_media.md says at which commit.",
        *troubles,
    ]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    main()
