from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rdmf_cli.export.finding import apart, by_video, legible, outline, within
from rdmf_cli.moments import Relevance
from tests import videos
from tests.export.findings import finding_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("犬 – «see» 🐕", "犬 – «see» 🐕"),
        ("a\udcffb", "a\\udcffb"),
        ("a\ud83db", "a\\ud83db"),
        ("a\x00\x1bb\x9b", "a\\x00\\x1bb\\x9b"),
        ("two\nlines\tand\r\u2028more\u00a0", "two lines and  more "),
        ("evil\u202egpj.exe\u2066", "evilgpj.exe"),
        ("a\u200db", "a\u200db"),
    ],
)
def test_legible(text: str, expected: str) -> None:
    assert legible(text) == expected
    legible(text).encode("utf-8")


def test_the_outline_covers_the_video_and_loses_no_peak() -> None:
    rng = np.random.default_rng(0)
    times_s = np.arange(5000) / 2
    long = replace(finding_of(), duration_s=2500.0, times_s=times_s, saliency=rng.random(5000).astype(np.float32))
    edges, heights = outline(long, 600)
    assert len(heights) == len(edges) - 1 == 600
    assert (edges[0], edges[-1]) == (0.0, 2500.0)
    assert (np.diff(edges) > 0).all()
    assert heights.max() == pytest.approx(long.saliency.max())
    for time_s, value in zip(times_s[::97], long.saliency[::97], strict=True):
        assert heights[np.searchsorted(edges, time_s, side="right") - 1] >= value - 1e-6


def test_a_short_outline_is_as_measured() -> None:
    finding = finding_of()
    edges, heights = outline(finding, 600)
    np.testing.assert_allclose(edges[:-1], finding.times_s, atol=1e-9)
    np.testing.assert_allclose(heights, finding.saliency, atol=1e-6)


@pytest.mark.parametrize("times", [[], [5.0, 6.0]])
def test_an_outline_of_nothing(times: list[float]) -> None:
    empty = replace(finding_of(), duration_s=0.0, times_s=np.array(times), saliency=np.ones(len(times), np.float32))
    edges, heights = outline(empty, 600)
    assert edges[0] == 0 < edges[-1]
    assert heights.tolist() == [0.0]


def test_values_that_are_none_do_no_harm() -> None:
    odd = np.array([np.nan, 2.0, -1.0], np.float32)
    _, heights = outline(replace(finding_of(), times_s=np.array([0.0, 1.0, 2.0]), saliency=odd), 600)
    assert heights.tolist() == [0.0, 1.0, 0.0]


def test_verdicts() -> None:
    found = finding_of()
    assert found.verdict == ""
    assert replace(found, moments=()).verdict == "no moment scores high enough to be shown"
    nothing = replace(found, moments=(), relevance=Relevance(0.31, 0.5))
    assert nothing.verdict == "no confident match (relevance 0.31 < 0.50)"
    assert replace(nothing, moments=found.moments).verdict == nothing.verdict  # --all


def test_grouped_by_video_in_order() -> None:
    one, two = videos.constant_rate(), videos.odd_size()
    asked = [finding_of(one, "a"), finding_of(two, "a"), finding_of(one, "b")]
    assert [[f.query for f in group] for group in by_video(asked)] == [["a", "b"], ["a"]]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], []),
        ([5.0], [5.0]),
        ([0.0], [0.5]),
        ([10.0], [9.5]),
        ([8.0, 2.0], [8.0, 2.0]),
        ([5.2, 5.0], [6.0, 5.0]),
        ([9.8, 9.9, 0.1], [8.5, 9.5, 0.5]),
    ],
)
def test_labels_stand_apart(places: list[float], expected: list[float]) -> None:
    assert apart(places, 1.0, 10.0) == pytest.approx(expected)


def test_too_many_labels_close_up() -> None:
    moved = apart([5.0] * 40, 1.0, 10.0)
    assert moved == sorted(moved)
    assert min(moved) >= 0
    assert max(moved) <= 10
    assert np.diff(moved) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("start_s", "end_s", "edges", "heights"),
    [
        (1.0, 3.0, [1, 2, 3], [0.2, 0.3]),
        (1.5, 2.5, [1.5, 2, 2.5], [0.2, 0.3]),
        (1.2, 1.4, [1.2, 1.4], [0.2]),
        (0.0, 99.0, [0, 1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4]),
        (3.5, 99.0, [3.5, 4], [0.4]),
        (4.5, 5.0, [4, 4], [0.4]),  # beyond the end: nothing wide
    ],
)
def test_a_part_of_an_outline(start_s: float, end_s: float, edges: list[float], heights: list[float]) -> None:
    inside_edges, inside = within(np.arange(5.0), np.array([0.1, 0.2, 0.3, 0.4]), start_s, end_s)
    assert inside_edges.tolist() == edges
    assert inside.tolist() == heights
