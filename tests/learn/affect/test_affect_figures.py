"""Figures of predictions: those of rdmf_cli/evaluation, with null for 0/0."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rdmf_cli.evaluation.classification import confusion
from rdmf_cli.learn.affect.figures import figures, main_figure
from tests import affect_sets


def test_classes_are_counted_from_the_threshold_on():
    windows = affect_sets.windows(20)
    positive = windows.classes == 1
    scores = np.where(positive, 0.4, 0.3)
    predicted = np.stack([1 - scores, scores], axis=1)
    found = figures(predicted, windows, ("other", "violence"), 0.4)
    assert (found["binary_f1"], found["roc_auc"], main_figure(found)) == (1, 1, 1)
    assert main_figure(figures(predicted, windows, ("other", "violence"), 0.5)) == 0
    counts = confusion(positive, scores >= 0.4)[0]
    assert [found[name] for name in ("tn", "fp", "fn", "tp")] == counts.tolist()


def test_numbers_have_a_mean_and_constants_have_no_figure():
    windows = affect_sets.windows(20, regression=True)
    found = figures(windows.targets, windows, ("valence", "arousal"), None)
    assert found["mean"]["ccc"] == pytest.approx(1)
    assert main_figure(found) == found["mean"]["ccc"]
    constant = figures(np.zeros((20, 2)), windows, ("valence", "arousal"), None)
    assert constant["valence"]["pearson"] is None
    assert main_figure(constant) == 0.0
    json.dumps(constant, allow_nan=False)
