from __future__ import annotations

import base64
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rdmf_cli.errors import VideoError
from rdmf_cli.export import thumbnails
from rdmf_cli.export.thumbnails import data_uri, frames_of, moment_pictures, ranked_row, strip
from rdmf_cli.media.probe import probe
from rdmf_cli.moments import Moment
from tests import videos
from tests.export.findings import MOMENTS


def number(picture: Image.Image) -> int:
    return videos.number_of(np.asarray(picture))


def test_a_moment_shows_its_best_frame() -> None:
    info = probe(videos.constant_rate())
    outside = Moment(1.0, 1.2, 0.5, 2.9)  # a peak outside must not show another moment's frame
    pictures = moment_pictures(info, (*MOMENTS, outside), (160, 90))
    assert [number(picture) for picture in pictures] == [40, 10, 29]


def test_frames_of_a_moment_stay_inside_it() -> None:
    info = probe(videos.constant_rate())
    frames = frames_of(info, Moment(1.01, 2.0, 0.5, 1.5), 5, (160, 90))
    assert [number(picture) for _, picture in frames] == [26, 32, 37, 43, 49]
    assert [time_s for time_s, _ in frames] == pytest.approx([n / 25 for n in (26, 32, 37, 43, 49)], abs=1e-6)


def test_a_short_moment_shows_each_frame_once() -> None:
    info = probe(videos.constant_rate())
    frames = frames_of(info, Moment(1.0, 1.12, 0.5, 1.0), 6, (160, 90))
    assert [number(picture) for _, picture in frames] == [25, 26, 27]


def test_a_strip_fills_its_width_in_order() -> None:
    info = probe(videos.constant_rate())
    pictures = strip(info, 3.0, width_px=800, height_px=45)
    assert len(pictures) == 10
    assert {picture.size for picture in pictures} == {(80, 45)}
    shown = [number(picture) for picture in pictures]
    assert shown == sorted(shown)
    assert shown[0] == pytest.approx(75 / 20, abs=1.5)
    assert shown[-1] == pytest.approx(75 - 75 / 20, abs=1.5)


def test_a_strip_of_a_long_video_takes_keyframes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(thumbnails, "_EXACT_UP_TO_S", 1.0)
    info = probe(
        videos.remake(
            videos.constant_rate(), "keys.mp4", after=("-g", "5", "-sc_threshold", "0", "-c:v", "libx264", "-an")
        )
    )
    shown = [number(picture) for picture in strip(info, 3.0, width_px=800, height_px=45)]
    assert shown == sorted(shown)
    assert [n % 5 for n in shown] == [0] * 10
    assert max(abs(n - (k + 0.5) * 7.5) for k, n in enumerate(shown)) <= 5


@pytest.mark.parametrize("make", [videos.rotated, videos.one_frame, videos.wide_pixels, videos.odd_size])
def test_strips_of_odd_videos(make: object) -> None:
    info = probe(make())  # type: ignore[operator]
    pictures = strip(info, info.duration_s, width_px=300, height_px=40)
    assert len({picture.size for picture in pictures}) == 1
    assert sum(picture.width for picture in pictures) == pytest.approx(300, abs=len(pictures))


def test_a_data_uri_is_a_small_jpeg() -> None:
    uri = data_uri(Image.new("RGB", (64, 36), (200, 30, 30)))
    head, _, text = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    picture = Image.open(io.BytesIO(base64.b64decode(text)))
    assert (picture.format, picture.size) == ("JPEG", (64, 36))


def test_a_row_carries_its_ranks() -> None:
    row = ranked_row(probe(videos.constant_rate()), MOMENTS, 0, 5, (160, 90), gap_px=10)
    pixels = np.asarray(row)
    assert pixels.shape == (90, 330, 4)
    assert (pixels[:, 160:170, 3] == 0).all()  # the gap is whatever the terminal has there
    assert tuple(pixels[1, 1, :3]) == (213, 94, 0)  # best
    assert tuple(pixels[1, 171, :3]) == (230, 159, 0)
    assert videos.number_of(pixels[:, :160, :3]) | 1 == 40 | 1  # the badge lies over the lowest bit


def test_a_video_that_is_gone(tmp_path: Path) -> None:
    info = replace(probe(videos.constant_rate()), path=tmp_path / "gone.mp4")
    with pytest.raises(VideoError, match="not there any more"):
        strip(info, 3.0, width_px=300, height_px=40)
