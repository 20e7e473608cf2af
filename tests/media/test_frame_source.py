"""One contract for all decoders: which frames come, and when they were filmed (told by their own content)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.media.frames import BACKENDS, DecodeReport, FrameBatch, Sampling, default_sample_fps, open_frames
from tests import videos

ALL = list(videos.MAKERS)
HEIGHT_PX, WIDTH_PX = 36, 64


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    if request.param == "decord":
        pytest.importorskip("decord")
    return str(request.param)


def decode(name: str, backend: str, sample_fps: float, batch_size: int = 7) -> tuple[list[FrameBatch], DecodeReport]:
    if backend == "decord" and name == "transport_stream":
        pytest.skip("decord loses the first frames of transport streams and refuses them; see test_decord.py")
    sampling = Sampling(sample_fps, HEIGHT_PX, WIDTH_PX)
    if name == "rotated":
        sampling = Sampling(sample_fps, WIDTH_PX, HEIGHT_PX)
    source = open_frames(videos.MAKERS[name](), sampling, backend=backend)
    return list(source.batches(batch_size)), source.report


def numbers(name: str, batches: list[FrameBatch]) -> list[int]:
    upright = [np.rot90(frame, -1) if name == "rotated" else frame for batch in batches for frame in batch.frames]
    return [videos.number_of(frame) for frame in upright]


def times_s(batches: list[FrameBatch]) -> np.ndarray:
    return np.concatenate([batch.times_s for batch in batches])


@pytest.mark.parametrize("name", ALL)
def test_every_frame_comes_at_its_true_time(name: str, backend: str) -> None:
    batches, report = decode(name, backend, sample_fps=1000)
    expected = videos.expected_numbers(name)
    assert numbers(name, batches) == expected
    tick_s = 0.001 if name == "odd_size" else 1e-6  # Matroska rounds to milliseconds
    filmed_s = (np.array(expected) - expected[0]) / videos.RATE
    assert times_s(batches) == pytest.approx(filmed_s, abs=tick_s)
    assert report.frames_decoded == len(expected)
    assert not report.truncated
    assert not report.warnings
    assert report.duration_s == pytest.approx(filmed_s[-1] + 1 / videos.RATE, abs=0.002)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("sample_fps", [2.0, 3.7])
def test_samples_are_the_first_frames_at_or_after_the_grid(name: str, backend: str, sample_fps: float) -> None:
    batches, _ = decode(name, backend, sample_fps)
    presented = videos.expected_numbers(name)
    expected = [presented[0]]
    for before, number in pairwise(presented):
        point, point_before = ((n - presented[0]) / videos.RATE * sample_fps + 1e-6 for n in (number, before))
        if int(point) > int(point_before):
            expected.append(number)
    assert numbers(name, batches) == expected


def test_batches_have_the_promised_shapes(backend: str) -> None:
    batches, report = decode("constant", backend, sample_fps=10, batch_size=8)
    assert [len(batch.times_s) for batch in batches] == [8, 8, 8, 6]
    for batch in batches:
        count = len(batch.times_s)
        assert batch.frames.shape == (count, HEIGHT_PX, WIDTH_PX, 3)
        assert batch.frames.dtype == np.uint8
        assert batch.times_s.dtype == batch.change_time_s.dtype == np.float64
        assert batch.change.shape == batch.change_time_s.shape == (count,)
        assert batch.change.dtype == np.float32
        assert np.all((batch.change >= 0) & (batch.change <= 1))
    assert batches[0].change[0] == 0
    assert report.decode_busy_s > 0


def test_a_second_run_gives_the_same(backend: str) -> None:
    source = open_frames(videos.constant_rate(), Sampling(5, 20, 20), backend=backend)
    first, second = (next(iter(source.batches(100))) for _ in range(2))
    source.close()
    assert np.array_equal(first.frames, second.frames)
    assert np.array_equal(first.change, second.change)


def test_changes_point_at_the_cuts(backend: str) -> None:
    source = open_frames(videos.hard_cuts(), Sampling(2, HEIGHT_PX, WIDTH_PX), backend=backend)
    (batch,) = source.batches(100)
    strongest = np.sort(batch.change_time_s[np.argsort(batch.change)[-len(videos.CUT_FRAMES) :]])
    assert strongest == pytest.approx(np.array(videos.CUT_FRAMES) / videos.RATE, abs=1e-6)
    earlier = np.concatenate([[0], batch.times_s[:-1]])
    assert np.all(batch.change_time_s <= batch.times_s)
    assert np.all(batch.change_time_s[1:] > earlier[1:])


def test_closing_early_leaves_the_source_usable(backend: str) -> None:
    source = open_frames(videos.constant_rate(), Sampling(25, 20, 20), backend=backend)
    stream = source.batches(2)
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert sum(len(batch.times_s) for batch in source.batches(50)) == videos.NUM_FRAMES
    source.close()
    source.close()


def test_colours_are_red_green_blue(backend: str) -> None:
    path = videos.folder() / "red.mp4"
    videos.run_ffmpeg("-f", "lavfi", "-i", "color=red:s=64x64:d=0.2", "-pix_fmt", "yuv420p", path)
    (batch,) = open_frames(path, Sampling(1, 37, 63), backend=backend).batches(4)
    assert batch.frames[0].mean(axis=(0, 1)) == pytest.approx([254, 0, 0], abs=4)
    assert batch.frames[0].std(axis=(0, 1)).max() < 2


def test_real_videos_decode_whole(backend: str) -> None:
    path = videos.real_video("weightlifter.mp4")
    source = open_frames(path, Sampling(2, 32, 32), backend=backend)
    times = np.concatenate([batch.times_s for batch in source.batches(16)])
    assert len(times) == 37
    assert source.report.frames_decoded == 355
    assert source.report.duration_s == pytest.approx(18.09, abs=0.01)


def test_unknown_backend() -> None:
    with pytest.raises(UsageError, match="unknown decoder"):
        open_frames(videos.constant_rate(), Sampling(2, 8, 8), backend="opencv")


@pytest.mark.parametrize("numbers", [(0, 8, 8), (2, 0, 8), (2, 8, -1), (float("nan"), 8, 8)])
def test_impossible_samplings(numbers: tuple[float, int, int]) -> None:
    with pytest.raises(ValueError, match="not a sampling"):
        Sampling(*numbers)


def test_default_rate_halves_for_long_videos() -> None:
    assert (default_sample_fps(600), default_sample_fps(601)) == (2.0, 1.0)


def test_a_file_that_is_gone_is_told(backend: str) -> None:
    with pytest.raises(VideoError, match="no such file"):
        open_frames(videos.folder() / "gone.mp4", Sampling(2, 8, 8), backend=backend)
