"""AUROC and F1 of the relevance score."""

from __future__ import annotations

import numpy as np
import pytest

from rdmf_cli.evaluation.relevance import FIGURES, no_match, statistic

SCORES = np.array([0.9, 0.8, 0.3, 0.6, 0.1, 0.2])
ANSWERABLE = np.array([1, 1, 1, 0, 0, 0], dtype=bool)


def test_both_f1_are_named_after_their_positives():
    found = no_match(SCORES, ANSWERABLE, SCORES >= 0.5)
    assert found["AUROC"] == pytest.approx(8 / 9)
    assert found["F1-no-match"] == pytest.approx(2 / 3)
    assert found["F1-match"] == pytest.approx(2 / 3)
    found = no_match(SCORES, ANSWERABLE, SCORES >= 0.7)  # 2 of 3 shown, nothing shown wrongly
    assert found["F1-match"] == pytest.approx(2 * 2 / (2 * 2 + 1))
    assert found["F1-no-match"] == pytest.approx(2 * 3 / (2 * 3 + 1))


def test_the_statistic_of_everything_is_the_figure():
    called = SCORES >= 0.7
    row = statistic(SCORES, ANSWERABLE, called)(np.ones((1, 6)))[0]
    assert dict(zip(FIGURES, row, strict=True)) == pytest.approx(no_match(SCORES, ANSWERABLE, called))
