"""Small test videos, made by ffmpeg when first asked for and kept for the session.

Every frame tells its own number: the upper half shows its bits as eight bars, the lower half is grey. So a test can
ask any decoded frame when it was filmed (number / 25 s) and need not trust the decoder's times.
"""

from __future__ import annotations

import atexit
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from rdmf_cli.media.ffmpeg import ffmpeg_path

RATE = 25
WIDTH_PX, HEIGHT_PX = 160, 90
NUM_FRAMES = 75
GAP = (20, 44)  # frames missing from variable_rate, both ends included
EDIT_START = 15  # first presented frame of edit_list
TS_START_S = 3690.0
CUT_FRAMES = (30, 55, 75)  # first frames of new shots in hard_cuts
REAL = Path("/work/shared/data/videos")


@cache
def folder() -> Path:
    """Where they lie; removed at exit."""
    path = Path(tempfile.mkdtemp(prefix="rdmf-test-videos-"))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


def real_video(name: str) -> Path:
    """A real video of the project's own collection; skips the test where it is absent."""
    if not (REAL / name).exists():
        pytest.skip(f"{name} is not on this machine")
    return REAL / name


def run_ffmpeg(*arguments: str | Path, stdin: bytes | None = None) -> None:
    """Run ffmpeg; its complaint becomes the failure's text."""
    command = [ffmpeg_path(), "-v", "error", "-y", *map(str, arguments)]
    done = subprocess.run(command, input=stdin, stdin=None if stdin else subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def picture(number: int, width: int = WIDTH_PX, height: int = HEIGHT_PX) -> NDArray[np.uint8]:
    """Frame `number` as grey (height, width): bars of its bits, lowest bit left, above grey."""
    bits = (number >> np.arange(8)) & 1
    image = np.full((height, width), 110, np.uint8)
    image[: height // 2] = np.where(bits, 220, 30)[np.arange(width) * 8 // width]
    return image


def number_of(frame: NDArray[np.uint8]) -> int:
    """The number that a decoded frame (H, W, 3) shows, whatever its size."""
    height, width = frame.shape[:2]
    row = frame[height // 8 : 3 * height // 8].mean(axis=(0, 2))
    centres = ((np.arange(8) + 0.5) * width / 8).astype(int)
    return int(((row[centres] > 125) << np.arange(8)).sum())


@cache
def raw(count: int, width: int = WIDTH_PX, height: int = HEIGHT_PX) -> bytes:
    """`count` pictures, grey bytes."""
    return b"".join(picture(number, width, height).tobytes() for number in range(count))


def make(
    name: str,
    *options: str,
    count: int = NUM_FRAMES,
    size: tuple[int, int] = (WIDTH_PX, HEIGHT_PX),
    sound: bool = False,
) -> Path:
    """Encode `count` pictures at 25 fps with `options` for the output."""
    path = folder() / name
    tone = ("-f", "lavfi", "-i", f"sine=frequency=440:duration={count / RATE}") if sound else ()
    codec = () if "-c:v" in options else ("-c:v", "libx264", "-crf", "12", "-g", "25", "-pix_fmt", "yuv420p")
    source = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{size[0]}x{size[1]}", "-r", str(RATE), "-i", "-")
    run_ffmpeg(*source, *tone, *codec, *options, path, stdin=raw(count, *size))
    return path


def remake(source: Path, name: str, *before: str, after: tuple[str, ...] = ("-c", "copy")) -> Path:
    """Pass `source` through ffmpeg with options before the input and after it."""
    path = folder() / name
    run_ffmpeg(*before, "-i", source, *after, path)
    return path


@cache
def constant_rate() -> Path:
    """3 s at 25 fps, H.264 with B-frames, sound."""
    return make("constant.mp4", "-c:a", "aac", "-movflags", "+faststart", sound=True)


@cache
def variable_rate() -> Path:
    """Frames 20 to 44 are missing: a gap of 1.04 s."""
    return make("variable.mp4", "-vf", f"select='not(between(n,{GAP[0]},{GAP[1]}))'", "-fps_mode", "passthrough")


@cache
def transport_stream() -> Path:
    """A recording whose clock starts at 3690 s."""
    return make("late.ts", "-output_ts_offset", str(TS_START_S), "-f", "mpegts")


@cache
def rotated() -> Path:
    """Players turn it by 90 degrees counterclockwise."""
    return remake(constant_rate(), "rotated.mp4", "-display_rotation", "90")


@cache
def wide_pixels() -> Path:
    """Pixels are shown twice as wide as high."""
    return make("wide.mp4", "-vf", "setsar=2/1")


@cache
def edit_list() -> Path:
    """The first 0.6 s are in the file but not presented."""
    return remake(constant_rate(), "edit.mp4", "-ss", str(EDIT_START / RATE), after=("-c", "copy", "-an"))


@cache
def odd_size() -> Path:
    """161 x 91 px, VP8, times in whole milliseconds."""
    return make("odd.webm", "-c:v", "libvpx", "-crf", "4", "-b:v", "2M", "-deadline", "realtime", size=(161, 91))


@cache
def one_frame() -> Path:
    """A video of one frame."""
    return make("one.mp4", count=1)


@cache
def truncated() -> Path:
    """The index promises 75 frames; the file ends after about two thirds of its bytes."""
    data = make("whole.mp4", "-movflags", "+faststart").read_bytes()
    path = folder() / "truncated.mp4"
    path.write_bytes(data[: len(data) * 2 // 3])
    return path


@cache
def damaged() -> Path:
    """Bytes in the middle are noise."""
    data = bytearray(make("whole.ts", "-f", "mpegts", "-g", "5").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 3000] = np.random.default_rng(0).integers(0, 256, 3000, dtype=np.uint8).tobytes()
    path = folder() / "damaged.ts"
    path.write_bytes(bytes(data))
    return path


@cache
def with_cover() -> Path:
    """A real video stream after cover art."""
    cover = folder() / "cover.png"
    run_ffmpeg("-f", "lavfi", "-i", "color=red:size=64x64", "-frames:v", "1", cover)
    path = folder() / "cover.mp4"
    maps = ("-map", "1", "-map", "0:v", "-c", "copy", "-disposition:v:0", "attached_pic")
    run_ffmpeg("-i", constant_rate(), "-i", cover, *maps, path)
    return path


@cache
def only_sound() -> Path:
    """A .mp4 without video."""
    path = folder() / "sound.mp4"
    run_ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-c:a", "aac", path)
    return path


@cache
def hard_cuts() -> Path:
    """Four shots with motion inside: a panning pattern, a zoom, moving noise, the pattern in other colours."""
    path = folder() / "cuts.mp4"
    shots = (
        "testsrc2=s=160x90:r=25:d=1.2[a];mandelbrot=s=160x90:r=25,trim=duration=1[b];"
        "gradients=s=160x90:r=25:d=0.8:speed=0.05:seed=3[c];testsrc2=s=160x90:r=25:d=1,hue=h=120,negate[d];"
        "[a][b][c][d]concat=n=4,format=yuv420p"
    )
    run_ffmpeg("-f", "lavfi", "-i", shots, "-c:v", "libx264", "-crf", "18", path)
    return path


MAKERS: dict[str, Callable[[], Path]] = {
    "constant": constant_rate,
    "variable": variable_rate,
    "transport_stream": transport_stream,
    "rotated": rotated,
    "wide_pixels": wide_pixels,
    "edit_list": edit_list,
    "odd_size": odd_size,
    "one_frame": one_frame,
}


def expected_numbers(name: str) -> list[int]:
    """Numbers of the frames that a player presents, in order."""
    if name == "variable":
        return [number for number in range(NUM_FRAMES) if not GAP[0] <= number <= GAP[1]]
    if name == "one_frame":
        return [0]
    return list(range(EDIT_START if name == "edit_list" else 0, NUM_FRAMES))
