"""Every file of the corpus: the right frames at the right times, or one clear line."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import VideoError
from rdmf_cli.media.frames import Sampling, open_frames
from rdmf_cli.media.probe import probe
from tests import videos
from tests.media.torture import making

EVERY_FRAME = Sampling(1000, 18, 32)


def shown(path: Path, sampling: Sampling = EVERY_FRAME) -> list[tuple[int, float]]:
    """(number read from the picture, time) of the frames that come."""
    source = open_frames(path, sampling)
    return [
        (videos.number_of(frame), float(time_s))
        for batch in source.batches(16)
        for frame, time_s in zip(batch.frames, batch.times_s, strict=True)
    ]


@pytest.mark.parametrize("name", making.CORPUS)
def test_the_right_frames_at_the_right_times_or_one_clear_line(name: str) -> None:
    case = making.CORPUS[name]
    path = case.make()
    if case.refused:
        with pytest.raises(VideoError, match=case.refused) as raised:
            shown(path)
        assert "\n" not in str(raised.value)
        assert raised.value.exit_code == 3
        return
    came = shown(path)
    assert [number for number, _ in came] == [number for number, _ in case.shown]
    times = np.array([time_s for _, time_s in came])
    assert np.abs(times - [time_s for _, time_s in case.shown]).max() <= case.tolerance_s


def test_a_stream_that_begins_within_an_open_group() -> None:
    came = shown(making.open_group_cut())
    numbers = [number for number, _ in came]
    assert numbers == list(range(numbers[0], 40))
    assert numbers[0] >= 17
    assert [time_s for _, time_s in came] == pytest.approx([k / videos.RATE for k in range(len(came))], abs=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 1), (7681, 17), (17, 4099)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    path = making.sized(*size)
    info = probe(path)
    assert (info.width, info.height) == size
    batches = list(open_frames(info, EVERY_FRAME).batches(8))
    assert [int(round(frame.mean(), -1)) for batch in batches for frame in batch.frames] == [40, 120, 200]
    assert np.concatenate([batch.times_s for batch in batches]) == pytest.approx([0, 0.04, 0.08])


@pytest.mark.parametrize("vflip", [False, True])
@pytest.mark.parametrize("hflip", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_turned_and_mirrored(rotation: int, hflip: bool, vflip: bool) -> None:
    path = making.turned(rotation, hflip, vflip)
    info = probe(path)
    assert (info.width, info.height) == ((36, 64) if rotation in (90, 270) else (64, 36))
    sampling = Sampling(1000, info.height, info.width)
    frame = next(open_frames(info, sampling).batches(2)).frames[1].mean(axis=2)
    upright = videos.picture(1, *making.SMALL).astype(float)
    wanted = np.rot90(upright, rotation // 90)
    wanted = wanted[:, ::-1] if hflip else wanted
    wanted = wanted[::-1] if vflip else wanted
    assert np.abs(frame - wanted).mean() < 12


def test_the_rate_decides_only_which_frames_come() -> None:
    """Sampling at 2 frames a second: the first frame at or after each half second."""
    [first, second, third, *rest] = shown(making.CORPUS["variable rate, very uneven"].make(), Sampling(2, 18, 32))
    assert (first, second, third) == ((0, 0.0), (2, 0.5), (4, 3.0))
    assert [number for number, _ in rest] == [5, 6]


def test_a_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    whole = making.fragmented().read_bytes()
    part = whole.rindex(b"moof") - 4
    path = tmp_path / "growing.mp4"
    path.write_bytes(whole[:part])
    source = open_frames(path, EVERY_FRAME)
    numbers = []
    for batch in source.batches(1):
        numbers += [videos.number_of(frame) for frame in batch.frames]
        if len(numbers) == 1:
            with path.open("ab") as file:
                file.write(whole[part:])
                os.fsync(file.fileno())
    assert numbers == list(range(len(numbers)))
    assert len(numbers) in (15, 20)
