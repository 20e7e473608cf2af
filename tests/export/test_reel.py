"""Reels, decoded: length, pictures and sound of every part."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from rdmf_cli.errors import OutputError, UsageError, VideoError
from rdmf_cli.export import reel as reels
from rdmf_cli.export.reel import Part, ReelOptions, check_reel, make_reel
from rdmf_cli.media.joining import ReelFormat, format_of
from rdmf_cli.media.probe import probe
from rdmf_cli.media.tracks import tracks_of
from rdmf_cli.moments import Moment
from tests import sync_videos, videos


def part(path: Path, start_s: float, end_s: float, title: str = "") -> Part:
    info = probe(path)
    return Part(info, tracks_of(info), Moment(start_s, end_s, 1.0, start_s), title)


def lengths_of(path: Path) -> tuple[int, float, float]:
    """(frames, seconds of picture, seconds of sound), decoded to the end."""
    with av.open(str(path)) as container:
        frames = [frame for frame in container.decode(video=0)]
        rate = container.streams.video[0].average_rate
    samples, zero_s = sync_videos.sound_of(path)
    return len(frames), float(frames[-1].time + 1 / rate - frames[0].time), zero_s + len(samples) / 48000


def odd_sources(folder: Path) -> list[Path]:
    """Ten, each odd in a way of its own."""
    made = [sync_videos.constant(), sync_videos.variable(), sync_videos.rotated(), sync_videos.transport_stream()]
    made += [sync_videos.webm(), videos.wide_pixels(), videos.odd_size()]
    sources = {
        "slow.mkv": ("testsrc2=s=320x240:r=10:d=3", ("-c:v", "mpeg4")),  # no sound
        "fast.mp4": ("testsrc2=s=96x160:r=60000/1001:d=3", ("-c:v", "libx264", "-preset", "ultrafast")),  # upright
        "deep.mp4": (
            "testsrc2=s=192x108:r=24:d=3,format=yuv420p10le",
            ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error", "-color_primaries", "bt2020",
             "-color_trc", "smpte2084", "-colorspace", "bt2020nc"),
        ),
    }  # fmt: skip
    for name, (pictures, coding) in sources.items():
        videos.run_ffmpeg("-f", "lavfi", "-i", pictures, *coding, folder / name)
        made.append(folder / name)
    return made


def test_a_reel_of_ten_odd_sources(tmp_path: Path) -> None:
    parts = [part(path, 0.4, 1.4 + 0.1 * i) for i, path in enumerate(odd_sources(tmp_path))]
    out = tmp_path / "reel" / "reel.mp4"
    out.parent.mkdir()
    done: list[float] = []
    length_s = make_reel(parts, out, ReelOptions(), advance=done.append)
    num_frames, picture_s, sound_s = lengths_of(out)
    rate = 25  # that of most
    wanted = [round(each.moment.length_s * rate) for each in parts]
    assert num_frames == sum(wanted)
    assert length_s == pytest.approx(sum(each.moment.length_s for each in parts), abs=len(parts) * 0.5 / rate)
    assert picture_s == pytest.approx(length_s, abs=1e-3)
    assert sound_s == pytest.approx(length_s, abs=0.03)
    assert 0 < sum(done) <= reels.work_s(parts, ReelOptions()) + 0.1 * len(parts)
    info = probe(out)
    assert (info.width, info.height, info.rotation, info.sample_aspect) == (160, 90, 0, 1)
    assert not info.is_variable_rate
    assert list(out.parent.iterdir()) == [out]
    frames = sync_videos.frames_of(out)
    # The parts that have numbers and the reel's shape: the frame in their middle is the right one.
    for place in (0, 1, 3, 4):
        middle = wanted[place] // 2
        shown = frames[sum(wanted[:place]) + middle][0]
        assert abs(shown - (10 + middle)) <= (2 if place == 1 else 0)
    # The beep of the first part is at its second 1.0, which is 0.6 s into the reel.
    assert min(abs(beep - 0.6) for beep in sync_videos.beeps_of(out)) < 0.02


def test_cross_fades_and_titles_are_in_the_length(tmp_path: Path) -> None:
    parts = [part(sync_videos.constant(), 1.0, 3.0, "first"), part(videos.variable_rate(), 0.0, 2.0, "second")]
    parts.append(part(sync_videos.webm(), 4.0, 4.2, "a very short one"))
    options = ReelOptions(titles=True, crossfade_s=0.4, loudnorm=True)
    out = tmp_path / "reel.mkv"
    length_s = make_reel(parts, out, options)
    # six pieces of 50, 50, 50, 50, 50 and 5 frames; fades of 10, the last of only half the short one
    assert length_s == pytest.approx((255 - 4 * 10 - 2) / 25)
    num_frames, picture_s, sound_s = lengths_of(out)
    assert num_frames == 213
    assert picture_s == pytest.approx(length_s, abs=2e-3)
    assert sound_s == pytest.approx(length_s, abs=0.05)  # Matroska keeps what AAC needs around it


def test_a_card_shows_before_its_clip(tmp_path: Path) -> None:
    make_reel([part(sync_videos.constant(), 1.0, 2.0, "a dog")], tmp_path / "reel.mp4", ReelOptions(titles=True))
    with av.open(str(tmp_path / "reel.mp4")) as container:
        pictures = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert len(pictures) == 75
    assert np.median(pictures[10]) < 40  # dark, with some light text
    assert pictures[10].max() > 150
    assert np.array_equal(pictures[10], pictures[40]) or np.abs(pictures[10].astype(int) - pictures[40]).max() < 30
    assert videos.number_of(np.repeat(pictures[60][..., None], 3, axis=2)) == 35


def loudness(path: Path, start_s: float, end_s: float) -> float:
    """Root mean square in dB."""
    samples, zero_s = sync_videos.sound_of(path)
    inside = samples[round((start_s - zero_s) * 48000) : round((end_s - zero_s) * 48000)]
    return float(10 * np.log10(np.square(inside).mean() + 1e-12))


def test_loudness_is_evened_out(tmp_path: Path) -> None:
    parts = []
    for name, volume in (("loud", 0.9), ("quiet", 0.05)):
        path = tmp_path / f"{name}.mp4"
        sound = f"aevalsrc='{volume}*sin(2*PI*440*t)*(0.6+0.4*sin(3*t))':s=48000:d=6"
        picture = "testsrc2=s=96x54:r=25:d=6"
        videos.run_ffmpeg("-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", sound, "-c:v", "mpeg4", path)
        parts.append(part(path, 0.5, 5.5))
    gaps = {}
    for loudnorm in (False, True):
        out = tmp_path / f"reel-{loudnorm}.mp4"
        make_reel(parts, out, ReelOptions(loudnorm=loudnorm))
        gaps[loudnorm] = loudness(out, 1, 4.5) - loudness(out, 6, 9.5)
    assert gaps[False] > 20
    assert abs(gaps[True]) < 3


def test_the_format_is_that_of_most_seconds() -> None:
    upright, wide = probe(sync_videos.rotated()), probe(sync_videos.constant())
    assert format_of([(upright, 5), (wide, 4)]) == ReelFormat(90, 160, 25)
    assert format_of([(upright, 5), (wide, 6)]) == ReelFormat(160, 90, 25)


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    good = part(sync_videos.constant(), 1.0, 2.0)
    bad = part(sync_videos.constant(), 50.0, 51.0)  # past the end
    out = tmp_path / "reel.mp4"
    with pytest.raises(VideoError, match="no frame at 0:00:50"):
        make_reel([good, bad], out, ReelOptions())
    assert list(tmp_path.iterdir()) == []

    def stop(seconds: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_reel([good], out, ReelOptions(), advance=stop)
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_make_no_sense(tmp_path: Path) -> None:
    source = tmp_path / "a.mp4"
    source.write_bytes(b"video")
    link = tmp_path / "link.mp4"
    link.symlink_to(source)
    with pytest.raises(UsageError, match=r"\.mp4 or \.mkv"):
        check_reel(tmp_path / "reel.avi", [source], force=False)
    for out in (source, link):
        with pytest.raises(OutputError, match="one of the videos"):
            check_reel(out, [source], force=True)
    with pytest.raises(OutputError, match="no such folder"):
        check_reel(tmp_path / "none" / "reel.mp4", [source], force=False)
    (tmp_path / "reel.mp4").touch()
    with pytest.raises(OutputError, match="already exists"):
        check_reel(tmp_path / "reel.mp4", [source], force=False)
    check_reel(tmp_path / "reel.mp4", [source], force=True)
    with pytest.raises(OutputError, match="no moments"):
        make_reel([], tmp_path / "new.mp4", ReelOptions())
