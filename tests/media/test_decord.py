"""What decord can't do is said, never answered wrongly."""

from __future__ import annotations

import sys

import pytest

from rdmf_cli.errors import VideoError
from rdmf_cli.media.frames import Sampling, open_frames
from tests import videos

SAMPLING = Sampling(2, 8, 8)


def test_absent_decord_names_the_other_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    source = open_frames(videos.constant_rate(), SAMPLING, backend="decord")
    with pytest.raises(VideoError, match="decord is not installed") as caught:
        next(source.batches(1))
    assert "ffmpeg" in caught.value.hint


def test_transport_streams_are_refused() -> None:
    source = open_frames(videos.transport_stream(), SAMPLING, backend="decord")
    with pytest.raises(VideoError, match="loses frames"):
        next(source.batches(1))


def test_a_truncated_file_is_refused_or_reported() -> None:
    pytest.importorskip("decord")
    source = open_frames(videos.truncated(), SAMPLING, backend="decord")
    with pytest.raises(VideoError, match="decord can't open it"):
        list(source.batches(4))
