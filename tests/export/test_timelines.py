"""EDL, FCPXML and OpenTimelineIO, read back by readers that are not ours."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdmf_cli.errors import OutputError
from rdmf_cli.export.clips import cut_clip
from rdmf_cli.export.deliver import render
from rdmf_cli.export.edl import edl_text
from rdmf_cli.export.fcpxml import fcpxml_text
from rdmf_cli.export.model import Selection
from rdmf_cli.export.otio import otio_text
from rdmf_cli.export.timeline import doubts, editing_rate, timeline_of
from rdmf_cli.media.frames import Sampling, open_frames
from rdmf_cli.media.probe import probe
from rdmf_cli.media.tracks import tracks_of
from rdmf_cli.moments import Moment
from tests import videos
from tests.export.documents import answer, answers_of, selection_of

NTSC = Fraction(30000, 1001)
Cut = tuple[int, int, int]  # first source frame, frame behind the last, first frame on the timeline


@dataclass(frozen=True)
class Read:
    """What a reader found: frames of source and timeline as the file counts them."""

    cuts: list[Cut]


def read_edl(text: str, rate: Fraction) -> Read:
    """By OpenTimelineIO's CMX 3600 adapter, which knows the rates of SMPTE 12M."""
    otio = pytest.importorskip("opentimelineio")
    pytest.importorskip("otio_cmx3600_adapter")
    return _otio_cuts(otio.adapters.read_from_string(text, "cmx_3600", rate=float(rate)), rate)


def read_otio(text: str, rate: Fraction) -> Read:
    otio = pytest.importorskip("opentimelineio")
    return _otio_cuts(otio.adapters.read_from_string(text, "otio_json"), rate)


def _otio_cuts(timeline: Any, rate: Fraction) -> Read:
    start = timeline.global_start_time
    (track, *_) = timeline.video_tracks()
    cuts = []
    for clip in track.find_clips():
        source, record = clip.source_range, clip.range_in_parent()
        # The library counts in whole frames; floats of it are whole.
        times = (source.start_time, source.end_time_exclusive(), record.start_time)
        assert all(time.rate == pytest.approx(float(rate)) and time.value == int(time.value) for time in times)
        offset = int(start.value) if start is not None else 0
        cuts.append((int(times[0].value), int(times[1].value), int(times[2].value) + offset))
    return Read(cuts)


def read_fcpxml(text: str) -> Read:
    """As the format defines it: rational seconds, here of whole frames."""
    root = ElementTree.fromstring(text)
    form = root.find("resources/format")
    assert form is not None
    frame = rational(form.get("frameDuration"))
    cuts = []
    for clip in root.iter("asset-clip"):
        start, length, offset = (rational(clip.get(key)) / frame for key in ("start", "duration", "offset"))
        assert start.denominator == length.denominator == offset.denominator == 1
        cuts.append((int(start), int(start + length), int(offset)))
    return Read(cuts)


def rational(text: str | None) -> Fraction:
    assert text is not None
    assert text.endswith("s")
    return Fraction(text[:-1])


moments = st.lists(
    st.tuples(st.integers(0, 3_500_000), st.integers(1, 90_000)).map(
        lambda ms: (ms[0] / 1000, (ms[0] + ms[1]) / 1000, 0.5)
    ),
    min_size=1,
    max_size=8,
)
TIMECODED = [
    ("30000/1001", None),
    ("30000/1001", "00:59:50;00"),
    ("30000/1001", "10:00:00:00"),
    ("60000/1001", "01:02:03;58"),
    ("24000/1001", None),
    ("24", "23:00:00:00"),
    ("25", None),
    ("50", "01:00:00:49"),
    ("60", None),
]


@settings(max_examples=60, deadline=None)
@given(found=moments, source=st.sampled_from(TIMECODED))
def test_three_formats_say_the_same_frames(found: list[tuple[float, float, float]], source: Any) -> None:
    rate, timecode = source
    tags = {"timecode": timecode} if timecode else {}
    whole = answer(source_fps=rate, duration_s=3600.0, moments=found, **tags)
    if not timecode:
        del whole["video"]["timecode"]
    selection = selection_of(whole)
    exact = Fraction(rate)
    xml = read_fcpxml(fcpxml_text(selection))
    assert read_edl(edl_text(selection), exact) == Read([(a, b, c - xml.cuts[0][2]) for a, b, c in xml.cuts])
    assert read_otio(otio_text(selection), exact) == xml


@pytest.mark.parametrize("timecode", [None, "00:00:00;00", "00:00:00:00"])
def test_an_hour_of_ntsc_does_not_drift(timecode: str | None) -> None:
    """Each moment of an hour at 29.97 is found again less than a frame away, with and without drop-frame."""
    found = [(second + 0.25, second + 3.5, 0.5) for second in range(0, 3595, 61)]
    whole = answer(duration_s=3600.0, moments=found, timecode=timecode or "")
    if timecode is None:
        del whole["video"]["timecode"]
    cuts = read_edl(edl_text(selection_of(whole)), NTSC).cuts
    assert len(cuts) == len(found)
    for (source_in, source_out, _), (start_s, end_s, _) in zip(cuts, found, strict=True):
        assert abs(source_in / NTSC - Fraction(start_s)) < 1 / NTSC
        assert abs(source_out / NTSC - Fraction(end_s)) < 1 / NTSC


def test_drop_frame_where_it_applies() -> None:
    def counting(rate: str, timecode: str | None) -> tuple[str, str]:
        whole = answer(source_fps=rate)
        whole["video"].pop("timecode")
        if timecode:
            whole["video"]["timecode"] = timecode
        selection = selection_of(whole)
        mode = re.findall(r"FCM: (.*)", edl_text(selection))
        return mode[0], re.findall(r'tcFormat="(\w+)"', fcpxml_text(selection))[0]

    drop, whole_names = ("DROP FRAME", "DF"), ("NON-DROP FRAME", "NDF")
    assert counting("30000/1001", None) == drop
    assert counting("60000/1001", None) == drop
    assert counting("2997/100", None) == drop  # what some files call it
    assert counting("30000/1001", "01:00:00:00") == whole_names  # the camera counted without
    assert counting("24000/1001", None) == whole_names
    assert counting("25", "01:00:00;00") == whole_names


def test_source_timecode_is_that_of_the_file() -> None:
    selection = selection_of(answer(source_fps="25", timecode="10:11:12:13", moments=[(1.0, 2.0, 0.5)]))
    assert "10:11:13:13 10:11:14:13 01:00:00:00 01:00:01:00" in edl_text(selection)
    asset = ElementTree.fromstring(fcpxml_text(selection)).find("resources/asset")
    assert asset is not None
    assert rational(asset.get("start")) == ((10 * 60 + 11) * 60 + 12) + Fraction(13, 25)


def test_moments_follow_one_another_by_time() -> None:
    timeline = timeline_of(selection_of(answer(moments=[(30.0, 31.0, 0.9), (5.0, 7.0, 0.5), (6.0, 8.0, 0.4)])))
    assert [event.hit.rank for event in timeline.events] == [2, 3, 1]
    assert [event.record_in for event in timeline.events] == [0, 60, 120]
    assert timeline.length == 150


def test_every_event_is_a_frame_long_and_inside() -> None:
    tiny = answer(source_fps="25", duration_s=10.0, moments=[(1.001, 1.002, 0.5), (9.999, 10.0, 0.5)])
    timeline = timeline_of(selection_of(tiny))
    assert [(event.source_in, event.source_out) for event in timeline.events] == [(25, 26), (249, 250)]


@pytest.mark.parametrize(
    ("rate", "edits_at"),
    [
        ("30000/1001", NTSC),
        ("2997/100", NTSC),
        ("23976/1000", Fraction(24000, 1001)),
        ("181/6", Fraction(181, 6)),  # constant, if odd: exact
        ("25", Fraction(25)),
    ],
)
def test_rates_are_exact(rate: str, edits_at: Fraction) -> None:
    selection = selection_of(answer(source_fps=rate))
    assert editing_rate(selection.video) == edits_at
    frame = ElementTree.fromstring(fcpxml_text(selection)).find("resources/format")
    assert frame is not None
    assert 1 / rational(frame.get("frameDuration")) == edits_at


def test_variable_and_odd_rates_are_warned_of() -> None:
    variable = selection_of(answer(source_fps="2987/100", variable_rate=True))
    assert editing_rate(variable.video) == NTSC
    assert "variable frame rate (on average 29.87), timeline at 30000/1001" in doubts(variable)[0]
    assert "19.62 frames a second is no rate of video editors" in doubts(selection_of(answer(source_fps="981/50")))[0]
    assert doubts(selection_of(answer())) == []
    odd = selection_of(answer(source_fps="24", timecode="01:00:00:29"))
    assert "its timecode 01:00:00:29 makes no sense at 24" in doubts(odd)[0]
    assert timeline_of(odd).source_start == 0
    warned = render(answers_of(answer(source_fps="2987/100", variable_rate=True)), "edl", show_all=False)
    assert len(warned.warnings) == 1


def test_what_an_edl_cannot_hold() -> None:
    many = selection_of(answer(moments=[(n / 100, n / 100 + 0.5, 0.5) for n in range(1000)]))
    with pytest.raises(OutputError, match="1000 moments, but an EDL holds 999"):
        edl_text(many)
    with pytest.raises(OutputError, match="up to 100 frames a second"):
        edl_text(selection_of(answer(source_fps="120000/1001")))
    assert "00:00:00:50" in edl_text(
        selection_of(answer(source_fps="100", timecode="00:00:00:00", moments=[(0.5, 1, 1)]))
    )


# What Apple's DTD 1.10 says of the elements we use: children, attributes that must be there, others that may.
DTD = {
    "fcpxml": ("resources library", {"version"}, set()),
    "resources": ("format asset", set(), set()),
    "format": ("", {"id"}, {"name", "frameDuration", "width", "height", "colorSpace"}),
    "asset": (
        "media-rep",
        {"id"},
        {
            "name",
            "start",
            "duration",
            "hasVideo",
            "format",
            "hasAudio",
            "videoSources",
            "audioSources",
            "audioChannels",
        },
    ),
    "media-rep": ("", {"src"}, {"kind"}),
    "library": ("event", set(), {"location"}),
    "event": ("project", set(), {"name"}),
    "project": ("sequence", set(), {"name"}),
    "sequence": ("spine", {"format"}, {"duration", "tcStart", "tcFormat"}),
    "spine": ("(asset-clip ?)*", set(), {"name", "format"}),
    "asset-clip": ("note", {"ref"}, {"offset", "name", "start", "duration", "tcFormat", "format"}),
    "note": ("", set(), set()),
}


def test_fcpxml_as_final_cut_wants_it() -> None:
    """What Apple's DTD 1.10 asks for, and that references lead somewhere."""
    text = fcpxml_text(selection_of(answer("/videos/a & b <1>.mp4")))
    assert text.startswith('<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n<fcpxml version="1.10">')
    root = ElementTree.fromstring(text)
    for element in root.iter():
        children, required, others = DTD[element.tag]
        assert re.fullmatch(children, " ".join(child.tag for child in element)), element.tag
        assert required <= set(element.attrib) <= required | others, element.tag
    asset = root.find("resources/asset")
    assert asset is not None
    assert asset[0].get("src", "").endswith("/videos/a%20%26%20b%20%3C1%3E.mp4")
    ids = {element.get("id") for element in root.iter() if element.get("id")}
    assert {clip.get("ref") for clip in root.iter("asset-clip")} <= ids
    assert [asset.get("format")] == [sequence.get("format") for sequence in root.iter("sequence")]
    sequence = next(root.iter("sequence"))
    assert rational(sequence.get("duration")) == sum(rational(clip.get("duration")) for clip in root.iter("asset-clip"))


def test_fcpxml_is_opened_by_the_library() -> None:
    otio = pytest.importorskip("opentimelineio")
    pytest.importorskip("otio_fcpx_xml_adapter")
    selection = selection_of(answer(source_fps="25", timecode="00:00:00:00"))
    (timeline,) = otio.adapters.read_from_string(fcpxml_text(selection), "fcpx_xml")
    clips = list(timeline.find_clips())
    assert [clip.name for clip in clips] == ["a dog jumps", "a dog jumps"]
    # The adapter rounds down what floats make of 895/25 s: a frame may be missing.
    starts = [int(clip.source_range.start_time.value) for clip in clips]
    assert all(
        0 <= event.source_in - start <= 1 for event, start in zip(timeline_of(selection).events, starts, strict=True)
    )


def test_otio_carries_the_answer() -> None:
    otio = pytest.importorskip("opentimelineio")
    timeline = otio.adapters.read_from_string(otio_text(selection_of(answer())), "otio_json")
    assert [track.kind for track in timeline.tracks] == ["Video", "Audio"]
    clip = timeline.video_tracks()[0][0]
    assert clip.media_reference.target_url == "file:///videos/holiday.mp4"
    assert dict(clip.metadata["rdmf"]) == {"query": "a dog jumps", "rank": 1, "score": 0.91}
    assert timeline.metadata["rdmf"]["rate"] == "30000/1001"
    silent = otio.adapters.read_from_string(otio_text(selection_of(answer(has_audio=False))), "otio_json")
    assert [track.kind for track in silent.tracks] == ["Video"]


def test_without_the_library_one_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rdmf_cli.export.otio.find_spec", lambda name: None)
    with pytest.raises(OutputError, match="otio needs the package OpenTimelineIO") as caught:
        otio_text(selection_of(answer()))
    assert caught.value.hint == "pip install 'rdmf-cli[editors]'"


def test_selections_are_by_video() -> None:
    both = answers_of(answer(), answer("/videos/beach.mp4"), answer(query="a cat", moments=[(1.0, 2.0, 0.5)]))
    selections: list[Selection] = both.selections(show_all=False)
    assert [(selection.video.path.name, len(selection.hits)) for selection in selections] == [
        ("holiday.mp4", 3),
        ("beach.mp4", 2),
    ]
    assert timeline_of(selections[0]).title == "holiday: 2 queries"


@pytest.mark.parametrize("found", [(0.6, 1.8), (0.62, 0.98), (0.639, 1.001), (1.64, 3.0)])
def test_a_clip_and_a_timeline_show_the_same_frames(found: tuple[float, float], tmp_path: Path) -> None:
    info = probe(videos.constant_rate())
    cut_clip(info, tracks_of(info), Moment(*found, 1.0, found[0]), tmp_path / "clip.mp4")
    frames = [
        videos.number_of(frame)
        for batch in open_frames(tmp_path / "clip.mp4", Sampling(1000, 36, 64)).batches(50)
        for frame in batch.frames
    ]
    whole = answer(info.path, source_fps="25", duration_s=3.0, moments=[(*found, 1.0)])
    (event,) = timeline_of(selection_of(whole)).events
    assert frames == list(range(event.source_in, event.source_out))
