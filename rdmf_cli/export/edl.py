"""CMX 3600 edit decision lists, the oldest common language of video editors."""

from __future__ import annotations

from rdmf_cli.errors import OutputError
from rdmf_cli.export.escape import one_line
from rdmf_cli.export.model import Selection
from rdmf_cli.export.timeline import Event, Timeline, timeline_of
from rdmf_cli.timebase import timecode_base, timecode_text

MOST_EVENTS = 999
MOST_FPS = 100  # frames have two digits
_REEL = "AX"  # auxiliary source: a file and not a tape, whose name stands in the comments


def edl_text(selection: Selection) -> str:
    """One event per moment, picture and sound. Raises OutputError for what CMX 3600 can't hold."""
    timeline = timeline_of(selection)
    name = timeline.video.path
    if len(timeline.events) > MOST_EVENTS:
        raise OutputError(
            f"{name}: {len(timeline.events)} moments, but an EDL holds {MOST_EVENTS}", hint="use fcpxml or otio"
        )
    if timecode_base(timeline.rate) > MOST_FPS:
        raise OutputError(
            f"{name}: an EDL counts up to {MOST_FPS} frames a second, this video has {float(timeline.rate):g}",
            hint="use fcpxml or otio",
        )
    mode = "DROP FRAME" if timeline.drop else "NON-DROP FRAME"
    parts = [f"TITLE: {one_line(timeline.title)}\nFCM: {mode}\n"]
    parts += [_event(number, event, timeline) for number, event in enumerate(timeline.events, start=1)]
    return "\n".join(parts)


def _event(number: int, event: Event, timeline: Timeline) -> str:
    source, record = timeline.source_start, timeline.record_start
    frames = (source + event.source_in, source + event.source_out, record + event.record_in, record + event.record_out)
    codes = " ".join(timecode_text(frame, timeline.rate, drop=timeline.drop) for frame in frames)
    channels = "B" if timeline.video.has_audio else "V"  # B: both, picture and first sound track
    path = timeline.video.path
    return (
        f"{number:03d}  {_REEL:<8} {channels:<5} C        {codes}\n"
        f"* FROM CLIP NAME: {one_line(path.name)}\n"
        f"* SOURCE FILE: {one_line(str(timeline.video.place))}\n"
        f"* COMMENT: {one_line(event.hit.query)}, rank {event.hit.rank}, score {event.hit.moment.score:.2f}\n"
    )
