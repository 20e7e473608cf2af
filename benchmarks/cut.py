"""What exact, smart and copied clips cost, in time and size, and how far off each is.

    python -m benchmarks.cut [--length 60] [--repeats 3] [--video FILE] [--json F] [--markdown F]

Makes its own video (640 x 360 H.264 with B-frames, 25 fps, keyframes 4 s apart, AAC) in a temporary folder, or takes
--video. Cuts the same stretches in each way, in turns; figures are medians, and only the ratios of one run mean
something on a machine that has other work. Every clip is decoded: `first frame off` is how many frames lie between
the frame asked for and the one that is there, by comparing pictures with the source.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.report import commit, machine, machine_line, table, write
from rdmf_cli.export.clips import container_for, cut_clip
from rdmf_cli.media.ffmpeg import ffmpeg_path, ffmpeg_version
from rdmf_cli.media.probe import VideoInfo, probe
from rdmf_cli.media.tracks import tracks_of
from rdmf_cli.moments import Moment

MODES = ("exact", "smart", "copy")
LENGTHS_S = (5.0, 20.0)
RATE = 25
THUMB_PX = (32, 18)

Picture = NDArray[np.int16]


def make_video(path: Path, length_s: int) -> None:
    """Moving patterns with noise, so that it is about as hard to encode as a film."""
    pictures = f"testsrc2=s=640x360:r={RATE}:d={length_s},noise=alls=12:allf=t"
    sound = f"sine=frequency=440:duration={length_s}"
    coding = ("-c:v", "libx264", "-preset", "veryfast", "-b:v", "2M", "-bf", "3", "-g", str(4 * RATE))
    command = [
        ffmpeg_path(),
        "-v",
        "error",
        "-nostdin",
        "-y",
        "-f",
        "lavfi",
        "-i",
        pictures,
        "-f",
        "lavfi",
        "-i",
        sound,
    ]
    subprocess.run(
        [*command, *coding, "-sc_threshold", "0", "-pix_fmt", "yuv420p", "-c:a", "aac", str(path)], check=True
    )


def thumbs(path: Path, first_s: float, last_s: float) -> list[tuple[float, Picture]]:
    """(time, small grey picture) of each frame presented in [first_s, last_s)."""
    found = []
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        start_s = float((stream.start_time or 0) * stream.time_base)
        if first_s > 2:
            container.seek(int((start_s + first_s - 1) / stream.time_base), stream=stream)
        for frame in container.decode(stream):
            time_s = float(frame.pts * stream.time_base) - start_s
            if time_s >= last_s:
                break
            if time_s >= first_s - 1e-4:
                image = frame.reformat(*THUMB_PX, format="gray").to_ndarray()
                found.append((time_s, image.astype(np.int16)))
    return found


def first_frame_off(video: Path, start_s: float, clip: Path) -> int:
    """Frames between the one asked for and the clip's first, by the picture: 0 is right, -50 is 2 s early."""
    [(_, shown), *_] = thumbs(clip, 0, 0.5)
    around = thumbs(video, max(0.0, start_s - 6), start_s + 1)
    nearest = min(range(len(around)), key=lambda place: float(np.abs(around[place][1] - shown).mean()))
    wanted = next(place for place, (time_s, _) in enumerate(around) if time_s >= start_s - 1e-4)
    return nearest - wanted


def measure(info: VideoInfo, moments: list[Moment], folder: Path, repeats: int) -> dict[str, dict[str, Any]]:
    """Seconds, bytes and offsets of each mode over all `moments`; modes take turns."""
    tracks = tracks_of(info)
    spent: dict[str, list[float]] = {mode: [] for mode in MODES}
    rows: dict[str, dict[str, Any]] = {}
    for _ in range(repeats):
        for mode in MODES:
            clips, reports = [], []
            begin = time.perf_counter()
            for place, moment in enumerate(moments):
                out = folder / f"{mode}-{place}{container_for(tracks, mode)}"
                reports.append(cut_clip(info, tracks, moment, out, mode=mode, force=True))
                clips.append(out)
            spent[mode].append(time.perf_counter() - begin)
            pairs = zip(moments, clips, strict=True)
            rows[mode] = {
                "bytes": sum(clip.stat().st_size for clip in clips),
                "early_s": max(report.starts_early_s for report in reports),
                "late_s": max(report.ends_late_s for report in reports),
                "frames_off": [first_frame_off(info.path, moment.start_s, clip) for moment, clip in pairs],
                "notes": sorted({report.note for report in reports if report.note}),
            }
    for mode in MODES:
        rows[mode]["seconds"] = median(spent[mode])
    return rows


def moments_in(duration_s: float, length_s: float) -> list[Moment]:
    """Three stretches that begin between keyframes."""
    starts = [share * (duration_s - length_s) + 1.32 for share in (0.1, 0.4, 0.7)]
    return [Moment(start_s, start_s + length_s, 1.0, start_s) for start_s in starts]


def report_rows(rows: dict[str, dict[str, Any]]) -> list[list[str]]:
    base = rows["exact"]
    return [
        [
            mode,
            f"{row['seconds']:.2f} s",
            f"{base['seconds'] / row['seconds']:.1f}",
            f"{row['bytes'] / 2**20:.2f} MiB",
            f"{row['bytes'] / base['bytes']:.2f}",
            f"{row['early_s']:.2f} s",
            f"{row['late_s']:.2f} s",
            f"{max(map(abs, row['frames_off']))}",
        ]
        for mode, row in rows.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--length", type=int, default=60, help="seconds of the video that is made")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--video", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    header = ["mode", "time", "exact / it", "size", "size / exact", "starts early", "ends late", "first frame off"]
    parts, data = [], {}
    with tempfile.TemporaryDirectory(prefix="rdmf-cut-") as name:
        video = options.video or Path(name, "video.mp4")
        if options.video is None:
            make_video(video, options.length)
        info = probe(video)
        for length_s in LENGTHS_S:
            if info.duration_s < length_s + 4:
                continue
            rows = measure(info, moments_in(info.duration_s, length_s), Path(name), options.repeats)
            data[f"{length_s:g} s"] = rows
            parts.append(f"**three clips of {length_s:g} s**\n\n{table(header, report_rows(rows))}")
            parts += [note for row in rows.values() for note in row["notes"]]
        what = f"{info.width}x{info.height} {info.codec} {float(info.source_fps):g} fps, {info.duration_s:.0f} s"
        heading = f"# Cutting\n\n{what}; ffmpeg {ffmpeg_version()}, commit {(commit() or 'none')[:12]}, median of "
        heading += f"{options.repeats}\nMachine: {machine_line()}"
    text = "\n\n".join([heading, *parts])
    write(text, {"machine": machine(), "rows": data}, markdown=options.markdown, json_file=options.json)


if __name__ == "__main__":
    main()
