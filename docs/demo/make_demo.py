"""Make rdmf_cli/demo.mp4 from six photos that scikit-image ships: slow pans and zooms, hard cuts, no sound.

    pip install --target /tmp/photos --no-deps scikit-image
    python docs/demo/make_demo.py /tmp/photos/skimage/data rdmf_cli/demo.mp4

Needs Pillow and the ffmpeg that rdmf uses. Licences of the photos: README.md beside this file.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from rdmf_cli.media.ffmpeg import ffmpeg_path

WIDTH_PX, HEIGHT_PX, RATE = 640, 360, 25


@dataclass(frozen=True)
class View:
    """What the camera sees: centre and width as shares of the photo; the height follows from 16:9."""

    x: float
    y: float
    width: float

    def towards(self, other: View, share: float) -> View:
        """The view `share` of the way to `other`."""
        mix = [a + (b - a) * share for a, b in zip(vars(self).values(), vars(other).values(), strict=True)]
        return View(*mix)

    def box(self, photo: Image.Image) -> tuple[float, float, float, float]:
        """Left, top, right, bottom in px, kept inside the photo."""
        width = min(self.width * photo.width, photo.width, photo.height * WIDTH_PX / HEIGHT_PX)
        height = width * HEIGHT_PX / WIDTH_PX
        left = min(max(self.x * photo.width - width / 2, 0), photo.width - width)
        top = min(max(self.y * photo.height - height / 2, 0), photo.height - height)
        return left, top, left + width, top + height


@dataclass(frozen=True)
class Shot:
    """One photo for some seconds, the camera moving from `begin` to `end`."""

    photo: str
    length_s: float
    begin: View
    end: View


SHOTS = (
    Shot("coffee.png", 4.0, View(0.5, 0.5, 1.0), View(0.5, 0.55, 0.75)),
    Shot("chelsea.png", 5.0, View(0.55, 0.4, 1.0), View(0.5, 0.45, 0.8)),
    Shot("rocket.jpg", 4.4, View(0.5, 0.8, 0.75), View(0.5, 0.4, 0.9)),
    Shot("camera.png", 4.0, View(0.5, 0.4, 1.0), View(0.45, 0.3, 0.8)),
    Shot("astronaut.png", 4.6, View(0.5, 0.35, 1.0), View(0.45, 0.22, 0.8)),
    Shot("hubble_deep_field.jpg", 4.0, View(0.35, 0.5, 0.45), View(0.65, 0.5, 0.45)),
)


def frames(shot: Shot, folder: Path) -> Iterator[bytes]:
    """The shot's pictures as RGB bytes."""
    photo = Image.open(folder / shot.photo).convert("RGB")
    count = round(shot.length_s * RATE)
    for number in range(count):
        share = number / (count - 1)
        view = shot.begin.towards(shot.end, share * share * (3 - 2 * share))  # starts and stops softly
        size = (WIDTH_PX, HEIGHT_PX)
        yield photo.resize(size, Image.Resampling.BICUBIC, box=view.box(photo)).tobytes()


def main(folder: Path, out: Path) -> None:
    """Encode all shots."""
    source = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH_PX}x{HEIGHT_PX}", "-r", str(RATE), "-i", "-"]
    codec = ["-c:v", "libx264", "-preset", "veryslow", "-crf", "30", "-pix_fmt", "yuv420p", "-g", "250"]
    # -threads 1 and bitexact: the same photos and ffmpeg give the same bytes.
    exact = ["-threads", "1", "-fflags", "+bitexact", "-flags:v", "+bitexact", "-movflags", "+faststart"]
    command = [ffmpeg_path(), "-v", "error", "-y", *source, *codec, *exact, str(out)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE)
    assert process.stdin is not None
    for shot in SHOTS:
        for frame in frames(shot, folder):
            process.stdin.write(frame)
    process.stdin.close()
    if process.wait() != 0:
        raise SystemExit("ffmpeg failed")
    print(f"{out}: {out.stat().st_size / 1000:.0f} kB, {sum(shot.length_s for shot in SHOTS):g} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
