"""Small real videos whose motion is their label: fast and jerky, or calm."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tests.videos import folder, run_ffmpeg

SECONDS = 6.0


@cache
def moving(number: int, *, is_jerky: bool, seconds: float = SECONDS) -> Path:
    """A window that jumps about in a picture, or drifts; each number has its own colours and pace."""
    kind = "jerky" if is_jerky else "calm"
    path = folder() / f"affect-{kind}-{number}-{seconds:g}.mp4"
    pace, reach = (1.1 + 0.13 * number, 1.0) if is_jerky else (0.02 + 0.004 * number, 0.25)
    place = f"x='40+{40 * reach:g}*sin(n*{pace:g})':y='22+{22 * reach:g}*cos(n*{1.3 * pace:g})'"
    filters = f"crop=80:46:{place},hue=h={53 * number},format=yuv420p"
    source = f"mandelbrot=s=160x90:r=30:start_x=-0.7{number}:end_scale=0.3,trim=duration={seconds:g}"
    run_ffmpeg("-f", "lavfi", "-i", source, "-vf", filters, "-c:v", "libx264", "-preset", "ultrafast", path)
    return path


def jerky_and_calm(count: int) -> list[tuple[Path, int]]:
    """`count` videos of each kind, with their labels: 1 is jerky."""
    return [(moving(number, is_jerky=bool(label)), label) for number in range(count) for label in (0, 1)]
