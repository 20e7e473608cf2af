"""Golden files of all formats. `python -m tests.export.test_formats` writes them anew; look at the difference."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from rdmf_cli.commands.options import ExportFormat
from rdmf_cli.export.deliver import render
from rdmf_cli.export.formats import NAMES, FilePerVideo, FormatName, format_of
from tests.export.documents import answer, answers_of

GOLDEN = Path(__file__).with_name("golden")


def golden(name: FormatName) -> Path:
    return GOLDEN / f"holiday{format_of(name).suffix}"


def made(name: FormatName) -> str:
    (output,) = render(answers_of(), name, show_all=False).outputs
    return output.text


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.skipif(os.name == "nt", reason="paths of POSIX in the golden files")
def test_golden(name: FormatName) -> None:
    wanted = golden(name).read_text(encoding="utf-8")
    if name == "otio":
        pytest.importorskip("opentimelineio")
        # The library's releases may add fields; what is ours has to stay.
        assert_holds(json.loads(made(name)), json.loads(wanted), "$")
    else:
        assert made(name) == wanted


def assert_holds(found: object, wanted: object, where: str) -> None:
    """`found` has everything of `wanted`."""
    if isinstance(wanted, dict):
        assert isinstance(found, dict), where
        for key, value in wanted.items():
            assert_holds(found[key], value, f"{where}.{key}")
    elif isinstance(wanted, list):
        assert isinstance(found, list), where
        assert len(found) == len(wanted), where
        for place, (one, other) in enumerate(zip(found, wanted, strict=True)):
            assert_holds(one, other, f"{where}[{place}]")
    else:
        assert found == wanted, where


def test_help_knows_all_formats() -> None:
    assert tuple(map(str, ExportFormat)) == NAMES


def test_suffixes_tell_formats_apart() -> None:
    assert len({format_of(name).suffix for name in NAMES}) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_file_per_video_only_where_it_has_to_be(name: FormatName) -> None:
    if name == "otio":
        pytest.importorskip("opentimelineio")
    rendered = render(answers_of(answer(), answer("/videos/beach.mp4")), name, show_all=False)
    assert not rendered.refusals
    paths = [Path("/videos/holiday.mp4"), Path("/videos/beach.mp4")]
    per_video = isinstance(format_of(name), FilePerVideo)
    assert [output.video for output in rendered.outputs] == (paths if per_video else [None])


@pytest.mark.parametrize("name", NAMES)
def test_answers_that_are_not_confident(name: FormatName) -> None:
    if name == "otio":
        pytest.importorskip("opentimelineio")
    answers = answers_of(answer(relevance=0.2))
    everything = name in ("json", "jsonl")
    assert bool(render(answers, name, show_all=False).outputs) == everything
    assert render(answers, name, show_all=True).outputs
    empty = answers_of(answer(moments=[]))
    assert bool(render(empty, name, show_all=True).outputs) == everything


def test_moments_past_the_end_are_told() -> None:
    rendered = render(answers_of(answer(moments=[(58.0, 70.0, 0.9), (80.0, 90.0, 0.5)])), "srt", show_all=False)
    assert "00:00:58,000 --> 00:01:00,060" in rendered.outputs[0].text
    assert rendered.outputs[0].text.count("-->") == 1
    assert [line.partition(": ")[2] for line in rendered.warnings] == [
        "moment 1 of “a dog jumps” is cut at the end of the video, 0:01:00.060",
        "moment 2 of “a dog jumps” starts after the end of the video and is left out",
    ]


def test_one_video_refused_leaves_the_others() -> None:
    short = answer("/videos/short.mp4", duration_s=25.0, moments=[(1.0, 9.0, 0.9)])
    rendered = render(answers_of(short, answer()), "youtube", show_all=False)
    assert [output.video for output in rendered.outputs] == [Path("/videos/holiday.mp4")]
    assert "short.mp4: YouTube wants at least 3 chapters" in str(rendered.refusals[0])


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for each in NAMES:
        golden(each).write_text(made(each), encoding="utf-8", newline="")
