"""Readers of exports that are not ours: what they find in a file, as times or frames of the source.

    pip install srt pysrt webvtt-py yt-dlp pycmx lxml jsonschema
    pip install opentimelineio otio-cmx3600-adapter otio-fcpx-xml-adapter

mkvmerge comes with MKVToolNix. A reader that is not installed raises Missing, one that does not know a frame rate
Unsupported.
"""

from __future__ import annotations

import csv
import importlib
import importlib.metadata
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av

from rdmf_cli.export.model import Selection
from rdmf_cli.export.timeline import editing_rate, timeline_of
from rdmf_cli.media.ffmpeg import ffmpeg_path, ffmpeg_version

FRAMES = "timelines are compared in whole frames of the source, the others to the millisecond"
ROOT = Path(__file__).resolve().parents[1]
Pairs = list[tuple[Any, Any]]


class Missing(Exception):
    """The reader is not installed."""


class Unsupported(Exception):
    """The reader does not know this frame rate."""


@dataclass(frozen=True)
class Reader:
    """A program or package that reads one of our formats."""

    format: str
    name: str
    read: Callable[[Path, Selection], Pairs]
    kind: Literal["seconds", "frames", "about", "chapters", "youtube"] = "seconds"
    package: str = ""  # on PyPI; empty: Python's own, or a program

    def version(self) -> str:
        """Its version. Raises Missing."""
        if self.name == "mkvmerge":
            return _run("mkvmerge", "--version").split()[1]
        if self.name == "ffmpeg":
            return ffmpeg_version().partition("-")[0]
        if not self.package:
            return sys.version.partition(" ")[0]
        try:
            return importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            raise Missing(f"pip install {self.package}") from None


def _run(program: str, *arguments: str | Path) -> str:
    if shutil.which(program) is None:
        raise Missing(f"{program} is not installed")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout


def _schema(file: Path, selection: Selection) -> Pairs:
    jsonschema = importlib.import_module("jsonschema")
    document = json.loads(file.read_bytes())
    jsonschema.validate(document, json.loads((ROOT / "docs" / "search.schema.json").read_bytes()))
    return [(m["start_s"], m["end_s"]) for result in document["results"] for m in result["moments"]]


def _jsonl(file: Path, selection: Selection) -> Pairs:
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert all({"qid", "query", "vid", "pred_relevant_windows", "pred_saliency_scores"} <= set(line) for line in lines)
    return [(start, end) for line in lines for start, end, _ in line["pred_relevant_windows"]]


def _csv(file: Path, selection: Selection) -> Pairs:
    with file.open(encoding="utf-8", newline="") as stream:
        return [(float(row["start_s"]), float(row["end_s"])) for row in csv.DictReader(stream)]


def _rows(delimiter: str) -> Callable[[Path, Selection], Pairs]:
    def read(file: Path, selection: Selection) -> Pairs:
        with file.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream, delimiter=delimiter))
        assert all(len(row) == 3 for row in rows)
        return [(float(row[0]), float(row[1])) for row in rows]

    return read


def _srt(file: Path, selection: Selection) -> Pairs:
    cues = importlib.import_module("srt").parse(file.read_text(encoding="utf-8"))
    return [(cue.start.total_seconds(), cue.end.total_seconds()) for cue in cues]


def _pysrt(file: Path, selection: Selection) -> Pairs:
    cues = importlib.import_module("pysrt").open(str(file), encoding="utf-8")
    return [(cue.start.ordinal / 1000, cue.end.ordinal / 1000) for cue in cues]


def _webvtt(file: Path, selection: Selection) -> Pairs:
    cues = importlib.import_module("webvtt").read(str(file))
    return [(_clock(cue.start), _clock(cue.end)) for cue in cues]  # its `start_in_seconds` are whole ones


def _subtitles_by_ffmpeg(file: Path, selection: Selection) -> Pairs:
    with av.open(str(file)) as container:
        packets = [packet for packet in container.demux(subtitles=0) if packet.pts is not None]
        return [
            (float(packet.pts * packet.time_base), float((packet.pts + (packet.duration or 0)) * packet.time_base))
            for packet in packets
        ]


def _chapters_of(video: Path) -> Pairs:
    with av.open(str(video)) as container:
        return [
            (float(chapter["start"] * chapter["time_base"]), float(chapter["end"] * chapter["time_base"]))
            for chapter in container.chapters()
        ]


def _ffmetadata(file: Path, selection: Selection) -> Pairs:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mkv"
        inputs = ["-i", selection.video.path, "-i", file, "-map", "0:v:0", "-map_chapters", "1", "-c", "copy"]
        _run(ffmpeg_path(), "-v", "error", *inputs, out)
        return _chapters_of(out)


def _matroska(file: Path, selection: Selection) -> Pairs:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.mkv"
        _run("mkvmerge", "-q", "-o", out, "--chapters", file, selection.video.path)
        return _chapters_of(out)


def _matroska_xml(file: Path, selection: Selection) -> Pairs:
    root = importlib.import_module("lxml.etree").parse(str(file)).getroot()
    return [
        (_clock(atom.findtext("ChapterTimeStart")), _clock(atom.findtext("ChapterTimeEnd")))
        for atom in root.iter("ChapterAtom")
    ]


def _clock(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return int(hours) * 3600 + int(minutes) * 60 + float(seconds)


def _youtube(file: Path, selection: Selection) -> Pairs:
    yt_dlp = importlib.import_module("yt_dlp")
    common = importlib.import_module("yt_dlp.extractor.common")
    reader = common.InfoExtractor(yt_dlp.YoutubeDL({"quiet": True}))
    text = file.read_text(encoding="utf-8")
    chapters = reader._extract_chapters_from_description(text, selection.video.duration_s)
    assert len(chapters) == len(text.splitlines())
    return [(chapter["start_time"], None) for chapter in chapters]


# --- timelines --------------------------------------------------------------------------------------------------------


def _edl_by_otio(file: Path, selection: Selection) -> Pairs:
    """Reads what it takes to be the exact rate; only rates of SMPTE 12M."""
    otio = importlib.import_module("opentimelineio")
    rate = float(editing_rate(selection.video))
    if not otio.opentime.RationalTime.is_smpte_timecode_rate(rate):
        raise Unsupported(rate)
    timeline = otio.adapters.read_from_file(str(file), adapter_name="cmx_3600", rate=rate)
    return _otio_frames(timeline, selection)


def _edl_by_pycmx(file: Path, selection: Selection) -> Pairs:
    pycmx = importlib.import_module("pycmx")
    with file.open(encoding="utf-8") as stream:
        events = pycmx.parse_cmx3600(stream).events
    rate, start = editing_rate(selection.video), timeline_of(selection).source_start
    return [
        tuple(_frames(code, rate) - start for code in (edit.source_in, edit.source_out))  # type: ignore[misc]
        for event in events
        for edit in event.edits
    ]


def _frames(code: str, rate: Fraction) -> int:
    """Frames that a timecode counts, after the rule of SMPTE 12M written down once more."""
    hours, minutes, seconds, frames = map(int, re.split("[:;]", code))
    base = round(rate)
    minutes += 60 * hours
    dropped = base // 15 * (minutes - minutes // 10) if ";" in code else 0
    return (minutes * 60 + seconds) * base + frames - dropped


def _otio(file: Path, selection: Selection) -> Pairs:
    otio = importlib.import_module("opentimelineio")
    return _otio_frames(otio.adapters.read_from_file(str(file), adapter_name="otio_json"), selection)


def _otio_frames(timeline: Any, selection: Selection) -> Pairs:
    start = timeline_of(selection).source_start
    ranges = [clip.source_range for clip in timeline.video_tracks()[0]]
    return [(int(r.start_time.value) - start, int(r.end_time_exclusive().value) - start) for r in ranges]


def _fcpxml(file: Path, selection: Selection) -> Pairs:
    """Exact, as the format defines its times: rational seconds."""
    root = importlib.import_module("lxml.etree").parse(str(file)).getroot()
    assert root.get("version") == "1.10"
    frame = _rational(root.find("resources/format").get("frameDuration"))
    zero = _rational(root.find("resources/asset").get("start"))
    found = []
    for clip in root.iter("asset-clip"):
        start = (_rational(clip.get("start")) - zero) / frame
        end = start + _rational(clip.get("duration")) / frame
        found.append((start, end))
    return found


def _rational(text: str) -> Fraction:
    return Fraction(text.removesuffix("s"))


def _fcpxml_by_otio(file: Path, selection: Selection) -> Pairs:
    """The adapter rounds down: rates (29 for 30000/1001), so only whole ones can be compared, and frames (894 for
    895/25s, which in floats is 35.8 * 25 = 894.99…), so it may be one frame early.
    """
    otio = importlib.import_module("opentimelineio")
    timeline = otio.adapters.read_from_file(str(file), adapter_name="fcpx_xml")[0]
    if editing_rate(selection.video).denominator != 1:
        raise Unsupported(editing_rate(selection.video))
    clips = [clip for clip in timeline.tracks[0] if isinstance(clip, otio.schema.Clip)]
    ranges, start = [clip.source_range for clip in clips], timeline_of(selection).source_start
    return [(int(r.start_time.value) - start, int(r.end_time_exclusive().value) - start) for r in ranges]


READERS = (
    Reader("json", "jsonschema", _schema, package="jsonschema"),
    Reader("jsonl", "Python json", _jsonl),
    Reader("csv", "Python csv", _csv),
    Reader("losslesscut", "Python csv", _rows(",")),
    Reader("srt", "srt", _srt, package="srt"),
    Reader("srt", "pysrt", _pysrt, package="pysrt"),
    Reader("srt", "ffmpeg", _subtitles_by_ffmpeg),
    Reader("vtt", "webvtt-py", _webvtt, package="webvtt-py"),
    Reader("vtt", "ffmpeg", _subtitles_by_ffmpeg),
    Reader("ffmetadata", "ffmpeg", _ffmetadata, "chapters"),
    Reader("youtube", "yt-dlp", _youtube, "youtube", package="yt-dlp"),
    Reader("edl", "opentimelineio + cmx_3600", _edl_by_otio, "frames", package="otio-cmx3600-adapter"),
    Reader("edl", "pycmx", _edl_by_pycmx, "frames", package="pycmx"),
    Reader("fcpxml", "lxml, exact fractions", _fcpxml, "frames", package="lxml"),
    Reader("fcpxml", "opentimelineio + fcpx_xml", _fcpxml_by_otio, "about", package="otio-fcpx-xml-adapter"),
    Reader("otio", "opentimelineio", _otio, "frames", package="opentimelineio"),
    Reader("matroska", "mkvmerge", _matroska, "chapters"),
    Reader("matroska", "lxml", _matroska_xml, "chapters", package="lxml"),
    Reader("audacity", "Python csv", _rows("\t")),
)
