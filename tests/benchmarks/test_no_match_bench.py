"""What the benchmark of "no match" measures, on made-up sentences."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.no_match import Asked, areas, as_markdown, general, measured, pairs


def unit(seed: int, *shape: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test_a_sentence_is_not_near_itself() -> None:
    bank = unit(0, 20, 16)
    cosines = np.sort(bank @ bank.T, axis=1)[:, -4:-1]
    np.testing.assert_allclose(general(bank, bank), cosines.mean(axis=1), atol=1e-6)


def test_what_ordinary_pictures_reach_hides_who_answers_until_it_is_taken_off() -> None:
    """Matches lie 0.3 above what their sentence reaches anyway, which differs by more than that between sentences."""
    rng = np.random.default_rng(0)
    reach = rng.uniform(0, 1, 400).astype(np.float32)
    matches = np.arange(400) % 2 == 0
    best = reach + 0.3 * matches + rng.normal(0, 0.05, 400)
    found = areas(best, matches, np.zeros(400, np.float32), reach)
    assert found["nothing"] < 0.85 < 0.99 < found["1 of the reach"]
    assert found["reach alone"] == pytest.approx(0.5, abs=0.06)


def test_pictures_of_the_same_kin_are_never_shown_for_another() -> None:
    """Every picture of the other kin is as good as one's own: only unlike ones stand against it."""
    kin = np.repeat([0, 1, 2, 3], 5)
    cosines = (kin == kin[:, None]).astype(np.float32)
    asked = Asked(cosines, np.arange(20), kin, np.zeros(20, np.float32), np.zeros(20, np.float32))
    found = measured(asked, lambda rng: int(rng.integers(20)), 6)
    assert found["nothing"] == 1


def test_pairs_that_belong_together_are_told_apart() -> None:
    images = unit(1, 80, 32)
    texts = images + 0.1 * unit(2, 80, 32)
    found = pairs(texts, images, np.arange(80), 10)
    assert found["nothing"] > 0.99
    assert as_markdown({"made": found}, ["head"]).count("|") > 20
