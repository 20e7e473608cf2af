"""Disks that are really full, files that really may not grow: processes of their own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import videos
from tests.faults import checks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="uses what only Linux has")
SLOW = pytest.mark.slow


def film() -> Path:
    path = videos.folder() / "limits.mp4"
    if not path.exists():
        shots = "color=gray:s=96x54:r=10:d=6[a];color=red:s=96x54:r=10:d=3[b];[a][b]concat=n=2,format=yuv420p"
        videos.run_ffmpeg("-f", "lavfi", "-i", shots, "-c:v", "libx264", path)
    return path


def ask(home: Path, *more: str, before: tuple[str, ...] = ()) -> tuple[int, str, str]:
    process = checks.start(home, "search", str(film()), "something red", "--json", *more, before=before)
    out, err = process.communicate(timeout=300)
    assert "Traceback" not in err
    checks.assert_nothing_is_left(home)
    return process.returncode, out, err.replace("ready\n", "", 1)


@pytest.mark.parametrize(
    "blocks", [0, pytest.param(2, marks=pytest.mark.slow), pytest.param(40, marks=pytest.mark.slow)]
)
def test_files_may_not_grow(tmp_path: Path, blocks: int) -> None:
    """RLIMIT_FSIZE: every write beyond it fails, also SQLite's and ffmpeg's."""
    limited = ("sh", "-c", f'ulimit -f {blocks} && exec "$@"', "sh")
    code, out, err = ask(tmp_path, before=limited)
    assert code == 0
    assert json.loads(out)["results"][0]["moments"]
    assert all(line.startswith("rdmf: warning: ") for line in err.splitlines())
    assert blocks or err
    assert ask(tmp_path)[0] == 0  # and afterwards all is well


def in_a_small_place(folder: Path, kib: int) -> tuple[str, ...]:
    """Command words that mount a small, full memory disk over `folder`; skips where that is not allowed."""
    folder.mkdir(exist_ok=True)
    fill = 'head -c 4096 /dev/zero >"$0/filler"'
    mount = f'mount -t tmpfs -o size={kib}k t "$0" && {fill} && exec "$@"'
    before = ("unshare", "-rm", "sh", "-c", mount, str(folder))
    if not shutil.which("unshare") or subprocess.run([*before, "true"], capture_output=True).returncode != 0:
        pytest.skip("no private mounts here")
    return before


@pytest.mark.parametrize("kib", [4, pytest.param(64, marks=SLOW)])
def test_a_full_disk_under_the_store(tmp_path: Path, kib: int) -> None:
    code, out, err = ask(tmp_path, before=in_a_small_place(tmp_path / "store", kib))
    assert code == 0
    assert json.loads(out)["results"][0]["moments"]
    assert "warning" in err


@SLOW
def test_a_full_disk_under_the_clips(tmp_path: Path) -> None:
    before = in_a_small_place(tmp_path / "clips", 4)
    code, _, err = ask(tmp_path, "--clips", str(tmp_path / "clips"), before=before)
    assert code == 6
    assert len([line for line in err.splitlines() if "error" in line]) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_under_the_answer(tmp_path: Path) -> None:
    code, _, err = ask(tmp_path, before=("sh", "-c", 'exec "$@" >/dev/full', "sh"))
    assert code == 6
    assert err == "rdmf: error: the output can't be written: No space left on device\n"
