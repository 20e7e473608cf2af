"""What a network says about windows, and how good that is. The formulas are those of rdmf_cli/evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rdmf_cli.evaluation.regression import agreement
from rdmf_cli.evaluation.scores import class_document
from rdmf_cli.learn.affect.data import Ints, WindowSet
from rdmf_cli.model import AffectNetwork

_AT_ONCE = 256  # windows


def tensors(windows: WindowSet, names: tuple[str, ...], places: Ints) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Streams (B, K, D) and masks (B, K) of some windows."""
    found = {name: windows.gather(name, places) for name in names}
    streams = {name: torch.from_numpy(rows) for name, (rows, _) in found.items()}
    return streams, {name: torch.from_numpy(valid) for name, (_, valid) in found.items()}


def predict(network: AffectNetwork, windows: WindowSet, device: str = "cpu") -> NDArray[np.float64]:
    """(N, C): probabilities of the classes, or values in (-1, 1)."""
    parts = []
    for start in range(0, len(windows), _AT_ONCE):
        places = np.arange(start, min(start + _AT_ONCE, len(windows)))
        streams, valid = tensors(windows, network.config.fusion.streams, places)
        rated = network.rate(*({name: x.to(device) for name, x in part.items()} for part in (streams, valid)))
        parts.append(rated.double().cpu().numpy())
    return np.concatenate(parts)


def figures(
    predicted: NDArray[np.float64], windows: WindowSet, outputs: tuple[str, ...], threshold: float | None
) -> dict[str, Any]:
    """All figures of predictions (N, C). `threshold` None: numbers, with ccc, pearson and mse each and their means."""
    if threshold is not None:
        return class_document(predicted[:, -1], windows.classes == len(outputs) - 1, threshold)
    each = {
        name: {figure: float(value[0]) for figure, value in agreement(own, true).items()}
        for name, own, true in zip(outputs, predicted.T, windows.targets.T, strict=True)
    }
    each["mean"] = {
        figure: float(np.mean([row[figure] for row in each.values()])) for figure in ("ccc", "pearson", "mse")
    }
    # 0/0, where one side is constant: JSON has no word for it but null.
    return {
        name: {figure: None if np.isnan(value) else value for figure, value in row.items()}
        for name, row in each.items()
    }


def main_figure(found: dict[str, Any]) -> float:
    """What the best weights are chosen by: F1 of the positive class, or the mean CCC (none counts as 0)."""
    value = found["binary_f1"] if "binary_f1" in found else found["mean"]["ccc"]
    return 0.0 if value is None else float(value)
