"""Moments told one by one are those of the whole video, however it comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdmf_cli.heads.closing import ClosingMoments, Stretch
from rdmf_cli.heads.decode import DecodeConfig, Timeline, moments_of
from rdmf_cli.moments import Moment

CONFIG = DecodeConfig()


def stretch_of(seed: int, length: int) -> Stretch:
    """Patterns of random length and height, with cuts here and there and gaps in the times."""
    chance = np.random.default_rng(seed)
    v = np.convolve(chance.uniform(0, 1, length) ** 3, [0.2, 0.6, 0.2], mode="same")[:length]
    v[v < 0.15] = 0
    starts_s = np.cumsum(chance.choice([0.5, 0.6], length))
    cut_s = np.where(chance.uniform(size=length) < 0.1, starts_s - 0.1, np.nan)
    cut_s[0] = np.nan
    return Stretch(v, v * 2 + chance.normal(size=length) * 0.1, starts_s - starts_s[0], cut_s)


def rounded(moments: list[Moment]) -> list[tuple[float, ...]]:
    return sorted(tuple(np.round([m.start_s, m.end_s, m.score, m.peak_s], 6)) for m in moments)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 80), st.integers(1, 12))
def test_a_stream_has_the_moments_of_the_whole(seed: int, length: int, chunk: int) -> None:
    whole = stretch_of(seed, length)
    end_s = float(whole.starts_s[-1]) + 0.5
    closing, told = ClosingMoments(CONFIG, longest=10_000), []
    for start in range(0, length, chunk):
        told += closing.push(whole[start : start + chunk])
    told += closing.finish(end_s)
    timeline = Timeline(whole.starts_s, whole.cut_s, end_s)
    expected = [moment for moment, _ in moments_of(whole.v, whole.evidence, timeline, CONFIG)]
    assert rounded(told) == rounded(expected)


def test_a_cut_that_is_known_ahead_closes_at_once() -> None:
    """Pushed shot by shot: the same moments, none of them late."""
    for seed in range(30):
        whole = stretch_of(seed, 60)
        ends = [*np.flatnonzero(~np.isnan(whole.cut_s)).tolist(), 60]
        closing, told, start = ClosingMoments(CONFIG, longest=10_000), [], 0
        for end in ends:
            following = whole[end : end + 2]
            unknown = Stretch(following.v * 0, following.v * 0, following.starts_s, following.cut_s)
            told += closing.push(whole[start:end], unknown if end < 60 else None)
            assert all(m.start_s < whole.starts_s[end] for m in told if end < 60)
            start = end
        told += closing.finish(float(whole.starts_s[-1]) + 0.5)
        timeline = Timeline(whole.starts_s, whole.cut_s, float(whole.starts_s[-1]) + 0.5)
        expected = [moment for moment, _ in moments_of(whole.v, whole.evidence, timeline, CONFIG)]
        assert rounded(told) == rounded(expected)


def test_a_moment_is_told_as_soon_as_it_is_over() -> None:
    v = np.array([0, 1, 1, 0, 0, 0, 0.0])
    whole = Stretch(v, v, np.arange(7.0), np.full(7, np.nan))
    closing = ClosingMoments(CONFIG, longest=100)
    told = [closing.push(whole[i : i + 1]) for i in range(7)]
    assert [len(moments) for moments in told] == [0, 0, 0, 0, 1, 0, 0]


def test_what_never_ends_is_told_in_pieces_and_forgotten() -> None:
    closing, told = ClosingMoments(CONFIG, longest=50), []
    for start in range(0, 400, 10):
        times = np.arange(start, start + 10.0)
        told += closing.push(Stretch(np.ones(10), np.ones(10), times, np.full(10, np.nan)))
        assert closing._kept is not None
        assert len(closing._kept.v) < 70
    assert len(told) >= 6
    assert all(m.length_s == pytest.approx(50, abs=12) for m in told)
    assert ClosingMoments(CONFIG, longest=5).finish(1.0) == []
