"""Files made to do harm: bombs, pointers to other files, names that look like orders."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rdmf_cli.errors import UsageError, VideoError
from rdmf_cli.media import sniff
from rdmf_cli.media.cutting import cut
from rdmf_cli.media.ffmpeg import Child
from rdmf_cli.media.ffmpeg_frames import FfmpegFrames
from rdmf_cli.media.frames import Sampling, open_frames
from rdmf_cli.media.limits import Limits, bound_memory, limits
from rdmf_cli.media.probe import find_videos, probe
from rdmf_cli.media.tracks import tracks_of
from tests import videos
from tests.media.torture import making
from tests.memory import peak_kib

SAMPLING = Sampling(1000, 18, 32)


def decode(path: Path) -> list[float]:
    return [float(time_s) for batch in open_frames(path, SAMPLING).batches(16) for time_s in batch.times_s]


def clip(path: Path, out: Path) -> None:
    info = probe(path)
    cut(info, tracks_of(info), 0.0, 0.2, out)


# --- bombs ------------------------------------------------------------------------------------------------------------


def y4m(folder: Path, width: int, height: int) -> Path:
    """Claims a size, holds ten bytes."""
    path = folder / "bomb.y4m"
    path.write_bytes(b"YUV4MPEG2 W%d H%d F25:1 Ip A1:1 C420jpeg\nFRAME\n" % (width, height) + bytes(10))
    return path


def ivf(folder: Path, width: int, height: int) -> Path:
    """VP8: the key frame's header claims the same size."""
    path = folder / "bomb.ivf"
    key = bytes((0x10, 0x02, 0x00, 0x9D, 0x01, 0x2A)) + struct.pack("<HH", width & 0x3FFF, height & 0x3FFF) + bytes(200)
    head = struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, b"VP80", width & 0xFFFF, height & 0xFFFF, 25, 1, 2, 0)
    path.write_bytes(head + b"".join(struct.pack("<IQ", len(key), k) + key for k in range(2)))
    return path


def gif(folder: Path, width: int, height: int) -> Path:
    path = folder / "bomb.gif"
    size = struct.pack("<HH", width & 0xFFFF, height & 0xFFFF)
    image = b"\x2c\0\0\0\0" + size + b"\0\x02\x02\x4c\x01\0"
    path.write_bytes(b"GIF89a" + size + b"\x80\0\0" + b"\0\0\0\xff\xff\xff" + image + b"\x3b")
    return path


def avi_png(folder: Path, width: int, height: int) -> Path:
    """A stream of PNG pictures whose own header claims the size: only the decoder sees it."""
    small = videos.make("png-bomb.avi", "-c:v", "png", "-pix_fmt", "gray", count=2, size=(64, 36)).read_bytes()
    path = folder / "bomb.avi"
    path.write_bytes(small.replace(b"IHDR" + struct.pack(">II", 64, 36), b"IHDR" + struct.pack(">II", width, height)))
    return path


BOMBS: dict[str, Callable[[Path, int, int], Path]] = {"y4m": y4m, "ivf": ivf, "gif": gif, "png": avi_png}


@pytest.mark.parametrize("size", [(65535, 65535), (16383, 16383), (100_000, 100_000)])
@pytest.mark.parametrize("kind", BOMBS)
def test_huge_pictures_are_refused_without_filling_the_memory(tmp_path: Path, kind: str, size: tuple[int, int]) -> None:
    path = BOMBS[kind](tmp_path, *size)
    before = peak_kib()
    with pytest.raises(VideoError) as raised:
        decode(path)
    assert "\n" not in str(raised.value)
    assert peak_kib() - before < 300_000  # KiB


def test_the_limit_is_told_and_can_be_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = making.sized(7681, 17)
    monkeypatch.setenv("RDMF_MAX_MEGAPIXELS", "0.1")
    with pytest.raises(VideoError, match="7681 x 17 px are refused") as raised:
        probe(path)
    assert raised.value.hint == "if they are real, set RDMF_MAX_MEGAPIXELS=1"
    monkeypatch.setenv("RDMF_MAX_MEGAPIXELS", "1")
    assert len(decode(path)) == 3


def test_a_picture_that_grows_beyond_the_limit_midway(monkeypatch: pytest.MonkeyPatch) -> None:
    path = making.CORPUS["mpeg-2 changes its size"].make()
    whole = decode(path)
    monkeypatch.setenv("RDMF_MAX_MEGAPIXELS", "0.005")  # 64 x 36 and 48 x 80 fit, 96 x 64 does not
    assert 0 < len(decode(path)) < len(whole)


def test_an_endless_video_is_left_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = making.timed_evenly("endless.mkv", 1200, 240)
    monkeypatch.setenv("RDMF_MAX_HOURS", str(2 / 3600))
    source = open_frames(path, Sampling(2, 18, 32))
    times = [float(time_s) for batch in source.batches(16) for time_s in batch.times_s]
    assert times[-1] <= 2.0
    assert source.report.truncated
    assert "RDMF_MAX_HOURS" in source.report.warnings[0]


def test_a_file_that_grows_faster_than_it_is_read_comes_to_an_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A writer appends the same group over and over; ffmpeg reads to the end that it found, or to the limit."""
    monkeypatch.setenv("RDMF_MAX_HOURS", str(60 / 3600))
    group = making.open_group().read_bytes()
    path = tmp_path / "growing.ts"
    path.write_bytes(group)
    stop = threading.Event()

    def write() -> None:
        with path.open("ab") as file:
            while not stop.is_set() and file.tell() < 40_000_000:
                file.write(group)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert decode(path)[-1] <= 60
    finally:
        stop.set()
        writer.join()


def test_a_gap_of_years_is_no_memory() -> None:
    path = making.timed("years.mkv", [(0, 0.0), (1, 0.04), (2, 1_000_000_000.0)])
    source = open_frames(path, SAMPLING)
    assert [float(time_s) for batch in source.batches(4) for time_s in batch.times_s] == pytest.approx([0, 0.04])


def test_a_rate_of_days_for_each_frame_is_no_length(tmp_path: Path) -> None:
    """Eight frames whose header claims one in four days: found by the fuzzer as a minute of work and 0.8 GiB."""
    data = bytearray(making.by_codec("rate.ivf", "-c:v", "libvpx", "-b:v", "1M", "-deadline", "realtime").read_bytes())
    data[16:24] = struct.pack("<II", 1, 354_000)
    path = tmp_path / "rate.ivf"
    path.write_bytes(data)
    source = open_frames(path, SAMPLING)
    times = [float(time_s) for batch in source.batches(4) for time_s in batch.times_s]
    assert times == [0.0]
    assert source.report.duration_s <= 60
    assert source.report.truncated


@pytest.mark.parametrize("text", ["0", "-3", "nan", "inf", "many", "1e"])
def test_limits_that_make_no_sense(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("RDMF_MAX_HOURS", text)
    with pytest.raises(UsageError, match="RDMF_MAX_HOURS"):
        limits()


def test_limits_by_default_and_by_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits() == Limits()
    assert Limits().pixels > 4 * 7680 * 4320
    for name, value in (("MEGAPIXELS", "1e9"), ("HOURS", "1"), ("DECODER_MIB", "512")):
        monkeypatch.setenv(f"RDMF_MAX_{name}", value)
    assert limits() == Limits(1e9, 1, 512)
    assert limits().pixels == 2**31 - 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits other processes")
def test_the_memory_of_ffmpeg_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDMF_MAX_DECODER_MIB", "300")
    eater = "import time\nprint(flush=True); time.sleep(0.5); b = bytearray(1 << 30); print('too much')"
    child = Child([sys.executable, "-c", eater])
    try:
        assert child.output.read() == b"\n"
        assert child.wait(60) != 0
    finally:
        child.stop()
    bound_memory(2**22 - 1)  # nobody there: no error


def test_an_ffmpeg_without_memory_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    info = probe(making.sized(7681, 17))
    monkeypatch.setenv("RDMF_MAX_DECODER_MIB", "1")
    with pytest.raises(VideoError) as raised:
        list(FfmpegFrames(info, SAMPLING).batches(4))
    assert "\n" not in str(raised.value)


# --- files that point elsewhere ---------------------------------------------------------------------------------------

SECRET = "secret.ts"
POINTERS = {
    "hls": "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:9\n#EXTINF:3,\n{url}\n#EXT-X-ENDLIST\n",
    "hls with a byte order mark": "\ufeff#EXTM3U\n#EXTINF:3,\n{url}\n#EXT-X-ENDLIST\n",
    "hls after spaces": "  \n#EXTM3U\n#EXTINF:3,\n{url}\n#EXT-X-ENDLIST\n",
    "concat list": "ffconcat version 1.0\nfile '{url}'\n",
    "pls": "[playlist]\nFile1={url}\nNumberOfEntries=1\n",
    "asx": '<asx version="3.0"><entry><ref href="{url}"/></entry></asx>',
    "smil": '<smil><body><video src="{url}"/></body></smil>',
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
    '<Representation id="1" bandwidth="1"><BaseURL>{url}</BaseURL></Representation></AdaptationSet></Period></MPD>',
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nt=0 0\n"
    "m=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    "rtsp redirect": "RTSPtext\nrtsp://127.0.0.1:1/x\n",
    "image list": "{url}\n{url}\n",
    "tedcaptions": '{{"captions": [{{"src": "{url}"}}]}}',
}
URLS = ["{secret}", "file://{secret}", "concat:{secret}|{secret}", "subfile,,start,0,end,0,,:{secret}",
        "http://127.0.0.1:9/x.ts", "crypto:{secret}", "data:video/mp2t;base64,AAAA"]  # fmt: skip


@pytest.mark.parametrize("suffix", ["mp4", "m3u8", "mkv", "ts"])
@pytest.mark.parametrize("kind", POINTERS)
def test_lists_of_files_are_refused_whatever_they_are_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, suffix: str
) -> None:
    """By their first bytes, and, with that look switched off, by the whitelists of ffmpeg and PyAV."""
    secret = tmp_path / SECRET
    shutil.copy(making.open_group(), secret)
    for url in URLS[: 1 if suffix != "mp4" else None]:
        path = tmp_path / f"list.{suffix}"
        path.write_text(POINTERS[kind].format(url=url.format(secret=secret)), encoding="utf-8")
        with pytest.raises(VideoError):
            probe(path)
        with monkeypatch.context() as patch:
            patch.setattr("rdmf_cli.media.probe.sniff", lambda head: "video")
            with pytest.raises(VideoError):
                probe(path)
    blind = FfmpegFrames(replace(probe(secret), path=path), SAMPLING)
    with pytest.raises(VideoError, match="no frame could be decoded"):
        list(blind.batches(4))
    with pytest.raises(VideoError):
        cut(replace(probe(secret), path=path), tracks_of(probe(secret)), 0.0, 0.5, tmp_path / "clip.mp4")


def test_a_mov_that_refers_to_another_file_gets_nothing_of_it(tmp_path: Path) -> None:
    """A data reference (alis/url) to another file: ffmpeg follows it only if told to."""
    data = making.CORPUS["h264 10 bit"].make().read_bytes()
    self_contained = b"\x00\x00\x00\x0curl \x00\x00\x00\x01"
    assert self_contained in data
    elsewhere = b"\x00\x00\x00\x0curl \x00\x00\x00\x00"
    path = tmp_path / "refers.mp4"
    path.write_bytes(data.replace(self_contained, elsewhere))
    try:
        assert len(decode(path)) <= 10
    except VideoError as error:
        assert error.exit_code == 3  # noqa: PT017


# --- names ------------------------------------------------------------------------------------------------------------

NAMES = [
    "-i", "-y.mp4", "--", "file:x.mp4", "concat:a|b.mp4", "subfile,,start,0,end,9,,:a.mp4", "http:x", "pipe:0",
    "a%03d.mp4", "a*?[x].mp4", "a\nb.mp4", "a\tb.mp4", " lead.mp4", "trail.mp4 ", "quo'te\".mp4", "semi;colon&.mp4",
    "$(touch x).mp4", "`x`.mp4", "back\\slash.mp4", "ünï-视频-🎬.mp4", "a,b=c:d.mp4", "[0:v].mp4",
    "#hash.mp4", "crypto:x",
]  # fmt: skip


@pytest.mark.skipif(sys.platform == "win32", reason="not names on Windows")
@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(making.by_codec("names.mp4", *making.X264), name)
    assert len(decode(Path(name))) == 10
    clip(Path(name), Path(f"{name[:20]}.out.mp4"))
    assert sorted(os.listdir()) == sorted([name, f"{name[:20]}.out.mp4"])


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are Unicode there")
def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.mp4"))
    shutil.copy(making.by_codec("names.mp4", *making.X264), path)
    assert len(decode(path)) == 10
    clip(path, path.with_name("out.mp4"))
    path.with_name("out.mp4").unlink()
    assert find_videos(tmp_path) == [path]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_loop_of_links_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    (tmp_path / "self.mp4").symlink_to(tmp_path / "self.mp4")
    shutil.copy(videos.one_frame(), tmp_path / "a" / "v.mp4")
    assert tmp_path / "a" / "v.mp4" in find_videos(tmp_path)
    assert len(find_videos(tmp_path)) <= 2


def test_ffmpeg_is_never_given_a_shell_or_stdin() -> None:
    """By the source: every start of a process passes a list, and closes or replaces stdin."""
    import ast

    package = Path(sniff.__file__).parents[1]
    for file in package.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            assert called not in ("os.system", "os.popen", "eval", "exec", "pickle.load", "pickle.loads"), file
            if called in ("subprocess.run", "subprocess.Popen", "subprocess.check_output"):
                given = {word.arg: ast.unparse(word.value) for word in node.keywords}
                assert given.get("shell", "False") == "False", file
                assert "stdin" in given or "input" in given, f"{file}:{node.lineno}"


def test_nothing_is_asked_of_a_network(tmp_path: Path) -> None:
    """A server that would notice: no file, whatever it holds, makes rdmf or ffmpeg connect to it."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        port = server.getsockname()[1]
        for kind, text in POINTERS.items():
            path = tmp_path / f"{kind.split()[0]}.mp4"
            path.write_text(text.format(url=f"http://127.0.0.1:{port}/x.ts"), encoding="utf-8")
            with pytest.raises(VideoError):
                probe(path)
            info = replace(probe(videos.one_frame()), path=path)
            with pytest.raises(VideoError):
                list(FfmpegFrames(info, SAMPLING).batches(1))
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            server.accept()
        assert time.monotonic() - began < 30


def test_the_program_itself_refuses(tmp_path: Path) -> None:
    """End to end: a playlist named as a video is exit code 3 and one line."""
    path = tmp_path / "film.mp4"
    path.write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n")
    command = [sys.executable, "-m", "tests.faults.program", "search", str(path), "a dog"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    assert done.returncode == 3
    assert "a playlist, not a video" in done.stderr
    assert done.stdout == ""
