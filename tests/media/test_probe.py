from __future__ import annotations

import os
from fractions import Fraction
from pathlib import Path

import pytest

from rdmf_cli.errors import VideoError
from rdmf_cli.media.probe import find_videos, fingerprint, full_hash, natural_key, probe
from tests import videos


def test_constant_rate() -> None:
    info = probe(videos.constant_rate())
    assert (info.width, info.height, info.coded_width, info.coded_height) == (160, 90, 160, 90)
    assert (info.source_fps, info.is_variable_rate) == (Fraction(25), False)
    assert (info.codec, info.pixel_format) == ("h264", "yuv420p")
    assert "mp4" in info.container
    assert info.has_audio
    assert info.num_frames_claimed == 75
    assert info.duration_s == pytest.approx(3.0)
    assert info.start_time_s == 0


@pytest.mark.parametrize("rate", ["24000/1001", "30000/1001", "50", "15", "19.62"])
@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
def test_rates_are_exact(rate: str, suffix: str) -> None:
    path = videos.folder() / f"rate-{rate.replace('/', '-')}.{suffix}"
    videos.run_ffmpeg("-f", "lavfi", "-i", f"testsrc=s=32x32:r={rate}:d=2", "-c:v", "mpeg4", path)
    info = probe(path)
    assert not info.is_variable_rate
    if suffix in ("mp4", "avi"):
        assert info.source_fps == Fraction(rate)
    else:  # ticks too coarse for odd rates
        assert float(info.source_fps) == pytest.approx(float(Fraction(rate)), rel=1e-3)


def test_variable_rate() -> None:
    info = probe(videos.variable_rate())
    assert info.is_variable_rate
    assert info.source_fps == pytest.approx(50 / 3, rel=0.05)
    assert info.duration_s == pytest.approx(3.0, abs=0.05)


def test_a_clock_that_starts_late() -> None:
    info = probe(videos.transport_stream())
    assert info.start_time_s == pytest.approx(videos.TS_START_S, abs=2)
    assert info.duration_s == pytest.approx(3.0, abs=0.05)


@pytest.mark.parametrize(("counterclockwise", "clockwise"), [(90, 270), (180, 180), (270, 90), (0, 0)])
def test_rotation(counterclockwise: int, clockwise: int) -> None:
    path = videos.remake(videos.constant_rate(), f"turned{clockwise}.mp4", "-display_rotation", str(counterclockwise))
    info = probe(path)
    assert info.rotation == clockwise
    assert (info.coded_width, info.coded_height) == (160, 90)
    assert (info.width, info.height) == ((90, 160) if clockwise in (90, 270) else (160, 90))


def test_wide_pixels_widen_the_picture() -> None:
    info = probe(videos.wide_pixels())
    assert (info.width, info.height, info.coded_width, info.sample_aspect) == (320, 90, 160, Fraction(2))


def test_an_edit_list_moves_start_and_end() -> None:
    info = probe(videos.edit_list())
    assert info.duration_s == pytest.approx(2.4, abs=0.01)


def test_cover_art_is_no_video() -> None:
    info = probe(videos.with_cover())
    assert (info.codec, info.width) == ("h264", 160)


@pytest.mark.parametrize("name", ["-y.mp4", "concat:a|b.mp4", "http:x.mp4", "a%03d.mp4", "spa ce'\"é.mp4", "-"])
def test_any_name_is_a_plain_file(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rdmf_cli.media.frames import Sampling, open_frames

    (tmp_path / name).write_bytes(videos.constant_rate().read_bytes())
    monkeypatch.chdir(tmp_path)
    (batch,) = open_frames(Path(name), Sampling(1, 18, 32)).batches(10)
    assert len(batch.times_s) == 3


def refused(path: Path) -> str:
    with pytest.raises(VideoError) as caught:
        probe(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_what_is_no_video_is_told_in_one_line(tmp_path: Path) -> None:
    def file(name: str, content: bytes) -> Path:
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    assert "no such file" in refused(tmp_path / "gone.mp4")
    assert "folder" in refused(tmp_path)
    assert "empty" in refused(file("empty.mp4", b""))
    assert "text file" in refused(file("notes.mp4", b"dear diary\n" * 99))
    assert "audio only" in refused(videos.only_sound())
    assert "audio only" in refused(file("song.mp4", b"ID3\x04" + bytes(500)))
    assert "an image file" in refused(file("photo.mp4", b"\xff\xd8\xff\xe0" + bytes(500)))
    assert "not a video" in refused(file("noise.mp4", b"\x80\x91\xa2\xb3" * 999))
    assert "in it" in refused(file("headless.mp4", videos.constant_rate().read_bytes()[:200]))


def test_a_recording_without_its_index(tmp_path: Path) -> None:
    data = videos.make("index_last.mp4").read_bytes()
    assert data.index(b"mdat") < data.index(b"moov")
    path = tmp_path / "cut_off.mp4"
    path.write_bytes(data[: len(data) // 2])
    assert "index (moov) is missing" in refused(path)


def test_no_frame_left(tmp_path: Path) -> None:
    data = videos.constant_rate().read_bytes()
    path = tmp_path / "emptied.mp4"
    path.write_bytes(data[: data.index(b"mdat") + 8])
    assert "no frame" in refused(path)


@pytest.mark.parametrize(
    "content",
    [
        b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile '/etc/passwd'\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\n",
        b"<?xml version='1.0'?><MPD xmlns='urn:mpeg:dash:schema:mpd:2011'></MPD>",
    ],
)
@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "txt", "ffconcat", "sdp", "mpd"])
def test_files_that_name_other_files_are_refused(
    content: bytes, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"list.{suffix}"
    path.write_bytes(content)
    refused(path)
    monkeypatch.setattr("rdmf_cli.media.probe._check_file", lambda path: None)  # the fence itself must hold
    refused(path)


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path: Path) -> None:
    path = tmp_path / "secret.mp4"
    path.write_bytes(videos.one_frame().read_bytes())
    path.chmod(0)
    assert "permission denied" in refused(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    assert "not a plain file" in refused(tmp_path / "pipe.mp4")


def test_fingerprint_is_content_not_name(tmp_path: Path) -> None:
    first, copy = tmp_path / "a.mp4", tmp_path / "b.mp4"
    data = bytearray(os.urandom(5_000_000))
    first.write_bytes(data)
    copy.write_bytes(data)
    assert fingerprint(first) == fingerprint(copy)
    assert full_hash(first) == full_hash(copy)
    assert len(fingerprint(first)) == 32
    for place in (0, 2_500_000, 4_999_999):  # head, middle, tail
        changed = bytearray(data)
        changed[place] ^= 1
        copy.write_bytes(changed)
        assert fingerprint(first) != fingerprint(copy)
    changed = bytearray(data)
    changed[1_500_000] ^= 1
    copy.write_bytes(changed)
    assert fingerprint(first) == fingerprint(copy)
    assert full_hash(first) != full_hash(copy)
    copy.write_bytes(data + b"\0")
    assert fingerprint(first) != fingerprint(copy)


def test_fingerprint_of_small_and_absent_files(tmp_path: Path) -> None:
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "one").write_bytes(b"1")
    assert fingerprint(tmp_path / "empty") != fingerprint(tmp_path / "one")
    for of in (fingerprint, full_hash):
        with pytest.raises(VideoError, match="No such file"):
            of(tmp_path / "gone")


def test_find_videos(tmp_path: Path) -> None:
    video = videos.one_frame().read_bytes()
    for name in ("clip10.mp4", "clip2.mp4", "sub/b.MKV", "no_suffix", ".hidden.mp4", ".cache/c.mp4", "wrong.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(video)
    (tmp_path / "text.mp4").write_text("not a video")
    (tmp_path / "song.mp3").write_bytes(b"ID3" + bytes(99))
    (tmp_path / "raw.bin").write_bytes(b"\x00\x00\x01\x67" + bytes(99))
    (tmp_path / "sub" / "loop").symlink_to(tmp_path)
    (tmp_path / "broken.mp4").symlink_to(tmp_path / "nowhere")
    found = [str(path.relative_to(tmp_path)) for path in find_videos(tmp_path)]
    assert found == ["clip2.mp4", "clip10.mp4", "no_suffix", "sub/b.MKV", "wrong.txt"]


def test_find_videos_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no such folder"):
        find_videos(tmp_path / "none")


def test_natural_order() -> None:
    assert sorted(["b10", "b9", "a", "10", "9", "B1"], key=natural_key) == ["9", "10", "a", "B1", "b9", "b10"]


@pytest.mark.parametrize("suffix", ["mov", "mp4", "mkv", "mxf"])
@pytest.mark.parametrize("timecode", ["01:02:03;04", "10:00:00:00"])
def test_timecode(suffix: str, timecode: str) -> None:
    path = videos.folder() / f"timecode-{timecode[:2]}.{suffix}"
    codec = ("-c:v", "mpeg2video") if suffix == "mxf" else ("-c:v", "mpeg4")
    videos.run_ffmpeg("-f", "lavfi", "-i", "testsrc=s=64x64:r=30000/1001:d=1", *codec, "-timecode", timecode, path)
    assert probe(path).timecode == timecode


def test_most_files_have_no_timecode() -> None:
    assert probe(videos.constant_rate()).timecode is None
