from __future__ import annotations

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from rdmf_cli.errors import OutputError, VideoError
from rdmf_cli.export import figures, palette, plot
from rdmf_cli.moments import Moment, Relevance
from tests import videos
from tests.export.findings import MOMENTS, finding_of

pytest.importorskip("matplotlib")
import itertools

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def curves(figure: Any) -> list[Any]:
    """The axes that hold a curve, from top to bottom."""
    return [axes for axes in figure.axes if axes.get_label()]


def drawn(finding: Any) -> Any:
    with figures.own_style():
        return plot.figure([finding])


def span(patch: Any) -> tuple[float, float]:
    box = patch.get_path().get_extents() if not hasattr(patch, "get_x") else None
    return (box.x0, box.x1) if box is not None else (patch.get_x(), patch.get_x() + patch.get_width())


def test_moments_are_bands_where_they_are() -> None:
    [axes] = curves(drawn(finding_of()))
    for rank, moment in enumerate(MOMENTS, start=1):
        [band] = [patch for patch in axes.patches if patch.get_label() == f"moment {rank}"]
        assert span(band) == pytest.approx((moment.start_s, moment.end_s))
    assert axes.get_xlim() == pytest.approx((0, 3.0), abs=0.05)
    ranks = {text.get_text(): text.xy[0] for text in axes.texts}
    assert ranks == pytest.approx({"1": 1.6, "2": 0.4})


def test_the_curve_is_the_saliency() -> None:
    finding = finding_of()
    [axes] = curves(drawn(finding))
    [line] = [patch for patch in axes.patches if patch.get_label() == "saliency"]
    values, edges, _ = line.get_data()
    np.testing.assert_allclose(values, finding.saliency, atol=1e-6)
    assert edges[-1] == finding.duration_s


def test_shots_are_ticks() -> None:
    [axes] = curves(drawn(finding_of()))
    [ticks] = [lines for lines in axes.collections if lines.get_label() == "cuts"]
    assert [segment[0][0] for segment in ticks.get_segments()] == pytest.approx([0.6, 1.2, 2.0])
    [bare] = curves(drawn(replace(finding_of(), cuts_s=())))
    assert not bare.collections


def test_frames_stand_along_the_axis() -> None:
    figure = drawn(finding_of())
    [strip] = [axes for axes in figure.axes if axes.images]
    [curve] = curves(figure)
    assert strip.get_position().x0 == curve.get_position().x0
    assert strip.get_position().x1 == curve.get_position().x1
    assert strip.get_position().y0 > curve.get_position().y1
    shown = [videos.number_of(np.asarray(image.get_array())) for image in strip.images]
    assert shown == sorted(shown)
    assert len(set(shown)) == len(shown) > 5


def test_queries_are_rows_and_videos_blocks() -> None:
    other = videos.odd_size()
    findings = [finding_of(query="a"), finding_of(query="b"), finding_of(other, "a")]
    with figures.own_style():
        figure = plot.figure(findings)
    assert [axes.get_label() for axes in curves(figure)] == ["a", "b", "a"]
    tops = [axes.get_position().y1 for axes in curves(figure)]
    assert tops == sorted(tops, reverse=True)
    assert sum(bool(axes.images) for axes in figure.axes) == 2
    boxes = [axes.get_position() for axes in figure.axes]
    for one, two in itertools.pairwise(boxes):
        assert one.y0 >= two.y1 - 1e-9  # nothing lies over another
    assert min(box.y0 for box in boxes) > 0


def test_pixels_have_the_moments_colours() -> None:
    picture = np.asarray(Image.open(io.BytesIO(plot.plot([finding_of()], ".png"))).convert("RGB")).astype(int)
    for colour in (palette.BEST, palette.OTHER, palette.CURVE):
        rgb = [int(colour[at : at + 2], 16) for at in (1, 3, 5)]
        assert (np.abs(picture - rgb).sum(axis=2) < 12).sum() > 100, colour
    nothing = replace(finding_of(), moments=(), relevance=Relevance(0.3, 0.5))
    without = np.asarray(Image.open(io.BytesIO(plot.plot([nothing], ".png"))).convert("RGB")).astype(int)
    orange = [int(palette.OTHER[at : at + 2], 16) for at in (1, 3, 5)]
    assert (np.abs(without - orange).sum(axis=2) < 12).sum() == 0


def test_no_moment_is_said() -> None:
    nothing = replace(finding_of(), moments=(), relevance=Relevance(0.3, 0.5))
    figure = drawn(nothing)
    assert "no confident match (relevance 0.30 < 0.50)" in [text.get_text() for text in figure.texts]
    [axes] = curves(figure)
    assert not [patch for patch in axes.patches if patch.get_label().startswith("moment")]


@pytest.mark.parametrize("suffix", plot.SUFFIXES)
@pytest.mark.parametrize(
    "query", ["$x_1$ & \\frac{ </svg> <script>alert(1)</script>", "犬が走る 🐕 שלום", "a\udcff\x00\x1b[2J", "w" * 3000]
)
def test_any_text_is_drawn(suffix: str, query: str) -> None:
    content = plot.plot([finding_of(query=query)], suffix)
    if suffix == ".png":
        assert Image.open(io.BytesIO(content)).format == "PNG"
        return
    root = ElementTree.fromstring(content)
    assert not [node for node in root.iter() if node.tag.endswith("script")]
    links = [value for node in root.iter() for name, value in node.attrib.items() if name.endswith("href")]
    assert all(link.startswith(("#", "data:image/")) for link in links)


@pytest.mark.parametrize("sign", ["w", "il ", "犬"])
@pytest.mark.parametrize("relevance", [0.8, 0.3])
def test_a_long_query_leaves_room_for_the_relevance(sign: str, relevance: float) -> None:
    with figures.own_style():
        figure = plot.figure([finding_of(query=sign * 400, relevance=relevance)])
        renderer = FigureCanvasAgg(figure).get_renderer()
        [query] = [text for text in figure.texts if text.get_text().startswith("“")]
        [said] = [text for text in figure.texts if "relevance" in text.get_text()]
        gap = said.get_window_extent(renderer).x0 - query.get_window_extent(renderer).x1
    assert gap > 0
    assert query.get_text().endswith("…")


def test_the_same_answer_gives_the_same_file() -> None:
    for suffix in plot.SUFFIXES:
        assert plot.plot([finding_of()], suffix) == plot.plot([finding_of()], suffix)


def test_a_moment_beyond_the_end_and_an_empty_curve() -> None:
    odd = replace(
        finding_of(), moments=(Moment(2.9, 99.0, 0.5, 3.0),), times_s=np.zeros(0), saliency=np.zeros(0, np.float32)
    )
    [axes] = curves(drawn(odd))
    assert axes.get_xlim()[1] == pytest.approx(3.0, abs=0.05)


def test_many_answers_are_still_a_picture_that_viewers_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plot, "_draw_video", lambda page, group: None)
    one = finding_of()
    many = [replace(one, info=replace(one.info, path=Path(str(number)))) for number in range(plot.MOST_ROWS)]
    with figures.own_style():
        assert plot.figure(many).get_figheight() * figures.DPI < 32000  # a block each is the worst case
    kept: list[int] = []
    monkeypatch.setattr(plot, "figure", lambda findings: kept.append(len(findings)) or Figure())
    plot.plot([*many, one, one], ".png")
    assert kept == [plot.MOST_ROWS]


def test_without_matplotlib_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    with pytest.raises(OutputError, match="needs matplotlib") as error:
        plot.plot([finding_of()], ".png")
    assert "pip install 'rdmf-cli[plot]'" in error.value.hint


def test_a_video_that_is_gone(tmp_path: Path) -> None:
    finding = finding_of()
    gone = replace(finding, info=replace(finding.info, path=tmp_path / "gone.mp4"))
    with pytest.raises(VideoError, match="not there any more"):
        plot.plot([gone], ".png")


def test_nothing_is_imported_before_it_draws() -> None:
    code = "import sys, rdmf_cli.export.plot; sys.exit('matplotlib' in sys.modules)"
    root = str(Path(__file__).resolve().parents[2])
    assert subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": root}).returncode == 0
