"""What training minimises: cross-entropy with class weights, or 1 − CCC with a share of MSE; and the regulariser."""

from __future__ import annotations

import torch
from torch import Tensor

from rdmf_cli.model import Rating


def class_weights(classes: Tensor, num_classes: int) -> Tensor:
    """classes (N,) → (num_classes,), mean 1 over the data: a rare class counts as much as a common one."""
    counts = torch.bincount(classes, minlength=num_classes).clamp(min=1).float()
    return len(classes) / (num_classes * counts)


def concordance(predicted: Tensor, true: Tensor) -> Tensor:
    """CCC of each column, with gradients. predicted, true (B, C) → (C,).

    The same figure as evaluation/regression.py, to which a test pins it; a constant pair gives 0 here, not NaN.
    """
    x, y = predicted - predicted.mean(dim=0), true - true.mean(dim=0)
    apart = (predicted.mean(dim=0) - true.mean(dim=0)).square()
    together = (x * y).mean(dim=0)
    return 2 * together / (x.square().mean(dim=0) + y.square().mean(dim=0) + apart).clamp(min=1e-8)


def classification_loss(rating: Rating, targets: Tensor, weights: Tensor) -> Tensor:
    """Cross-entropy with the share of each class as target. targets (B, C), weights (C,) → ()."""
    return torch.nn.functional.cross_entropy(rating.outputs, targets, weight=weights)


def regression_loss(rating: Rating, targets: Tensor, mse_weight: float) -> Tensor:
    """1 − mean CCC over the batch + mse_weight · MSE. targets (B, C) → ().

    CCC of a batch of one or two windows says nothing; MSE alone is left there.
    """
    mse = (rating.outputs - targets).square().mean()
    if len(targets) < 3:
        return mse
    return 1 - concordance(rating.outputs, targets).mean() + mse_weight * mse


def rebuilding_loss(rating: Rating) -> Tensor:
    """Auto-encoding regulariser: mean squared error of what each GRU's state rebuilds of its stream → ()."""
    errors = [(rating.rebuilt[name] - rating.means[name]).square().mean() for name in rating.rebuilt]
    return torch.stack(errors).mean()
