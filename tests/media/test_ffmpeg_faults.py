"""Broken files, broken programs, impatient users: what can be decoded comes, and nothing stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import VideoError
from rdmf_cli.media.ffmpeg import ffmpeg_path
from rdmf_cli.media.ffmpeg_frames import FfmpegFrames
from rdmf_cli.media.frames import Sampling, open_frames
from rdmf_cli.media.probe import probe
from tests import videos
from tests.processes import children, killed_after

SAMPLING = Sampling(25, 18, 32)


@pytest.fixture(autouse=True)
def _nothing_stays_behind() -> object:
    before = set(threading.enumerate())
    yield
    assert children() == set()
    assert {thread for thread in threading.enumerate() if thread not in before} == set()


def fake_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    """A program in ffmpeg's place: a shell script that knows -version; `$REAL` is the true one."""
    script = tmp_path / "fake-ffmpeg"
    real = ffmpeg_path()
    version = '[ "$1" = -version ] && { echo "ffmpeg version 9.9 fake"; exit 0; }'
    script.write_text(f"#!/bin/sh\nREAL='{real}'\n{version}\n{body}\n")
    script.chmod(0o755)
    monkeypatch.setenv("RDMF_FFMPEG", str(script))


def test_a_truncated_file_gives_what_it_has() -> None:
    source = open_frames(videos.truncated(), SAMPLING)
    frames = [frame for batch in source.batches(8) for frame in batch.frames]
    assert 20 < len(frames) < 60
    assert [videos.number_of(frame) for frame in frames[:20]] == list(range(20))
    assert source.report.truncated
    assert "of 75 frames" in source.report.warnings[0]
    assert source.report.duration_s < 2.5


def test_noise_in_the_middle_is_counted_and_passed_over() -> None:
    source = open_frames(videos.damaged(), SAMPLING)
    batches = list(source.batches(8))
    times = np.concatenate([batch.times_s for batch in batches])
    frames = [frame for batch in batches for frame in batch.frames]
    assert source.report.decode_failures > 0
    assert not source.report.truncated
    assert np.all(np.diff(times) > 0)
    assert times[-1] == pytest.approx(2.96)
    assert [videos.number_of(frame) for frame in frames[-10:]] == list(range(65, 75))


def test_a_file_without_any_frame_left(tmp_path: Path) -> None:
    info = probe(videos.constant_rate())
    data = videos.constant_rate().read_bytes()
    path = tmp_path / "emptied.mp4"
    path.write_bytes(data[: data.index(b"mdat") + 20])
    source = FfmpegFrames(replace(info, path=path), SAMPLING)
    with pytest.raises(VideoError, match="no frame could be decoded"):
        list(source.batches(4))


def test_a_decoder_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, "sleep 100 & sleep 100")
    source = open_frames(videos.constant_rate(), SAMPLING, stall_s=0.3)
    began = time.monotonic()
    with pytest.raises(VideoError, match=r"the decoder hung: nothing for 0\.3 s"):
        list(source.batches(4))
    assert time.monotonic() - began < 5


def test_a_decoder_that_hangs_midway_ends_the_video_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, '"$REAL" "$@" | head -c 150000; sleep 100')
    source = open_frames(videos.constant_rate(), SAMPLING, stall_s=0.5)
    count = sum(len(batch.times_s) for batch in source.batches(4))
    assert 10 < count < videos.NUM_FRAMES
    assert source.report.truncated
    assert "hung" in source.report.warnings[0]


def test_a_decoder_that_crashes_midway_ends_the_video_early(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, '"$REAL" "$@" 2>/dev/null | head -c 150000; kill -SEGV $$')
    source = open_frames(videos.constant_rate(), SAMPLING)
    assert sum(len(batch.times_s) for batch in source.batches(4)) > 10
    assert source.report.truncated


@pytest.mark.parametrize("cut", range(150_000, 154_000, 500))  # within a thumbnail, a picture, a header
def test_the_end_of_a_stream_may_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: int) -> None:
    path = videos.constant_rate()
    fake_ffmpeg(tmp_path, monkeypatch, f'"$REAL" "$@" 2>/dev/null | head -c {cut}; kill -KILL $$')
    source = open_frames(path, SAMPLING)
    numbers = [videos.number_of(frame) for batch in source.batches(4) for frame in batch.frames]
    assert numbers == list(range(len(numbers)))
    assert len(numbers) > 10
    assert source.report.truncated


def test_a_decoder_that_crashes_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, 'echo "[error] out of luck" >&2; exit 3')
    source = open_frames(videos.constant_rate(), SAMPLING)
    with pytest.raises(VideoError, match=r"no frame could be decoded \(out of luck\)"):
        list(source.batches(4))


def test_a_flood_of_complaints_blocks_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_ffmpeg(tmp_path, monkeypatch, 'head -c 3000000 /dev/zero | tr "\\0" x >&2; exec "$REAL" "$@"')
    source = open_frames(videos.constant_rate(), SAMPLING)
    assert sum(len(batch.times_s) for batch in source.batches(4)) == videos.NUM_FRAMES


def test_a_slow_consumer_is_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_frames(videos.constant_rate(), Sampling(25, 200, 300), stall_s=0.3)
    count = 0
    for number, batch in enumerate(source.batches(5)):
        count += len(batch.times_s)
        time.sleep(0.5 if number < 2 else 0)
    assert count == videos.NUM_FRAMES
    assert not source.report.truncated


def test_an_exception_in_the_consumer_leaves_nothing() -> None:
    source = open_frames(videos.constant_rate(), SAMPLING)

    def consume() -> None:
        for _ in source.batches(2):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        consume()
    source.close()


def test_an_unfinished_source_that_is_closed_leaves_nothing() -> None:
    source = open_frames(videos.constant_rate(), Sampling(25, 200, 300))
    stream = source.batches(1)
    next(stream)
    assert children()
    source.close()
    assert children() == set()
    stream.close()  # type: ignore[attr-defined]


def _is_gone(pid: int, within_s: float = 30.0) -> bool:
    """Ended, if perhaps not yet collected by its new parent: a killed process takes a moment on a busy machine."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


def test_ctrl_c_ends_ffmpeg_too(tmp_path: Path) -> None:
    script = tmp_path / "fake-ffmpeg"
    script.write_text('#!/bin/sh\n[ "$1" = -version ] && { echo "ffmpeg version 9.9"; exit 0; }\nexec sleep 77\n')
    script.chmod(0o755)
    program = (
        "import sys; from pathlib import Path\n"
        "from rdmf_cli.media.frames import Sampling, open_frames\n"
        "source = open_frames(Path(sys.argv[1]), Sampling(2, 8, 8))\n"
        "stream = source.batches(1); print('ready', flush=True)\n"
        "next(stream)\n"
    )
    environment = {**os.environ, "RDMF_FFMPEG": str(script), "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path])}
    command = [sys.executable, "-c", program, str(videos.constant_rate())]
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    )
    with process, killed_after(process, 120):
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        task = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        deadline = time.monotonic() + 60
        while not (started := task.read_text().split()) and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait() not in (0, -signal.SIGKILL)  # killed: it did not end by itself
    assert started
    assert _is_gone(int(started[0]))


def test_a_truncated_webm_is_noticed_though_it_counts_no_frames(tmp_path: Path) -> None:
    data = videos.odd_size().read_bytes()
    path = tmp_path / "cut.webm"
    path.write_bytes(data[: len(data) // 2])
    source = open_frames(path, SAMPLING)
    count = sum(len(batch.times_s) for batch in source.batches(8))
    assert 20 < count < 60
    assert source.report.truncated
    assert source.report.duration_s < 2.5


def test_a_size_that_changes_midway(tmp_path: Path) -> None:
    parts = []
    for number, size in enumerate(("160x90", "320x240")):
        part = tmp_path / f"{number}.ts"
        shift = ("-output_ts_offset", str(number))
        videos.run_ffmpeg("-f", "lavfi", "-i", f"testsrc2=s={size}:d=1", "-c:v", "mpeg2video", *shift, part)
        parts.append(part.read_bytes())
    path = tmp_path / "joined.ts"
    path.write_bytes(b"".join(parts))
    source = open_frames(path, Sampling(5, 18, 32))
    times = np.concatenate([batch.times_s for batch in source.batches(8)])
    assert np.all(np.diff(times) > 0)
    assert 10 <= len(times) <= 12
    assert times[-1] > 1.7
