from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks import temporal
from benchmarks.accuracy import Query


def video() -> Any:
    """Four snippets along one axis, a cut, four along another."""
    features = np.repeat(np.eye(2, 3, dtype=np.float32), 4, axis=0)
    change = np.zeros(8)
    change[4] = 0.9
    return SimpleNamespace(features=features, change=change, times_s=np.arange(8) / 2)


def test_a_mean_stays_in_its_shot() -> None:
    assert np.allclose(temporal.pooled(video(), 2, across_cuts=False), video().features)
    across = temporal.pooled(video(), 1, across_cuts=True)
    assert across[3] == pytest.approx(np.array([2, 1, 0]) / 5**0.5)


def test_every_row_has_its_figures() -> None:
    queries = [Query("a", "a dog jumping", ((0.0, 2.0),)), Query("a", "a sign", ((2.0, 4.0),)), Query("a", "a cat", ())]
    words = np.eye(3)
    result = temporal.evaluate(queries, {"a": video()}, words)
    assert (result["queries"], result["with a match"], result["of them with an action word"]) == (3, 2, 1)
    assert result["rows"]["single frames"] == {"all": 1.0, "action": 1.0, "others": 1.0, "auroc": 1.0}
    result |= {"encoder": "x", "commit": None, "machine_line": "y"}
    assert temporal.as_markdown(result).count("\n") == 5 + len(result["rows"])
