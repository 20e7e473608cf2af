"""`rdmf index`: the command around the job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.commands.conftest import Done
from tests.fakes import FakeEncoder
from tests.pipeline.library_fixtures import COLOURS, ROOT, small_videos
from tests.processes import killed_after

Rdmf = Callable[..., Done]


@pytest.fixture(autouse=True)
def fake_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    from rdmf_cli.commands import session

    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: FakeEncoder())


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_videos(), tmp_path / "videos"))


def test_summary_reasons_and_exit_code(rdmf: Rdmf, videos: Path) -> None:
    done = rdmf("index", str(videos))
    assert done.code == 7
    first, second, reason = done.out.splitlines()
    assert first == "indexed 8 videos; 0 unchanged, 1 failed, 1 other files"
    assert "times as fast as it plays" in second
    assert reason.startswith("  ")
    assert "cut.mp4" in reason
    assert "1 file failed" in done.err
    done = rdmf("index", str(videos))
    assert done.code == 7
    assert done.out.splitlines()[0] == "indexed 0 videos; 8 unchanged, 1 failed, 1 other files"
    assert "--retry-failed" in done.out
    (videos / "cut.mp4").unlink()
    done = rdmf("index", str(videos))
    assert (done.code, done.out, done.err) == (0, "indexed 0 videos; 8 unchanged, 1 other files\n", "")


def test_json_is_one_line_per_file_and_a_summary(rdmf: Rdmf, videos: Path) -> None:
    done = rdmf("index", str(videos), "--json")
    *events, summary = map(json.loads, done.out.splitlines())
    assert sorted(event["event"] for event in events) == ["failed"] + ["indexed"] * 8
    assert summary["event"] == "summary"
    assert summary["schema"] == "rdmf.index/1"
    assert (summary["indexed"], summary["failed"], summary["other_files"]) == (8, 1, 1)
    indexed = next(event for event in events if event["event"] == "indexed")
    assert set(indexed) == {"event", "path", "id", "duration_s", "frames", "encoded", "seconds"}


def test_globs_shards_and_dry_run(rdmf: Rdmf, videos: Path, home: Path) -> None:
    done = rdmf("index", str(videos), "--dry-run", "--include", "*.mp4", "--exclude", "more", "--exclude", "cut*")
    assert (done.code, done.out) == (0, "would index 4 videos; 0 unchanged\n")
    parts = [
        rdmf("index", str(videos), "--json", "--dry-run", "--exclude", "cut*", "--shard", f"{i}/2") for i in (1, 2)
    ]
    assert sum(json.loads(part.out.splitlines()[-1])["would-index"] for part in parts) == len(COLOURS)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("/nowhere/at/all",), 3, "no such file or folder"),
        ((".", "--shard", "3/2"), 2, "--shard 3/2"),
        ((".", "--fps", "0"), 2, "--fps 0"),
        ((".", "--watch", "--dry-run"), 2, "exclude each other"),
        ((".", "--ray-address", "x"), 2, "--engine ray"),
        ((".", "--jobs", "0"), 2, "--jobs"),
        ((".", "--engine", "spark"), 2, "--engine"),
    ],
)
def test_what_makes_no_sense(rdmf: Rdmf, arguments: tuple[str, ...], code: int, says: str) -> None:
    done = rdmf("index", *arguments)
    assert done.code == code
    assert says in done.err
    assert "Traceback" not in done.err


def test_one_of_several_places_is_missing(rdmf: Rdmf, videos: Path) -> None:
    done = rdmf("index", str(videos / "red.mp4"), str(videos / "nowhere"))
    assert done.code == 7
    assert "nowhere: no such file" in done.out


def test_a_folder_without_videos(rdmf: Rdmf, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = rdmf("index", str(tmp_path / "empty"))
    assert (done.code, done.out) == (0, "indexed 0 videos; 0 unchanged\n")


def test_no_ffmpeg_is_no_failure_of_the_videos(rdmf: Rdmf, videos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("RDMF_FFMPEG", "/nowhere/ffmpeg")
        assert rdmf("index", str(videos)).code == 3
    assert json.loads(rdmf("index", str(videos), "--json").out.splitlines()[-1])["indexed"] == 8


def test_a_newer_store_is_refused_untouched(rdmf: Rdmf, videos: Path, home: Path) -> None:
    import sqlite3

    rdmf("index", str(videos / "red.mp4"))
    connection = sqlite3.connect(home / "store" / "catalogue.sqlite")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    done = rdmf("index", str(videos))
    assert done.code == 5
    assert "newer rdmf" in done.err


def test_names_that_can_not_be_printed(rdmf: Rdmf, tmp_path: Path) -> None:
    place = tmp_path / "v"
    place.mkdir()
    name = os.fsdecode(b"caf\xe9\x1b[31m.mp4")
    shutil.copy(small_videos() / "red.mp4", place / name)
    (place / os.fsdecode(b"\xff.mp4")).write_bytes((small_videos() / "cut.mp4").read_bytes())
    done = rdmf("index", str(place), "--json")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert {event.get("path") for event in events[:2]} == {str(place / name), str(place / os.fsdecode(b"\xff.mp4"))}
    done = rdmf("index", str(place))
    assert done.code == 7
    assert "\x1b" not in done.out


DRIVER = """
import sys
from rdmf_cli.commands import session
from tests.fakes import FakeEncoder
session.encoder = lambda settings, batch_size, progress: FakeEncoder()
from rdmf_cli.main import run
run()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_watch_until_ctrl_c(tmp_path: Path, home: Path) -> None:
    """The real watcher in a real process; told by its own lines what to do next."""
    import signal

    pytest.importorskip("watchfiles")
    place = tmp_path / "videos"
    place.mkdir()
    shutil.copy(small_videos() / "red.mp4", place / "a.mp4")
    command = [sys.executable, "-c", DRIVER, "index", str(place), "--watch", "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with process, killed_after(process, 90):

        def told() -> Any:
            assert process.stdout is not None
            return json.loads(process.stdout.readline())

        assert told()["event"] == "indexed"
        assert told() == {"event": "watching"}
        shutil.copy(small_videos() / "blue.mp4", place / "b.mp4")
        event = told()
        assert (event["event"], event["path"]) == ("indexed", str(place / "b.mp4"))
        process.send_signal(signal.SIGINT)
        summary = told()
        assert (summary["event"], summary["indexed"]) == ("summary", 2)
        assert process.wait(60) == 0
