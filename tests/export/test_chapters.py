from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdmf_cli.errors import OutputError
from rdmf_cli.export.chapters import (
    BEFORE,
    BETWEEN,
    LEAST_S,
    chapters_of,
    ffmetadata_text,
    matroska_text,
    youtube_stamps,
    youtube_text,
)
from tests import videos
from tests.export.documents import answer, selection_of

moments = st.lists(
    st.tuples(st.integers(0, 200_000), st.integers(1, 60_000)).map(lambda ms: (ms[0] / 1000, sum(ms) / 1000, 0.5)),
    min_size=1,
    max_size=12,
)


@given(found=moments)
def test_chapters_do_not_overlap(found: list[Any]) -> None:
    chapters = chapters_of(selection_of(answer(duration_s=300.0, moments=found)))
    starts = sorted({round(start * 1000) for start, _, _ in found})
    assert [chapter.start_ms for chapter in chapters] == starts
    assert all(chapter.start_ms < chapter.end_ms for chapter in chapters)
    assert all(one.end_ms <= other.start_ms for one, other in pairwise(chapters))


def test_moments_that_start_together_share_a_chapter() -> None:
    both = answer(moments=[(1.0, 2.0, 0.5)]), answer(query="a cat", moments=[(1.0, 5.0, 0.5)])
    (chapter,) = chapters_of(selection_of(*both))
    assert (chapter.title, chapter.end_ms) == ("a dog jumps / a cat", 5000)


@given(found=moments, extra_s=st.integers(0, 60))
def test_rules_of_youtube(found: list[Any], extra_s: int) -> None:
    duration_s = max(end for _, end, _ in found) + extra_s
    selection = selection_of(answer(query="Start", duration_s=duration_s, moments=found))
    stamps = youtube_stamps(chapters_of(selection), duration_s)
    seconds = [second for second, _ in stamps]
    assert seconds[0] == 0
    assert all(after - before >= LEAST_S for before, after in pairwise(seconds))
    if len(stamps) > 1:
        assert duration_s - seconds[-1] >= LEAST_S
    if len(stamps) < 3:
        with pytest.raises(OutputError, match="at least 3 chapters"):
            youtube_text(selection)
    else:
        assert len(youtube_text(selection).splitlines()) == len(stamps)


@pytest.mark.parametrize(
    ("found", "lines"),
    [
        # a gap before, one between that is long enough, one at the end
        ([(15.9, 26.2), (45.0, 46.0)], ["0:00 Start", "0:15 q", "0:27 In between", "0:45 q", "0:55 In between"]),
        # short moments get the ten seconds they need, the rest of the gap is its own
        ([(20.0, 21.0), (45.0, 50.0)], ["0:00 Start", "0:20 q", "0:30 In between", "0:45 q", "0:55 In between"]),
        # a gap that is too short belongs to the moment before; a moment that starts before ten seconds is first
        ([(4.0, 20.0), (29.0, 40.0)], ["0:00 q", "0:29 q", "0:40 In between"]),
        # closer than ten seconds: one chapter
        ([(12.0, 14.0), (15.0, 17.0), (30.0, 50.0)], ["0:00 Start", "0:12 q", "0:30 q", "0:50 In between"]),
        # too close to the end: starts ten seconds before it
        ([(20.0, 25.0), (63.0, 65.0)], ["0:00 Start", "0:20 q", "0:30 In between", "0:55 q"]),
    ],
)
def test_youtube(found: list[tuple[float, float]], lines: list[str]) -> None:
    whole = answer(query="q", duration_s=65.5, moments=[(*pair, 0.5) for pair in found])
    assert youtube_text(selection_of(whole)).splitlines() == lines
    assert (BEFORE, BETWEEN) == ("Start", "In between")


def test_youtube_refuses_and_says_why() -> None:
    short = selection_of(answer(duration_s=25.0, moments=[(1.0, 9.0, 0.9)]))
    with pytest.raises(OutputError, match=r"3 chapters of 10 s or more; in 0:00:25\.000 these moments give 2"):
        youtube_text(short)
    found = [(second, second + 11.0, 0.5) for second in range(0, 6000, 11)]
    with pytest.raises(OutputError, match="a description on YouTube holds 5000"):
        youtube_text(selection_of(answer(duration_s=6011.0, moments=found)))


def test_long_videos_have_hours() -> None:
    text = youtube_text(selection_of(answer(query="<q>" * 60, duration_s=4000.0, moments=[(3700.0, 3800.0, 0.9)])))
    assert text.splitlines()[1].startswith("1:01:40 ‹q›")
    assert max(map(len, text.splitlines())) <= len("0:00:00 ") + 100
    assert text.startswith("0:00:00 Start")


def test_ffmpeg_reads_ffmetadata(tmp_path: Path) -> None:
    title = "a=b; #c \\ d\ne"
    text = ffmetadata_text(selection_of(answer(query=title, moments=[(0.4, 1.2, 0.9), (2.0, 2.9, 0.5)])))
    (tmp_path / "chapters.txt").write_text(text, encoding="utf-8")
    out = tmp_path / "out.mkv"
    inputs = ("-i", videos.constant_rate(), "-i", tmp_path / "chapters.txt")
    videos.run_ffmpeg(*inputs, "-map_chapters", "1", "-c", "copy", out)
    with av.open(str(out)) as container:
        found = [(c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]) for c in container.chapters()]
    assert [(float(start), float(end)) for start, end, _ in found] == [(0.4, 1.2), (2.0, 2.9)]
    assert found[0][2]["title"] == "a=b; #c \\ d e"


def test_matroska_chapters() -> None:
    root = ElementTree.fromstring(matroska_text(selection_of(answer(query="ゴール <1>"))))
    atoms = list(root.iter("ChapterAtom"))
    assert [atom.findtext("ChapterTimeStart") for atom in atoms] == ["00:00:15.015000000", "00:00:37.200000000"]
    assert [atom.findtext("ChapterTimeEnd") for atom in atoms] == ["00:00:21.021000000", "00:00:46.800000000"]
    assert atoms[0].findtext("ChapterDisplay/ChapterString") == "ゴール <1>"
