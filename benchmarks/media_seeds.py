"""Tiny video files of many containers and codecs, to be mutated by fuzz_media.py. Made by ffmpeg, always the same."""

from __future__ import annotations

import subprocess
from pathlib import Path

from rdmf_cli.media.ffmpeg import ffmpeg_path

_SOURCE = "testsrc2=s=64x36:r=10:d=0.8"
_SOUND = "sine=frequency=440:duration=0.8"
_X264 = "-c:v libx264 -preset ultrafast -g 4"

# file name -> options of the output; a line that begins with `sound` has a sound track as well
SEEDS: dict[str, str] = {
    "h264.mp4": f"{_X264} -pix_fmt yuv420p",
    "h264-bframes.mp4": "-c:v libx264 -preset veryfast -g 8 -bf 3 -x264-params open-gop=1 -pix_fmt yuv420p",
    "h264-fragments.mp4": f"{_X264} -pix_fmt yuv420p -movflags frag_keyframe+empty_moov+default_base_moof",
    "h264-fast.mov": f"sound {_X264} -pix_fmt yuv422p -c:a aac -movflags faststart",
    "h264.mkv": f"sound {_X264} -pix_fmt yuv420p -c:a aac",
    "h264.ts": f"sound {_X264} -pix_fmt yuv420p -c:a mp2",
    "h264.m2ts": f"{_X264} -pix_fmt yuv420p -f mpegts -mpegts_m2ts_mode 1",
    "h264.flv": f"sound {_X264} -pix_fmt yuv420p -c:a aac",
    "h264.avi": f"{_X264} -pix_fmt yuv420p",
    "h264.h264": f"{_X264} -pix_fmt yuv420p",
    "hevc.mp4": "-c:v libx265 -preset ultrafast -x265-params log-level=none -pix_fmt yuv420p10le -tag:v hvc1",
    "hevc.mkv": "-c:v libx265 -preset ultrafast -x265-params log-level=none:open-gop=1 -pix_fmt yuv420p",
    "av1.mp4": "-c:v libsvtav1 -preset 12 -pix_fmt yuv420p10le",
    "av1.ivf": "-c:v libsvtav1 -preset 12 -pix_fmt yuv420p",
    "vp8.webm": "sound -c:v libvpx -deadline realtime -c:a libvorbis",
    "vp9.webm": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuv420p",
    "vp9-alpha.webm": "-c:v libvpx-vp9 -deadline realtime -cpu-used 8 -pix_fmt yuva420p",
    "theora.ogv": "sound -c:v libtheora -c:a libvorbis",
    "mpeg1.mpg": "sound -c:v mpeg1video -r 25 -c:a mp2",
    "mpeg2.vob": "-c:v mpeg2video -flags +ildct+ilme -f vob",
    "mpeg4.avi": "sound -c:v mpeg4 -bf 2 -c:a libmp3lame",
    "mpeg4.3gp": "-c:v mpeg4 -f 3gp",
    "wmv2.wmv": "sound -c:v wmv2 -c:a wmav2",
    "flv1.flv": "-c:v flv",
    "mjpeg.mov": "-c:v mjpeg -pix_fmt yuvj422p",
    "mjpeg.avi": "-c:v mjpeg -pix_fmt yuvj420p",
    "prores.mov": "-c:v prores_ks -profile:v 4444 -pix_fmt yuva444p10le",
    "png.mov": "-c:v png -pix_fmt rgba",
    "qtrle.mov": "-c:v qtrle",
    "ffv1.mkv": "-c:v ffv1 -level 3 -pix_fmt yuv444p16le",
    "huffyuv.nut": "-c:v huffyuv",
    "mpeg2.mxf": "-c:v mpeg2video -r 25 -f mxf",
    "animated.gif": "-c:v gif",
    "raw.y4m": "-pix_fmt yuv420p -t 0.3",
}


def make_seeds(folder: Path) -> list[Path]:
    """Make what is not there yet; seeds whose encoder this ffmpeg lacks are left out. In the order of `SEEDS`."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for name, options in SEEDS.items():
        path = folder / name
        if not path.exists():
            _make(path, options.split())
        if path.exists():
            made.append(path)
    return made


def _make(path: Path, options: list[str]) -> None:
    sound = options[:1] == ["sound"]
    inputs = ["-f", "lavfi", "-i", _SOURCE, *(("-f", "lavfi", "-i", _SOUND) if sound else ())]
    exact = ["-bitexact", "-threads", "1", "-map_metadata", "-1"]
    unfinished = path.with_name(f"part-{path.name}")
    command = [ffmpeg_path(), "-v", "error", "-y", *inputs, *options[int(sound) :], *exact, unfinished]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode == 0:
        unfinished.replace(path)
    else:
        unfinished.unlink(missing_ok=True)
