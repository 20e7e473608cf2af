"""Composite videos: photos under a camera, through an encoder that knows colours."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from rdmf_cli.learn.synthetic.composites import (
    CameraConfig,
    Source,
    camera_path,
    composite_bank,
    encode_films,
    film,
    label_texts,
)
from rdmf_cli.learn.synthetic.timelines import Null, TimelineConfig, timeline_example
from tests.fakes import COLOURS, FakeEncoder

REAL_S = np.array([2.0, 6.0, 16.0], np.float32)
CAMERA = CameraConfig()


def photo(colour: str, size: tuple[int, int] = (90, 60)) -> Image.Image:
    noise = np.random.default_rng(len(colour)).integers(0, 40, (size[1], size[0], 3))
    return Image.fromarray((0.8 * np.array(COLOURS[colour]) + noise).astype(np.uint8))


def sources(encoder: FakeEncoder) -> list[Source]:
    films = [film(photo(colour), encoder, (0, i), CAMERA) for i, colour in enumerate(COLOURS)]
    views = encode_films(films, encoder)
    return [Source(row, (f"a {name} wall", f"{name} paint")) for row, name in zip(views, COLOURS, strict=True)]


def test_the_camera_stays_inside_the_photo():
    rng = np.random.default_rng(0)
    for _ in range(100):
        for left, top, right, bottom in camera_path(rng, (90, 60), CameraConfig(shake=0.2)):
            assert 0 <= left < right <= 90
            assert 0 <= top < bottom <= 60


def test_a_path_moves_evenly_without_shake():
    path = np.array(camera_path(np.random.default_rng(1), (90, 60), CameraConfig(shake=0, views=5)))
    np.testing.assert_allclose(np.diff(path, n=2, axis=0), 0, atol=1e-9)


def test_films_are_a_function_of_photo_and_seed():
    encoder = FakeEncoder()
    frames = film(photo("red"), encoder, (0, 1), CAMERA)
    assert frames.shape == (CAMERA.views, *encoder.image_size_px, 3)
    np.testing.assert_array_equal(frames, film(photo("red"), encoder, (0, 1), CAMERA))
    assert not np.array_equal(frames, film(photo("red"), encoder, (0, 2), CAMERA))


def test_films_of_several_sizes_keep_their_order():
    class Shaped(FakeEncoder):
        """Wants frames of the picture's shape, as encoders for wide frames do."""

        def frame_size_px(self, width, height):
            return (32, 48) if width > height else (32, 32)

        def encode_images(self, frames):
            return np.concatenate([FakeEncoder().encode_images(frame[None, :, :32]) for frame in frames])

    encoder = Shaped()
    films = [film(photo("red", size), encoder, (0, i), CAMERA) for i, size in enumerate([(90, 60), (60, 60), (90, 60)])]
    together = encode_films(films, encoder)
    for row, frames in zip(together, films, strict=True):
        np.testing.assert_array_equal(row, encode_films([frames], encoder)[0])


def test_sources_of_one_class_are_one_group():
    encoder = FakeEncoder()
    first = sources(encoder)
    named = [Source(source.views, label_texts("wall"), "wall") for source in first[:3]]
    bank = composite_bank(named + first[3:], encoder, Null(encoder.encode_texts(["a", "b"]), 0.0, 1.0))
    assert len(bank.views_of[0]) == 3
    assert bank.is_label.tolist() == [True] + [False] * (len(first) - 3)
    assert len(bank.texts_of[0]) == len(label_texts("wall"))
    assert [bank.sentences[i] for i in bank.texts_of[1]] == list(first[3].texts)
    assert len(bank.views) == len(first)


def test_a_query_for_a_colour_finds_its_shots():
    encoder = FakeEncoder()
    background = encoder.encode_texts([f"a {name} thing number {i}" for i, name in enumerate(COLOURS)] + ["a", "b c"])
    bank = composite_bank(sources(encoder), encoder, Null(background, 0.2, 0.3))
    config = TimelineConfig(bank_size=(5, 12))
    hits = []
    for number in range(25):
        example = timeline_example(bank, REAL_S, config, 1, number, "c")
        assert example.text.split()[0] in ("a", *COLOURS)
        if len(example.windows):
            hits.append(example.saliency[example.values[:, 0].argmax()] > 0.5)
    assert np.mean(hits) > 0.7


@pytest.mark.parametrize(("label", "first"), [("elephant", "an elephant"), ("dog", "a dog")])
def test_labels_in_wording(label, first):
    assert label_texts(label)[:2] == (label, first)
