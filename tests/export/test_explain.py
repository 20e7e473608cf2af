"""The curves behind answers: what the JSON holds, and what the picture shows where."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rdmf_cli.export import explain, figures
from rdmf_cli.export.explain import Explained
from rdmf_cli.fusion.trace import Trace
from tests.export.findings import MOMENTS, finding_of

MODEL = {"name": "pattern", "kind": "pattern"}


def trace_of(num_channels: int, length: int) -> Trace:
    rng = np.random.default_rng(0)
    u, v = rng.random((2, num_channels, length), np.float32)
    lengths = tuple(2.0 ** (num_channels - channel) for channel in range(num_channels))
    affinity = rng.standard_normal(length).astype(np.float32)
    return Trace(affinity, u, v, v.mean(axis=0) if num_channels else affinity.clip(0), lengths)


def explained(num_channels: int = 1, **changes: Any) -> Explained:
    finding = replace(finding_of(), **changes)
    return Explained(finding, trace_of(num_channels, len(finding.times_s)))


def check_document(document: Any) -> None:
    """What docs/search-models.md says of it."""
    assert list(document) == ["schema", "encoder", "model", "results"]
    assert document["schema"] == "rdmf.explain/1"
    for result in document["results"]:
        length = len(result["times_s"])
        assert length > 0
        assert len(result["affinity"]) == len(result["activity"]) == len(result["saliency"]) == length
        for channel in result["channels"]:
            assert list(channel) == ["wavelength_s", "u", "v"]
            assert len(channel["u"]) == len(channel["v"]) == length
            assert min(channel["u"]) >= 0
            assert min(channel["v"]) >= 0
        asked = {"video", "query", "relevance", "moments"}
        assert set(result) == asked | {"cuts_s", "times_s", "affinity", "channels", "activity", "saliency"}


@pytest.mark.parametrize("num_channels", [0, 1, 3])
def test_json_holds_every_curve(num_channels: int) -> None:
    one = explained(num_channels)
    document = json.loads(explain.explain([one, one], ".json", encoder="lite", model=MODEL))
    check_document(document)
    assert (document["encoder"], document["model"]) == ("lite", MODEL)
    result = document["results"][1]
    assert [channel["wavelength_s"] for channel in result["channels"]] == list(one.trace.wavelengths_s)
    for name in ("u", "v"):
        kept = np.array([channel[name] for channel in result["channels"]]).reshape(one.trace.v.shape)
        np.testing.assert_allclose(kept, vars(one.trace)[name], atol=1e-4)
    assert [(m["start_s"], m["end_s"]) for m in result["moments"]] == [(m.start_s, m.end_s) for m in MOMENTS]


def test_json_has_no_nan() -> None:
    one = explained(1)
    bare = Explained(one.finding, replace(one.trace, wavelengths_s=(math.nan,)))
    document = json.loads(explain.explain([bare], ".json", encoder="lite", model=MODEL))
    assert document["results"][0]["channels"][0]["wavelength_s"] is None


@pytest.mark.parametrize("shape", [((1, 4), (1, 4), 5), ((2, 4), (1, 4), 4)])
def test_curves_belong_together(shape: tuple[Any, Any, int]) -> None:
    u, v, length = shape
    with pytest.raises(ValueError, match="curves of different length"):
        Trace(
            np.zeros(length, np.float32),
            np.zeros(u, np.float32),
            np.zeros(v, np.float32),
            np.zeros(4, np.float32),
            (1.0,),
        )


# --- pictures ---------------------------------------------------------------------------------------------------------


def drawn(*answers: Explained) -> Any:
    pytest.importorskip("matplotlib")
    with figures.own_style():
        return explain.figure(answers)


def rows(figure: Any) -> dict[str, Any]:
    return {axes.get_label(): axes for axes in figure.axes}


def test_one_channel_is_a_pair_of_curves() -> None:
    one = explained(1)
    found = rows(drawn(one))
    assert list(found) == ["affinity", "u", "saliency and moments"]
    for name, row, values in (("affinity", "affinity", one.trace.affinity), ("v", "u", one.trace.v[0])):
        [line] = [patch for patch in found[row].patches if patch.get_label() == name]
        heights, edges, _ = line.get_data()
        np.testing.assert_allclose(heights, values, atol=1e-6)
        assert edges[-1] == one.finding.duration_s


def test_many_channels_are_fields_in_the_order_of_their_wavelengths() -> None:
    one = explained(5)
    found = rows(drawn(one))
    assert list(found) == ["affinity", "v", "u", "activity", "saliency and moments"]
    [mesh] = [c for c in found["v"].collections if c.get_label() != "cuts"]
    np.testing.assert_allclose(mesh.get_array().reshape(5, -1), one.trace.v[::-1], atol=1e-6)  # the longest came first
    assert [label.get_text() for label in found["v"].get_yticklabels()] == ["2.0 s", "8.0 s", "32 s"]


def test_no_channel_leaves_the_activity() -> None:
    assert list(rows(drawn(explained(0)))) == ["affinity", "activity", "saliency and moments"]


def test_moments_and_cuts_stand_where_they_are() -> None:
    found = rows(drawn(explained(1)))
    for axes in found.values():
        [lines] = [lines for lines in axes.collections if lines.get_label() == "cuts"]
        assert [segment[0][0] for segment in lines.get_segments()] == pytest.approx([0.6, 1.2, 2.0])
    bands = found["saliency and moments"].patches
    for rank, moment in enumerate(MOMENTS, start=1):
        [band] = [patch for patch in bands if patch.get_label() == f"moment {rank}"]
        assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((moment.start_s, moment.end_s))


def test_a_long_video_keeps_its_peaks() -> None:
    times_s = np.arange(50_000) * 0.5
    one = explained(1, times_s=times_s, duration_s=25_000.0, saliency=np.zeros(50_000, np.float32), cuts_s=())
    one.trace.v[0, 31_234] = 7.5
    [line] = [patch for patch in rows(drawn(one))["u"].patches if patch.get_label() == "v"]
    heights, edges, _ = line.get_data()
    assert len(heights) <= 1200
    assert heights.max() == pytest.approx(7.5)
    assert edges[int(heights.argmax())] <= 31_234 * 0.5


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_file_is_the_same_each_time(suffix: str) -> None:
    pytest.importorskip("matplotlib")
    files = {explain.explain([explained(3)], suffix, encoder="lite", model=MODEL) for _ in range(2)}
    assert len(files) == 1
    assert files.pop().startswith((b"\x89PNG", b"<?xml"))


def test_one_snippet_and_a_query_in_no_alphabet() -> None:
    finding = finding_of(query="a \udcff <b> 雪 $x$")
    finding = replace(finding, times_s=np.zeros(1), saliency=np.ones(1, np.float32), duration_s=0.04, cuts_s=())
    drawn(Explained(finding, trace_of(1, 1)), Explained(finding, trace_of(4, 1)))
