"""Metrics against published result files, small cases worked out by hand, and slow definitions."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdmf_cli.evaluation.metrics import (
    TIOU_THRESHOLDS,
    auroc,
    average_precisions,
    hit_at_1,
    mean_ap,
    r1_at,
)

CHECKOUT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("RDMF_DATA") or CHECKOUT.parent / "shared" / "data") / "published" / "qvhighlights"


def read_lines(file: Path) -> dict[int, dict[str, Any]]:
    """A .jsonl file, plain or .gz, by qid."""
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8") as stream:
        return {row["qid"]: row for row in map(json.loads, stream)}


def published(name: str) -> tuple[list[Any], list[Any], dict[str, Any]]:
    """Predictions and true windows in one order, and the published figures in percent."""
    folder = DATA / "preds" / name
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    predictions = read_lines(next(folder.glob("*.jsonl*")))
    truths = read_lines(DATA / "gt" / "highlight_val_release.jsonl")
    figures = json.loads((folder / "val_metrics.published.json").read_text())
    return (
        [predictions[qid]["pred_relevant_windows"] for qid in truths],
        [row["relevant_windows"] for row in truths.values()],
        figures,
    )


def percent(value: float) -> float:
    return float(f"{100 * value:.2f}")


@pytest.mark.parametrize("name", ["qd_detr", "vtg_gpt"])
def test_published_figures_are_reproduced(name):
    predictions, truths, figures = published(name)
    expected = figures["full"]["MR-R1"]
    assert {key: percent(r1_at(predictions, truths, float(key))) for key in expected} == expected
    assert percent(mean_ap(predictions, truths)) == figures["brief"]["MR-full-mAP"]
    for key in ("0.5", "0.75", "0.95"):
        assert percent(mean_ap(predictions, truths, [float(key)])) == figures["full"]["MR-mAP"][key]


def test_thresholds_are_the_doubles_one_writes():
    assert TIOU_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)


def test_r1_looks_at_the_first_in_order():
    truth = [[0, 10], [50, 60]]
    assert r1_at([[[50, 60, 0.1], [90, 99, 0.9]]], [truth], 0.5) == 1
    assert r1_at([[[90, 99, 0.9], [50, 60, 0.1]]], [truth], 0.5) == 0
    assert r1_at([[[0, 5]], []], [truth, truth], 0.5) == 0.5


def test_average_precision_by_hand():
    truth = [[0, 10], [20, 30]]
    # hit, miss, hit: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1 -> 1/2 * 1 + 1/2 * 2/3
    rows = [[0, 10, 0.9], [50, 60, 0.8], [20, 30, 0.7]]
    assert average_precisions(rows, truth, [0.5])[0] == pytest.approx(0.5 + 1 / 3)
    # a second find of the same moment is a false alarm
    assert average_precisions([[0, 10, 0.9], [0, 10, 0.8]], [[0, 10]], [0.5])[0] == 1
    assert average_precisions([[0, 10, 0.9], [0, 10, 0.8]], truth, [0.5])[0] == 0.5
    # scores decide, not the order
    assert average_precisions([[50, 60, 0.1], [0, 10, 0.9]], [[0, 10]], [0.5])[0] == 1


def test_only_the_first_ten_windows_count():
    wrong = [[90 + i, 91 + i, 0.1] for i in range(10)]
    assert mean_ap([[*wrong, [0, 10, 0.9]]], [[[0, 10]]]) == 0
    assert mean_ap([[*wrong, [0, 10, 0.9]]], [[[0, 10]]], max_windows=11) == 1


def test_query_without_predictions_counts_as_nothing():
    assert mean_ap([[[0, 10, 1.0]], []], [[[0, 10]], [[0, 10]]]) == 0.5


def test_mistakes_are_refused():
    for predictions, truths in [([], []), ([[[0, 1, 1]]], []), ([[[0, 1, 1]]], [[]])]:
        with pytest.raises(ValueError):
            mean_ap(predictions, truths)
        with pytest.raises(ValueError):
            r1_at(predictions, truths, 0.5)
    with pytest.raises(ValueError, match="score"):
        mean_ap([[[0, 1]]], [[[0, 1]]])


SECONDS = st.integers(0, 40)
TRUTH = st.lists(st.tuples(SECONDS, st.integers(1, 20)).map(lambda p: (p[0], p[0] + p[1])), min_size=1, max_size=4)


@given(TRUTH, st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_truth_itself_is_perfect(truth, scores):
    truth = sorted(set(truth))
    rows = [[*window, score] for window, score in zip(truth, scores, strict=False)]
    assert mean_ap([rows], [truth]) == pytest.approx(1)
    assert r1_at([rows], [truth], 1.0) == 1


@given(TRUTH, TRUTH)
def test_higher_thresholds_are_harder_and_shares_stay_shares(truth, windows):
    rows = [[*window, 1 - 0.1 * rank] for rank, window in enumerate(windows)]
    found = average_precisions(rows, truth, [0.1, 0.3, 0.5, 0.7, 0.9])
    assert ((found >= 0) & (found <= 1 + 1e-12)).all()
    shares = [r1_at([rows], [truth], threshold) for threshold in (0.1, 0.3, 0.5, 0.7, 0.9)]
    assert shares == sorted(shares, reverse=True)


def test_hit_at_1():
    times_s = [0, 2, 4, 6]
    assert hit_at_1(times_s, [0, 1, 3, 2], [[4, 6]])
    assert not hit_at_1(times_s, [0, 1, 2, 3], [[4, 6]])  # the end is outside
    assert not hit_at_1(times_s, [0, 3, 3, 2], [[4, 6]])  # the first of equals
    assert hit_at_1(times_s, [0, 1, 3, 2], [[0, 1], [3, 5]])
    assert not hit_at_1(times_s, [0, 1, 3, 2], [])
    assert not hit_at_1([], [], [[0, 1]])
    with pytest.raises(ValueError):
        hit_at_1(times_s, [1, 2], [[0, 1]])


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=40))
def test_auroc_is_the_share_of_pairs_in_order(pairs):
    scores, labels = np.array([p[0] for p in pairs], dtype=float), np.array([p[1] for p in pairs])
    if labels.all() or not labels.any():
        with pytest.raises(ValueError):
            auroc(scores, labels)
        return
    difference = scores[labels][:, None] - scores[~labels][None, :]
    expected = np.mean((difference > 0) + 0.5 * (difference == 0))
    assert auroc(scores, labels) == pytest.approx(expected)
    assert auroc(-scores, labels) == pytest.approx(1 - expected)
    assert auroc(np.exp(scores), labels) == pytest.approx(expected)


def test_auroc_refuses_nan():
    with pytest.raises(ValueError):
        auroc([np.nan, 1], [0, 1])
