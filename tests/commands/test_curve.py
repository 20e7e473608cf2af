"""The curve as text: every snippet shows, times stand where they belong."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdmf_cli.commands import curve
from rdmf_cli.moments import Moment


def test_a_column_is_the_highest_of_its_snippets() -> None:
    times = [0.0, 1.0, 2.0, 3.0]
    assert curve.columns(times, [0.1, 0.9, 0.2, 0.3], 4.0, 2) == [0.9, 0.3]
    assert curve.columns(times, [0.1, 0.9, 0.2, 0.3], 4.0, 8) == [0.1, 0.1, 0.9, 0.9, 0.2, 0.2, 0.3, 0.3]
    assert curve.columns([], [], 4.0, 3) == [0, 0, 0]
    assert curve.columns([0.0], [2.0], 4.0, 3) == [1, 1, 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=300), st.integers(1, 120))
def test_no_peak_is_lost(values: list[float], width: int) -> None:
    times = [0.5 * number for number in range(len(values))]
    heights = curve.columns(times, values, 0.5 * len(values), width)
    assert len(heights) == width
    assert max(heights) == max(values)


def test_rows() -> None:
    assert curve.rows([0.0, 1.0, 0.5, 1e-9]) == [" █  ", " █▄ ", " ██▁"]
    assert curve.rows([0.0, 1.0], unicode=False) == [" @", " @", " @"]


def test_marks_put_the_best_on_top() -> None:
    owner = curve.owners([Moment(2, 5, 0.9, 3), Moment(0, 3, 0.5, 1), Moment(9.99, 10.2, 0.1, 10)], 10.0, 10)
    assert owner == [2, 2, 1, 1, 1, 0, 0, 0, 0, 3]
    assert curve.marks(owner) == "2━━1━────3"
    assert curve.marks(owner, unicode=False) == "2==1=----3"
    assert curve.owners([Moment(0, 1, 1, 0)], 0.0, 3) == [0, 0, 0]


@pytest.mark.parametrize("duration_s", [0.04, 1, 26, 600, 3601, 86400, 1e7])
@pytest.mark.parametrize("width", [8, 38, 77, 300])
def test_axis_labels_stand_apart_and_where_they_belong(duration_s: float, width: int) -> None:
    line = curve.axis(duration_s, width)
    assert len(line) <= width
    assert line.startswith("╵0:00")
    for place, sign in enumerate(line):
        if sign == "╵":
            label = line[place + 1 :].split()[0]
            seconds = sum(int(part) * 60**power for power, part in enumerate(reversed(label.split(":"))))
            assert abs(seconds / duration_s * width - place) <= 1
            assert place == 0 or line[place - 1] == " "


def test_bar() -> None:
    assert [curve.bar(score, 4) for score in (0, 0.25, 0.5, 0.53, 1, 7)] == ["", "█", "██", "██▏", "████", "████"]
    assert curve.bar(0.5, 4, unicode=False) == "##"
