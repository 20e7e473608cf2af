"""FCPXML 1.10, which Final Cut Pro and DaVinci Resolve read. All times are exact multiples of a frame."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from fractions import Fraction

from rdmf_cli.export.escape import one_line
from rdmf_cli.export.model import Selection
from rdmf_cli.export.timeline import Timeline, timeline_of

VERSION = "1.10"
_FORMAT, _ASSET = "r1", "r2"


def fcpxml_text(selection: Selection) -> str:
    """One project whose primary storyline holds the moments, one behind the other."""
    timeline = timeline_of(selection)
    root = ElementTree.Element("fcpxml", version=VERSION)
    _resources(ElementTree.SubElement(root, "resources"), timeline)
    library = ElementTree.SubElement(root, "library")
    title = one_line(timeline.title)
    event = ElementTree.SubElement(library, "event", name=title)
    project = ElementTree.SubElement(event, "project", name=title)
    _sequence(project, timeline)
    ElementTree.indent(root, "    ")
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n{body}\n'


def _resources(resources: ElementTree.Element, timeline: Timeline) -> None:
    video, rate = timeline.video, timeline.rate
    ElementTree.SubElement(
        resources,
        "format",
        id=_FORMAT,
        frameDuration=_seconds(1, rate),
        width=str(video.width),
        height=str(video.height),
    )
    asset = ElementTree.SubElement(
        resources,
        "asset",
        id=_ASSET,
        name=one_line(video.path.name),
        start=_seconds(timeline.source_start, rate),
        duration=_seconds(timeline.num_frames, rate),
        hasVideo="1",
        format=_FORMAT,
        videoSources="1",
    )
    if video.has_audio:
        asset.attrib |= {"hasAudio": "1", "audioSources": "1", "audioChannels": "2"}
    ElementTree.SubElement(asset, "media-rep", kind="original-media", src=video.place.as_uri())


def _sequence(project: ElementTree.Element, timeline: Timeline) -> None:
    rate, start = timeline.rate, timeline.record_start
    counting = "DF" if timeline.drop else "NDF"
    length = _seconds(timeline.length, rate)
    sequence = ElementTree.SubElement(
        project, "sequence", format=_FORMAT, duration=length, tcStart=_seconds(start, rate), tcFormat=counting
    )
    spine = ElementTree.SubElement(sequence, "spine")
    for event in timeline.events:
        clip = ElementTree.SubElement(
            spine,
            "asset-clip",
            ref=_ASSET,
            # In the time of the sequence, which does not start at 0.
            offset=_seconds(start + event.record_in, rate),
            name=one_line(event.hit.query),
            start=_seconds(timeline.source_start + event.source_in, rate),
            duration=_seconds(event.num_frames, rate),
            tcFormat=counting,
        )
        moment = event.hit.moment
        ElementTree.SubElement(clip, "note").text = f"rank {event.hit.rank}, score {moment.score:.2f}"


def _seconds(frames: int, rate: Fraction) -> str:
    """`450450/30000s`: so many frames as rational seconds, with the rate's own denominator."""
    return f"{frames * rate.denominator}/{rate.numerator}s" if frames else "0s"
