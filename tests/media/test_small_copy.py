from __future__ import annotations

from pathlib import Path

import pytest

from rdmf_cli.errors import VideoError
from rdmf_cli.media.probe import probe
from rdmf_cli.media.small_copy import shrink
from tests import videos


def test_smaller_and_playable(tmp_path: Path) -> None:
    shrink(videos.constant_rate(), tmp_path / "small.mp4", 48)
    info = probe(tmp_path / "small.mp4")
    assert (info.width, info.height) == (86, 48)
    assert (info.codec, info.pixel_format, info.has_audio) == ("h264", "yuv420p", True)
    assert info.duration_s == pytest.approx(3.0, abs=0.05)


def test_never_larger_and_always_even(tmp_path: Path) -> None:
    shrink(videos.odd_size(), tmp_path / "small.mp4", 1000)
    info = probe(tmp_path / "small.mp4")
    assert (info.width % 2, info.height) == (0, 90)


def test_what_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(VideoError, match="can't be made smaller"):
        shrink(tmp_path / "text.mp4", tmp_path / "small.mp4", 48)
