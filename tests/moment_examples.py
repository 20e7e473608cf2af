"""Made-up examples that a tiny network can learn: where the affinity is high, there the moment is."""

from __future__ import annotations

from typing import Any

import numpy as np

from rdmf_cli.fusion.config import FusionConfig
from rdmf_cli.fusion.inputs import INPUT_NAMES, QUERY_NAMES
from rdmf_cli.heads.moments import HeadConfig
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.moments.recipe import MomentDataConfig, MomentRecipe, MomentTraining


def example(number: int, seed: int = 0, *, spacing_s: float = 2.0) -> Example:
    """One query on 12 to 40 snippets; every third matches nothing."""
    rng = np.random.default_rng([seed, number])
    length = int(rng.integers(12, 41))
    values = 0.5 * rng.standard_normal((length, len(INPUT_NAMES))).astype(np.float32)
    query = 0.3 * rng.standard_normal(len(QUERY_NAMES)).astype(np.float32)
    is_cut = np.zeros(length - 1, dtype=bool)
    windows = np.zeros((0, 2), np.float32)
    saliency = np.zeros(length, np.float32)
    affinity = INPUT_NAMES.index("affinity")
    values[:, affinity] -= 1
    if number % 3:
        start = int(rng.integers(1, length - 8))
        end = start + int(rng.integers(3, 7))
        windows = np.array([[start, end]], np.float32)
        values[start:end, affinity] += 4
        saliency[start:end] = 1
        is_cut[[start - 1, end - 1]] = True
        for name in ("relevance", "evidence"):
            query[QUERY_NAMES.index(name)] += 2
    distance = np.abs(rng.standard_normal(length - 1)).astype(np.float32) * 0.3
    return Example(
        name=f"{seed}-{number}",
        values=values,
        query=query,
        distance=distance,
        is_cut=is_cut,
        spacing_s=spacing_s,
        windows=windows,
        saliency=saliency,
        text=f"query {number}",
        cut_at=np.arange(1, length, dtype=np.float32),
    )


def examples(count: int, seed: int = 0) -> list[Example]:
    return [example(number, seed) for number in range(count)]


FUSION = FusionConfig(hidden=16, channels=4, num_steps=4, blocks=1, dropout=0.1)
HEAD = HeadConfig(num_slots=4, hidden=16, value_dim=8, edge_dim=8, coarse_layers=1, border_reach=(3,))


def recipe(**training: Any) -> MomentRecipe:
    """A quick training of a tiny network."""
    chosen = {"epochs": 4, "rounds": 4, "batch_size": 8, "learning_rate": 5e-3, **training}
    data = MomentDataConfig(training="train.npz", validation="validation.npz", layout="packs")
    return MomentRecipe(data, fusion=FUSION, head=HEAD, training=MomentTraining(**chosen))
