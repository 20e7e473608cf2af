"""The benchmark of streams against searches: a made-up video whose moments both must tell."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks import streaming
from rdmf_cli.pipeline.calibration import calibrate
from rdmf_cli.pipeline.index import Indexed
from rdmf_cli.pipeline.library import _unread
from rdmf_cli.pipeline.modes import PATTERN_MODE
from rdmf_cli.pipeline.query import encode_queries
from rdmf_cli.store import VideoFeatures
from tests.fakes import COLOURS, FakeEncoder

ENCODER = FakeEncoder()


def video(*colours: str) -> Indexed:
    """Shots of 6 s at 2 fps, a cut before each but the first."""
    noise = np.random.default_rng(len(colours)).integers(0, 12, (12 * len(colours), *ENCODER.image_size_px, 3))
    frames = np.repeat([COLOURS[colour] for colour in colours], 12, axis=0)[:, None, None] * 0.9 + noise
    count = len(frames)
    change = np.zeros(count, np.float32)
    change[12::12] = 1.0
    times_s = np.arange(count) / 2
    rows = ENCODER.encode_images(frames.astype(np.uint8))
    return Indexed(
        _unread(Path("a.mp4"), count / 2), "a", 2.0, VideoFeatures(rows, times_s, change, times_s, count / 2)
    )


def test_videos_are_joined_with_a_cut_between_them() -> None:
    whole = streaming.joined([video("red", "blue"), video("green")]).features
    assert len(whole.features) == 36
    assert whole.duration_s == 18
    assert np.flatnonzero(whole.change).tolist() == [12, 24]
    assert whole.change_time_s[24] == 12
    np.testing.assert_array_equal(whole.times_s, np.arange(36) / 2)


def test_what_stands_out_is_told_by_both() -> None:
    calibration = calibrate(ENCODER, None)
    encoded = encode_queries(["a red wall", "a blue wall"], ENCODER, calibration, None)
    whole = streaming.joined(
        [video("grey", "green", "white", "red"), video("yellow", "cyan", "blue", "grey", "white", "green")]
    )
    figures = streaming.compare(whole, encoded, calibration, PATTERN_MODE)
    assert (figures["queries"], figures["answered"], figures["best_told"]) == (2, 2, 2)
    assert figures["told_of_search"] >= 2
    assert figures["delay_most_s"] <= figures["delay_stated_s"]
    assert figures["relevance_apart"] < 0.05
    result = {"encoder": "fake", "commit": None, "machine_line": "", "videos": 2, "snippets": 120, "queries": 2}
    text = streaming.as_markdown(result | {"modes": {"pattern mode": figures}})
    assert "2 of 2" in text
