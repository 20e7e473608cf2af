"""Bytes of a file that grows or of a pipe; what is no video, or can't be followed, is said in a line."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from rdmf_cli.errors import VideoError
from rdmf_cli.media.ffmpeg_frames import FfmpegFrames
from rdmf_cli.media.frames import Sampling
from rdmf_cli.media.growing import Growing, look
from tests import videos


def test_a_file_is_read_while_it_grows(tmp_path: Path) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(b"one")
    growing = Growing(file, idle_s=0.6)

    def write() -> None:
        time.sleep(0.3)
        with file.open("ab") as stream:
            stream.write(b"two")

    thread = threading.Thread(target=write)
    thread.start()
    assert b"".join(growing) == b"onetwo"
    thread.join()
    growing.close()


@pytest.mark.skipif(os.name != "posix", reason="select on pipes")
def test_a_pipe_ends_when_its_writer_does_or_when_told() -> None:
    reader, writer = os.pipe()
    with os.fdopen(reader, "rb") as stream, os.fdopen(writer, "wb", buffering=0) as source:
        growing = Growing(stream)
        source.write(b"abc")
        pieces = iter(growing)
        assert next(pieces) == b"abc"
        threading.Timer(0.3, growing.stop).start()
        assert list(pieces) == []
    reader, writer = os.pipe()
    os.write(writer, b"xyz")
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert b"".join(Growing(stream)) == b"xyz"


def test_frames_of_a_stream_are_those_of_the_file() -> None:
    path = videos.transport_stream()
    growing = Growing(path, idle_s=0.3)
    found = look(growing)
    assert found is not None
    info, feed = found
    assert (info.path, info.width, info.height) == (path, videos.WIDTH_PX, videos.HEIGHT_PX)
    source = FfmpegFrames(info, Sampling(5.0, 90, 160), stall_s=float("inf"), feed=feed)
    numbers = [videos.number_of(frame) for batch in source.batches(4) for frame in batch.frames]
    source.close()
    growing.close()
    assert numbers == list(range(0, 75, 5))


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"", "nothing came"), (b"hello\n" * 50, "a text file, not a video"), (os.urandom(70_000), "not a video")],
    ids=["empty", "text", "noise"],
)
def test_what_is_no_video(tmp_path: Path, content: bytes, said: str) -> None:
    file = tmp_path / "a.ts"
    file.write_bytes(content)
    growing = Growing(file, idle_s=0.1)
    with pytest.raises(VideoError, match=said):
        look(growing)
    growing.close()


def test_an_ordinary_mp4_can_not_be_followed(tmp_path: Path) -> None:
    whole = videos.hard_cuts().read_bytes()
    file = tmp_path / "a.mp4"
    file.write_bytes(whole[: len(whole) // 2])
    growing = Growing(file, idle_s=0.1)
    with pytest.raises(VideoError) as caught:
        look(growing)
    growing.close()
    assert "index" in str(caught.value) + caught.value.hint
    assert str(file) in str(caught.value)


def test_stopped_before_anything_came(tmp_path: Path) -> None:
    (tmp_path / "a.ts").touch()
    growing = Growing(tmp_path / "a.ts")
    growing.stop()
    assert look(growing) is None
    growing.close()


def test_names_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such file"):
        Growing(tmp_path / "none.ts")
    with pytest.raises(VideoError, match="a folder"):
        Growing(tmp_path)
