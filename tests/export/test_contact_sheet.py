from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rdmf_cli.errors import VideoError
from rdmf_cli.export import contact_sheet as module
from rdmf_cli.export.contact_sheet import MOST_ROWS, SUFFIXES, contact_sheet, sheet
from rdmf_cli.export.lettering import font_for, shortened
from rdmf_cli.moments import Moment, Relevance
from tests import videos
from tests.export.findings import MOMENTS, finding_of


def frame_numbers(picture: Image.Image, top: int, height: int, width: int = 183) -> list[int]:
    """Numbers of the frames in the row that begins `top` px from above."""
    pixels = np.asarray(picture)
    step = (module._WIDTH - 2 * module._MARGIN - module._FACTS + module._GAP) / module._FRAMES
    lefts = [round(module._MARGIN + module._FACTS + place * step) for place in range(module._FRAMES)]
    return [videos.number_of(pixels[top : top + height, left : left + width]) for left in lefts]


def test_one_row_a_moment_from_its_first_frame_to_its_last() -> None:
    picture = sheet([finding_of()])
    height = 183 * 9 // 16 + 1
    assert frame_numbers(picture, module._HEADER, height) == [30, 34, 38, 42, 45, 49]
    second = module._HEADER + height + module._TIME_LINE + module._BETWEEN
    assert frame_numbers(picture, second, height) == [5, 7, 9, 11, 12, 14]


def test_ranks_have_their_colours() -> None:
    pixels = np.asarray(sheet([finding_of()]))
    assert ((pixels == (213, 94, 0)).all(axis=2)).sum() > 200
    assert ((pixels == (230, 159, 0)).all(axis=2)).sum() > 200


def test_answers_lie_below_each_other_and_no_match_is_said() -> None:
    nothing = replace(finding_of(query="a cat"), moments=(), relevance=Relevance(0.3, 0.5))
    both = sheet([finding_of(), nothing])
    assert both.height > sheet([finding_of()]).height > sheet([nothing]).height
    said = np.asarray(sheet([nothing]))[module._HEADER : module._HEADER + module._NO_MATCH]
    assert (said != 255).any()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_formats(suffix: str) -> None:
    with Image.open(io.BytesIO(contact_sheet([finding_of()], suffix))) as picture:
        assert picture.format == module._FORMATS[suffix]


def test_portrait_and_one_frame_and_damaged() -> None:
    for make in (videos.rotated, videos.one_frame, videos.damaged):
        finding = finding_of(make())
        length_s = finding.duration_s
        picture = sheet([replace(finding, moments=(Moment(0.0, length_s, 0.5, 0.0),))])
        assert picture.height < 500


def test_many_moments_are_still_a_picture_that_viewers_open() -> None:
    many = tuple(Moment(k * 0.01, k * 0.01 + 0.02, 0.5, k * 0.01) for k in range(MOST_ROWS + 30))
    picture = sheet([replace(finding_of(), moments=many), finding_of()])
    assert picture.height < 16383  # WebP ends there


@pytest.mark.parametrize("query", ["a\udcff\x00<b>", "犬が走る 🐕 שלום", "w" * 3000, ""])
def test_any_text_is_drawn(query: str) -> None:
    assert sheet([finding_of(query=query)]).width == module._WIDTH


def test_long_texts_are_shortened_to_fit() -> None:
    text = shortened("word " * 200, 16, 300)
    assert text.endswith("…")
    assert 250 < font_for(text, 16).getlength(text) <= 300
    assert shortened("short", 16, 300) == "short"


def test_a_video_that_is_gone(tmp_path: Path) -> None:
    finding = finding_of()
    with pytest.raises(VideoError, match="not there any more"):
        sheet([replace(finding, info=replace(finding.info, path=tmp_path / "gone.mp4"), moments=MOMENTS)])
