"""What the benchmark of "no match" measures, on made-up sentences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.no_match import (
    FALSE_ALARMS,
    Asked,
    areas,
    as_markdown,
    drawn,
    general,
    measured,
    pairs,
    shown_at_one_cutoff,
)


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


def asked_for(cosines: np.ndarray, answers: list[np.ndarray]) -> Asked:
    """Sentences of which nothing else is known."""
    nothing, everything = np.zeros(len(answers), np.float32), np.arange(cosines.shape[1])
    return Asked(cosines, answers, [everything] * len(answers), nothing, nothing)


def test_pictures_that_answer_too_are_never_shown_against_a_sentence() -> None:
    """Every picture of the same kind is as good as another: only unlike ones stand against it."""
    kind = np.repeat([0, 1, 2, 3], 5)
    cosines = (kind == kind[:, None]).astype(np.float32)
    asked = asked_for(cosines, [np.flatnonzero(row) for row in cosines])
    trials = drawn(asked, np.arange(20), 6)
    assert trials.match.mean() == 0.5
    assert measured(asked, trials)["nothing"] == 1


def test_what_is_not_known_is_not_shown() -> None:
    """Pictures 5 to 9 would be taken for the answer."""
    cosines = np.tile(np.repeat([0, 1], 5), (4, 1)).astype(np.float32)
    asked = replace(asked_for(cosines, [np.array([0])] * 4), pictures=[np.arange(5)] * 4)
    assert drawn(asked, np.arange(4), 3).best.max() == 0


def test_one_cutoff_for_all_kinds() -> None:
    """Sentences of the second kind lie 1 lower: at a cut-off for both all false alarms are of the first kind."""
    cosines = np.random.default_rng(0).uniform(0, 1, (40, 50)) - np.repeat([0, 1], 20)[:, None]
    asked = asked_for(cosines.astype(np.float32), [np.array([number]) for number in range(40)])
    kinds = {name: drawn(asked, own, 8) for name, own in (("high", np.arange(20)), ("low", np.arange(20, 40)))}
    shown = shown_at_one_cutoff(asked, kinds)
    assert shown["high"][1] == pytest.approx(2 * FALSE_ALARMS, abs=0.05)
    assert shown["low"] == (0, 0)


def test_pairs_that_belong_together_are_told_apart() -> None:
    images = unit(1, 80, 32)
    texts = images + 0.1 * unit(2, 80, 32)
    found = pairs(texts, images, np.arange(80), 10)
    assert found["nothing"] > 0.99
    assert as_markdown({"made": found}, {"made": (0.5, 0.25)}, ["head"]).count("|") > 20
