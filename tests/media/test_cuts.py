from __future__ import annotations

import re

import numpy as np
import pytest

from rdmf_cli.media.cuts import CUT_THRESHOLD, THUMB_BYTES, ChangeSignal, picture_changes
from rdmf_cli.media.frames import Sampling, open_frames
from tests import videos

PIXELS = THUMB_BYTES // 3


def flat(luma: int, u: int = 128, v: int = 128) -> bytes:
    return bytes([luma]) * PIXELS + bytes([u]) * PIXELS + bytes([v]) * PIXELS


def test_changes_stay_in_range() -> None:
    black, white = flat(0, 0, 0), flat(255, 255, 255)
    pictures = np.frombuffer(black + white + white + black, np.uint8).reshape(4, 3, PIXELS)
    changes, last = picture_changes(pictures)
    assert changes == pytest.approx([1, 0, 1])
    assert last == 1


def test_equal_pictures_do_not_change() -> None:
    noise = np.random.default_rng(1).integers(0, 256, THUMB_BYTES, dtype=np.uint8)
    changes, _ = picture_changes(np.stack([noise.reshape(3, PIXELS)] * 3))
    assert changes.tolist() == [0, 0]


def test_asking_in_pieces_or_at_once_gives_the_same() -> None:
    generator = np.random.default_rng(2)
    thumbs = [generator.integers(0, 256, THUMB_BYTES, dtype=np.uint8).tobytes() for _ in range(20)]
    whole, pieces = ChangeSignal(), ChangeSignal()
    found = []
    for index, thumb in enumerate(thumbs):
        whole.add(float(index), thumb)
        pieces.add(float(index), thumb)
        found.append(pieces.strongest(float(index)))
    assert found[0] == (0.0, 0.0)
    assert whole.strongest(19.0) == max(found)


def test_only_what_is_asked_about_is_consumed() -> None:
    signal = ChangeSignal()
    for index, luma in enumerate([0, 0, 250, 250, 0]):
        signal.add(float(index), flat(luma))
    change, time_s = signal.strongest(3.0)
    assert (time_s, change > CUT_THRESHOLD) == (2.0, True)
    assert signal.strongest(3.5) == (0.0, 3.5)
    assert signal.strongest(4.0)[1] == 4.0


def found_cuts(path: object, sample_fps: float = 2.0) -> list[float]:
    source = open_frames(path, Sampling(sample_fps, 32, 32))  # type: ignore[arg-type]
    batches = list(source.batches(64))
    change = np.concatenate([batch.change for batch in batches])
    time_s = np.concatenate([batch.change_time_s for batch in batches])
    return [float(at) for at in time_s[change >= CUT_THRESHOLD]]


def test_generated_cuts_are_found_and_nothing_else() -> None:
    expected = [frame / videos.RATE for frame in videos.CUT_FRAMES]
    assert found_cuts(videos.hard_cuts()) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", ["animals", "sports", "roads", "tabletop"])
def test_cuts_of_real_compilations(name: str) -> None:
    """Exact cut times are in the collection's list of sources; shots are handheld, sports among them."""
    path = videos.real_video(f"{name}.mp4")
    section = (videos.REAL / "SOURCES.md").read_text().split(f"## {name}.mp4")[1].split("\n## ")[0]
    starts = [float(start) for start in re.findall(r"^\| ([\d.]+) \|", section, re.MULTILINE)]
    assert found_cuts(path) == pytest.approx(starts[1:], abs=0.021)  # half a frame
