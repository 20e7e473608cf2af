"""`rdmf search --follow` as a program: a pipe, Ctrl-C, and what it refuses."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rdmf_cli.media.growing import Growing
from rdmf_cli.pipeline import learned
from rdmf_cli.pipeline.modes import Mode
from tests import moment_folders
from tests.commands.conftest import Done
from tests.faults import checks
from tests.processes import killed_after
from tests.videos import folder, run_ffmpeg

Rdmf = Callable[..., Done]


def stream() -> Path:
    """Grey, red, blue, with cuts between."""
    path = folder() / "follow-colours.ts"
    if not path.exists():
        shots = "color=gray:s=96x54:r=10:d=20[a];color=red:s=96x54:r=10:d=4[b];color=blue:s=96x54:r=10:d=8[c]"
        run_ffmpeg("-f", "lavfi", "-i", f"{shots};[a][b][c]concat=n=3,format=yuv420p", "-c:v", "libx264", path)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_pipe_and_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.faults.program", "search", "-", "something red", "--follow", "--jsonl"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=checks.ROOT,
        env=checks.environment(tmp_path),
        start_new_session=True,
    )
    with killed_after(process, 90):
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(stream().read_bytes())  # it is not closed: the pipe could go on for ever
        process.stdin.flush()
        line = json.loads(process.stdout.readline())
        assert (line["start_s"], line["end_s"]) == pytest.approx((20.0, 24.0), abs=0.15)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait()  # while the pipe is open: its end would end the search, too
        out, err = process.communicate()
    told = err.decode()
    assert process.returncode == 0, told
    assert out == b""
    assert "Traceback" not in told
    assert "1 moment told" in told
    assert "interrupted" not in told
    deadline = time.monotonic() + 30
    mark = f"TMPDIR={tmp_path / 'tmp'}"
    while checks.processes_of(mark) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert checks.processes_of(mark) == set()


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["a.ts", "b.ts", "-q", "red", "--follow"], 2, "--follow takes one video, not 2"),
        (["a.ts", "red", "--follow", "--json"], 2, "--json is one document"),
        (["red", "--library", "--follow"], 2, "--library and --follow exclude each other"),
        (["a.ts", "red", "--follow", "--decoder", "decord"], 2, "--follow and --decoder decord"),
        (["a.ts", "red", "--follow", "--preview"], 2, "--follow and pictures"),
        (["none.ts", "red", "--follow"], 3, "none.ts: no such file"),
    ],
)
def test_what_it_refuses(rdmf: Rdmf, arguments: list[str], code: int, said: str) -> None:
    done = rdmf("search", *arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert len(done.err.splitlines()) <= 2


def test_a_learned_model_follows_and_others_are_refused(
    rdmf: Rdmf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(Growing.__init__.__kwdefaults__, "idle_s", 0.5)  # the file is whole; nobody writes to it
    small = moment_folders.saved(tmp_path / "small")
    done = rdmf("search", str(stream()), "something red", "--follow", "--all", "--jsonl", "--model", str(small))
    assert done.code == 0, done.err
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert {line["schema"] for line in lines} == {"rdmf.follow/1"}
    assert all(0 <= line["start_s"] <= line["peak_s"] <= line["end_s"] <= 32.2 for line in lines)
    baseline = replace(moment_folders.SMALL.fusion, kind="none")
    other = moment_folders.saved(tmp_path / "other", replace(moment_folders.SMALL, fusion=baseline))
    done = rdmf("search", str(stream()), "something red", "--follow", "--model", str(other))
    assert (done.code, done.out) == (2, "")
    assert "--follow can't use other: its fusion, none, looks at whole videos" in done.err
    assert done.err.count("error:") == 1


def test_without_being_asked_no_learned_model_follows(
    rdmf: Rdmf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would tell moments minutes later; whoever wants that says so."""
    moment_folders.saved(tmp_path / "models" / "rdmf-shipped")
    named = str(moment_folders.saved(tmp_path / "mine"))
    monkeypatch.setattr(learned, "DEFAULT_MODEL", "rdmf-shipped")

    used: list[str] = []

    def note(*given: Any, mode: Mode, **options: Any) -> float:
        used.append(mode.kind)
        return 1.0

    monkeypatch.setattr("rdmf_cli.pipeline.follow.follow", note)

    def follower(*options: str) -> str:
        done = rdmf("search", str(stream()), "something red", "--follow", "--all", "--jsonl", *options)
        assert done.code in (0, 1), done.err
        return used.pop()

    monkeypatch.delenv("RDMF_MODEL")
    assert follower() == follower("--fusion", "pattern") == "pattern"
    assert follower("--fusion", "learned") == follower("--model", named) == "learned"
    for name, kind in (("auto", "pattern"), ("pattern", "pattern"), ("learned", "learned"), (named, "learned")):
        monkeypatch.setenv("RDMF_MODEL", name)
        assert follower() == kind
