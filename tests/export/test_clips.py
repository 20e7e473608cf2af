from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import OutputError, UsageError, VideoError
from rdmf_cli.export import clips
from rdmf_cli.export.clips import CutReport, check_source, container_for, cut_clip
from rdmf_cli.media import cutting
from rdmf_cli.media.frames import Sampling, open_frames
from rdmf_cli.media.probe import VideoInfo, fingerprint, probe
from rdmf_cli.media.tracks import Colour, Track, Tracks, tracks_of
from rdmf_cli.moments import Moment
from tests import videos

NAMES = [name for name in videos.MAKERS if name != "one_frame"]


def moment(start_s: float, end_s: float) -> Moment:
    return Moment(start_s, end_s, 1.0, start_s)


def cut(info: VideoInfo, which: Moment, out: Path, **options: object) -> CutReport:
    return cut_clip(info, tracks_of(info), which, out, **options)


def numbers_of(path: Path, turned: bool = False) -> list[int]:
    sampling = Sampling(1000, 64, 36) if turned else Sampling(1000, 36, 64)
    frames = [frame for batch in open_frames(path, sampling).batches(50) for frame in batch.frames]
    return [videos.number_of(np.rot90(frame, -1) if turned else frame) for frame in frames]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("run_up_s", [0.2, 10.0])
def test_a_clip_is_exact(name: str, run_up_s: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "_RUN_UP_S", run_up_s)  # short: seeks; long: decodes from the start
    out = tmp_path / "clip.mp4"
    cut(probe(videos.MAKERS[name]()), moment(0.6, 1.8), out)
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
    cut(info, moment(1.0, 2.0), tmp_path / "clip.mp4")
    assert probe(tmp_path / "clip.mp4").has_audio


def test_shape_is_as_displayed(tmp_path: Path) -> None:
    cut(probe(videos.wide_pixels()), moment(0, 0.4), tmp_path / "wide.mp4")
    cut(probe(videos.rotated()), moment(0, 0.4), tmp_path / "turned.mp4")
    wide, turned = probe(tmp_path / "wide.mp4"), probe(tmp_path / "turned.mp4")
    assert (wide.width, wide.height, wide.sample_aspect) == (320, 90, 1)
    assert (turned.width, turned.height, turned.rotation) == (90, 160, 0)


def test_a_moment_between_frames_starts_at_the_next_one(tmp_path: Path) -> None:
    cut(probe(videos.constant_rate()), moment(0.62, 0.98), tmp_path / "clip.mp4")
    assert numbers_of(tmp_path / "clip.mp4") == list(range(16, 25))


@pytest.mark.parametrize("mode", ["exact", "copy", "smart"])
def test_a_moment_behind_the_end_leaves_the_old_file(mode: str, tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    out.write_bytes(b"old")
    with pytest.raises(VideoError, match=r"no frame at 0:00:30\.000|can't be cut"):
        cut(probe(videos.constant_rate()), moment(30, 31), out, mode=mode, force=True)
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
            cut(info, moment(0, 1), out)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="Permission denied"):
        cut(probe(videos.constant_rate()), moment(0, 1), tmp_path / "clip.mp4")
    tmp_path.chmod(0o700)


def test_a_video_that_is_gone(tmp_path: Path) -> None:
    info = replace(probe(videos.constant_rate()), path=tmp_path / "gone.mp4")
    with pytest.raises(VideoError, match="no such file any more"):
        tracks_of(info)
    with pytest.raises(VideoError, match="no such file any more"):
        check_source(info, "")
    for mode in ("exact", "copy", "smart"):
        with pytest.raises(VideoError, match=r"can't be cut|No such file"):
            cut_clip(info, tracks_of(probe(videos.constant_rate())), moment(0, 1), tmp_path / "clip.mp4", mode=mode)
    assert not list(tmp_path.iterdir())


def test_a_video_that_has_changed_since(tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(videos.constant_rate().read_bytes())
    info, video_id = probe(path), fingerprint(path)
    check_source(info, video_id)
    path.write_bytes(videos.variable_rate().read_bytes())
    with pytest.raises(VideoError, match="has changed since it was searched"):
        check_source(info, video_id)


def test_an_old_file_is_replaced_only_by_force(tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    out.write_bytes(b"old")
    info = probe(videos.constant_rate())
    with pytest.raises(OutputError, match="already exists") as caught:
        cut(info, moment(0, 1), out)
    assert "--force" in caught.value.hint
    assert out.read_bytes() == b"old"
    cut(info, moment(0, 1), out, force=True)
    assert numbers_of(out) == list(range(25))
    assert list(tmp_path.iterdir()) == [out]


def test_the_container_fits_the_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    def tracks(video: str, audio: str, *subtitles: str) -> Tracks:
        return Tracks((Track(1, audio, 2),), tuple(Track(2, codec) for codec in subtitles), Colour(), video)

    assert container_for(tracks("h264", "aac"), "exact") == ".mp4"
    assert container_for(tracks("vp8", "vorbis", "mov_text"), "exact") == ".mp4"  # the others are encoded
    assert container_for(tracks("h264", "aac", "subrip"), "exact") == ".mkv"
    assert container_for(tracks("h264", "aac", "ass"), "exact") == ".mkv"
    assert container_for(tracks("h264", "aac", "hdmv_pgs_subtitle"), "exact") == ".mkv"
    assert container_for(tracks("vp9", "opus"), "copy") == ".mp4"
    assert container_for(tracks("vp8", "vorbis"), "copy") == ".mkv"
    assert container_for(tracks("h264", "pcm_s16le"), "smart") == ".mkv"
    monkeypatch.setattr(clips, "ffmpeg_number", lambda: (7, 0))
    assert container_for(tracks("h264", "aac", "ass"), "exact", ".mp4") == ".mp4"  # asked for: as plain text
    assert container_for(tracks("h264", "aac"), "copy", ".mkv") == ".mkv"
    monkeypatch.setattr(clips, "ffmpeg_number", lambda: (5, 1))
    with pytest.raises(UsageError, match=r"can't turn these subtitles into those of \.mp4"):
        container_for(tracks("h264", "aac", "ass"), "exact", ".mp4")
    with pytest.raises(UsageError, match="mp4 files can't hold vorbis, vp8"):
        container_for(tracks("vp8", "vorbis"), "copy", ".mp4")
    with pytest.raises(UsageError, match="can't hold hdmv_pgs_subtitle"):
        container_for(tracks("h264", "aac", "hdmv_pgs_subtitle"), "exact", ".mp4")
