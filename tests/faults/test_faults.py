"""Something breaks in the middle of a search: the right exit code, one line, a whole store, nothing left behind.

In this process, with a fake encoder that can be told what to do between two batches. Disks that are really full and
limits that really bite: test_limits.py.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.commands import session
from rdmf_cli.media import frames
from rdmf_cli.media.ffmpeg import ffmpeg_path
from rdmf_cli.pipeline import index
from rdmf_cli.store import folder as store_folder
from tests import videos
from tests.commands import conftest as commands
from tests.fakes import FakeEncoder, plain_pictures
from tests.faults.checks import assert_store_is_whole
from tests.processes import children

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts stand in for ffmpeg")
Rdmf = Callable[..., commands.Done]
home, rdmf = commands.home, commands.rdmf  # fixtures


BATCH = 3


class Encoder(FakeEncoder):
    """Calls `between` once, after the first batch."""

    between: Callable[[], object] | None = None

    def encode_images(self, frames: np.ndarray) -> np.ndarray:
        rows = super().encode_images(frames)
        if self.between is not None and len(frames) == BATCH:
            act, self.between = self.between, None
            act()
        return rows


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> Encoder:
    from rdmf_cli.pipeline import calibration

    fake = Encoder()

    monkeypatch.setattr(calibration, "_demo_frames", plain_pictures)
    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: fake)
    return fake


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """Six seconds, large enough that ffmpeg has not read all of it when the first frames come."""
    path = tmp_path / "film.ts"
    if not (videos.folder() / "faults.ts").exists():
        noise = "color=gray:s=640x360:r=10:d=9,noise=alls=60:allf=t[a];color=red:s=640x360:r=10:d=3[b];[a][b]concat"
        made = videos.folder() / "faults.ts"
        videos.run_ffmpeg("-f", "lavfi", "-i", noise, "-c:v", "mpeg2video", "-q:v", "2", made)
    shutil.copy(videos.folder() / "faults.ts", path)
    return path


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    videos.folder()  # made before the place for temporary files changes
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    threads = set(threading.enumerate())
    yield
    assert children() == set()
    assert set(threading.enumerate()) - threads == set()
    assert list((tmp_path / "scratch").iterdir()) == []
    assert_store_is_whole(tmp_path / "store")


def search(rdmf: Rdmf, film: Path, *more: str) -> commands.Done:
    done = rdmf("search", str(film), "something red", "--json", "--batch-size", str(BATCH), *more)
    assert "Traceback" not in done.err
    assert "bug" not in done.err
    return done


def in_ffmpegs_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, body: str, stall_s: float = 30.0) -> None:
    """A shell script as ffmpeg; `$REAL` is the true one."""
    script = tmp_path / "fake-ffmpeg"
    version = '[ "$1" = -version ] && { echo "ffmpeg version 9.9 fake"; exit 0; }'
    script.write_text(f"#!/bin/sh\nREAL='{ffmpeg_path()}'\n{version}\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setenv("RDMF_FFMPEG", str(script))
    monkeypatch.setattr(index, "open_frames", functools.partial(frames.open_frames, stall_s=stall_s))


# --- ffmpeg -----------------------------------------------------------------------------------------------------------

DEAD = {
    "killed at once": "kill -9 $$",
    "crashes": "kill -SEGV $$",
    "says nothing": "exec sleep 1000",
    "has children that say nothing": "sleep 1000 & sleep 1000",
    "talks nonsense": "exec head -c 100000 /dev/zero",
    "floods with nonsense": "exec cat /dev/zero",
    "complains for ever": "while :; do echo x >&2; done",
}


@pytest.mark.parametrize("kind", DEAD)
def test_an_ffmpeg_that_gives_nothing(
    rdmf: Rdmf, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    in_ffmpegs_place(monkeypatch, tmp_path, DEAD[kind], stall_s=1.0)
    done = search(rdmf, film)
    assert (done.code, done.out) == (3, "")
    assert len([line for line in done.err.splitlines() if line.startswith("rdmf: error: ")]) == 1


MIDWAY = {
    "is killed": '"$REAL" "$@" | head -c 60000; kill -9 $$',
    "falls silent": '"$REAL" "$@" | head -c 60000; exec sleep 1000',
}


@pytest.mark.parametrize("kind", MIDWAY)
def test_an_ffmpeg_that_stops_midway(
    rdmf: Rdmf, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    in_ffmpegs_place(monkeypatch, tmp_path, MIDWAY[kind], stall_s=3.0)
    done = search(rdmf, film)
    assert done.code in (0, 1)
    [result] = json.loads(done.out)["results"]
    assert "ends early" in result["warnings"][0]


# --- the file ---------------------------------------------------------------------------------------------------------


def test_the_file_is_deleted_while_it_is_read(rdmf: Rdmf, film: Path, encoder: Encoder) -> None:
    encoder.between = film.unlink
    done = search(rdmf, film)
    assert done.code == 0  # whoever has it open may read on
    assert json.loads(done.out)["results"][0]["video"]["duration_s"] == pytest.approx(12.0, abs=0.2)


def test_the_file_is_cut_off_while_it_is_read(rdmf: Rdmf, film: Path, encoder: Encoder) -> None:
    size = film.stat().st_size
    encoder.between = lambda: os.truncate(film, 50_000)
    done = search(rdmf, film)
    assert done.code in (0, 1)
    first = json.loads(done.out)["results"][0]["video"]
    shutil.copy(videos.folder() / "faults.ts", film)
    assert film.stat().st_size == size
    again = search(rdmf, film)
    second = json.loads(again.out)["results"][0]["video"]
    assert first["duration_s"] <= second["duration_s"]
    assert second["duration_s"] == pytest.approx(12.0, abs=0.2)  # nothing of the half-read file was kept as the whole


def test_the_file_is_replaced_while_it_is_read(rdmf: Rdmf, film: Path, encoder: Encoder) -> None:
    """What was read is not kept under the name of what is there now, nor under what was there before."""
    other = film.with_name("other.ts")
    videos.run_ffmpeg("-f", "lavfi", "-i", "color=blue:s=64x36:r=10:d=2", "-c:v", "mpeg2video", other)
    encoder.between = lambda: os.replace(other, film)
    search(rdmf, film)
    counted = encoder.num_images
    done = search(rdmf, film)
    assert encoder.num_images > counted
    assert done.code == 1
    assert json.loads(done.out)["results"][0]["video"]["duration_s"] == pytest.approx(2.0, abs=0.2)


# --- the store --------------------------------------------------------------------------------------------------------


def remove(store: Path) -> None:
    shutil.rmtree(store)


def file_in_the_way(store: Path) -> None:
    shutil.rmtree(store / "features", ignore_errors=True)
    (store / "features").write_text("in the way")


def link_in_the_way(store: Path) -> None:
    shutil.rmtree(store / "features", ignore_errors=True)
    (store.parent / "elsewhere").mkdir()
    (store / "features").symlink_to(store.parent / "elsewhere")


def lost_rights(store: Path) -> None:
    store.chmod(0o500)
    (store / "catalogue.sqlite").chmod(0o400)


LOST_STORE = {"removed": remove, "a file": file_in_the_way, "a link": link_in_the_way}
if sys.platform != "win32" and os.geteuid() != 0:
    LOST_STORE["no permission any more"] = lost_rights


@pytest.mark.parametrize("kind", LOST_STORE)
def test_the_store_is_lost_midway(rdmf: Rdmf, film: Path, home: Path, encoder: Encoder, kind: str) -> None:
    encoder.between = lambda: LOST_STORE[kind](home / "store")
    done = search(rdmf, film)
    assert done.code == 0
    assert len(json.loads(done.out)["results"]) == 1
    if (home / "elsewhere").exists():
        assert list((home / "elsewhere").iterdir()) == []
    if kind in ("removed", "a file", "a link"):
        shutil.rmtree(home / "store", ignore_errors=True)
        assert search(rdmf, film).code == 0


# --- clock and memory -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step_s", [-3.2e9, -86_401.0, 86_401.0 * 30, 4e9])
def test_the_clock_jumps(
    rdmf: Rdmf, film: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch, step_s: float
) -> None:
    true, calls = time.time, iter(range(10**9))
    monkeypatch.setattr(time, "time", lambda: max(0.0, true() + step_s * (next(calls) % 3)))
    assert search(rdmf, film).code == 0
    counted = encoder.num_images
    done = search(rdmf, film)
    assert (done.code, done.err) == (0, "")
    assert encoder.num_images == counted  # still known


def test_no_memory_is_one_line(rdmf: Rdmf, film: Path, encoder: Encoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, *arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(store_folder.Store, "save", full)
    done = rdmf("search", str(film), "something red", "--json")
    assert done.code == 70
    assert done.err.splitlines()[0] == "rdmf: error: not enough memory"
    assert "Traceback" not in done.err
