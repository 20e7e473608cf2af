"""Text, picture and negatives become one vector on one scale."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.encoders.base import Words
from rdmf_cli.errors import UsageError
from rdmf_cli.fusion.inputs import REACH_SHARE
from rdmf_cli.pipeline import calibration as calibration_module
from rdmf_cli.pipeline.calibration import Calibration, PictureScale, calibrate, picture_scale
from rdmf_cli.pipeline.query import Picture, Query, compose, encode_queries
from rdmf_cli.store import Store
from tests.fakes import FakeEncoder

PHOTO = Picture(Path("red.png"))


def unit(seed: int, *shape: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


KNOWN = Calibration(unit(0, 60, 16), -0.1, 0.11, 0.4)
SCALE = PictureScale(0.3 * unit(9, 16), 0.02, 0.2, 0.3)


def words(seed: int, reach: float = 0.45) -> Words:
    return Words(unit(seed, 16), reach)


def composed(text=None, picture=None, negatives=(), weights=(1.0, 0.0), negative_weight=0.5):
    return compose(
        text, picture, list(negatives), weights=weights, negative_weight=negative_weight, calibration=KNOWN, scale=SCALE
    )


def test_a_text_alone_is_itself() -> None:
    text = words(1)
    vector, reach = composed(text)
    np.testing.assert_array_equal(vector, text.vector)
    assert reach == 0.45


def test_a_weight_of_nothing_changes_nothing() -> None:
    text, picture = words(1), unit(2, 16)
    vector, reach = composed(text, picture, weights=(1.0, 0.0))
    np.testing.assert_allclose(vector, text.vector, atol=1e-6)
    assert reach == pytest.approx(composed(text)[1], abs=1e-6)
    assert composed(text, negatives=[words(2)], negative_weight=0.0)[0] == pytest.approx(text.vector, abs=1e-6)


def test_weights_go_from_text_to_picture_in_a_straight_line() -> None:
    text, picture = words(1), unit(2, 16)
    ends = [composed(text, picture, weights=w) for w in ((1.0, 0.0), (0.0, 1.0))]
    middle = composed(text, picture, weights=(0.5, 0.5))
    np.testing.assert_allclose(middle[0], (ends[0][0] + ends[1][0]) / 2, atol=1e-6)
    assert middle[1] == pytest.approx((ends[0][1] + ends[1][1]) / 2, abs=1e-6)


def test_a_negative_lowers_what_it_describes_and_leaves_the_rest() -> None:
    text, unwanted = words(1), words(2, reach=0.6)
    negative = unwanted.vector
    plain, reach = composed(text)
    less, reach_of_less = composed(text, negatives=[unwanted])
    assert reach_of_less == pytest.approx(reach - 0.5 * (0.6 - KNOWN.usual_reach))
    centre = KNOWN.bank.mean(axis=0)
    direction = negative - centre
    apart = unit(3, 16)
    apart = apart - direction * (apart @ direction) / (direction @ direction)  # has nothing of it
    assert negative @ less < negative @ plain - 0.2
    assert apart @ less == pytest.approx(float(apart @ plain), abs=1e-5)
    twice, _ = composed(text, negatives=[unwanted, unwanted])
    np.testing.assert_allclose(plain - twice, 2 * (plain - less), atol=1e-6)


def test_unrelated_pictures_are_as_spread_as_for_a_text() -> None:
    """What the scale is for: the products of the composed vector with pictures have the spread of the statistic."""
    rng = np.random.default_rng(0)
    mean = unit(9, 64)
    pictures = mean + 1.5 * unit(5, 400, 64)
    pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
    centre = pictures.mean(axis=0)
    products = (pictures[:200] - centre) @ pictures[200:].T
    scale = PictureScale(centre, float(products.mean()), float(products.std()), 0.3)
    known = Calibration(unit(0, 60, 64), -0.1, 0.11)
    found = []
    for picture in pictures[rng.choice(200, 100, replace=False)]:
        vector, _ = compose(None, picture, [], weights=(0.0, 1.0), negative_weight=0.5, calibration=known, scale=scale)
        found.append((vector - known.bank.mean(axis=0)) @ pictures[200:].T)
    assert np.std(found) == pytest.approx(0.11, rel=0.05)


def test_a_picture_of_unrelated_things_is_not_confident_and_itself_is() -> None:
    """Whatever the encoder's scale: the mean of unrelated pictures is far below the cut-off, 8 spreads above it far."""
    for spread, offset in ((0.05, -0.1), (0.2, 0.1)):
        scale = PictureScale(0.3 * unit(9, 16), offset, spread, 0.3)
        picture = unit(2, 16)
        _, reach = compose(None, picture, [], weights=(0.0, 1.0), negative_weight=0.5, calibration=KNOWN, scale=scale)
        base = KNOWN.null_mean + REACH_SHARE * KNOWN.usual_reach  # what μ gives with a picture
        for spreads, low, high in ((0.0, 0.0, 0.1), (5.07, 0.45, 0.55), (9.0, 0.9, 1.0)):
            cosine = base + KNOWN.null_spread / spread * (offset + spreads * spread)
            found = KNOWN.relevance(np.full((1, 4), cosine, np.float32), np.array([reach], np.float32))
            assert low <= float(found[0]) <= high


def test_labels_and_json() -> None:
    assert Query("a dog").to_json() == {"text": "a dog"}
    assert Query("a dog").label == "a dog"
    full = Query("a dog", Picture(Path("x/red.png")), ("snow", "night"), image_weight=0.25)
    assert full.label == "a dog + [red.png] − snow − night"
    assert full.to_json() == {
        "text": "a dog",
        "image": {"path": str(Path("x/red.png")), "at_s": None},
        "negatives": ["snow", "night"],
        "weights": {"text": 0.75, "image": 0.25, "negative": 0.5},
    }
    alone = Query(picture=Picture(Path("v.mp4"), 62.0)).to_json()
    assert alone["text"] == "[v.mp4 at 0:01:02.000]"
    assert alone["weights"] == {"text": 0.0, "image": 1.0, "negative": 0.0}


def test_from_files_to_vectors(tmp_path: Path, encoder: FakeEncoder, colours: Path) -> None:
    from PIL import Image

    Image.new("RGBA", (50, 40), (220, 20, 20, 255)).save(tmp_path / "red.png")
    known = calibrate(encoder, None)
    queries = [Query(picture=Picture(tmp_path / "red.png")), Query(picture=Picture(colours, 5.0)), "something red"]
    encoded = encode_queries(queries, encoder, known, None)
    assert encoded.vectors.shape == (3, encoder.dim)
    red, blue = encoder.encode_texts(["red", "blue"])
    for vector in encoded.vectors:
        assert vector @ red > vector @ blue + 0.3
    np.testing.assert_array_equal(encoded.vectors[2], encoder.encode_texts(["something red"])[0])


def test_a_photo_is_turned_upright(tmp_path: Path, encoder: FakeEncoder) -> None:
    from PIL import Image

    from rdmf_cli.pipeline.query import _photo

    picture = Image.new("RGB", (64, 32))
    picture.paste((255, 255, 255), (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise: left becomes top
    picture.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    frame = _photo(tmp_path / "turned.jpg", encoder)
    assert frame[:12].mean() > 240
    assert frame[-12:].mean() < 15


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"\xff\xd8\xff\xe0" + b"\0" * 30]
)
def test_not_an_image(tmp_path: Path, encoder: FakeEncoder, content: bytes) -> None:
    file = tmp_path / "photo.jpg"
    file.write_bytes(content)
    with pytest.raises(UsageError):
        encode_queries([Query(picture=Picture(file))], encoder, calibrate(encoder, None), None)


def test_no_image_or_a_folder(tmp_path: Path, encoder: FakeEncoder) -> None:
    for place in (tmp_path / "none.jpg", tmp_path):
        with pytest.raises(UsageError):
            encode_queries([Query(picture=Picture(place))], encoder, calibrate(encoder, None), None)


def test_the_scale_is_measured_once(store: Store, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration_module, "_demo_frames", _pictures)
    first = picture_scale(encoder, store)
    counted = encoder.num_images
    second = picture_scale(encoder, store)
    assert encoder.num_images == counted
    np.testing.assert_array_equal(first.mean, second.mean)
    assert (first.offset, first.spread, first.unrelated) == (second.offset, second.spread, second.unrelated)
    assert picture_scale(encoder, None).spread == pytest.approx(first.spread)


def _pictures(height_px: int, width_px: int) -> np.ndarray:
    shades = np.random.default_rng(0).integers(0, 255, (26, 1, 1, 3), dtype=np.uint8)
    return np.broadcast_to(shades, (26, height_px, width_px, 3))
