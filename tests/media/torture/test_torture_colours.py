"""High dynamic range, transparency, interlaced pictures: the RGB that comes is what a person would call right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rdmf_cli.errors import VideoError
from rdmf_cli.media import colour
from rdmf_cli.media.cuts import CUT_THRESHOLD
from rdmf_cli.media.ffmpeg_frames import arguments
from rdmf_cli.media.frames import FrameBatch, Sampling, open_frames
from rdmf_cli.media.probe import probe
from rdmf_cli.media.stills import frame_at
from tests import videos

HEIGHT, WIDTH = 90, 160
ALL = Sampling(1000, HEIGHT, WIDTH)


def whole(path: Path, sampling: Sampling = ALL) -> FrameBatch:
    [batch] = open_frames(path, sampling).batches(1000)
    return batch


# --- high dynamic range -----------------------------------------------------------------------------------------------


@cache
def picture() -> NDArray[np.uint8]:
    """An ordinary RGB picture (H, W, 3): ramps, saturated colours, skin, sky; BT.709."""
    image = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    image[:30] = np.linspace(0, 255, WIDTH, dtype=np.uint8)[None, :, None]
    patches = [(200, 30, 30), (30, 160, 40), (30, 40, 190), (220, 200, 40), (200, 150, 120), (110, 160, 220)]
    for k, patch in enumerate(patches):
        image[30:60, k * WIDTH // 6 : (k + 1) * WIDTH // 6] = patch
    image[60:] = (np.linspace(20, 200, 30)[:, None, None] * np.array([1.0, 0.8, 0.6])).astype(np.uint8)
    return image


def coded(rgb: NDArray[np.uint8], hdr: str) -> NDArray[np.uint16]:
    """The same picture as HDR of 16 bits, SDR white at 203 cd/m²: the formulas of the standards, written anew."""
    light = (rgb / 255.0) ** 2.4
    to_2020 = np.array([[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]])
    nits = np.maximum(light @ to_2020.T, 0) * 203
    if hdr == "pq":
        power = (nits / 10_000) ** 0.1593017578125
        signal = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    else:
        display = nits / 1000
        luminance = display @ np.array([0.2627, 0.6780, 0.0593])
        scene = display * np.maximum(luminance, 1e-9)[..., None] ** (1 / 1.2 - 1)
        high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
        signal = np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)
    return (signal * 65535 + 0.5).astype(np.uint16)


_TRANSFER = {"pq": "smpte2084", "hlg": "arib-std-b67"}


@cache
def hdr_video(hdr: str, light: float = 1.0) -> Path:
    path = videos.folder() / f"{hdr}-{light}.mp4"
    raw = coded(picture(), hdr)
    tags = f"color_primaries=bt2020:color_trc={_TRANSFER[hdr]}:colorspace=bt2020nc:range=limited"
    to_yuv = "scale=out_color_matrix=bt2020:out_range=limited,format=yuv444p10le,setparams=" + tags
    x265 = f"log-level=none:crf=4:colorprim=bt2020:transfer={_TRANSFER[hdr]}:colormatrix=bt2020nc:range=limited"
    source = ("-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", f"{WIDTH}x{HEIGHT}", "-r", "25", "-i", "-")
    options = ("-vf", to_yuv, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", x265, "-tag:v", "hvc1")
    videos.run_ffmpeg(*source, *options, path, stdin=raw.astype("<u2").tobytes() * 3)
    return path


@pytest.mark.parametrize("hdr", ["pq", "hlg"])
def test_hdr_looks_like_the_sdr_original(hdr: str) -> None:
    info = probe(hdr_video(hdr))
    assert info.hdr == hdr
    frame = whole(hdr_video(hdr)).frames[0].astype(int)
    difference = np.abs(frame - picture())
    assert difference.mean() < 4
    assert np.percentile(difference, 95) < 14  # only what is nearly white is bent


@pytest.mark.parametrize("hdr", ["pq", "hlg"])
def test_brighter_light_stays_brighter_and_grey_stays_grey(hdr: str) -> None:
    ramp = np.repeat(np.arange(0, 65536, 64, dtype=np.uint16)[:, None], 3, axis=1)
    shown = colour.tone_mapped(ramp, hdr).astype(int)
    assert np.all(np.diff(shown[:, 0]) >= 0)
    assert shown[0, 0] == 0
    assert 240 <= shown[-1, 0] <= 255
    assert np.ptp(shown, axis=1).max() <= 1
    assert len(set(shown[len(shown) * 3 // 5 :, 0])) > 10  # highlights are not one white area


def test_untreated_hdr_would_be_pale() -> None:
    """What the treatment is for: without it the picture is far from the original."""
    info = replace(probe(hdr_video("pq")), hdr="")
    [batch] = open_frames(info, ALL).batches(10)
    assert np.abs(batch.frames[0].astype(int) - picture()).mean() > 25


def test_a_cut_in_hdr_is_as_strong_as_in_sdr() -> None:
    """A cut between two greys that counts as one in SDR counts as one in HDR."""
    grey = np.full((2, 3, 18 * 32), 128, np.uint8)
    grey[0, 0], grey[1, 0] = 60, 160
    for hdr in ("pq", "hlg"):
        signal = coded(np.array([[(44 * 255 / 219,) * 3, (144 * 255 / 219,) * 3]]).astype(np.uint8), hdr)[0, :, 0]
        luma = np.round(signal / 65535 * 219 + 16).astype(np.uint8)
        for k in range(2):
            raw = np.concatenate([np.full(576, luma[k], np.uint8), np.full(1152, 128, np.uint8)]).tobytes()
            got = np.frombuffer(colour.thumbnail(raw, hdr), np.uint8)
            assert abs(int(got[0]) - int(grey[k, 0, 0])) <= 4
            assert set(got[576:]) == {128}
    assert CUT_THRESHOLD < (160 - 60) / 255


# --- transparency -----------------------------------------------------------------------------------------------------


@cache
def half_transparent(name: str, *codec: str) -> Path:
    """Left: opaque red. Middle: white at a third. Right: transparent, with green hidden under it."""
    image = np.zeros((HEIGHT, WIDTH, 4), np.uint8)
    image[:, : WIDTH // 2] = (220, 20, 20, 255)
    image[:, WIDTH // 2 : WIDTH * 3 // 4] = (255, 255, 255, 85)
    image[:, WIDTH * 3 // 4 :] = (0, 255, 0, 0)
    path = videos.folder() / name
    source = ("-f", "rawvideo", "-pix_fmt", "rgba", "-s", f"{WIDTH}x{HEIGHT}", "-r", "25", "-i", "-")
    videos.run_ffmpeg(*source, *codec, path, stdin=image.tobytes() * 3)
    return path


WITH_ALPHA = {
    "png.mov": ("-c:v", "png"),
    "prores.mov": ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"),
    "ffv1.mkv": ("-c:v", "ffv1", "-pix_fmt", "yuva420p"),
    "qtrle.mov": ("-c:v", "qtrle", "-pix_fmt", "argb"),
    "vp9.webm": ("-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-crf", "10", "-b:v", "0", "-deadline", "realtime"),
    "vp8.webm": ("-c:v", "libvpx", "-pix_fmt", "yuva420p", "-b:v", "2M", "-auto-alt-ref", "0", "-crf", "4"),
}


@pytest.mark.parametrize("name", WITH_ALPHA)
def test_transparency_lies_on_grey(name: str) -> None:
    path = half_transparent(f"alpha-{name}", *WITH_ALPHA[name])
    assert probe(path).has_alpha
    batch = whole(path)
    frame = batch.frames[1].astype(int)
    assert np.abs(frame[:, 5:70].mean(axis=(0, 1)) - (220, 20, 20)).max() < 12
    assert np.abs(frame[:, 90:112].mean(axis=(0, 1)) - (128 * 2 / 3 + 85)).max() < 12
    assert np.abs(frame[:, 130:155].mean(axis=(0, 1)) - 128).max() < 4
    assert batch.times_s == pytest.approx([0, 0.04, 0.08], abs=1e-3)


def test_hidden_colours_do_not_bleed_when_scaled() -> None:
    """A fringe of the hidden green would show between white and grey."""
    frame = (
        whole(half_transparent("alpha-png.mov", *WITH_ALPHA["png.mov"]), Sampling(1000, 10, 7)).frames[0].astype(int)
    )
    assert (frame[:, 4:, 1] - frame[:, 4:, 0]).max() <= 2


def test_opaque_pictures_in_a_transparent_format_stay_as_they_are() -> None:
    path = videos.make("opaque.mkv", "-c:v", "ffv1", "-pix_fmt", "bgra", count=2)
    with_alpha, without = whole(path), open_frames(replace(probe(path), has_alpha=False), ALL)
    [plain] = without.batches(10)
    assert np.abs(with_alpha.frames.astype(int) - plain.frames).max() <= 1


@pytest.mark.parametrize(
    "path", [lambda: hdr_video("pq"), lambda: half_transparent("alpha-png.mov", "-c:v", "png"), videos.constant_rate]
)
def test_single_pictures_look_like_samples(path: Callable[[], Path]) -> None:
    """The picture of a query or a report, and the sample that was searched."""
    frame = whole(path(), Sampling(25, 36, 64)).frames[0].astype(int)
    assert np.abs(frame_at(probe(path()), 0.0, 36, 64) - frame).mean() < 3


# --- interlaced -------------------------------------------------------------------------------------------------------


@cache
def interlaced(name: str, *codec: str, size: str = "192x144") -> Path:
    """A white block that moves 8 px from field to field, 25 frames a second of 50 fields."""
    path = videos.folder() / name
    moving = f"color=black:s={size}:r=50:d=0.64,format=yuv420p[a];color=white:s=40x100:r=50:d=0.64[b]"
    graph = f"{moving};[a][b]overlay=x='8*n':y=20,tinterlace=interleave_top,fieldorder=tff"
    videos.run_ffmpeg("-f", "lavfi", "-i", graph, *codec, path)
    return path


def combing(frame: NDArray[np.uint8]) -> float:
    """How much rows differ from both neighbours in the same direction: high where two fields are woven."""
    rows = frame.astype(float).mean(axis=2)
    above, below = rows[1:-1] - rows[:-2], rows[1:-1] - rows[2:]
    return float((np.minimum(np.abs(above), np.abs(below)) * (above * below > 0)).mean())


INTERLACED = {
    "mpeg2.ts": ("-c:v", "mpeg2video", "-q:v", "2", "-flags", "+ildct+ilme"),
    "h264.mp4": ("-c:v", "libx264", "-crf", "8", "-flags", "+ildct+ilme", "-x264-params", "tff=1"),
    "prores.mov": ("-c:v", "prores_ks", "-flags", "+ildct"),
}


@pytest.mark.parametrize("name", INTERLACED)
def test_interlaced_video_is_deinterlaced_and_keeps_its_times(name: str) -> None:
    path = interlaced(f"interlaced-{name}", *INTERLACED[name])
    info = probe(path)
    assert info.is_interlaced
    sampling = Sampling(1000, 144, 192)
    [woven] = open_frames(replace(info, is_interlaced=False), sampling).batches(100)
    [clean] = open_frames(info, sampling).batches(100)
    assert clean.times_s == pytest.approx(woven.times_s, abs=1e-4)
    assert len(clean.times_s) == 16
    worst = max(combing(frame) for frame in clean.frames[1:8])
    assert worst < min(combing(frame) for frame in woven.frames[1:8]) / 3  # later the block leaves the picture
    for before, after in zip(woven.frames[2:-2], clean.frames[2:-2], strict=True):
        assert np.abs(before.astype(int).mean(axis=(0, 1)) - after.mean(axis=(0, 1))).max() < 12  # the same moment


def test_broadcast_material_that_does_not_say_so_is_found_out() -> None:
    path = interlaced("silent.ts", "-vf", "setfield=prog", "-c:v", "mpeg2video", "-q:v", "2", size="720x576")
    info = probe(path)
    assert not info.is_interlaced
    assert [name for name, _ in colour.deinterlacer(info)] == ["idet", "bwdif"]
    sampling = Sampling(1000, 576, 720)
    [woven] = open_frames(replace(info, codec="none"), sampling).batches(100)
    [clean] = open_frames(info, sampling).batches(100)
    assert clean.times_s == pytest.approx(woven.times_s, abs=1e-4)
    assert combing(clean.frames[8]) < combing(woven.frames[8]) / 3


def test_progressive_broadcast_material_is_left_alone() -> None:
    path = videos.folder() / "progressive.ts"
    videos.run_ffmpeg(
        "-f", "lavfi", "-i", "mandelbrot=s=720x576:r=25,trim=duration=0.6", "-c:v", "mpeg2video", "-q:v", "4", path
    )
    info = probe(path)
    sampling = Sampling(1000, 72, 90)
    [found_out] = open_frames(info, sampling).batches(100)
    [plain] = open_frames(replace(info, codec="none"), sampling).batches(100)
    assert np.array_equal(found_out.frames, plain.frames)
    assert np.array_equal(found_out.times_s, plain.times_s)


# --- everything else --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("maker", [videos.constant_rate, videos.variable_rate, videos.rotated, videos.odd_size])
def test_ordinary_videos_go_the_way_they_always_went(maker: object) -> None:
    """Their frames are in people's stores: whoever changes this graph must raise SAMPLER_VERSION."""
    info = probe(maker())  # type: ignore[operator]
    assert colour.is_ordinary(info)
    command = arguments(info, Sampling(2, 224, 224))
    graph = command[command.index("-filter_complex") + 1]
    rule = r"isnan(prev_t)+gt(floor((t-start_t)*2+0.000010)\,floor((prev_t-start_t)*2+0.000010))"
    assert graph.replace(rule, "RULE") == (
        f"[0:{info.stream_index}]split=2[s0][s1];[s0]scale=256:144:flags=neighbor[s2];"
        "[s2]scale=32:18:flags=area[s3];[s3]format=yuv444p[s4];"
        "[s1]select=RULE[s5];[s5]scale=224:224:flags=area[s6];[s6]format=rgb24[s7]"
    )


@pytest.mark.parametrize("path", [lambda: hdr_video("pq"), lambda: half_transparent("alpha-png.mov", "-c:v", "png")])
def test_decord_refuses_what_it_would_show_wrong(path: object) -> None:
    with pytest.raises(VideoError, match="decord takes no HDR"):
        list(open_frames(path(), ALL, backend="decord").batches(4))  # type: ignore[operator]
