"""Windows and their targets; splits by video."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import UsageError
from rdmf_cli.learn.affect.data import split_sets, window_set, window_targets
from rdmf_cli.learn.affect.labels import VideoLabels
from rdmf_cli.windows import StreamRows, VideoStreams


def film(duration_s: float = 6.0, streams: tuple[str, ...] = ("image", "caption")) -> VideoStreams:
    """Windows of 2 s, one a second, a row each second."""
    rows = {name: StreamRows(np.arange(6, dtype=np.float32)[:, None], 1.0, 2) for name in streams}
    return VideoStreams(rows, duration_s, 10.0, 2.0, 1.0)


def labels(*stretches: tuple[float, float, int], name: str = "a.mp4", split: str = "") -> VideoLabels:
    starts, ends, kinds = (np.array(column) for column in zip(*stretches, strict=True))
    return VideoLabels(Path(name), starts, ends, np.eye(2)[kinds], split=split)


def test_targets_are_means_over_what_is_labelled():
    values, coverage = window_targets(labels((0, 2.5, 1), (2.5, 4, 0)), film())
    np.testing.assert_allclose(coverage, [1, 1, 1, 0.5, 0])
    np.testing.assert_allclose(values[:4, 1], [1, 0.75, 0.25, 0])


def test_open_ends_and_gaps():
    values, coverage = window_targets(labels((1, 2, 0), (4, np.inf, 1)), film())
    np.testing.assert_allclose(coverage, [0.5, 0.5, 0, 0.5, 1])
    np.testing.assert_allclose(values[[0, 3, 4], 1], [0, 1, 1])


def test_frame_labels_count_in_the_files_own_frames():
    frames = np.array([0, 1, 2, 5])
    made = VideoLabels(Path("a"), frames * 1.0, frames + 1.0, np.array([[0.2], [0.4], [0.6], [1.0]]), in_frames=True)
    values, coverage = window_targets(made.in_seconds(2.0), film(3.0))  # frames of half a second
    np.testing.assert_allclose(coverage, [0.75, 0.5])
    np.testing.assert_allclose(values[:, 0], [0.4, 0.8])


def test_unlabelled_windows_are_left_out_and_rows_gathered():
    made = window_set([labels((0, 3, 0)), labels((3, 6, 1), name="b.mp4")], [film(), film(streams=("image",))])
    assert made.keys == ["a.mp4@0.000", "a.mp4@1.000", "a.mp4@2.000", "b.mp4@2.000", "b.mp4@3.000", "b.mp4@4.000"]
    assert made.classes.tolist() == [0, 0, 0, 1, 1, 1]
    rows, valid = made.gather("image", np.array([1, 5]))
    assert rows[:, :, 0].tolist() == [[1, 2], [4, 5]]
    assert valid.all()
    rows, valid = made.gather("caption", np.array([1, 5]))  # b.mp4 has no captions
    assert valid.tolist() == [[True, True], [False, False]]
    with pytest.raises(KeyError):
        made.gather("motion", np.array([0]))


def many(count: int = 8, split: str = "") -> list[VideoLabels]:
    return [labels((0, 6, number % 2), name=f"{number}.mp4", split=split) for number in range(count)]


def test_split_is_by_video_with_both_classes_on_both_sides():
    made = many()
    whole = window_set(made, [film()] * 8)
    training, validation = split_sets(made, whole, 0.25, 0, is_class=True)
    assert not set(training.video) & set(validation.video)
    assert len(training) + len(validation) == len(whole)
    assert set(training.classes) == set(validation.classes) == {0, 1}
    again = split_sets(made, whole, 0.25, 0, is_class=True)[1]
    other = [set(split_sets(made, whole, 0.25, seed, is_class=True)[1].video) for seed in range(1, 9)]
    assert set(again.video) == set(validation.video)
    assert any(videos != set(validation.video) for videos in other)


def test_what_the_labels_say_wins():
    made = [*many(4, "train"), *many(2, "validation")]
    validation = split_sets(made, window_set(made, [film()] * 6), 0.25, 0, is_class=True)[1]
    assert set(validation.video) == {4, 5}


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            [labels((0, 6, 1), name=f"{n}.mp4") for n in range(4)],
            "windows for training and validation are of one class",
        ),
        (many(2), "no labelled window is left for validation"),
        ([*many(2), labels((0, 6, 1), name="x.mp4")], "windows for validation are of one class"),
        ([labels((0, 0.5, 0)), labels((0, 0.5, 1))], "no window is labelled for at least half"),
    ],
)
def test_what_can_not_be_learned_is_said(made, told):
    with pytest.raises(UsageError) as raised:
        split_sets(made, window_set(made, [film()] * len(made)), 0.25, 0, is_class=True)
    assert told in str(raised.value)


def test_constant_numbers_are_nothing_to_learn():
    made = [VideoLabels(Path(f"{n}"), np.array([0.0]), np.array([6.0]), np.array([[0.3, n / 9]])) for n in range(4)]
    with pytest.raises(UsageError, match="one value in all"):
        split_sets(made, window_set(made, [film()] * 4), 0.25, 0, is_class=False)
