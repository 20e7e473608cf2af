"""What must hold after any fault: the store is whole, nothing unfinished lies about, no process is left."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def environment(home: Path, **more: str) -> dict[str, str]:
    """A home of its own for a child process."""
    (home / "tmp").mkdir(exist_ok=True)
    (home / "settings.toml").touch()
    places = {"RDMF_STORE": home / "store", "RDMF_MODELS": home / "models", "RDMF_SETTINGS": home / "settings.toml"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RDMF_") or name == "RDMF_FFMPEG"}
    fixed = {"PYTHONPATH": str(ROOT), "TMPDIR": str(home / "tmp"), "OMP_NUM_THREADS": "1"}
    fixed["RDMF_MODEL"] = "pattern"  # whatever models are here
    return {**kept, **{name: str(place) for name, place in places.items()}, **fixed, **more}


def start(
    home: Path, *arguments: str, before: tuple[str, ...] = (), folder: Path = ROOT, **more: str
) -> subprocess.Popen[str]:
    """Start the program with a fake encoder."""
    return subprocess.Popen(
        [*before, sys.executable, "-m", "tests.faults.program", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env=environment(home, **more),
        start_new_session=True,
    )


def assert_store_is_whole(store: Path) -> None:
    """The catalogue is sound, all that it tells of is there and as it was, nothing is unfinished."""
    import hashlib

    if not store.exists():
        return
    assert not list(store.rglob("*.partial"))
    if not (store / "catalogue.sqlite").exists():
        return
    with closing(sqlite3.connect(store / "catalogue.sqlite")) as catalogue:
        assert catalogue.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert catalogue.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = {name for (name,) in catalogue.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        rows = catalogue.execute("SELECT checksum FROM feature_set").fetchall() if "feature_set" in tables else []
    for (checksum,) in rows:
        file = store / "features" / checksum[:2] / f"{checksum}.faiss"
        assert hashlib.sha256(file.read_bytes()).hexdigest() == checksum


def processes_of(mark: str) -> set[int]:
    """Ids of running processes whose environment holds `mark`, ours excepted."""
    found = set()
    for place in Path("/proc").glob("[0-9]*"):
        try:
            state = (place / "stat").read_text().rpartition(")")[2].split()[0]
            if state != "Z" and mark.encode() in (place / "environ").read_bytes() and int(place.name) != os.getpid():
                found.add(int(place.name))
        except OSError:
            continue
    return found


def is_decoding(mark: str, video: Path) -> bool:
    """Does an ffmpeg with `mark` read the video? One that only tells its version does not count."""
    for number in processes_of(mark):
        try:
            words = Path(f"/proc/{number}/cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "ffmpeg" in Path(words[0]).name and any(word.endswith(video.name) for word in words[1:]):
            return True
    return False


def assert_nothing_is_left(home: Path) -> None:
    """No process with this home, nothing in its folder for temporary files, a whole store."""
    deadline = time.monotonic() + 30
    while (left := processes_of(f"TMPDIR={home / 'tmp'}")) and time.monotonic() < deadline:
        time.sleep(0.05)  # a killed process takes a moment on a busy machine
    assert left == set()
    assert list((home / "tmp").iterdir()) == []
    assert_store_is_whole(home / "store")
