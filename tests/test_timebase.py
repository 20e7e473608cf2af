"""Timecode names frames as SMPTE 12M does, and seconds become frames exactly."""

from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdmf_cli.timebase import drops_frames, frame_at, parse_timecode, timecode_base, timecode_text

DROP = (Fraction(30000, 1001), Fraction(60000, 1001))
RATES = (*DROP, Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30), Fraction(50), Fraction(60))
ODD = (Fraction(981, 50), Fraction(10900, 439), Fraction(15), Fraction(179, 6), Fraction(120000, 1001), Fraction(240))
frames = st.integers(0, 30 * 3600 * 60)


def in_a_day(rate: Fraction, drop: bool) -> int:
    base = timecode_base(rate)
    return 24 * 3600 * base - (24 * 54 * 2 * (base // 30) if drop else 0)


@pytest.mark.parametrize(
    ("frame", "name"),
    [
        (0, "00:00:00;00"),
        (1799, "00:00:59;29"),
        (1800, "00:01:00;02"),
        (17981, "00:09:59;29"),
        (17982, "00:10:00;00"),
        (107892, "01:00:00;00"),
        (2589407, "23:59:59;29"),
        (2589408, "00:00:00;00"),
    ],
)
def test_drop_frame_at_its_seams(frame: int, name: str) -> None:
    assert timecode_text(frame, Fraction(30000, 1001), drop=True) == name


@given(frame=frames, rate=st.sampled_from(RATES), drop=st.booleans())
def test_names_are_read_back(frame: int, rate: Fraction, drop: bool) -> None:
    drop = drop and drops_frames(rate)
    text = timecode_text(frame, rate, drop=drop)
    assert parse_timecode(text, rate) == (frame % in_a_day(rate, drop), drop)


@given(frame=frames, rate=st.sampled_from(DROP))
def test_drop_frame_skips_names_and_stays_with_the_clock(frame: int, rate: Fraction) -> None:
    hours, minutes, seconds, number = map(int, re.split("[:;]", timecode_text(frame, rate, drop=True)))
    left_out = timecode_base(rate) // 15
    assert not (minutes % 10 and seconds == 0 and number < left_out)
    shown = hours * 3600 + minutes * 60 + seconds + Fraction(number, timecode_base(rate))
    clock = frame % in_a_day(rate, True) / rate
    # Between two skips it runs up to two names late; a day adds 86 ms.
    assert abs(shown - clock) < Fraction(2, 30) + Fraction(9, 100)


@given(frame=st.integers(0, 24 * 3600 * 60), rate=st.sampled_from(RATES))
def test_names_are_those_of_opentimelineio(frame: int, rate: Fraction) -> None:
    opentime = pytest.importorskip("opentimelineio").opentime
    drop = drops_frames(rate)
    frame %= in_a_day(rate, drop)
    name = opentime.to_timecode(opentime.RationalTime(frame, float(rate)), float(rate), drop)
    assert timecode_text(frame, rate, drop=drop) == name


@pytest.mark.parametrize(
    "text", ["", "1:00:00:00", "00:00:00", "00:60:00:00", "00:00:60:00", "24:00:00:00", "00:00:00:25"]
)
def test_no_timecode_at_25(text: str) -> None:
    with pytest.raises(ValueError, match="timecode"):
        parse_timecode(text, Fraction(25))


def test_names_that_are_left_out_count_as_the_next() -> None:
    assert parse_timecode("00:01:00;00", Fraction(30000, 1001)) == (1800, True)
    assert parse_timecode("00:01:00;02", Fraction(30000, 1001)) == (1800, True)
    assert parse_timecode("00:01:00;02", Fraction(25)) == (1502, False)  # no drop-frame at this rate


def test_no_drop_frame_where_there_is_none() -> None:
    assert [rate for rate in (*RATES, *ODD) if drops_frames(rate)] == [*DROP, Fraction(120000, 1001)]
    with pytest.raises(ValueError, match="no drop-frame"):
        timecode_text(0, Fraction(25), drop=True)
    with pytest.raises(ValueError, match="240 frames"):
        timecode_text(0, Fraction(240), drop=False)


@given(frame=st.integers(0, 10 * 3600 * 240), rate=st.sampled_from((*RATES, *ODD)))
def test_a_time_in_whole_milliseconds_finds_its_frame(frame: int, rate: Fraction) -> None:
    assert frame_at(frame / rate, rate) == frame
    assert frame_at(round(float(frame / rate), 3), rate) == frame
    between = frame / rate + Fraction(1, 2) / rate
    assert frame_at(between, rate) == frame + 1  # a moment between two frames starts at the later one


def test_nothing_comes_before_the_first_frame() -> None:
    assert frame_at(0, Fraction(25)) == 0
    assert frame_at(Fraction(-1, 10), Fraction(25)) == 0
