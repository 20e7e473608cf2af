"""The accuracy benchmark on made-up answers, and once through the whole product."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import accuracy
from benchmarks.accuracy import Query, Said, Scores
from benchmarks.baselines import BASELINES
from rdmf_cli.learn.reliability import fit_logistic
from rdmf_cli.moments import Moment
from rdmf_cli.pipeline.modes import PATTERN_MODE
from rdmf_cli.store import Store, VideoFeatures
from tests.fakes import FakeEncoder
from tests.videos import run_ffmpeg

QUERIES = [
    Query("a.mp4", "long", ((0.0, 12.0),)),
    Query("a.mp4", "short", ((3.0, 4.5), (8.0, 9.0))),
    Query("a.mp4", "nothing", ()),
]
TIMES_S = np.arange(20.0)


def said(start_s: float, end_s: float, peak_s: float, relevance: float) -> Said:
    saliency = np.zeros(20)
    saliency[int(peak_s)] = 1.0
    return Said([Moment(start_s, end_s, 0.5, peak_s)], TIMES_S, saliency, relevance)


def scores_of(*answers: Said) -> Scores:
    scores = Scores()
    for query, answer in zip(QUERIES, answers, strict=True):
        scores.add(query, [answer])
    return scores


def test_figures_by_class_of_length() -> None:
    right = scores_of(said(0, 12, 5, 0.9), said(3, 4.5, 3, 0.8), said(0, 5, 2, 0.1))
    wrong = scores_of(said(15, 19, 16, 0.2), said(3, 4.5, 3, 0.3), said(0, 5, 2, 0.25))
    classes = accuracy.summarise(QUERIES, {"right": right, "wrong": wrong})
    assert {name: part["num_queries"] for name, part in classes.items()} == {"all": 2, "< 2 s": 1, "> 10 s": 1}
    assert classes["all"]["systems"]["right"] == {
        "hit_at_1": 1.0,
        "r1_30": 1.0,
        "r1_50": 1.0,
        "r1_70": 1.0,
        "map": 0.75,  # one of two short moments is missing
        "auroc": 1.0,
    }
    assert classes["all"]["systems"]["wrong"]["r1_50"] == 0.5
    assert classes["all"]["systems"]["wrong"]["auroc"] == 0.5
    assert classes["> 10 s"]["systems"]["wrong"]["auroc"] == 0.0


@pytest.mark.parametrize(("longest_s", "expected"), [(1.9, "< 2 s"), (2.0, "2-10 s"), (10.0, "2-10 s"), (11, "> 10 s")])
def test_class_is_that_of_the_longest_window(longest_s: float, expected: str) -> None:
    assert Query("a", "b", ((0.0, 1.0), (20.0, 20.0 + longest_s))).length_class == expected


def test_draws_count_as_their_mean() -> None:
    scores = Scores()
    scores.add(QUERIES[0], [said(0, 12, 5, 0.5), said(15, 19, 16, 0.5)])
    assert scores.values["r1_50"] == [0.5]


def test_paired_interval_is_seeded_and_covers_the_difference() -> None:
    first, second = np.array([1.0, 1, 1, 0, 1, 0] * 10), np.array([0.0, 1, 0, 0, 1, 1] * 10)
    apart = accuracy.paired_difference(first, second)
    assert apart == accuracy.paired_difference(first, second)
    assert apart["difference"] == pytest.approx(1 / 6)
    assert apart["low"] < 1 / 6 < apart["high"]
    assert accuracy.paired_difference(first, first) == {"difference": 0.0, "low": 0.0, "high": 0.0}


def test_baselines_see_what_was_stored() -> None:
    features = np.zeros((20, 3), np.float32)
    features[:, 0] = 1
    features[3:5] = (0, 1, 0)
    video = VideoFeatures(features, TIMES_S, np.zeros(20, np.float32), TIMES_S, 20.0)
    embeddings = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float32)
    scores = accuracy.baseline_scores(QUERIES, {"a.mp4": video}, embeddings)
    assert set(scores) == set(BASELINES)
    assert scores["threshold 1.0"].values["r1_70"][1] == 1.0
    assert scores["kadane"].relevance == [[1.0], [1.0], [0.0]]
    assert len(scores["random"].relevance[0]) == accuracy.RANDOM_DRAWS


def test_logistic_fit_recovers_its_curve() -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(-4, 8, 20_000)
    positive = rng.random(20_000) < 1 / (1 + np.exp(-1.5 * (values - 2.0)))
    slope, midpoint = fit_logistic(values, positive)
    assert slope == pytest.approx(1.5, abs=0.1)
    assert midpoint == pytest.approx(2.0, abs=0.2)
    assert np.isfinite(fit_logistic(np.array([0.0, 1.0, 5.0, 6.0]), np.array([False, False, True, True]))).all()


def test_the_whole_product_on_a_small_video(tmp_path: Path) -> None:
    shots = "".join(f"color={c}:s=64x48:r=10:d={d}[v{i}];" for i, (c, d) in enumerate((("red", 4), ("blue", 3))))
    run_ffmpeg("-f", "lavfi", "-i", f"{shots}[v0][v1]concat=n=2,format=yuv420p", tmp_path / "a.mp4")
    rows = [
        {"vid": "a.mp4", "query": "a red wall", "relevant_windows": [[0, 4]]},
        {"vid": "a.mp4", "query": "something blue", "relevant_windows": [[4, 7]]},
        {"vid": "a.mp4", "query": "a yellow bird", "relevant_windows": []},
    ]
    (tmp_path / "queries.jsonl").write_text("\n".join(map(json.dumps, rows)))
    encoder = FakeEncoder()
    with Store.open(tmp_path / "store") as store:
        result = accuracy.evaluate(
            tmp_path / "queries.jsonl", encoder=encoder, store=store, modes={accuracy.PATTERN: PATTERN_MODE}, fit=True
        )
    systems = result["classes"]["all"]["systems"]
    assert set(systems) == {accuracy.PATTERN, *BASELINES}
    assert systems["shots"]["r1_70"] == 1.0
    assert systems[accuracy.PATTERN]["hit_at_1"] == 1.0
    assert result["encoder"] == {"name": encoder.name, "fingerprint": encoder.fingerprint}
    assert json.loads(json.dumps(result)) == result
    text = accuracy.as_markdown(result)
    assert "| kadane" in text
    assert "Relevance fitted here" in text
