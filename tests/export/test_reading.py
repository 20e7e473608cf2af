from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from rdmf_cli.errors import UsageError
from rdmf_cli.export.reading import parse_answers, read_answers
from tests.export.documents import answer, document


def changed(*path: Any, to: Any = None, drop: bool = False) -> dict[str, Any]:
    """A document with one value replaced or gone."""
    whole = document()
    place: Any = whole
    for key in path[:-1]:
        place = place[key]
    if drop:
        del place[path[-1]]
    else:
        place[path[-1]] = to
    return whole


def test_a_whole_document() -> None:
    answers = read_answers({**document(), "failures": [{"path": "broken.mp4"}], "later": 1}, "r.json")
    first = answers.results[0]
    assert first.video.source_fps == Fraction(30000, 1001)
    assert (first.video.timecode, first.video.has_audio, first.video.is_variable_rate) == ("01:00:00;00", True, False)
    assert [(hit.rank, hit.moment.start_s) for hit in first.hits] == [(1, 15.015), (2, 37.2)]
    assert answers.paths == [Path("/videos/holiday.mp4"), Path("broken.mp4")]
    assert len(answers.queries) == 2


def test_documents_of_older_versions() -> None:
    old = answer()
    for key in ("variable_rate", "has_audio", "timecode"):
        del old["video"][key]
    video = read_answers(document(old), "r.json").results[0].video
    assert (video.timecode, video.has_audio, video.is_variable_rate) == (None, False, False)


@pytest.mark.parametrize("encode", [str.encode, lambda s: s.encode("utf-8-sig"), lambda s: s.encode("utf-16")])
def test_encodings_that_shells_write(encode: Callable[[str], bytes]) -> None:
    text = json.dumps(document(answer(query="ein Hund fährt")), ensure_ascii=False) + "\r\n"
    assert parse_answers(encode(text), "r.json").queries == ["ein Hund fährt"]


MOMENT = ("results", 0, "moments", 0)
VIDEO = ("results", 0, "video")
WRONG = [
    (changed("schema", to="rdmf.search/2"), r"rdmf\.search/2, but this rdmf reads rdmf\.search/1"),
    (changed("schema", to="other/1"), "not an answer of rdmf search"),
    (changed("schema", drop=True), "not an answer of rdmf search"),
    ([], "not an answer of rdmf search"),
    ("text", "not an answer of rdmf search"),
    (changed("results", drop=True), "has no 'results'"),
    (changed("results", to={}), "results is no list"),
    (changed("results", 0, to=3), r"results\[0\] is no object"),
    (changed(*VIDEO, "path", to=""), r"results\[0\]\.video\.path is no text"),
    (changed(*VIDEO, "path", to="a\0b"), "path is no text"),
    (changed(*VIDEO, "source_fps", to="0/1"), "source_fps is no frame rate"),
    (changed(*VIDEO, "source_fps", to="25/0"), "source_fps is no frame rate"),
    (changed(*VIDEO, "source_fps", to="fast"), "source_fps is no frame rate"),
    (changed(*VIDEO, "duration_s", to=0), "duration_s is 0"),
    (changed(*VIDEO, "width", to=1.5), "width is no whole number"),
    (changed(*VIDEO, "has_audio", to="yes"), "has_audio is neither true nor false"),
    (changed(*MOMENT, "start_s", to=-1), r"moments\[0\]\.start_s is no number"),
    (changed(*MOMENT, "start_s", to=float("nan")), "start_s is no number"),
    (changed(*MOMENT, "end_s", to=float("inf")), "end_s is no number"),
    (changed(*MOMENT, "end_s", to=10**400), "end_s is no number"),
    (changed(*MOMENT, "end_s", to=True), "end_s is no number"),
    (changed(*MOMENT, "end_s", to=15.015), "ends before it starts"),
    (changed(*MOMENT, "score", to=2), "score is no number from 0 to 1"),
    (changed(*MOMENT, "rank", to=0), "rank is no whole number"),
    (changed("results", 0, "query", "text", to=None), r"query\.text is no text"),
    (changed("results", 0, "saliency", "values", to=[0.5]), "3 times but 1 values"),
    (changed("failures", to=[1]), r"failures\[0\] is no object"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG, ids=[words[:40] for _, words in WRONG])
def test_one_line_says_what_is_wrong(wrong: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        read_answers(wrong, "r.json")
    assert str(caught.value).startswith("r.json: ")
    assert "\n" not in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "the file is empty"),
        (b"\xff\x00\xfe", "no JSON"),
        (b"WEBVTT\n", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b'{"pred_relevant_windows": []}\n{"pred_relevant_windows": []}\n', "--json is needed"),
    ],
)
def test_files_that_are_no_document(data: bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_answers(data, "r.json")
