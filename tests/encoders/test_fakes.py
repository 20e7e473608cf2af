"""The fake must keep the same promises as the real ones, or tests that use it prove nothing."""

import numpy as np
import pytest

from rdmf_cli.encoders.base import Encoder
from tests.fakes import COLOURS, FakeEncoder


def plain(colour: str) -> np.ndarray:
    return np.full((1, 32, 32, 3), COLOURS[colour], np.uint8)


@pytest.mark.parametrize("colour", list(COLOURS))
def test_a_colours_name_finds_its_picture(colour: str) -> None:
    encoder: Encoder = FakeEncoder()
    pictures = encoder.encode_images(np.concatenate([plain(name) for name in COLOURS]))
    query = encoder.encode_texts([f"a {colour} screen"])[0]
    assert list(COLOURS)[int(np.argmax(pictures @ query))] == colour


def test_unit_length_order_and_determinism() -> None:
    encoder = FakeEncoder(dim=48)
    frames = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)
    rows = encoder.encode_images(frames)
    assert rows.shape == (5, 48)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([encoder.encode_images(frame[None]) for frame in frames]), rows)
    np.testing.assert_array_equal(FakeEncoder(dim=48).encode_images(frames[::-1]), rows[::-1])


def test_seed_and_size_are_part_of_the_fingerprint() -> None:
    prints = {e.fingerprint for e in (FakeEncoder(), FakeEncoder(seed=1), FakeEncoder(image_size_px=(64, 64)))}
    assert len(prints) == 3
    assert FakeEncoder().fingerprint == FakeEncoder(name="other").fingerprint


def test_sentences_without_colour_match_nothing_in_particular() -> None:
    encoder = FakeEncoder(dim=256)
    pictures = encoder.encode_images(np.concatenate([plain(name) for name in COLOURS]))
    assert np.abs(pictures @ encoder.encode_texts(["somebody waits"])[0]).max() < 0.1


def test_empty_counts_and_lengths() -> None:
    encoder = FakeEncoder(max_text_tokens=4)
    assert encoder.encode_images(np.zeros((0, 32, 32, 3), np.uint8)).shape == (0, 32)
    assert encoder.encode_texts([]).shape == (0, 32)
    encoder.encode_images(plain("red"))
    encoder.encode_texts(["a", "b"])
    assert (encoder.num_images, encoder.num_texts) == (1, 2)
    assert encoder.text_length("three short words") == 5
    np.testing.assert_array_equal(encoder.encode_texts(["one two red"]), encoder.encode_texts(["one two blue"]))  # cut
    with pytest.raises(ValueError, match="frames"):
        encoder.encode_images(np.zeros((1, 8, 8, 3), np.uint8))
