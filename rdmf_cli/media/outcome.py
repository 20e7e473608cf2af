"""Did decoding reach the end that the file promises? The same judgement for every decoder."""

from __future__ import annotations

from rdmf_cli.media.frames import DecodeReport
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.timebase import format_time

_SHORTFALL_S = 0.5  # promises are often a few frames off; more than this is missing film
_HELD_FRAME_S = 60.0  # longest that a last frame counts: a damaged rate would make it hours


def judge_end(report: DecodeReport, info: VideoInfo, last_s: float, *, stopped: str, said_early: bool) -> None:
    """Fill in `duration_s`, `truncated` and `warnings` of a report with at least one frame.

    `last_s`: time of the last frame. `stopped`: why the decoder ended before the file did, "" if it did not.
    `said_early`: the decoder itself noticed that the file is cut off.
    """
    end_s = last_s + min(float(1 / info.source_fps), _HELD_FRAME_S)
    missing_s = info.duration_s - end_s
    # Screen recordings hold their last frame for seconds: time is missing, but no frame is.
    claimed = info.num_frames_claimed
    has_all = claimed > 0 and report.frames_decoded + report.decode_failures >= claimed
    ends_early = missing_s > _SHORTFALL_S and not has_all and (said_early or claimed > 0 or not info.is_variable_rate)
    report.truncated = bool(stopped) or ends_early
    report.duration_s = end_s if report.truncated else _held_until(info, last_s, end_s)
    if report.truncated:
        frames = f"{report.frames_decoded} of {claimed} frames" if claimed else f"{report.frames_decoded} frames"
        why = f": {stopped}" if stopped else ""
        report.warnings.append(
            f"{info.path.name} ends early: {frames}, {format_time(end_s)} of {format_time(info.duration_s)} "
            f"could be decoded{why}"
        )
    if report.decode_failures:
        report.warnings.append(
            f"{info.path.name}: {report.decode_failures} of about {report.frames_decoded + report.decode_failures} "
            "frames are damaged"
        )


def _held_until(info: VideoInfo, last_s: float, end_s: float) -> float:
    """End of the last frame where its own length is known only to the container (variable rate)."""
    held = info.is_variable_rate and last_s < info.duration_s < last_s + _HELD_FRAME_S
    return info.duration_s if held else end_s
