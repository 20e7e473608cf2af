"""Windows and the rows of streams in them."""

from __future__ import annotations

import numpy as np
import pytest

from rdmf_cli.windows import StreamConfig, StreamRows, VideoStreams, over_time

CONFIG = StreamConfig()


def video(duration_s: float, fps: float = 7.5, per_window: int = 16) -> VideoStreams:
    count = max(1, int(duration_s * fps))
    rows = np.arange(count, dtype=np.float32)[:, None]
    return VideoStreams(
        {"image": StreamRows(rows, fps, per_window)}, duration_s, 30.0, CONFIG.window_s, CONFIG.stride_s
    )


def test_windows_reach_the_end_and_overlap_by_half():
    film = video(10.0)
    assert film.starts_s[:3] == pytest.approx([0, 32 / 30, 64 / 30])
    assert film.ends_s[-1] == 10.0
    assert film.starts_s[-1] < 10.0
    rows, valid = film.gather("image", np.arange(film.num_windows))
    assert rows.shape == (film.num_windows, 16, 1)
    assert valid[:-1].all()
    np.testing.assert_array_equal(rows[0, :, 0], np.arange(16))
    np.testing.assert_array_equal(rows[1, :, 0], np.arange(8, 24))  # exactly a stride of rows further on
    assert (rows[~valid] == 0).all()


@pytest.mark.parametrize("duration_s", [0.04, 1.0, 64 / 30])
def test_short_videos_have_one_window(duration_s):
    film = video(duration_s)
    assert film.num_windows == 1
    assert film.gather("image", np.array([0]))[1].any()


def test_every_window_has_rows_whatever_the_counts():
    for frames in (2, 4, 8, 16, 32, 64):
        for duration_s in np.arange(0.5, 12, 0.37):
            film = video(float(duration_s), CONFIG.fps(frames), frames)
            assert film.gather("image", np.arange(film.num_windows))[1].any(axis=1).all(), (frames, duration_s)


def test_scores_over_time_are_means_of_the_windows_that_reach_there():
    film = video(5 * 32 / 30)
    assert film.num_windows == 4
    times_s, scores = over_time(np.array([[0.0], [1.0], [0.0], [0.0]], np.float32), film)
    assert times_s == pytest.approx(np.arange(5) * 32 / 30)
    np.testing.assert_allclose(scores[:, 0], [0, 0.5, 0.5, 0, 0])


def test_one_window_scores_the_whole_of_a_short_video():
    times_s, scores = over_time(np.array([[0.7]], np.float32), video(1.9))
    np.testing.assert_allclose(scores[:, 0], 0.7)
    assert len(times_s) == 2


@pytest.mark.parametrize(
    "wrong", [{"stride_frames": 65}, {"image_frames": 0}, {"caption_frames": 65}, {"frame_rate": 0.0}]
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError):
        StreamConfig(**wrong)
