"""Moments as an edit list in whole frames of the source: what EDL, FCPXML and OpenTimelineIO have in common.

All three say the same frames because all three are written from this. A timeline holds the moments of one video, one
behind the other by time, at that video's own rate; its first frame is called 01:00:00:00, as editors expect.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from rdmf_cli.export.model import Hit, Selection, Video
from rdmf_cli.timebase import drops_frames, frame_at, parse_timecode, rate_text

_BROADCAST = tuple(Fraction(number * 1000, 1001) for number in (24, 30, 60, 120))
_WHOLE = tuple(map(Fraction, (24, 25, 30, 48, 50, 60, 100, 120)))
_UP_TO_60 = tuple(sorted(rate for rate in (*_BROADCAST, *_WHOLE) if rate <= 60 and rate != 48))
# Files that round 30000/1001 to 29.97: a fifth of a frame an hour.
_SAME = Fraction(2, 1_000_000)


@dataclass(frozen=True)
class Event:
    """One moment in frames; starts included, ends not. Source frames count from the video's first one."""

    hit: Hit
    source_in: int
    source_out: int
    record_in: int  # from the first frame of the timeline

    @property
    def num_frames(self) -> int:
        """Length, at least 1."""
        return self.source_out - self.source_in

    @property
    def record_out(self) -> int:
        """Where the next event starts."""
        return self.record_in + self.num_frames


@dataclass(frozen=True)
class Timeline:
    """The events of one video at `rate` frames per second."""

    title: str
    video: Video
    rate: Fraction
    drop: bool  # timecode leaves out names
    source_start: int  # frame that the timecode of the video's first frame names
    num_frames: int  # of the video
    events: tuple[Event, ...]

    @property
    def record_start(self) -> int:
        """Frame that timecode calls 01:00:00:00."""
        return parse_timecode("01:00:00;00" if self.drop else "01:00:00:00", self.rate)[0]

    @property
    def length(self) -> int:
        """Frames of all events together."""
        return self.events[-1].record_out if self.events else 0


def timeline_of(selection: Selection) -> Timeline:
    """The moments of a selection by time, each at least one frame long and none beyond the end."""
    video = selection.video
    rate = editing_rate(video)
    num_frames = max(1, frame_at(video.duration_s, rate))
    events: list[Event] = []
    for hit in selection.chronological():
        source_in = min(frame_at(hit.moment.start_s, rate), num_frames - 1)
        source_out = min(max(frame_at(hit.moment.end_s, rate), source_in + 1), num_frames)
        events.append(Event(hit, source_in, source_out, events[-1].record_out if events else 0))
    start, drop = _source_start(video, rate)
    queries = list(dict.fromkeys(hit.query for hit in selection.hits))
    title = f"{video.path.stem}: {queries[0]}" if len(queries) == 1 else f"{video.path.stem}: {len(queries)} queries"
    return Timeline(title, video, rate, drop, start, num_frames, tuple(events))


def editing_rate(video: Video) -> Fraction:
    """The exact rate of the source; for a variable one, the standard rate next to its average."""
    rate = video.source_fps
    for standard in (*_BROADCAST, *_WHOLE):
        if abs(rate / standard - 1) <= _SAME:
            return standard
    return min(_UP_TO_60, key=lambda standard: abs(rate / standard - 1)) if video.is_variable_rate else rate


def doubts(selection: Selection) -> list[str]:
    """What an editor has to know before trusting a timeline of this video; lines for people."""
    video = selection.video
    rate = editing_rate(video)
    shown = f"{float(video.source_fps):.3f}".rstrip("0").rstrip(".")
    lines = []
    if video.is_variable_rate:
        lines.append(
            f"{video.path}: variable frame rate (on average {shown}), timeline at {rate_text(rate)}: editors may show "
            "other frames; convert it to a constant rate first"
        )
    elif rate not in (*_BROADCAST, *_WHOLE):
        lines.append(f"{video.path}: {shown} frames a second is no rate of video editors; some will convert it")
    if video.timecode is not None and _parsed(video.timecode, rate) is None:
        lines.append(f"{video.path}: its timecode {video.timecode} makes no sense at {shown} frames a second; ignored")
    return lines


def _source_start(video: Video, rate: Fraction) -> tuple[int, bool]:
    """(frame of the first timecode, whether timecode drops names). Without one: 0, and with drops where they exist."""
    parsed = _parsed(video.timecode, rate) if video.timecode is not None else None
    return parsed if parsed is not None else (0, drops_frames(rate))


def _parsed(timecode: str, rate: Fraction) -> tuple[int, bool] | None:
    try:
        return parse_timecode(timecode, rate)
    except ValueError:
        return None
