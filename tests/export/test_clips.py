from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import OutputError, VideoError
from rdmf_cli.export.clips import clip_name, cut_clip
from rdmf_cli.media import cutting
from rdmf_cli.media.frames import Sampling, open_frames
from rdmf_cli.media.probe import probe
from rdmf_cli.moments import Moment
from tests import videos

NAMES = [name for name in videos.MAKERS if name != "one_frame"]


def moment(start_s: float, end_s: float) -> Moment:
    return Moment(start_s, end_s, 1.0, start_s)


def numbers_of(path: Path, turned: bool = False) -> list[int]:
    sampling = Sampling(1000, 64, 36) if turned else Sampling(1000, 36, 64)
    frames = [frame for batch in open_frames(path, sampling).batches(50) for frame in batch.frames]
    return [videos.number_of(np.rot90(frame, -1) if turned else frame) for frame in frames]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("run_up_s", [0.2, 10.0])
def test_a_clip_is_exact(name: str, run_up_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "_RUN_UP_S", run_up_s)  # short: seeks; long: decodes from the start
    out = tmp_path / "clip.mp4"
    cut_clip(probe(videos.MAKERS[name]()), moment(0.6, 1.8), out)
    presented = videos.expected_numbers(name)
    expected = [n for n in presented if 0.6 <= (n - presented[0]) / videos.RATE < 1.8 - 1e-9]
    assert numbers_of(out, turned=name == "rotated") == expected
    info = probe(out)
    length_s = (expected[-1] - expected[0] + 1) / videos.RATE
    assert info.duration_s == pytest.approx(length_s, abs=1 / videos.RATE)
    assert info.start_time_s == pytest.approx(0, abs=0.002)
    assert list(tmp_path.iterdir()) == [out]


def test_sound_comes_along(tmp_path: Path) -> None:
    info = probe(videos.constant_rate())
    assert info.has_audio
    cut_clip(info, moment(1.0, 2.0), tmp_path / "clip.mp4")
    assert probe(tmp_path / "clip.mp4").has_audio


def test_shape_is_as_displayed(tmp_path: Path) -> None:
    cut_clip(probe(videos.wide_pixels()), moment(0, 0.4), tmp_path / "wide.mp4")
    cut_clip(probe(videos.rotated()), moment(0, 0.4), tmp_path / "turned.mp4")
    wide, turned = probe(tmp_path / "wide.mp4"), probe(tmp_path / "turned.mp4")
    assert (wide.width, wide.height, wide.sample_aspect) == (320, 90, 1)
    assert (turned.width, turned.height, turned.rotation) == (90, 160, 0)


def test_a_moment_between_frames_starts_at_the_next_one(tmp_path: Path) -> None:
    cut_clip(probe(videos.constant_rate()), moment(0.62, 0.98), tmp_path / "clip.mp4")
    assert numbers_of(tmp_path / "clip.mp4") == list(range(16, 25))


def test_a_moment_behind_the_end_leaves_the_old_file(tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    out.write_bytes(b"old")
    with pytest.raises(VideoError, match=r"no frame at 0:00:30\.000|can't be cut"):
        cut_clip(probe(videos.constant_rate()), moment(30, 31), out)
    assert out.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [out]


def test_unwritable_targets(tmp_path: Path) -> None:
    info = probe(videos.constant_rate())
    for out, words in (
        (tmp_path, "a folder"),
        (tmp_path / "none" / "clip.mp4", "no such folder"),
        (info.path, "the video itself"),
        (tmp_path / ("x" * 300), "too long"),
    ):
        with pytest.raises(OutputError, match=words):
            cut_clip(info, moment(0, 1), out)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        cut_clip(probe(videos.constant_rate()), moment(0, 1), tmp_path / "clip.mp4")
    tmp_path.chmod(0o700)


def test_a_video_that_is_gone(tmp_path: Path) -> None:
    info = replace(probe(videos.constant_rate()), path=tmp_path / "gone.mp4")
    with pytest.raises(VideoError, match="can't be cut"):
        cut_clip(info, moment(0, 1), tmp_path / "clip.mp4")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("video", "query", "expected"),
    [
        ("dog.mp4", "a dog runs", "dog-03-0h00m12.500s-a-dog-runs.mp4"),
        ("my film (1).mkv", 'what/is: "this"?', "my-film-1-03-0h00m12.500s-what-is-this.mp4"),
        ("..", "", "video-03-0h00m12.500s.mp4"),
        ("日本.mp4", "犬が走る", "日本-03-0h00m12.500s-犬が走る.mp4"),
        ("CON.mp4", "x\u202e\n\0y", "CON-03-0h00m12.500s-x-y.mp4"),
    ],
)
def test_clip_names_are_safe(video: str, query: str, expected: str) -> None:
    assert clip_name(Path(video), 3, moment(12.5, 14), query) == expected


def test_clip_names_are_short() -> None:
    name = clip_name(Path("日本" * 80 + ".mp4"), 1, moment(0, 1), "犬" * 200)
    assert len(name.encode()) <= 124
    assert name.endswith(".mp4")
