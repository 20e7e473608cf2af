"""Killed at any moment, and several processes at once: nothing is lost, nothing is done twice, nothing is wrong."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import pytest

from rdmf_cli.pipeline import upkeep
from rdmf_cli.pipeline.index import feature_spec
from rdmf_cli.store import Store
from tests.fakes import FakeEncoder
from tests.pipeline.library_fixtures import COLOURS, ROOT, contents, events_of, small_videos, start_index

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals")


def nobody(name: str) -> Any:
    raise AssertionError("nothing had to be repaired")


def killed_and_finished(folder: Path, undisturbed: dict[str, Any], moment_s: float) -> int:
    """Kill an index run `moment_s` after its start-up, look at the store, run to the end; sets after the kill."""
    with start_index(folder, small_videos()) as process:
        try:
            process.wait(moment_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.communicate()
    with Store.open(folder) as store:
        checked = upkeep.verify(store, nobody)
    assert checked.findings == []
    with start_index(folder, small_videos()) as process:
        events = events_of(process)
    assert contents(folder) == undisturbed
    kinds = Counter(event["event"] for event in events)
    assert kinds["unchanged"] >= checked.num_sets  # what was there was not made again
    assert kinds["unchanged"] + kinds["indexed"] == len(COLOURS)
    return checked.num_sets


def kill_at_random(tmp_path: Path, times: int, seed: int) -> list[int]:
    with start_index(tmp_path / "whole", small_videos()) as process:
        began = time.monotonic()
        events_of(process)
        length_s = time.monotonic() - began
    undisturbed = contents(tmp_path / "whole")
    assert len(undisturbed["sets"]) == len(COLOURS)
    random, found = Random(seed), []
    for number in range(times):
        found.append(killed_and_finished(tmp_path / str(number), undisturbed, random.random() * length_s))
    return found


def test_killed_at_three_random_moments(tmp_path: Path) -> None:
    kill_at_random(tmp_path, 3, seed=3)


@pytest.mark.slow
def test_killed_at_twenty_random_moments(tmp_path: Path) -> None:
    found = kill_at_random(tmp_path, 20, seed=20)
    assert len(set(found)) > 2  # the kills came at different stages


SEARCHING = """
import sys
from pathlib import Path
from rdmf_cli.store import Store, records
from rdmf_cli.pipeline.upkeep import spec_of
with Store.open(Path(sys.argv[1])) as store:
    print("started", flush=True)
    seen = 0
    while seen < int(sys.argv[2]):
        seen = 0
        for video in records.videos(store.catalogue):
            for record in video.sets:
                features = store.load(video.fingerprint, spec_of(record.spec))
                assert features is not None and len(features.features) == record.num_rows
                seen += 1
print(seen)
"""


def test_two_index_overlapping_folders_while_two_read(tmp_path: Path) -> None:
    """Four processes on one new store: every video is encoded by one of the two, once, and what is there is whole."""
    folder, videos = tmp_path / "store", Path(shutil.copytree(small_videos(), tmp_path / "videos"))
    command = [sys.executable, "-c", SEARCHING, str(folder), str(len(COLOURS))]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    readers = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    indexers = [start_index(folder, videos), start_index(folder, videos / "more", videos)]
    told = [events_of(process) for process in indexers]
    for reader in readers:
        output, errors = reader.communicate(timeout=120)
        assert (reader.returncode, errors, output) == (0, "", f"started\n{len(COLOURS)}\n")
    indexed = Counter(event["path"] for events in told for event in events if event["event"] == "indexed")
    assert len(indexed) == len(COLOURS)
    assert set(indexed.values()) == {1}
    for events in told:
        assert sum(event["event"] in ("indexed", "unchanged") for event in events) == len(COLOURS)
    with Store.open(folder) as store:
        assert upkeep.verify(store, nobody).findings == []
        spec = feature_spec(FakeEncoder(), 2.0, "ffmpeg")
        assert all(store.load(video.fingerprint, spec) for video in upkeep.videos(store))
    assert contents(folder)["claims"] == []


def test_the_work_of_a_killed_process_is_taken_over_at_once(tmp_path: Path) -> None:
    """Its claims would last for a minute; but it is gone, and that is noticed."""
    folder = tmp_path / "store"
    with start_index(folder, small_videos()) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] in ("indexed", "failed")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    with start_index(folder, small_videos()) as process:
        events = events_of(process)
    assert len(events) == len(COLOURS) + 1
    assert contents(folder)["claims"] == []
