"""The frame at a time is the one that a player shows then."""

from __future__ import annotations

import numpy as np
import pytest

from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.media.frames import Sampling, open_frames
from rdmf_cli.media.probe import probe
from rdmf_cli.media.stills import frame_at
from tests import videos


@pytest.mark.parametrize(
    ("name", "time_s", "number"),
    [
        ("constant", 0.0, 0),
        ("constant", 1.0, 25),
        ("constant", 1.03, 25),  # shown until 1.04
        ("constant", 2.97, 74),
        ("variable", 1.2, 19),  # in the gap the frame before it stays
        ("variable", 2.0, 50),
        ("transport_stream", 1.0, 25),
        ("edit_list", 0.4, videos.EDIT_START + 10),
        ("wide_pixels", 1.0, 25),
        ("odd_size", 1.0, 25),
        ("one_frame", 0.0, 0),
    ],
)
def test_the_frame_that_is_shown(name: str, time_s: float, number: int) -> None:
    frame = frame_at(probe(videos.MAKERS[name]()), time_s, 90, 160)
    assert frame.shape == (90, 160, 3)
    assert frame.dtype == np.uint8
    assert videos.number_of(frame) == number


def test_upright() -> None:
    info = probe(videos.rotated())
    [batch] = open_frames(info, Sampling(1.0, 160, 90)).batches(16)
    found = frame_at(info, 1.0, 160, 90)
    assert found.shape == (160, 90, 3)
    np.testing.assert_allclose(found.astype(int), batch.frames[1].astype(int), atol=24)
    assert np.abs(found.astype(int) - batch.frames[1].astype(int)).mean() < 3


@pytest.mark.parametrize("time_s", [3.1, 99.0, 1e6])
def test_beyond_the_end(time_s: float) -> None:
    with pytest.raises(UsageError, match="no frame at") as caught:
        frame_at(probe(videos.constant_rate()), time_s, 90, 160)
    assert "0:00:03.000" in caught.value.hint


def test_a_video_that_has_gone(tmp_path) -> None:
    import dataclasses

    info = dataclasses.replace(probe(videos.constant_rate()), path=tmp_path / "gone.mp4")
    with pytest.raises(VideoError):
        frame_at(info, 0.0, 90, 160)
