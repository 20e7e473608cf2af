"""Intervals: their coverage, pairing, and what they do with queries that don't count."""

from __future__ import annotations

import numpy as np
import pytest

from rdmf_cli.evaluation import bootstrap
from rdmf_cli.evaluation.bootstrap import difference, interval, means, side_by_side


def test_means_leave_out_what_does_not_count():
    values = np.array([[1.0, np.nan], [0.0, 4.0], [2.0, np.nan]])
    assert means(values)(np.array([[1.0, 1, 1], [2, 0, 1], [0, 2, 0]])).tolist()[0] == [1.0, 4.0]
    drawn = means(values)(np.array([[2.0, 0, 1]]))
    assert drawn[0, 0] == pytest.approx(4 / 3)
    assert np.isnan(drawn[0, 1])


def test_interval_of_a_mean_is_the_known_one():
    values = np.random.default_rng(1).normal(5, 2, (400, 1))
    low, high = interval(means(values), 400)
    width = 1.96 * values.std() / 20
    assert low[0] == pytest.approx(values.mean() - width, abs=0.1 * width)
    assert high[0] == pytest.approx(values.mean() + width, abs=0.1 * width)


def test_intervals_cover_the_truth_about_as_often_as_they_say():
    rng = np.random.default_rng(3)
    samples = [rng.normal(0, 1, (80, 1)) for _ in range(200)]
    limits = [interval(means(sample), 80, num_resamples=400) for sample in samples]
    covered = np.mean([low[0] <= 0 <= high[0] for low, high in limits])
    assert 0.89 <= covered <= 0.99


def test_pairing_is_sharper_than_two_intervals():
    rng = np.random.default_rng(4)
    hard = rng.normal(0, 1, (200, 1))  # queries differ much, systems little
    first, second = means(hard + 0.1 + rng.normal(0, 0.05, (200, 1))), means(hard)
    low, high = interval(difference(first, second), 200)
    assert 0.08 < low[0] < high[0] < 0.12
    alone = interval(first, 200)
    assert high[0] - low[0] < (alone[1] - alone[0])[0] / 5
    nothing = interval(difference(first, first), 200)
    assert (nothing[0][0], nothing[1][0]) == (0, 0)


def test_the_same_seed_gives_the_same_interval(monkeypatch):
    statistic = side_by_side(means(np.arange(50.0)[:, None]), means(np.arange(50.0)[::-1, None] ** 2))
    whole = interval(statistic, 50)
    assert np.array_equal(whole, interval(statistic, 50))
    monkeypatch.setattr(bootstrap, "_DRAWS_AT_ONCE", 1234)  # blocks of another size draw the same queries
    np.testing.assert_allclose(whole, interval(statistic, 50))
    assert not np.array_equal(whole, interval(statistic, 50, seed=1))


def test_a_figure_that_no_resample_gives():
    low, high = interval(means(np.full((10, 1), np.nan)), 10, num_resamples=20)
    assert np.isnan(low[0])
    assert np.isnan(high[0])
