from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rdmf_cli.errors import OutputError
from rdmf_cli.export.deliver import render
from rdmf_cli.export.escape import cell, one_line
from rdmf_cli.export.formats import NAMES
from tests.export.documents import answer, answers_of

# Anything JSON can hold: controls, separators, halves of surrogates, markup.
texts = st.text(st.characters(codec=None, exclude_characters="\0"), min_size=1, max_size=40)
PLAIN = [name for name in NAMES if name not in ("json", "jsonl", "otio")]


@given(text=texts)
def test_one_line_is_one_line(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    line.encode("utf-8")
    ElementTree.fromstring(ElementTree.tostring(_element(line)))  # XML can hold it


def _element(text: str) -> ElementTree.Element:
    element = ElementTree.Element("text")
    element.text = text
    return element


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", " =1", "＝1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert cell(text).startswith("'")


def test_other_cells_stay() -> None:
    assert cell("a=b, c") == "a=b, c"


@given(text=texts, path=texts)
@example(text="x", path="\ud800")
def test_no_text_breaks_a_format(text: str, path: str) -> None:
    plain = answers_of(answer("/videos/holiday.mp4", query="x"))
    nasty = answers_of(answer(f"/videos/{path}", query=text))
    for name in PLAIN:
        before, after = (render(answers, name, show_all=True).outputs[0].text for answers in (plain, nasty))
        if name == "csv":  # quotes keep lines together, and there is nothing to keep
            assert len(list(csv.reader(io.StringIO(after)))) == 3
        assert after.count("\n") == before.count("\n"), name
        assert len(after.splitlines()) == len(before.splitlines()), name
        after.encode("utf-8")


@given(text=texts)
def test_labels_come_back_from_xml(text: str) -> None:
    (output,) = render(answers_of(answer(query=text)), "fcpxml", show_all=True).outputs
    clip = next(ElementTree.fromstring(output.text).iter("asset-clip"))
    assert clip.get("name") == one_line(text)


def test_subtitles_hold_no_markup() -> None:
    answers = answers_of(answer(query="<b>x</b> {\\an8} --> &amp;"))
    (srt,) = render(answers, "srt", show_all=True).outputs
    assert not set("<{}") & set(srt.text)
    assert srt.text.count("-->") == 2
    (vtt,) = render(answers, "vtt", show_all=True).outputs
    assert "<" not in vtt.text
    assert vtt.text.count("-->") == 2
    assert "&lt;b&gt;x&lt;/b&gt; {\\an8} --&gt; &amp;amp;" in vtt.text


def test_refusals_name_the_video() -> None:
    rendered = render(answers_of(answer("/videos/x.mp4", source_fps="240")), "edl", show_all=True)
    assert isinstance(rendered.refusals[0], OutputError)
    assert "/videos/x.mp4: an EDL counts up to 100 frames a second, this video has 240" in str(rendered.refusals[0])
