"""Scores that are probabilities, and the pictures of a training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import OutputError
from rdmf_cli.learn import curves
from rdmf_cli.learn.curves import Events, draw_curves
from rdmf_cli.learn.reliability import cutoff_for, diagram, fit_scale, probabilities, reliability

PNG = b"\x89PNG"


def drawn(count: int, slope: float, offset: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and matches drawn with the probability sigmoid(slope · logit + offset)."""
    rng = np.random.default_rng(seed)
    logits = 2 * rng.standard_normal(count)
    return logits, rng.random(count) < 1 / (1 + np.exp(-(slope * logits + offset)))


def test_the_scale_that_made_the_data_is_found_again():
    logits, matched = drawn(20_000, 1.5, -0.8)
    slope, offset = fit_scale(logits, matched)
    assert slope == pytest.approx(1.5, abs=0.1)
    # As if both kinds had been as common: by Bayes, the odds of the two are taken off.
    share = matched.mean()
    assert offset == pytest.approx(-0.8 - np.log(share / (1 - share)), abs=0.1)


def test_how_many_match_does_not_move_the_scale():
    logits, matched = drawn(20_000, 1.0, 0.0)
    kept = matched | (np.arange(20_000) % 10 == 0)  # a tenth of those without a match
    assert fit_scale(logits[kept], matched[kept]) == pytest.approx(fit_scale(logits, matched), abs=0.15)


def test_one_kind_alone_or_a_score_that_says_the_opposite_leaves_it_as_it_is():
    assert fit_scale([1.0, 2.0], [True, True]) == (1.0, 0.0)
    assert fit_scale([3.0, 2.0, -1.0, -2.0], [False, False, True, True]) == (1.0, 0.0)
    slope, _ = fit_scale([-2.0, -1.0, 2.0, 3.0], [False, False, True, True])
    assert 0 < slope < np.inf


def test_probabilities_keep_their_word():
    logits, matched = drawn(4000, 0.5, 1.0)
    table = reliability(logits, matched)
    assert sum(row["count"] for row in table["bins"]) == 4000
    assert table["error"] < 0.03
    raw = np.mean(np.abs(probabilities(logits, (1.0, 0.0)) - probabilities(logits, (0.5, 1.0))))
    assert raw > 0.1  # what was not true before


def test_the_table_does_not_flatter():
    """Where the score says nothing, each half is judged with the other's scale."""
    rng = np.random.default_rng(1)
    table = reliability(rng.standard_normal(60), rng.random(60) < 0.5)
    assert table["error"] > 0.01


def test_the_cutoff_keeps_false_alarms_to_their_share():
    chances = np.concatenate([np.linspace(0, 1, 101), np.full(50, 0.9)])
    matched = np.arange(len(chances)) > 100
    assert cutoff_for(chances, matched, 1.0) == 0.5
    assert cutoff_for(chances, matched, 0.6) == 0.5  # half of them are below anyway
    found = cutoff_for(chances, matched, 0.2)
    assert found == pytest.approx(0.8)
    assert (chances[~matched] > found).mean() <= 0.2
    assert cutoff_for(chances[matched], matched[matched], 0.2) == 0.5  # nothing to be wrong about


def test_pictures():
    pytest.importorskip("matplotlib")
    history = [{"step": step, "loss": 1 / step, "map": None, "auroc": 0.5} for step in (1, 2)]
    assert draw_curves({0: history, 1: history}).startswith(PNG)
    assert draw_curves({0: []}).startswith(PNG)
    assert diagram(reliability(*drawn(100, 1, 0))["bins"]).startswith(PNG)
    assert diagram([]).startswith(PNG)


def test_no_pictures_without_matplotlib(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    assert draw_curves({0: []}) is None
    assert diagram([]) is None


def test_events_hold_the_whole_history(tmp_path: Path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for rows in ([1], [1, 2, 3]):  # the second one goes on, and writes the first round again
        with Events(tmp_path / "seed-0") as events:
            for step in rows:
                events.add({"step": step, "loss": 1 / step, "auroc": None})
    read = EventAccumulator(str(tmp_path / "seed-0")).Reload()
    assert read.Tags()["scalars"] == ["loss"]
    assert [row.step for row in read.Scalars("loss")] == [1, 2, 3]
    assert [row.value for row in read.Scalars("loss")] == pytest.approx([1, 0.5, 1 / 3])


def test_events_without_tensorboard_or_without_a_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Events(None) as events:
        events.add({"step": 1, "loss": 1.0})
    monkeypatch.setattr(curves, "find_spec", lambda name: None)
    with pytest.raises(OutputError, match="needs tensorboard"):
        Events(tmp_path)
