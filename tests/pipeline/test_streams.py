"""Streams of a video: what they hold, and that each is computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdmf_cli.encoders.video import VideoEncoder
from rdmf_cli.errors import ModelError
from rdmf_cli.fusion.cross_gru import STREAMS
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.phrases import phrase_bank, phrases
from rdmf_cli.pipeline.streams import StreamTools, changes, open_tools, video_streams
from rdmf_cli.store import Store
from rdmf_cli.windows import StreamConfig
from tests.fakes import FakeEncoder
from tests.pipeline.conftest import RED_S, Ears

CONFIG = StreamConfig()


class FakeVideoEncoder(VideoEncoder):
    """Four frames a segment, two steps; a step's vector says how bright its frames are."""

    def __init__(self) -> None:
        self.name, self.fingerprint, self.dim = "bright", "b1", 3
        self.num_frames, self.num_steps, self.num_segments = 4, 2, 0

    def frame_size_px(self, width: int, height: int) -> tuple[int, int]:
        return 8, 8

    def encode_segment(self, frames: np.ndarray) -> np.ndarray:
        assert frames.shape == (4, 8, 8, 3)
        self.num_segments += 1
        levels = frames.reshape(2, -1, 3).mean(axis=1) + 1
        return (levels / np.linalg.norm(levels, axis=1, keepdims=True)).astype(np.float32)


def tools(encoder: FakeEncoder, ears: Ears, config: StreamConfig = CONFIG, names=STREAMS, store=None) -> StreamTools:
    return open_tools(config, encoder, names, store=store, models_folder=Path("none"), device="cpu", progress=ears)


def streams(video: Path, made: StreamTools, store: Store | None = None, ears: Any = None) -> Any:
    return video_streams(video, made, store=store, options=SearchOptions(), progress=ears or Ears())


def test_rows_lie_on_their_grids_and_tell_the_colours(colours: Path, encoder: FakeEncoder, ears: Ears):
    made = tools(encoder, ears)
    film = streams(colours, made).video
    assert {name: stream.per_window for name, stream in film.streams.items()} == {
        "motion": 16,
        "image": 16,
        "caption": 4,
    }
    assert film.duration_s == pytest.approx(12.0)
    for stream in film.streams.values():
        assert len(stream.rows) == pytest.approx(12.0 * stream.fps, abs=2)
    red = encoder.encode_texts(["red"])[0]
    image = film.streams["image"]
    times = np.arange(len(image.rows)) / image.fps
    inside = (times >= RED_S[0] + 0.2) & (times < RED_S[1] - 0.2)
    outside = (times < RED_S[0] - 0.2) | (times >= RED_S[1] + 0.2)
    assert (image.rows[inside] @ red).min() > 0.5 > (image.rows[outside] @ red).max()
    np.testing.assert_allclose(np.linalg.norm(film.streams["caption"].rows, axis=1), 1, rtol=1e-5)
    motion = film.streams["motion"].rows[:, -1]  # how much changed: only at the two cuts
    cuts = np.flatnonzero(motion > 0.5 * motion.max()) / film.streams["motion"].fps
    assert cuts == pytest.approx([4.0, 7.0], abs=0.2)
    assert any("nearest phrases" in warning for warning in ears.warnings)


def test_sources_say_what_made_the_streams(encoder: FakeEncoder, ears: Ears):
    sources = tools(encoder, ears).sources
    assert (sources.motion.dim, sources.image.dim, sources.caption.dim) == (33, 32, 32)
    other = tools(FakeEncoder(seed=1), ears).sources
    assert len({s.fingerprint for s in (*vars(sources).values(), *vars(other).values())}) == 6


def test_a_second_time_nothing_is_decoded_or_encoded(colours, encoder, ears, store, decoders):
    made = tools(encoder, ears, store=store)
    first = streams(colours, made, store)
    assert (len(decoders), encoder.num_images > 0) == (1, True)  # one pass over the frames for all three streams
    counts = encoder.num_images, encoder.num_texts
    again = streams(colours, tools(encoder, ears, store=store), store)
    assert (encoder.num_images, encoder.num_texts) == counts
    assert len(decoders) == 1
    assert (again.timings.decode_s, again.timings.encode_s) == (0, 0)
    for name, stream in first.video.streams.items():
        np.testing.assert_array_equal(again.video.streams[name].rows, stream.rows)


def test_counts_are_configurable(colours: Path, encoder: FakeEncoder, ears: Ears):
    config = StreamConfig(motion_frames=8, image_frames=4, caption_frames=2)
    film = streams(colours, tools(encoder, ears, config)).video
    assert [film.streams[name].per_window for name in STREAMS] == [8, 4, 2]
    assert film.streams["image"].fps == pytest.approx(4 / config.window_s)
    whole = streams(colours, tools(encoder, ears, StreamConfig(motion_frames=8, image_frames=8), ("image",))).video
    np.testing.assert_array_equal(
        film.streams["image"].rows, whole.streams["image"].rows[::2][: len(film.streams["image"].rows)]
    )


def test_a_video_encoder_sees_each_frame_once(colours, encoder, ears, store, decoders):
    motion = FakeVideoEncoder()
    made = StreamTools(CONFIG, encoder, ("motion", "image"), motion=motion)
    film = streams(colours, made, store).video
    stream = film.streams["motion"]
    assert (stream.per_window, stream.fps) == (8, pytest.approx(3.75))
    assert len(stream.rows) == pytest.approx(12 * 3.75, abs=1)
    assert motion.num_segments == pytest.approx(12 * 7.5 / 4, abs=1)
    assert len(decoders) == 2
    blue = stream.rows[-3] / stream.rows[-3].max()
    assert blue[2] > 0.9
    assert blue[0] < 0.3
    streams(colours, made, store)
    assert (len(decoders), motion.num_segments) == (2, pytest.approx(12 * 7.5 / 4, abs=1))


def test_what_is_not_here_costs_its_stream_and_is_said(colours: Path, encoder: FakeEncoder, ears: Ears):
    config = StreamConfig(motion="/nowhere/videomae", captions="hf:nobody/blip")
    made = tools(encoder, ears, config)
    assert made.names == ("image",)
    assert sum("going on without it" in warning for warning in ears.warnings) == 2
    assert set(streams(colours, made).video.streams) == {"image"}
    with pytest.raises(ModelError, match="none of the model's streams"):
        tools(encoder, ears, config, ("motion", "caption"))


def test_changes_keep_their_length():
    rows = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(changes(rows), [[0, 0, 0], [0, 0, 0], [-1, 1, np.sqrt(2)]])


def test_phrases_fit_the_picture(encoder: FakeEncoder, store: Store):
    assert 190 <= len(phrases()) == len(set(phrases()))
    bank = phrase_bank(encoder, store)
    pictures = encoder.encode_texts(["a black screen", "a white screen"])
    assert bank.captions(pictures) == ["a black screen", "a white screen"]
    best, weights = bank.choose(pictures)
    assert best.shape == weights.shape == (2, 3)
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(bank.caption_vectors(pictures), axis=1), 1, rtol=1e-5)
    asked = encoder.num_texts
    again = phrase_bank(encoder, store)
    assert encoder.num_texts == asked  # from the store's cache
    np.testing.assert_array_equal(again.vectors, bank.vectors)
