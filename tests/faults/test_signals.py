"""Ctrl-C, SIGTERM and a closed terminal, at random times: quick, quiet, the right exit code, nothing left behind."""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path

import pytest

from tests import videos
from tests.faults import checks
from tests.processes import killed_after

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
FINISHED = {0, 1}


def stop_after(home: Path, number: int, seconds: float) -> None:
    arguments = ("search", str(videos.hard_cuts()), "something red", "--json", "--fps", "25", "--batch-size", "4")
    process = checks.start(home, *arguments, SLOW_S="0.15")
    with killed_after(process, 120):
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        time.sleep(seconds)
        process.send_signal(number)
        out, err = process.communicate()
    checks.assert_nothing_is_left(home)
    assert "Traceback" not in err
    if process.returncode in FINISHED:  # it was faster
        assert out.count("\n") == 1
        return
    assert process.returncode in (128 + number, -number)  # the second: while Python was leaving
    assert out == "" or out.endswith("\n")
    if process.returncode > 0:
        told = "interrupted" if number == signal.SIGINT else f"stopped by signal {number}"
        assert err == f"rdmf: {told}\n"


@pytest.mark.parametrize("seconds", [0.02, 1.5])
@pytest.mark.parametrize("number", SIGNALS[:2], ids=lambda number: number.name)
def test_a_signal(tmp_path: Path, number: int, seconds: float) -> None:
    stop_after(tmp_path, number, seconds)


@pytest.mark.slow
@pytest.mark.parametrize("case", range(30))
def test_a_signal_at_a_random_time(tmp_path: Path, case: int) -> None:
    chance = random.Random(case)
    stop_after(tmp_path, chance.choice(SIGNALS), chance.uniform(0, 5))


def test_a_kill_takes_ffmpeg_along(tmp_path: Path) -> None:
    """Nothing of ours can run after kill -9; ffmpeg notices by itself that nobody reads any more."""
    arguments = ("search", str(videos.hard_cuts()), "something red", "--fps", "25", "--batch-size", "1")
    process = checks.start(tmp_path, *arguments, SLOW_S="1")
    try:
        deadline = time.monotonic() + 120
        mark = f"TMPDIR={tmp_path / 'tmp'}"
        while not (decoding := checks.is_decoding(mark, videos.hard_cuts())) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert decoding
    finally:
        process.kill()
        process.communicate()
    checks.assert_nothing_is_left(tmp_path)
