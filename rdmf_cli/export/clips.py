"""A moment as a video file of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rdmf_cli.errors import OutputError, UsageError, VideoError
from rdmf_cli.export.writing import whole_file
from rdmf_cli.media import copying, cutting, smart
from rdmf_cli.media.encoding import OnTime, ignore
from rdmf_cli.media.ffmpeg import ffmpeg_number, ffmpeg_version
from rdmf_cli.media.probe import VideoInfo, fingerprint
from rdmf_cli.media.tracks import Tracks
from rdmf_cli.moments import Moment

EXACT, COPY, SMART = "exact", "copy", "smart"
_REWRITES_SUBTITLES = (7, 0)  # ffmpeg 5.1 loses lines where subtitles are encoded and moved at once


@dataclass(frozen=True)
class CutReport:
    """How a clip came out against what was asked; seconds, 0 where it is exact."""

    starts_early_s: float = 0.0  # below 0: late
    ends_late_s: float = 0.0
    note: str = ""  # what the user should know, one line

    @property
    def is_off(self) -> bool:
        """True if it is off by more than rounding."""
        return max(abs(self.starts_early_s), abs(self.ends_late_s)) >= 0.001


def cut_clip(
    info: VideoInfo,
    tracks: Tracks,
    moment: Moment,
    out: Path,
    *,
    mode: str = EXACT,
    force: bool = False,
    on_time: OnTime = ignore,
) -> CutReport:
    """Write the frames of `moment` (start included, end not) to `out`, whose suffix names the container.

    `exact` encodes anew; `copy` takes whole groups from keyframe to keyframe; `smart` copies the middle and encodes
    the edges, or does as `exact` where the codec does not allow it. A failure leaves no file, and an old one as it was.
    Raises OutputError if `out` can't be written, VideoError if the video can't be read or has no frame there.
    """
    _check_target(info, out)
    with whole_file(out, force=force) as partial:
        if mode == COPY:
            start_s, end_s = copying.copy(info, tracks, moment.start_s, moment.end_s, partial, on_time)
            return CutReport(moment.start_s - start_s, end_s - moment.end_s)
        if mode == SMART:
            reason = smart.cut(info, tracks, moment.start_s, moment.end_s, partial, on_time)
            if not reason:
                return CutReport()
        cutting.cut(info, tracks, moment.start_s, moment.end_s, partial, on_time)
        return CutReport(note=f"{info.path.name}: encoded anew, since {reason}" if mode == SMART else "")


def container_for(tracks: Tracks, mode: str, wanted: str = "") -> str:
    """`.mp4` or `.mkv`: the one that `wanted` names, else the one that fits. Raises UsageError if it can't hold all."""
    is_copy = mode in (COPY, SMART)
    best = tracks.container_of_copy() if is_copy else tracks.container()
    if wanted:
        misfits = tracks.misfits(wanted, copied=is_copy)
        if misfits:
            hint = f"let --name end in {best}, or in nothing" if best != wanted else "cut without --copy"
            raise UsageError(f"{wanted} files can't hold {', '.join(sorted(set(misfits)))}", hint=hint)
        if mode == EXACT and tracks.rewritten(wanted) and ffmpeg_number() < _REWRITES_SUBTITLES:
            raise UsageError(
                f"ffmpeg {ffmpeg_version()} can't turn these subtitles into those of {wanted}",
                hint=f"let --name end in {best}, or take ffmpeg 7 or newer",
            )
    return wanted or best


def left_behind(tracks: Tracks, mode: str, container: str) -> list[str]:
    """What a clip cut by copying loses in this container, in words."""
    misfits = tracks.misfits(container, copied=True) if mode == COPY else []
    return [f"a stream of the kind {codec}" for codec in misfits]


def check_source(info: VideoInfo, video_id: str) -> None:
    """Raise VideoError if the file is gone or has other content than when it was searched."""
    if not info.path.exists():
        raise VideoError(f"{info.path}: no such file any more", hint="was it moved? search it again")
    if fingerprint(info.path) != video_id:
        raise VideoError(f"{info.path}: has changed since it was searched", hint="search it again")


def _check_target(info: VideoInfo, out: Path) -> None:
    try:
        if out.exists() and info.path.exists() and out.samefile(info.path):
            raise OutputError(f"{out}: this is the video itself", hint="choose another name")
    except OSError as error:
        raise OutputError(f"{out}: {error.strerror or error}", hint="choose another name") from error
