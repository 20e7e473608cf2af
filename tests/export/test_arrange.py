from __future__ import annotations

import numpy as np
import pytest

from rdmf_cli.export.arrange import arrange, fill, shortened
from rdmf_cli.moments import Moment

A, B, C = Moment(10, 14, 0.5, 12), Moment(15, 18, 0.9, 16), Moment(30, 31, 0.7, 30.5)


def spans(moments: list[Moment]) -> list[tuple[float, float]]:
    return [(moment.start_s, moment.end_s) for moment in moments]


def test_best_first_and_not_too_many() -> None:
    assert arrange([A, B, C], 60) == [B, C, A]
    assert arrange([A, B, C], 60, max_clips=2) == [B, C]
    assert arrange([], 60, pad_s=1, merge_gap_s=1) == []


def test_padding_stays_inside_the_video() -> None:
    assert spans(arrange([A], 60, pad_s=2)) == [(8, 16)]
    assert spans(arrange([Moment(1, 2, 1, 1), Moment(58, 60, 0.5, 59)], 60, pad_s=3)) == [(0, 5), (55, 60)]


def test_a_moment_past_the_end_is_left_alone() -> None:
    assert arrange([Moment(70, 75, 1, 71)], 60, pad_s=3) == [Moment(70, 75, 1, 71)]
    assert spans(arrange([Moment(59, 75, 1, 60)], 60, pad_s=3)) == [(56, 75)]


def test_close_ones_become_one_with_the_score_of_the_best() -> None:
    assert arrange([A, B, C], 60, merge_gap_s=1) == [Moment(10, 18, 0.9, 16), C]
    assert len(arrange([A, B, C], 60, merge_gap_s=0.5)) == 3
    assert spans(arrange([A, B, C], 60, pad_s=0.5, merge_gap_s=0)) == [(9.5, 18.5), (29.5, 31.5)]  # they touch now
    assert len(arrange([A, B, C], 60, pad_s=5)) == 3  # only where asked for


def test_fill_takes_the_best_and_shortens_the_last() -> None:
    chosen = fill([B, C, A], 5.5)
    assert chosen[:2] == [B, C]
    assert spans(chosen)[2] == (11.25, 12.75)  # around its peak
    assert fill([B], 100) == [B]
    assert fill([], 5) == []
    assert sum(moment.length_s for moment in fill([B, C, A], 8)) == 8


def test_shortened_keeps_the_peak() -> None:
    random = np.random.default_rng(0)
    for _ in range(100):
        start_s, length_s, peak, left_s = random.random(4) * (100, 10, 1, 10) + (0, 0.1, 0, 0.05)
        moment = Moment(start_s, start_s + length_s, 0.5, start_s + peak * length_s)
        short = shortened(moment, left_s)
        assert short.length_s == pytest.approx(min(length_s, left_s))
        assert moment.start_s <= short.start_s <= short.peak_s <= short.end_s <= moment.end_s + 1e-9
