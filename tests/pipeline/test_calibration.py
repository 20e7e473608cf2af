"""What a cosine means: the background bank and the relevance made from it, once per encoder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.fusion.inputs import REACH_SHARE
from rdmf_cli.media.probe import probe
from rdmf_cli.pipeline import calibration
from rdmf_cli.pipeline.calibration import Calibration, background_queries, calibrate
from rdmf_cli.store import Store
from tests.fakes import FakeEncoder


def unit(seed: int, *shape: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


NOTHING = np.zeros(1, np.float32)


class Knowing(FakeEncoder):
    """Knows what its sentences reach on photographs: all the same."""

    def reach(self, vectors: np.ndarray) -> np.ndarray:
        return np.full(len(vectors), 0.2, np.float32)


def test_the_background_queries_are_plain_sentences() -> None:
    queries = background_queries()
    assert len(queries) >= 200
    assert len({query.casefold() for query in queries}) == len(queries)
    assert all(query == query.strip() and "\t" not in query for query in queries)
    assert background_queries() is queries


def test_made_once_per_encoder(store: Store, encoder: FakeEncoder) -> None:
    first = calibrate(encoder, store)
    counted = encoder.num_texts, encoder.num_images
    second = calibrate(encoder, store)
    assert (encoder.num_texts, encoder.num_images) == counted
    np.testing.assert_array_equal(first.bank, second.bank)
    assert (first.null_mean, first.null_spread) == (second.null_mean, second.null_spread)
    other = FakeEncoder(seed=1)
    calibrate(other, store)
    assert other.num_texts == len(background_queries())


def test_without_a_store(encoder: FakeEncoder) -> None:
    found = calibrate(encoder, None)
    assert found.bank.shape == (len(background_queries()), encoder.dim)
    assert np.isfinite([found.null_mean, found.null_spread]).all()
    assert found.null_spread > 0


@pytest.mark.parametrize("shape", [(3, 32), (299, 16), (0, 32)])
def test_a_cache_of_another_shape_is_not_used(store: Store, encoder: FakeEncoder, shape: tuple[int, int]) -> None:
    store.save_array(f"calibration-{calibration.VERSION}-{encoder.fingerprint}", np.zeros(shape, np.float32))
    assert calibrate(encoder, store).bank.shape == (len(background_queries()), encoder.dim)
    assert encoder.num_texts == len(background_queries())


def test_relevance_is_a_probability_that_grows_with_the_best_cosine() -> None:
    known = Calibration(unit(0, 50, 16), 0.0, 0.1)
    best = np.linspace(-1, 1, 41, dtype=np.float32)
    found = [float(known.relevance(np.array([[-1.0, c, c, c]], np.float32), NOTHING)[0]) for c in best]
    assert found == sorted(found)
    assert 0 <= found[0] < 0.1
    assert 0.9 < found[-1] <= 1


def test_relevance_of_a_batch_equals_one_by_one() -> None:
    known = Calibration(unit(0, 50, 16), 0.0, 0.1)
    cosines = np.random.default_rng(2).uniform(-0.2, 0.6, (4, 30)).astype(np.float32)
    reach = np.array([0.0, 0.1, 0.2, 0.4], np.float32)
    alone = [known.relevance(cosines[i : i + 1], reach[i : i + 1])[0] for i in range(4)]
    np.testing.assert_allclose(known.relevance(cosines, reach), alone, atol=1e-6)


def test_a_spread_of_nothing_divides_by_nothing() -> None:
    packed = np.zeros((5, 16), np.float32)
    packed[:4] = unit(0, 4, 16)
    known = calibration._unpacked(packed)
    assert np.isfinite(known.relevance(np.full((2, 3), 0.9, np.float32), np.zeros(2, np.float32))).all()


def test_what_ordinary_photographs_reach_too_says_less() -> None:
    known = Calibration(unit(0, 50, 16), 0.0, 0.1)
    cosines = np.full((3, 5), 0.5, np.float32)
    found = known.relevance(cosines, np.array([0.1, 0.3, 0.6], np.float32))
    assert found[0] > found[1] > found[2]


def test_the_null_statistic_counts_what_the_encoder_knows_of_photographs(store: Store) -> None:
    plain, knowing = FakeEncoder(), Knowing()
    first, second = calibrate(plain, None), calibrate(knowing, store)
    assert (first.usual_reach, second.usual_reach) == (0.0, pytest.approx(0.2))
    assert second.null_mean == pytest.approx(first.null_mean - 0.2 * REACH_SHARE, abs=1e-5)
    assert calibrate(knowing, store).usual_reach == pytest.approx(0.2)  # from the store


def test_the_demo_video_is_what_unrelated_pictures_are(encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the real frames
    frames = calibration._demo_frames(32, 48)
    assert frames.shape[1:] == (32, 48, 3)
    assert frames.dtype == np.uint8
    assert len(frames) > 10


def test_the_demo_video_is_in_the_package() -> None:
    info = probe(Path(calibration.__file__).parents[1] / "demo.mp4")
    assert (info.width, info.height) == calibration._DEMO_SIZE
