"""What sentences reach on ordinary photographs, for the built-in encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from rdmf_cli.encoders.base import reach_of
from rdmf_cli.encoders.lite import load_lite
from rdmf_cli.encoders.lite_reach import FILE, Reach, load_reach, packed
from rdmf_cli.errors import ModelError
from tests.fakes import FakeEncoder

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "rdmf-lite"


def unit(seed: int, *shape: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_the_mean_of_the_highest_cosines() -> None:
    pictures, sentences = unit(0, 1000, 16), unit(1, 300, 16)
    expected = np.sort(sentences @ pictures.T, axis=1)[:, -3:].mean(axis=1)
    np.testing.assert_allclose(Reach(pictures)(sentences), expected, atol=1e-6)
    few = Reach(pictures[:10])
    np.testing.assert_allclose(few(sentences), (sentences @ pictures[:10].T).max(axis=1), atol=1e-6)
    assert few(sentences[:0]).shape == (0,)


def test_the_file_gives_the_pictures_back(tmp_path: Path) -> None:
    pictures, sentences = unit(0, 500, 32), unit(1, 40, 32)
    save_file(packed(pictures), tmp_path / FILE)
    kept = load_reach(tmp_path, 32)
    assert kept is not None
    np.testing.assert_allclose(kept(sentences), Reach(pictures)(sentences), atol=0.01)


def test_without_the_file_nothing_is_known(tmp_path: Path) -> None:
    assert load_reach(tmp_path, 32) is None


@pytest.mark.parametrize(
    ("rows", "dim"),
    [
        (np.ones((5, 16), np.int8), 32),
        (np.ones((5, 32), np.float32), 32),
        (np.ones(32, np.int8), 32),
        (np.zeros((5, 32), np.int8), 32),
        (np.ones((0, 32), np.int8), 32),
    ],
)
def test_other_pictures_are_refused(tmp_path: Path, rows: np.ndarray, dim: int) -> None:
    save_file({"pictures": rows}, tmp_path / FILE)
    with pytest.raises(ModelError, match="not pictures of this encoder"):
        load_reach(tmp_path, dim)


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"nothing of the kind")
    with pytest.raises(ModelError, match="damaged"):
        load_reach(tmp_path, 32)
    save_file({"other": np.ones((2, 2), np.int8)}, tmp_path / FILE)
    with pytest.raises(ModelError, match="damaged"):
        load_reach(tmp_path, 32)


def test_an_encoder_that_does_not_know_says_0() -> None:
    encoder = FakeEncoder()
    np.testing.assert_array_equal(reach_of(encoder, encoder.encode_texts(["red", "blue"])), [0, 0])


@pytest.mark.skipif(not (SHIPPED / FILE).is_file(), reason="models/rdmf-lite has no weights")
def test_the_shipped_encoder_knows_what_is_ordinary() -> None:
    encoder = load_lite(SHIPPED)
    usual = ["people on a beach", "a dog running on grass"]
    rare = ["a white pictogram of an athlete", "colour bars test pattern with a timecode"]
    reach = reach_of(encoder, encoder.encode_texts([*usual, *rare]))
    assert reach.dtype == np.float32
    assert reach[:2].min() > reach[2:].max()
