"""Full disks, kills, other processes, missing permissions: the store stays valid."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import StoreError
from rdmf_cli.store import Store, catalogue, files
from rdmf_cli.store.catalogue import Catalogue

POSIX = pytest.mark.skipif(os.name == "nt", reason="POSIX only")


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def sqlite_full(*_: object, **__: object) -> None:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL  # type: ignore[misc]
    raise error


def write_then_full(file: Path, chunks: list[bytes]) -> None:
    file.write_bytes(chunks[0][:10])
    full()


POINTS = {
    "writing": (files, "_write_synced", write_then_full),
    "fsync": (os, "fsync", full),
    "rename": (os, "replace", full),
    "folder": (files, "sync_folder", full),
    "catalogue": (Catalogue, "put_feature_set", sqlite_full),
}


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("fingerprint", ["old", "new"])
def test_full_disk_changes_nothing(tmp_path, spec, make, assert_same, feature_files, monkeypatch, point, fingerprint):
    with Store.open(tmp_path) as store:
        store.save("old", spec, make(1), tmp_path / "v.mp4")
        before = feature_files(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(*POINTS[point])
            with pytest.raises(StoreError, match=r"(?i)no space left") as caught:
                store.save(fingerprint, spec, make(2), tmp_path / "w.mp4")
        assert "\n" not in str(caught.value)
        assert caught.value.hint
        assert feature_files(tmp_path) == before
        assert_same(store.load("old", spec), make(1))
        store.save(fingerprint, spec, make(2), tmp_path / "w.mp4")
        assert_same(store.load(fingerprint, spec), make(2))


@pytest.mark.parametrize("point", ["writing", "fsync", "rename", "folder"])
def test_full_disk_is_a_warning_for_the_cache(tmp_path, monkeypatch, ears, point):
    with Store.open(tmp_path, ears) as store:
        store.save_array("x", np.zeros(3))
        with monkeypatch.context() as patch:
            patch.setattr(*POINTS[point])
            store.save_array("x", np.ones(3))
        assert len(ears.warnings) == 1
        found = store.load_array("x")
        assert found is not None
        assert found.tolist() in ([0, 0, 0], [1, 1, 1])
    assert not list(tmp_path.rglob("*.partial"))


@POSIX
def test_file_size_limit_for_real(tmp_path, python, spec, make, assert_same):
    code = """
import resource
place = Path(sys.argv[1])
with Store.open(place) as store:
    store.save("old", SPEC, make(1), place / "v.mp4")
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        store.save("new", SPEC, make(2, 10_000), place / "w.mp4")
    except StoreError as error:
        print("refused:", error)
    assert store.load("old", SPEC) is not None and store.load("new", SPEC) is None
"""
    done = python(code, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("refused:")
    assert not list(tmp_path.rglob("*.partial"))
    with Store.open(tmp_path) as store:
        assert_same(store.load("old", spec), make(1))


def can_mount(folder: Path) -> bool:
    if sys.platform != "linux" or not shutil.which("unshare"):
        return False
    command = ["unshare", "-rm", "mount", "-t", "tmpfs", "-o", "size=64k", "t", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


def test_full_disk_for_real(tmp_path, python):
    if not can_mount(tmp_path):
        pytest.skip("no private mounts here")
    code = """
place = Path(sys.argv[1])
saved, refused = [], 0
with Store.open(place) as store:
    for seed in range(200):
        try:
            store.save(f"v{seed}", SPEC, make(seed, 300), place / f"v{seed}.mp4")
            saved.append(seed)
        except StoreError as error:
            assert "space" in str(error), error
            refused += 1
            if refused == 3:
                break
    assert len(saved) >= 3 and refused == 3, (saved, refused)
    assert all(store.load(f"v{seed}", SPEC) is not None for seed in saved)
try:
    while True:
        with open(place / "filler", "ab", buffering=0) as stream:
            stream.write(b"x" * 64)
except OSError:
    pass
with Store.open(place) as store:
    assert all(store.load(f"v{seed}", SPEC) is not None for seed in saved)
    try:
        store.save("more", SPEC, make(999, 300), place / "more.mp4")
        raise SystemExit("no error")
    except StoreError as error:
        print("refused:", error)
assert not list(place.rglob("*.partial"))
(place / "filler").unlink()
for file in (place / "features").rglob(f"*.faiss"):
    if saved[1:]:
        file.unlink()
        break
with Store.open(place) as store:
    store.save("more", SPEC, make(999, 5), place / "more.mp4")
    assert store.load("more", SPEC) is not None
"""
    inside = ("unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=512k t "$0" && exec "$@"', str(tmp_path))
    done = python(code, tmp_path, before=inside)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("refused:")


KILL_AT = {
    "writing": "files.publish = die",
    "renaming": "os.replace = die",
    "renamed": "files.sync_folder = lambda f: die() if f.parent.name == 'features' and list(f.glob('*.faiss')) else 0",
    "entering": "catalogue.Catalogue.put_feature_set = die",
    "entered": "after = catalogue.Catalogue.put_feature_set\n"
    "def put(self, *a):\n    after(self, *a); die()\ncatalogue.Catalogue.put_feature_set = put",
}


@POSIX
@pytest.mark.parametrize("point", KILL_AT)
def test_kill_in_the_middle_of_saving(tmp_path, python, spec, make, assert_same, ears, point):
    code = f"""
def die(*a, **k):
    os.kill(os.getpid(), signal.SIGKILL)
place = Path(sys.argv[1])
store = Store.open(place)
store.save("old", SPEC, make(1), place / "v.mp4")
{KILL_AT[point]}
store.save(sys.argv[2], SPEC, make(2), place / "w.mp4")
"""
    for fingerprint in ("old", "new"):
        done = python(code, tmp_path, fingerprint)
        assert done.returncode == -signal.SIGKILL, done.stderr
        with Store.open(tmp_path, ears) as store:
            assert_same(store.load("old", spec), make(1))
            assert store.load("new", spec) is None
    with Store.open(tmp_path, ears) as store:
        store.save("new", spec, make(2), tmp_path / "w.mp4")
        assert_same(store.load("new", spec), make(2))
    assert ears.warnings == []


def test_leftovers_of_killed_processes_are_swept_after_a_day(tmp_path, spec, make):
    with Store.open(tmp_path) as store:
        store.save("video", spec, make(1), tmp_path / "v.mp4")
        (file,) = (tmp_path / "features").rglob("*.faiss")
        old, young = file.parent / "1.partial", file.parent / "2.partial"
        for leftover in (old, young):
            leftover.write_bytes(b"x")
        os.utime(old, (time.time() - 2 * 86_400,) * 2)
        store.save("video", spec, make(1), tmp_path / "v.mp4")
    assert (old.exists(), young.exists(), file.exists()) == (False, True, True)


def test_two_processes_at_once(tmp_path, spec, make, assert_same, ears, start):
    code = """
place, own = Path(sys.argv[1]), sys.argv[2]
with Store.open(place) as store:
    for seed in range(25):
        store.save(f"{own}{seed}", SPEC, make(seed), place / f"{own}{seed}.mp4")
        store.save("both", SPEC, make(seed % 3), place / "both.mp4")
        assert store.load("both", SPEC) is not None
        store.save_array("bank", np.full(100, seed))
        assert store.load_array("bank") is not None
"""
    processes = [start(code, tmp_path, own) for own in "ab"]
    for process in processes:
        _, errors = process.communicate(timeout=60)
        assert (process.returncode, errors) == (0, "")
    with Store.open(tmp_path, ears) as store:
        for own in "ab":
            for seed in range(25):
                assert_same(store.load(f"{own}{seed}", spec), make(seed))
        assert store.load("both", spec) is not None
    assert ears.warnings == []
    assert len(list((tmp_path / "features").rglob("*.*"))) == 51


def test_another_process_saves_between_staging_and_entering(tmp_path, spec, make, monkeypatch, feature_files):
    """What the other one entered in between is what this one replaces, so it is removed as well."""
    staged = files.staged
    with Store.open(tmp_path) as store, Store.open(tmp_path) as other:
        store.save("both", spec, make(1), tmp_path / "v.mp4")

        def staged_late(folder: Path, chunks: list[bytes]):
            monkeypatch.setattr(files, "staged", staged)
            other.save("both", spec, make(2), tmp_path / "v.mp4")
            return staged(folder, chunks)

        monkeypatch.setattr(files, "staged", staged_late)
        store.save("both", spec, make(3), tmp_path / "v.mp4")
    assert len(feature_files(tmp_path)) == 1


def test_another_process_replaces_and_comes_back_while_we_read(tmp_path, spec, make, assert_same, ears, monkeypatch):
    read_file = files.read_file
    with Store.open(tmp_path, ears) as store, Store.open(tmp_path) as other:
        store.save("both", spec, make(1), tmp_path / "v.mp4")

        def read_late(file: Path) -> bytes | None:
            monkeypatch.setattr(files, "read_file", read_file)
            other.save("both", spec, make(2), tmp_path / "v.mp4")
            found = read_file(file)
            other.save("both", spec, make(1), tmp_path / "v.mp4")
            return found

        monkeypatch.setattr(files, "read_file", read_late)
        assert_same(store.load("both", spec), make(1))
    assert ears.warnings == []


def test_threads_share_one_store(tmp_path, spec, make, assert_same):
    problems: list[BaseException] = []

    def work(own: int) -> None:
        try:
            for seed in range(10):
                store.save(f"{own}-{seed}", spec, make(seed), tmp_path / "v.mp4")
                assert_same(store.load(f"{own}-{seed}", spec), make(seed))
        except BaseException as problem:
            problems.append(problem)

    with Store.open(tmp_path) as store:
        threads = [threading.Thread(target=work, args=(own,)) for own in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []


def test_busy_catalogue_is_explained(tmp_path, spec, make, monkeypatch):
    monkeypatch.setattr(catalogue, "BUSY_S", 0.1)
    with Store.open(tmp_path) as store, Store.open(tmp_path) as other:
        with other._catalogue.writing(), pytest.raises(StoreError, match="another process"):
            store.save("video", spec, make(1), tmp_path / "v.mp4")
        assert not list(tmp_path.rglob("*.partial"))
        store.save("video", spec, make(1), tmp_path / "v.mp4")


@POSIX
@pytest.mark.parametrize("open_elsewhere", [False, True])
def test_read_only_store_still_loads(python, spec, make, open_elsewhere):
    """As another user, because root may write anything; in a folder of its own, because tmp_path is private."""
    code = """
place = Path(sys.argv[1])
if os.getuid() == 0:
    os.setuid(65534)
with Store.open(place) as store:
    assert store.read_only
    assert store.load("old", SPEC) is not None and store.load("new", SPEC) is None
    assert store.fingerprint_of(place / "catalogue.sqlite", lambda path: "computed") == "computed"
    store.put_failure(place / "catalogue.sqlite", "x")
    store.save_array("x", np.zeros(3))
    assert store.load_array("x") is None
    for path in ("old", "new"):
        try:
            store.save(path, SPEC, make(2), place / "w.mp4")
            raise SystemExit("saved")
        except StoreError as error:
            print("refused:", error)
try:
    Store.open(place / "below")
    raise SystemExit("created")
except StoreError as error:
    print("refused:", error)
"""
    place = Path(tempfile.mkdtemp())
    writer = Store.open(place)
    try:
        writer.save("old", spec, make(1), place / "v.mp4")
        if not open_elsewhere:
            writer.close()
        for entry in [place, *place.rglob("*")]:
            entry.chmod(0o555 if entry.is_dir() else 0o444)
        done = python(code, place)
    finally:
        writer.close()
        for entry in [place, *place.rglob("*")]:
            entry.chmod(0o755)
        shutil.rmtree(place)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("refused:") == 3
