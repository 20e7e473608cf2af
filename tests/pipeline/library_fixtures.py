"""What the tests of the library share: many small videos, an indexer, and a library as plain values."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

from rdmf_cli.pipeline.indexing import Indexer, Summary
from rdmf_cli.pipeline.planning import Event, IndexOptions
from rdmf_cli.progress import SILENT_BOARD, Board
from rdmf_cli.store import Store
from tests.fakes import FakeEncoder
from tests.videos import folder, run_ffmpeg

ROOT = Path(__file__).resolve().parents[2]
COLOURS = ("red", "green", "blue", "yellow", "cyan", "magenta", "orange", "white")


@cache
def small_videos() -> Path:
    """A folder with eight videos of 2 s, each of another colour, and two files that can't be used."""
    place = folder() / "small"
    (place / "more").mkdir(parents=True)
    inputs: list[str] = []
    outputs: list[str | Path] = []
    for number, colour in enumerate(COLOURS):
        inputs += ["-f", "lavfi", "-i", f"color={colour}:s=64x36:r=5:d={2 + number / 5}"]
        name = place / ("more" if number % 2 else ".") / f"{colour}.mp4"
        outputs += ["-map", f"{number}:v", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", name]
    run_ffmpeg(*inputs, *outputs)
    (place / "notes.txt").write_text("not a video")
    cut = (place / "red.mp4").read_bytes()
    (place / "cut.mp4").write_bytes(cut[: len(cut) // 2])
    return place


def index(
    store: Store,
    *places: Path,
    encoder: FakeEncoder | None = None,
    board: Board = SILENT_BOARD,
    engine: Any = None,
    **options: Any,
) -> tuple[Summary, list[Event]]:
    """Index `places`; the summary and all events."""
    events: list[Event] = []
    indexer = Indexer(
        encoder=encoder or FakeEncoder(),
        store=store,
        options=IndexOptions(**options),
        board=board,
        on_event=events.append,
        engine=engine,
    )
    indexer.run(places)
    return indexer.summary, events


def contents(folder: Path) -> dict[str, Any]:
    """Everything that a library knows, but for when it learned it."""
    with Store.open(folder) as store:
        rows = store.catalogue.rows
        return {
            "videos": rows("SELECT fingerprint, duration_s FROM video ORDER BY 1"),
            "paths": rows("SELECT path, fingerprint, size_bytes, mtime_ns FROM path ORDER BY 1"),
            "sets": rows("SELECT fingerprint, spec_key, spec_json, checksum, num_rows FROM feature_set ORDER BY 1, 2"),
            "failures": rows("SELECT path, size_bytes, mtime_ns, message FROM failure ORDER BY 1"),
            "claims": rows("SELECT fingerprint FROM claim"),
            "files": sorted(path.name for path in (folder / "features").rglob("*.faiss")),
        }


def start_index(store: Path, *places: Path, jobs: int = 2) -> subprocess.Popen[str]:
    """The driver in a process of its own, past its imports."""
    command = [sys.executable, "-m", "tests.pipeline.index_driver", str(store), str(jobs), *map(str, places)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    first = process.stdout.readline()
    assert first == "started\n", process.communicate()[1]
    return process


def events_of(process: subprocess.Popen[str]) -> list[dict[str, Any]]:
    """What the driver told, once it has ended well."""
    assert process.stdout is not None
    assert process.stderr is not None
    with process:  # closes the pipes
        output, errors = process.stdout.read(), process.stderr.read()  # communicate would lose what readline took along
    assert (process.returncode, errors) == (0, "")
    return [json.loads(line) for line in output.splitlines()]
