"""ffmpeg as a writer: its reports, and that nothing of it is left whatever happens."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from rdmf_cli.errors import OutputError, VideoError
from rdmf_cli.export.clips import cut_clip
from rdmf_cli.media import copying, encoding
from rdmf_cli.media.probe import probe
from rdmf_cli.media.tracks import tracks_of
from rdmf_cli.moments import Moment
from tests import sync_videos

SLOWLY = ["-re", "-f", "lavfi", "-i", "testsrc2=s=64x36:r=25:d=60", "-c:v", "mpeg4", "-f", "mpegts"]


def children() -> set[int]:
    """Processes whose parent is this one."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == os.getpid():
            found.add(int(status.parent.name))
    return found


def test_progress_is_what_ffmpeg_reports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_TICK_S", 0.05)
    heard: list[float] = []
    out = tmp_path / "out.ts"
    arguments = ["-re", "-f", "lavfi", "-i", "testsrc2=s=64x36:r=25:d=1", "-c:v", "mpeg4", "-f", "mpegts", str(out)]
    encoding.encode(arguments, Path("source"), out, heard.append)
    assert heard == sorted(heard)
    assert any(0 < done_s < 1.1 for done_s in heard)
    assert heard[-1] <= 1.1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_no_child_is_left(error: type[BaseException], tmp_path: Path) -> None:
    before = children()

    def stop(done_s: float) -> None:
        assert children() - before
        raise error

    with pytest.raises(error):
        encoding.encode([*SLOWLY, str(tmp_path / "out.ts")], Path("source"), tmp_path / "out.ts", stop)
    assert children() <= before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("mode", ["exact", "copy", "smart"])
def test_an_interrupted_cut_leaves_nothing(mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = children()
    monkeypatch.setattr(encoding, "_TICK_S", 0.01)
    info = probe(sync_videos.b_frames())

    def stop(done_s: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_clip(
            info, tracks_of(info), Moment(3.4, 7, 1, 4), tmp_path / "clip.mp4", mode=mode, force=True, on_time=stop
        )
    assert list(tmp_path.iterdir()) == []
    assert children() <= before


def test_a_writer_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoding, "_STALL_S", 0.3)
    monkeypatch.setattr(encoding, "_TICK_S", 0.1)
    fifo = tmp_path / "never"
    os.mkfifo(fifo)
    with pytest.raises(VideoError, match="hung: nothing written for"):
        encoding.encode(["-i", str(fifo), str(tmp_path / "out.ts")], fifo, tmp_path / "out.ts")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_is_an_output_error() -> None:
    full = Path("/dev/full")
    arguments = ["-f", "lavfi", "-i", "testsrc2=s=64x36:r=25:d=1", "-c:v", "mpeg4", "-f", "mpegts", str(full)]
    with pytest.raises(OutputError, match="No space left"):
        encoding.encode(arguments, Path("source"), full)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_full_disk_while_copying_is_one_too(tmp_path: Path) -> None:
    (tmp_path / "full.mkv").symlink_to("/dev/full")
    info = probe(sync_videos.b_frames())
    with pytest.raises(OutputError, match="No space left"):
        copying.copy(info, tracks_of(info), 1.0, 9.0, tmp_path / "full.mkv")


def test_a_missing_encoder_is_not_the_videos_fault(tmp_path: Path) -> None:
    out = tmp_path / "out.ts"
    arguments = ["-f", "lavfi", "-i", "testsrc2=s=64x36:r=25:d=1", "-c:v", "nosuch", str(out)]
    with pytest.raises(OutputError, match="this ffmpeg can't write clips"):
        encoding.encode(arguments, Path("source"), out)


def test_other_trouble_is_one_line_about_the_video(tmp_path: Path) -> None:
    bad, out = tmp_path / "a.mp4", tmp_path / "out.ts"
    bad.write_bytes(b"\0" * 100)
    with pytest.raises(VideoError, match=r"a.mp4: a clip can't be cut: ") as caught:
        encoding.encode(["-i", str(bad), str(out)], bad, out)
    assert "\n" not in str(caught.value)
