from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import VideoError
from rdmf_cli.media import stills as module
from rdmf_cli.media.probe import VideoInfo, probe
from rdmf_cli.media.stills import Still, fitted, stills
from tests import videos

TIMES_S = [0.0, 0.6, 1.0, 1.8, 2.2, 100.0]


def numbers(info: VideoInfo, found: list[Still | None]) -> list[int]:
    turns = -1 if info.rotation else 0
    return [videos.number_of(np.rot90(still.picture, turns)) for still in found if still is not None]


def on_screen(name: str, time_s: float) -> int:
    """Number of the frame that a player shows then."""
    presented = videos.expected_numbers(name)
    return max(n for n in presented if (n - presented[0]) / videos.RATE <= time_s + 1e-9)


@pytest.mark.parametrize("name", videos.MAKERS)
@pytest.mark.parametrize("goes_on_s", [0.0, 60.0])
def test_the_frame_on_screen(name: str, goes_on_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GOES_ON_S", goes_on_s)  # seeks every time; decodes on
    info = probe(videos.MAKERS[name]())
    assert numbers(info, stills(info, TIMES_S, box_px=(160, 160))) == [on_screen(name, t) for t in TIMES_S]


def test_times_in_any_order_and_more_than_once() -> None:
    info = probe(videos.constant_rate())
    found = stills(info, [2.0, 0.4, 2.0, 1.0, -1.0], box_px=(160, 90))
    assert numbers(info, found) == [50, 10, 50, 25, 0]
    assert [still.time_s for still in found if still] == pytest.approx([2.0, 0.4, 2.0, 1.0, 0.0])


def test_a_time_printed_in_milliseconds_means_its_frame() -> None:
    info = probe(videos.remake(videos.constant_rate(), "thirty.mp4", after=("-r", "30000/1001", "-c:v", "libx264")))
    wanted = [float(round(k * 1001 / 30000, 3)) for k in range(40)]
    found = [still.time_s for still in stills(info, wanted, box_px=(64, 36)) if still]
    assert found == pytest.approx(wanted, abs=0.0006)


@pytest.mark.parametrize(
    ("name", "shape"),
    [("constant", (90, 160)), ("rotated", (160, 90)), ("wide_pixels", (45, 160)), ("odd_size", (90, 160))],
)
def test_shape_is_as_displayed(name: str, shape: tuple[int, int]) -> None:
    [still] = stills(probe(videos.MAKERS[name]()), [0.0], box_px=(160, 160))
    assert still is not None
    assert still.picture.shape == (*shape, 3)
    assert still.picture.dtype == np.uint8


def test_a_turned_picture_is_upright() -> None:
    [still] = stills(probe(videos.rotated()), [0.6], box_px=(90, 160))
    assert still is not None
    assert videos.number_of(np.rot90(still.picture, -1)) == 15


def test_keyframes_are_near() -> None:
    path = videos.remake(
        videos.constant_rate(), "keys.mp4", after=("-g", "5", "-sc_threshold", "0", "-c:v", "libx264", "-an")
    )
    found = stills(probe(path), TIMES_S[:5], box_px=(160, 90), is_exact=False)
    assert [still.time_s for still in found if still] == pytest.approx(TIMES_S[:5], abs=0.21)


def test_a_damaged_stretch_is_passed_over() -> None:
    found = stills(probe(videos.damaged()), [0.2, 1.5, 2.8], box_px=(160, 90))
    assert len(found) == 3
    first, last = found[0], found[2]
    assert first is not None
    assert last is not None
    assert last.time_s > 2.5


def test_a_video_that_is_gone_or_another(tmp_path: Path) -> None:
    info = probe(videos.constant_rate())
    with pytest.raises(VideoError, match="not there any more"):
        stills(replace(info, path=tmp_path / "gone.mp4"), [0.0], box_px=(160, 90))
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(VideoError, match="no pictures can be taken"):
        stills(replace(info, path=tmp_path / "text.mp4"), [0.0], box_px=(160, 90))
    with pytest.raises(VideoError, match=r"not the video that was searched|no pictures"):
        stills(replace(info, path=videos.only_sound()), [0.0], box_px=(160, 90))


def test_fitted_keeps_the_shape() -> None:
    assert fitted((1920, 1080), (160, 160)) == (160, 90)
    assert fitted((1080, 1920), (160, 160)) == (90, 160)
    assert fitted((10000, 1), (160, 160)) == (160, 1)
