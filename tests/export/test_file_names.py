from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdmf_cli.export.names import beside, default_name, inside, plain

BAD = set('<>:"/\\|?*')


@pytest.mark.parametrize(
    ("videos", "queries", "name"),
    [
        (["a/holiday.mp4"], ["a dog jumps!"], "holiday-a-dog-jumps.srt"),
        (["a/holiday.mp4"], ["a dog", "a cat"], "holiday-moments.srt"),
        (["a.mp4", "b.mp4"], ["a dog"], "a-dog-moments.srt"),
        (["a.mp4", "b.mp4"], ["a dog", "a cat"], "moments.srt"),
        (["con.mp4"], ["?"], "con-moments.srt"),
        (["../a.mp4"], ["../../etc/passwd"], "a-etc-passwd.srt"),
        (["???.mp4"], ["!!!"], "moments.srt"),
        ([], [], "moments.srt"),
    ],
)
def test_default_names(videos: list[str], queries: list[str], name: str) -> None:
    assert default_name([Path(video) for video in videos], queries, ".srt") == name


@given(video=st.text(min_size=1, max_size=300), query=st.text(max_size=300))
def test_names_are_safe(video: str, query: str) -> None:
    name = default_name([Path(video.replace("\0", "") or "x")], [query], ".losslesscut.csv")
    assert not set(name) & BAD
    assert name.isprintable()
    assert len(name.encode("utf-8")) <= 255
    assert name[0] not in ".-"
    assert ".." not in name


def test_cut_between_letters() -> None:
    assert len(plain("ゴール" * 50).encode()) <= 60
    assert set(plain("ゴール" * 50)) <= set("ゴール")


def test_a_name_for_each_video() -> None:
    paths = [Path("a/holiday.mp4"), Path("b/Holiday.mp4"), Path("b/beach.mkv")]
    assert list(beside(Path("out/x.srt"), paths).values()) == [
        Path("out/x-holiday.srt"),
        Path("out/x-Holiday-2.srt"),  # some file systems take both for one
        Path("out/x-beach.srt"),
    ]
    assert beside(Path("out/x.srt"), paths[:1]) == {paths[0]: Path("out/x.srt")}
    for base, first in (("x.chapters.xml", "x-holiday.chapters.xml"), ("x", "x-holiday"), (".x", ".x-holiday")):
        assert beside(Path(base), paths)[paths[0]] == Path(first)


def test_names_in_a_folder_are_as_if_searched_alone() -> None:
    paths = [Path("a/holiday.mp4"), Path("b/holiday.mp4"), Path("beach.mp4")]
    assert list(inside(Path("out"), paths, ["a dog"], ".srt").values()) == [
        Path("out/holiday-a-dog.srt"),
        Path("out/holiday-a-dog-2.srt"),
        Path("out/beach-a-dog.srt"),
    ]
