"""The program as a whole: errors to exit codes, interrupts, pipes, completion."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from rdmf_cli import __version__, main
from rdmf_cli.commands.demo import VIDEO
from rdmf_cli.errors import ModelError, OutputError, SomeVideosFailed, StoreError, UsageError, VideoError

ROOT = Path(__file__).resolve().parents[1]
posix = pytest.mark.skipif(os.name != "posix", reason="signals and pipes of POSIX")

# The real program with an encoder that stops at the video's first frames, so that ffmpeg has to wait for it.
SLOW = """
import os, time
from pathlib import Path
from rdmf_cli.commands import session
from tests.fakes import FakeEncoder

class SlowEncoder(FakeEncoder):
    calls = 0
    def encode_images(self, frames):
        self.calls += 1
        if self.calls > 1:  # the first call is the calibration
            Path(os.environ["MARK"]).touch()
            time.sleep(600)
        return super().encode_images(frames)

session.encoder = lambda *arguments: SlowEncoder(image_size_px=(224, 224))
from rdmf_cli.main import run
run()
"""


def program(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "rdmf_cli", *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8", **environment},
        timeout=60,
    )


def raise_(error: BaseException) -> object:
    raise error


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (UsageError("no"), 2, "rdmf: error: no\n"),
        (VideoError("v: no", hint="try"), 3, "rdmf: error: v: no\n  try\n"),
        (ModelError("no"), 4, "rdmf: error: no\n"),
        (StoreError("no"), 5, "rdmf: error: no\n"),
        (OutputError("no"), 6, "rdmf: error: no\n"),
        (SomeVideosFailed("no"), 7, "rdmf: error: no\n"),
        (typer.BadParameter("no"), 2, "rdmf: error: Invalid value: no\n  see: rdmf --help\n"),
        (KeyboardInterrupt(), 130, "rdmf: interrupted\n"),
        (typer.Abort(), 130, "rdmf: interrupted\n"),
    ],
)
def test_errors_and_codes(
    capsys: pytest.CaptureFixture[str], error: BaseException, code: int, text: str, restored_sigint: None
) -> None:
    assert main.exit_code_of(lambda: raise_(error)) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", text)


@pytest.fixture
def restored_sigint():
    handler = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, handler)


def test_a_bug_is_one_line_and_how_to_report_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main.exit_code_of(lambda: 1 // 0) == 70
    told = capsys.readouterr().err
    assert "this is a bug in rdmf: ZeroDivisionError" in told
    assert "rdmf --debug" in told
    assert "Traceback" not in told
    monkeypatch.setattr(main, "_debug", True)
    assert main.exit_code_of(lambda: 1 // 0) == 70
    assert "Traceback" in capsys.readouterr().err


def test_results_that_are_codes() -> None:
    assert [main.exit_code_of(lambda code=code: code) for code in (None, 0, 1, 7)] == [0, 0, 1, 7]


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--version"], 0, __version__),
        (["serch"], 2, "Did you mean 'search'?"),
        (["search", "--foo"], 2, "see: rdmf search --help"),
        (["search", "v.mp4", "x", "--top", "0"], 2, "--top"),
        (["search", "v.mp4", "x", "--device", "abacus"], 2, "--device"),
        (["search", "v.mp4", "x", "--fps", "-1"], 2, "--fps"),
        (["search", "v.mp4", "x", "--json", "--jsonl"], 2, "exclude each other"),
        (["search", "v.mp4"], 2, "no query"),
        (["search", "nowhere.mp4", "x"], 3, "no such file"),
        (["--debug", "search", "nowhere.mp4", "x"], 3, "Traceback"),
        ([], 2, "Usage"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_the_program(arguments: list[str], code: int, text: str) -> None:
    done = program(*arguments)
    assert done.returncode == code, done.stderr
    assert text in done.stdout + done.stderr
    if code and arguments:
        assert done.stdout == ""


def test_help_starts_fast() -> None:
    def once() -> float:
        began = time.monotonic()
        assert program("--help").returncode == 0
        return time.monotonic() - began

    bare = min(_bare_python_s() for _ in range(3))
    # 0.3 s beyond Python's own start on an idle machine; the rest is room for a busy one.
    assert min(once() for _ in range(3)) < bare * 4 + 0.5


def _bare_python_s() -> float:
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "pass"], check=True)
    return time.monotonic() - began


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    script = program("--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert script.returncode == 0, script.stderr
    assert "_RDMF_COMPLETE" in script.stdout


def test_completion_knows_commands_and_options() -> None:
    command = [sys.executable, "-m", "rdmf_cli"]
    words = {"COMP_WORDS": "rdmf sea", "COMP_CWORD": "1", "_RDMF_COMPLETE": "complete_bash"}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **words}, cwd=ROOT, timeout=60)
    assert done.stdout.split() == ["search"]
    words = {"COMP_WORDS": "rdmf search --jso", "COMP_CWORD": "2", "_RDMF_COMPLETE": "complete_bash"}
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **words}, cwd=ROOT, timeout=60)
    assert done.stdout.split() == ["--json", "--jsonl"]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="Linux")
@pytest.mark.parametrize("form", [[], ["--json"]], ids=["text", "json"])
def test_ctrl_c_leaves_no_child(tmp_path: Path, form: list[str]) -> None:
    arguments = ["search", str(VIDEO), "a dog", "--no-cache", "--fps", "25", "--batch-size", "4", *form]
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MARK": str(tmp_path / "mark")},
        start_new_session=True,
    )
    try:
        _wait_for(tmp_path / "mark")
        children = _children(process.pid)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    finally:
        process.kill()
    assert process.returncode == 130
    assert (out, err) == ("", "rdmf: interrupted\n")
    assert children  # ffmpeg was there
    assert not any(_is_running(child) for child in children)


def _wait_for(file: Path) -> None:
    for _ in range(600):
        if file.exists():
            return
        time.sleep(0.05)
    raise AssertionError("the search did not start")


def _children(parent: int) -> list[int]:
    """Process ids of the direct children."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(status.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(status.parent.name))
    return found


def _is_running(pid: int) -> bool:
    """Whether it still is after two seconds; a dead process that nobody has collected yet does not count."""
    for _ in range(40):
        try:
            os.kill(pid, 0)
            status = Path(f"/proc/{pid}/stat")
            if status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except (ProcessLookupError, FileNotFoundError):
            return False
        time.sleep(0.05)
    return True


@posix
def test_a_reader_that_leaves_is_no_error() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    for arguments in (["models", "list"], ["models", "list", "--json"], ["--help"]):
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run(
            [sys.executable, "-m", "rdmf_cli", *arguments], stdout=writing, stderr=subprocess.PIPE, env=environment
        )
        os.close(writing)
        assert b"Error" not in done.stderr
        assert b"Traceback" not in done.stderr
        assert done.returncode in (1, 141)


@posix
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux")
def test_a_full_disk() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "rdmf_cli", "models", "list", "--json"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert done.returncode == 6
    assert "No space left on device" in done.stderr
