"""OpenTimelineIO's own format, through its library: the extra [editors]."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from rdmf_cli.errors import OutputError
from rdmf_cli.export.escape import one_line
from rdmf_cli.export.model import Selection
from rdmf_cli.export.timeline import Event, Timeline, timeline_of


def check_library() -> None:
    """Raises OutputError with the way to install it if the library is missing."""
    if find_spec("opentimelineio") is None:
        raise OutputError("otio needs the package OpenTimelineIO", hint="pip install 'rdmf-cli[editors]'")


def otio_text(selection: Selection) -> str:
    """A timeline with a picture track and, if the video has sound, a sound track of the same clips."""
    check_library()
    import opentimelineio as otio  # type: ignore[import-untyped, import-not-found, unused-ignore]

    timeline = timeline_of(selection)
    start = otio.opentime.RationalTime(timeline.record_start, float(timeline.rate))
    written = otio.schema.Timeline(name=one_line(timeline.title), global_start_time=start)
    written.metadata["rdmf"] = {"rate": str(timeline.rate), "drop_frame": timeline.drop}
    kinds = [("V1", otio.schema.TrackKind.Video)]
    if timeline.video.has_audio:
        kinds.append(("A1", otio.schema.TrackKind.Audio))
    for name, kind in kinds:
        track = otio.schema.Track(name=name, kind=kind)
        track.extend([_clip(event, timeline) for event in timeline.events])
        written.tracks.append(track)
    return str(written.to_json_string(indent=2)) + "\n"


def _clip(event: Event, timeline: Timeline) -> Any:
    import opentimelineio as otio  # type: ignore[import-untyped, import-not-found, unused-ignore]

    def stretch(first: int, length: int) -> Any:
        rate = float(timeline.rate)
        time = otio.opentime.RationalTime
        return otio.opentime.TimeRange(time(timeline.source_start + first, rate), time(length, rate))

    hit = event.hit
    media = otio.schema.ExternalReference(
        target_url=timeline.video.place.as_uri(), available_range=stretch(0, timeline.num_frames)
    )
    media.name = one_line(timeline.video.path.name)
    clip = otio.schema.Clip(
        name=one_line(hit.query), media_reference=media, source_range=stretch(event.source_in, event.num_frames)
    )
    clip.metadata["rdmf"] = {"query": one_line(hit.query), "rank": hit.rank, "score": hit.moment.score}
    return clip
