"""Cuts of all three kinds, verified by decoding them: which frames they hold, and whether sound is on time."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import av
import pytest

from rdmf_cli.errors import VideoError
from rdmf_cli.export.clips import CutReport, container_for, cut_clip
from rdmf_cli.media import cutting, packets
from rdmf_cli.media.ffmpeg import ffmpeg_number
from rdmf_cli.media.probe import probe
from rdmf_cli.media.tracks import tracks_of
from rdmf_cli.moments import Moment
from tests import sync_videos, videos

SYNC_S = 0.020
STRETCHES = {"middle": (3.4, 7.0), "start": (0.0, 2.2), "end": (7.5, 10.0), "short": (4.2, 4.36)}


def cut(path: Path, start_s: float, end_s: float, folder: Path, mode: str = "exact") -> tuple[Path, CutReport]:
    info = probe(path)
    tracks = tracks_of(info)
    out = folder / f"clip{container_for(tracks, mode)}"
    report = cut_clip(info, tracks, Moment(start_s, end_s, 1.0, start_s), out, mode=mode)
    assert list(folder.iterdir()) == [out]
    return out, report


def assert_in_sync(clip: Path) -> int:
    """Each beep starts with a frame that is a multiple of 25; how many could be compared."""
    frames, beeps = sync_videos.frames_of(clip), sync_videos.beeps_of(clip)
    marked = [time_s for number, time_s in frames if number % sync_videos.BEEP_EVERY == 0]
    for time_s in marked:
        assert min(abs(beep - time_s) for beep in beeps) < SYNC_S
    return len(marked)


@pytest.mark.parametrize("where", STRETCHES)
@pytest.mark.parametrize("name", sync_videos.SOURCES)
def test_an_exact_cut_holds_just_the_frames_asked_for(name: str, where: str, tmp_path: Path) -> None:
    start_s, end_s = STRETCHES[where]
    clip, report = cut(sync_videos.SOURCES[name](), start_s, end_s, tmp_path)
    expected = [n for n in sync_videos.presented(name) if start_s <= n / videos.RATE + 1e-9 < end_s]
    frames = sync_videos.frames_of(clip)
    assert [number for number, _ in frames] == expected
    # Each is presented when it is due, so gaps of variable rates are kept.
    assert [time_s for _, time_s in frames] == pytest.approx([n / videos.RATE - start_s for n in expected], abs=0.002)
    assert_in_sync(clip)
    assert report == CutReport()


@pytest.mark.parametrize("name", sync_videos.SOURCES)
def test_it_is_exact_after_seeking_too(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "_RUN_UP_S", 0.2)
    clip, _ = cut(sync_videos.SOURCES[name](), 6.6, 8.6, tmp_path)
    expected = [n for n in sync_videos.presented(name) if 6.6 <= n / videos.RATE + 1e-9 < 8.6]
    assert [number for number, _ in sync_videos.frames_of(clip)] == expected
    assert_in_sync(clip)


@pytest.mark.parametrize("name", sync_videos.SOURCES)
def test_a_smart_cut_is_exact(name: str, tmp_path: Path) -> None:
    start_s, end_s = STRETCHES["middle"]
    clip, report = cut(sync_videos.SOURCES[name](), start_s, end_s, tmp_path, "smart")
    expected = [n for n in sync_videos.presented(name) if start_s <= n / videos.RATE + 1e-9 < end_s]
    frames = sync_videos.frames_of(clip)
    assert [number for number, _ in frames] == expected
    gaps = [(expected[i + 1] - expected[i]) / videos.RATE for i in range(len(expected) - 1)]
    assert [later - earlier for (_, earlier), (_, later) in pairwise(frames)] == pytest.approx(gaps, abs=0.002)
    assert_in_sync(clip)
    # Of the open groups only the first begins with a picture that stands alone; VP9 has no numbered parameter sets.
    reason = {"open_groups": "no whole group", "webm": "takes H.264, not vp9"}.get(name, "")
    assert reason in report.note
    assert bool(report.note) == bool(reason)


def test_a_smart_cut_copies_the_middle(tmp_path: Path) -> None:
    source = sync_videos.b_frames()
    clip, _ = cut(source, 3.4, 7.0, tmp_path, "smart")

    def pictures(path: Path) -> list[bytes]:
        with av.open(str(path)) as container:  # the end of a packet is the same, however its units are divided
            return [bytes(packet)[-16:] for packet in container.demux(video=0) if packet.size]

    before, after = pictures(source), pictures(clip)
    assert after[120 - 85 : 160 - 85] == before[120:160]  # the one group of pictures that lies inside
    assert not {*before} & {*after[: 120 - 85], *after[160 - 85 :]}


@pytest.mark.parametrize("where", ["middle", "start", "end"])
@pytest.mark.parametrize("name", sync_videos.SOURCES)
def test_a_copy_says_how_far_off_it_is(name: str, where: str, tmp_path: Path) -> None:
    start_s, end_s = STRETCHES[where]
    path = sync_videos.SOURCES[name]()
    clip, report = cut(path, start_s, end_s, tmp_path, "copy")
    assert report.starts_early_s >= 0
    assert report.ends_late_s >= 0
    first_s, last_s = start_s - report.starts_early_s, end_s + report.ends_late_s
    numbers = [number for number, _ in sync_videos.frames_of(clip)]
    wanted = [n for n in sync_videos.presented(name) if first_s <= n / videos.RATE + 1e-9 < end_s]
    assert numbers[: len(wanted)] == wanted  # all of them, from the keyframe on
    assert all(end_s <= n / videos.RATE + 1e-9 < last_s for n in numbers[len(wanted) :])
    assert wanted[0] in keyframes_of(path)
    assert assert_in_sync(clip) > 0
    info = probe(clip)
    assert (info.codec, info.rotation) == (probe(path).codec, probe(path).rotation)


def keyframes_of(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        frames = [frame for frame in container.decode(video=0) if frame.key_frame]
        return [videos.number_of(frame.to_ndarray(format="rgb24")) for frame in frames]


def test_a_copy_without_an_index_is_read_from_further_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where every seek lands after the start."""
    real = packets._seek
    monkeypatch.setattr(packets, "_seek", lambda source, picture, info, seek_s: real(source, picture, info, seek_s + 4))
    clip, report = cut(sync_videos.constant(), 3.4, 7.0, tmp_path, "copy")
    assert 0 <= report.starts_early_s < 1.01
    assert sync_videos.frames_of(clip)[0][0] == round((3.4 - report.starts_early_s) * videos.RATE)


def test_a_stream_without_times(tmp_path: Path) -> None:
    path = tmp_path / "raw.h264"
    videos.run_ffmpeg("-i", sync_videos.b_frames(), "-c", "copy", "-an", "-f", "h264", path)
    info = probe(path)
    for mode in ("exact", "smart"):
        out = tmp_path / f"{mode}.mp4"
        report = cut_clip(info, tracks_of(info), Moment(0.6, 1.8, 1.0, 1.0), out, mode=mode)
        assert [number for number, _ in sync_videos.frames_of(out)] == list(range(15, 45))
        assert ("carry no times" in report.note) == (mode == "smart")
    with pytest.raises(VideoError, match="carry no times"):
        cut_clip(info, tracks_of(info), Moment(0.6, 1.8, 1.0, 1.0), tmp_path / "copy.mp4", mode="copy")


def with_subtitles(folder: Path, name: str, codec: str) -> Path:
    text = folder / "text.srt"
    lines = [(1, "0,500", "2,000", "first"), (2, "3,000", "4,500", "second"), (3, "6,000", "7,500", "third")]
    text.write_text("".join(f"{n}\n00:00:0{a} --> 00:00:0{b}\n{words}\n\n" for n, a, b, words in lines))
    path = videos.folder() / name
    source = sync_videos.b_frames()
    streams = ("-map", "0:v", "-map", "0:a", "-map", "1:a", "-map", "2:s")
    names = ("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu", "-metadata:s:s:0", "language=fra")
    coding = ("-c", "copy", "-c:a:1", "aac", "-b:a:1", "64k", "-c:s", codec)
    videos.run_ffmpeg("-i", source, "-i", source, "-i", text, *streams, *coding, *names, path)
    return path


@pytest.mark.parametrize("mode", ["exact", "copy", "smart", "as text"])
@pytest.mark.parametrize(("name", "codec"), [("s.mp4", "mov_text"), ("s.mkv", "srt"), ("a.mkv", "ass")])
def test_all_sound_and_subtitles_come_along(name: str, codec: str, mode: str, tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "clips").mkdir()
    path = with_subtitles(tmp_path / "source", name, codec)
    if mode == "as text":
        if ffmpeg_number() < (7, 0):
            pytest.skip("this ffmpeg loses lines")
        info, clip = probe(path), tmp_path / "clips" / "clip.mp4"
        report = cut_clip(info, tracks_of(info), Moment(3.4, 7.0, 1.0, 4), clip)
    else:
        clip, report = cut(path, 3.4, 7.0, tmp_path / "clips", mode)
        assert clip.suffix == path.suffix
    assert report.note == ""
    with av.open(str(clip)) as container:
        kinds = [(stream.type, stream.language) for stream in container.streams][1:]
        assert kinds == [("audio", "eng"), ("audio", "deu"), ("subtitle", "fra")]
        shown = [
            (float(packet.pts * packet.time_base), float((packet.duration or 0) * packet.time_base), bytes(packet))
            for packet in container.demux(subtitles=0)
            if packet.size > 2
        ]
    early_s = report.starts_early_s
    assert [text[-6:].strip(b"\0,\x05\x06") for _, _, text in shown] == [b"second", b"third"]
    assert [time_s for time_s, _, _ in shown] == pytest.approx([0, 2.6 + early_s], abs=0.03)
    # Both are cut off: one is on screen already, the other still.
    assert [length_s for _, length_s, _ in shown] == pytest.approx([1.1 + early_s, 1.0], abs=0.05)
    assert sync_videos.beeps_of(clip, 0) == pytest.approx(sync_videos.beeps_of(clip, 1), abs=0.005)


def test_fonts_of_styled_subtitles_come_along(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    (tmp_path / "clips").mkdir()
    styled = with_subtitles(tmp_path / "source", "a.mkv", "ass")
    (tmp_path / "source" / "font.ttf").write_bytes(b"not really a font")
    path = tmp_path / "source" / "fonts.mkv"
    font = ("-attach", tmp_path / "source" / "font.ttf", "-metadata:s:t", "mimetype=application/x-truetype-font")
    videos.run_ffmpeg("-i", styled, "-map", "0", "-c", "copy", *font, path)
    for mode in ("exact", "copy"):
        clip, _ = cut(path, 3.4, 5.0, tmp_path / "clips", mode)
        with av.open(str(clip)) as container:
            assert [stream.type for stream in container.streams][-1] == "attachment"
        clip.unlink()


@pytest.fixture(scope="module")
def hdr() -> Path:
    path = videos.folder() / "hdr.mp4"
    display = "G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    names = "colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc"
    x265 = f"log-level=error:hdr10=1:repeat-headers=1:{names}:master-display={display}:max-cll=1000,400"
    coding = ("-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p10le", "-tag:v", "hvc1")
    marks = ("-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc")
    videos.run_ffmpeg("-f", "lavfi", "-i", "testsrc2=s=160x90:r=25:d=2", *coding, "-x265-params", x265, *marks, path)
    return path


@pytest.mark.parametrize("mode", ["exact", "copy", "smart"])
def test_hdr_stays_hdr(hdr: Path, mode: str, tmp_path: Path) -> None:
    clip, _ = cut(hdr, 0.4, 1.0, tmp_path, mode)
    before, after = tracks_of(probe(hdr)).colour, tracks_of(probe(clip)).colour
    assert before.is_hdr
    assert (before.bits, before.light) == (10, "1000,400")
    assert "L(10000000,50)" in before.mastering
    assert after == before


def test_sound_that_ends_before_the_clip(tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    path = tmp_path / "short-sound.mp4"
    source = sync_videos.constant()
    maps = ("-map", "0:v", "-map", "1:a", "-c", "copy")
    videos.run_ffmpeg("-i", source, "-t", "3", "-i", source, *maps, path)
    for mode in ("exact", "copy", "smart"):
        clip, _ = cut(path, 5.0, 7.0, tmp_path / "clips", mode)
        assert [n for n, _ in sync_videos.frames_of(clip)][-1] == 174
        clip.unlink()


def test_a_moment_past_the_end_stops_there(tmp_path: Path) -> None:
    clip, _ = cut(sync_videos.constant(), 9.0, 30.0, tmp_path)
    assert [n for n, _ in sync_videos.frames_of(clip)] == list(range(225, 250))


def test_a_playlist_in_place_of_the_video_is_not_followed(tmp_path: Path) -> None:
    """The file is replaced after it was looked at: ffmpeg and PyAV have the fence, too."""
    video = tmp_path / "video.mp4"
    shutil.copy(sync_videos.constant(), video)
    info = probe(video)
    tracks = tracks_of(info)
    video.write_text("ffconcat version 1.0\nfile /etc/passwd\n")
    for mode in ("exact", "copy", "smart"):
        with pytest.raises(VideoError):
            cut_clip(info, tracks, Moment(1, 2, 1, 1), tmp_path / "clip.mp4", mode=mode)
    assert list(tmp_path.iterdir()) == [video]
