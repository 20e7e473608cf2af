"""Videos that tell the time in picture and sound, and what reads it back.

Pictures carry their number (tests/videos.py); a beep of 60 ms starts with every 25th of them, on time to the sample.
So a clip can be decoded and asked whether its frames are the right ones, and whether its sound fits them.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from tests import videos

NUM_FRAMES = 250  # 10 s; the numbers have eight bits
BEEP_EVERY = 25  # frames
_BEEPS = "aevalsrc='if(lt(mod(t,1),0.06),0.7*sin(2*PI*1000*t),0)':s=48000:d=10"
_H264 = ("-c:v", "libx264", "-preset", "veryfast", "-crf", "14", "-pix_fmt", "yuv420p")


def _make(name: str, *options: str, size: tuple[int, int] = (160, 90), inputs: tuple[str, ...] = ()) -> Path:
    path = videos.folder() / name
    source = ("-f", "rawvideo", "-pix_fmt", "gray", "-s", f"{size[0]}x{size[1]}", "-r", "25", "-i", "-")
    sound = ("-f", "lavfi", "-i", _BEEPS)
    maps = () if "-map" in options else ("-map", "0:v", "-map", "1:a")
    videos.run_ffmpeg(*source, *sound, *inputs, *maps, *options, path, stdin=videos.raw(NUM_FRAMES, *size))
    return path


@cache
def constant() -> Path:
    """H.264 without B-frames, a keyframe a second, AAC."""
    return _make("sync-constant.mp4", *_H264, "-bf", "0", "-g", "25", "-c:a", "aac")


@cache
def b_frames() -> Path:
    """H.264 with B-frames that refer to each other, closed groups of 40, AAC."""
    return _make("sync-b.mp4", *_H264, "-bf", "3", "-b_strategy", "2", "-g", "40", "-sc_threshold", "0", "-c:a", "aac")


@cache
def open_groups() -> Path:
    """H.264 whose groups of pictures are open: frames before a keyframe need it. IDR only at the start."""
    more = ("-x264-params", "open-gop=1:bframes=3:keyint=40:min-keyint=20:scenecut=0")
    return _make("sync-open.mp4", *_H264, *more, "-c:a", "aac")


@cache
def variable() -> Path:
    """Frames are missing, of every kind of gap; times stay."""
    drop = "select='not(between(n,60,74)+between(n,100,101)+eq(mod(n,7),3))'"
    return _make("sync-vfr.mp4", "-vf", drop, "-fps_mode", "passthrough", *_H264, "-g", "30", "-c:a", "aac")


@cache
def rotated() -> Path:
    """Players turn it by 90 degrees counterclockwise."""
    return videos.remake(b_frames(), "sync-rotated.mp4", "-display_rotation", "90")


@cache
def transport_stream() -> Path:
    """MPEG-TS whose clock starts at an hour, MP2 sound."""
    return _make("sync.ts", *_H264, "-g", "40", "-c:a", "mp2", "-output_ts_offset", "3690", "-f", "mpegts")


@cache
def webm() -> Path:
    """VP9 and Opus."""
    coding = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M", "-g", "30")
    return _make("sync.webm", *coding, "-c:a", "libopus")


SOURCES: dict[str, Callable[[], Path]] = {
    "constant": constant,
    "b_frames": b_frames,
    "open_groups": open_groups,
    "variable": variable,
    "rotated": rotated,
    "transport_stream": transport_stream,
    "webm": webm,
}


def presented(name: str) -> list[int]:
    """Numbers of the frames that a player shows, in order."""
    gone = {*range(60, 75), 100, 101, *range(3, NUM_FRAMES, 7)} if name == "variable" else set()
    return [number for number in range(NUM_FRAMES) if number not in gone]


def frames_of(path: Path) -> list[tuple[int, float]]:
    """(number, time in s) of each frame that a player shows, rotation applied."""
    found = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            image = frame.to_ndarray(format="rgb24")
            if image.shape[0] > image.shape[1]:  # turned by 90 degrees for good
                image = np.rot90(image, -1)
            found.append((videos.number_of(image), float(frame.pts * frame.time_base)))
    return found


def beeps_of(path: Path, stream: int = 0) -> list[float]:
    """When each beep starts, seconds of the clip's clock."""
    samples, zero_s = sound_of(path, stream)
    loud = np.flatnonzero(np.abs(samples) > 0.15) / 48000
    starts = loud[np.diff(loud, prepend=-1.0) > 0.3] if len(loud) else loud
    return [zero_s + float(start) for start in starts]


def sound_of(path: Path, stream: int = 0) -> tuple[NDArray[np.float32], float]:
    """Mono samples at 48 kHz and the time of the first one."""
    parts: list[NDArray[np.float32]] = []
    zero_s = 0.0
    resampler = av.AudioResampler("fltp", "mono", 48000)
    with av.open(str(path)) as container:
        base: Fraction | None = None
        for frame in container.decode(audio=stream):
            if base is None and frame.pts is not None:
                base = frame.time_base
                zero_s = float(frame.pts * base)
            parts += [out.to_ndarray()[0] for out in resampler.resample(frame)]
    return (np.concatenate(parts) if parts else np.zeros(0, np.float32)), zero_s
