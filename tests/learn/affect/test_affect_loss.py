"""Losses: pinned to the formulas of rdmf_cli/evaluation and to hand-made cases."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rdmf_cli.evaluation.regression import agreement
from rdmf_cli.learn.affect.loss import (
    class_weights,
    classification_loss,
    concordance,
    rebuilding_loss,
    regression_loss,
)
from rdmf_cli.model import Rating


def rating(outputs: torch.Tensor) -> Rating:
    return Rating(outputs, {}, {})


@pytest.mark.parametrize("seed", range(5))
def test_concordance_is_that_of_the_evaluation(seed):
    rng = np.random.default_rng(seed)
    true = rng.uniform(-1, 1, (40, 2))
    predicted = 0.6 * true + 0.3 * rng.standard_normal((40, 2)) + 0.1 * seed
    expected = [agreement(predicted[:, i], true[:, i])["ccc"][0] for i in range(2)]
    np.testing.assert_allclose(concordance(torch.from_numpy(predicted), torch.from_numpy(true)), expected, rtol=1e-10)


def test_concordance_of_constants_is_a_number_with_gradients():
    predicted = torch.zeros(4, 1, requires_grad=True)
    concordance(predicted, torch.zeros(4, 1)).sum().backward()
    assert predicted.grad is not None
    assert torch.isfinite(predicted.grad).all()


def test_perfect_numbers_cost_nothing_and_tiny_batches_are_judged_by_distance():
    true = torch.tensor([[0.1], [0.5], [-0.3]])
    assert float(regression_loss(rating(true), true, 1.0)) == pytest.approx(0, abs=1e-6)
    assert float(regression_loss(rating(true[:2] + 0.5), true[:2], 9.0)) == pytest.approx(0.25)


def test_rare_classes_weigh_more():
    weights = class_weights(torch.tensor([0, 0, 0, 1]), 2)
    torch.testing.assert_close(weights, torch.tensor([4 / 6, 2.0]))
    outputs, targets = torch.zeros(1, 2), torch.eye(2)
    rare = classification_loss(rating(outputs), targets[1:], weights)
    assert float(rare / classification_loss(rating(outputs), targets[:1], weights)) == pytest.approx(3)


def test_rebuilding_is_the_mean_square_over_streams():
    rebuilt = {"image": torch.ones(2, 3), "motion": torch.zeros(2, 5)}
    means = {"image": torch.zeros(2, 3), "motion": torch.zeros(2, 5)}
    assert float(rebuilding_loss(Rating(torch.zeros(2, 2), rebuilt, means))) == 0.5
