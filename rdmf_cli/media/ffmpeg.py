"""The ffmpeg program: find it, run it as a child that never outlives its owner, say in one line what it complained of.

A folder of videos is untrusted input, so every input is opened with the same fence (`INPUT_OPTIONS`): local files
only, and only containers that hold their own pictures. Playlists (m3u8, concat, dash, sdp) can name other files and
are refused. See docs/decisions/0002-media-fence.md.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import signal
import subprocess
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, cast

from rdmf_cli.errors import VideoError
from rdmf_cli.media.limits import bound_memory

# Containers that are opened; names of ffmpeg demuxers. Everything else is refused, playlists above all.
FORMATS = (
    "mov,matroska,avi,mpegts,mpeg,mpegvideo,m4v,h264,hevc,vc1,obu,ivf,flv,asf,ogg,mxf,rm,nut,dv,wtv,gif,yuv4mpegpipe"
)
INPUT_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
OLDEST = (5, 1)  # the first with -fps_mode
_KEEP_LINES = 40
_LINE_BYTES = 4096
_VERSION = re.compile(r"ffmpeg version n?(\S+)")
_PREFIX = re.compile(r"^(\[[^\]]*\]\s*)+")
_FAILURE = re.compile(
    r"Error submitting packet to decoder|Error while decoding stream|corrupt decoded frame|corrupt input packet"
)
_ENDS_EARLY = re.compile(r"partial file|ended prematurely|[Tt]runcat|end of file", re.IGNORECASE)
_NOISE = re.compile(r"Last message repeated|Conversion failed|Error opening input files|^\s*$|deprecated pixel format")
_PLAIN = (
    # Of the output: ffmpeg says more after it, that nothing was written for instance.
    *(
        (said, said)
        for said in ("No space left on device", "File too large", "Read-only file system", "quota exceeded")
    ),
    ("moov atom not found", "the file is incomplete: its index (moov) is missing"),
    ("Invalid data found when processing input", "not a video that ffmpeg understands"),
    ("Format not on whitelist", "this kind of file is not opened (playlists and lists of files are refused)"),
    ("Permission denied", "permission denied"),
    ("matches no streams", "no video stream"),
)


def file_url(path: Path) -> str:
    """`path` so that ffmpeg takes it for a plain file whatever its name: `-y.mp4`, `concat:a|b`, `http:x`."""
    url = f"file:{path.absolute()}"
    return url if url.isascii() or _is_text(url) else _OddName(url)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


class _OddName(str):
    """A name that is no UTF-8: ffmpeg-python hashes the str() of every argument, and can not with such a one."""

    def __str__(self) -> str:
        return ascii(self)


def ffmpeg_path() -> str:
    """The ffmpeg to run: $RDMF_FFMPEG, else ffmpeg on PATH if new enough, else the one packaged with imageio-ffmpeg.

    Raises VideoError if there is none, or if $RDMF_FFMPEG names nothing that runs.
    """
    return _find(os.environ.get("RDMF_FFMPEG", ""), os.environ.get("PATH", ""))


@lru_cache(maxsize=8)
def _find(wanted: str, search_path: str) -> str:
    if wanted:
        found = shutil.which(wanted, path=search_path)
        if found is None or not _version_text(found):
            raise VideoError(f"RDMF_FFMPEG is no program that runs as ffmpeg: {wanted}", hint="correct or unset it")
        return found
    system = shutil.which("ffmpeg", path=search_path)
    if system and _version_number(_version_text(system)) >= OLDEST:
        return system
    try:
        import imageio_ffmpeg  # only asked where the system has none

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise VideoError("no ffmpeg found", hint="install ffmpeg 5.1 or newer, or set RDMF_FFMPEG") from error


def ffmpeg_version() -> str:
    """Version text of the ffmpeg in use, such as `9.0.2-17-g2a571b6068`. Raises VideoError if there is none."""
    return _version_text(ffmpeg_path())


def ffmpeg_number() -> tuple[int, int]:
    """(major, minor) of the ffmpeg in use. Raises VideoError if there is none."""
    return _version_number(ffmpeg_version())


@lru_cache(maxsize=8)
def _version_text(executable: str) -> str:
    try:
        answer = subprocess.run(
            [executable, "-version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    match = _VERSION.search(answer.stdout.decode("utf-8", "replace"))
    return match[1] if match else ""


def _version_number(text: str) -> tuple[int, int]:
    """(major, minor); builds from the development branch (`N-123-g…`) count as new; nothing as (0, 0)."""
    if text.startswith(("N-", "git-", "20")):
        return (999, 0)
    match = re.match(r"(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


class Child:
    """A running ffmpeg in a session of its own: Ctrl-C reaches only us, and killing it takes its children along.

    stderr is drained all the time by a thread that keeps the last lines, so that ffmpeg never blocks on it and memory
    stays bounded. `stop` ends it on every path; a forgotten child is killed when this object is collected or Python
    exits. `feed`: what it reads from its stdin, poured in by another thread.
    """

    def __init__(self, arguments: list[str], *, read_output: bool = True, feed: Iterator[bytes] | None = None) -> None:
        self._lines: deque[str] = deque(maxlen=_KEEP_LINES)
        self._counts = {"failures": 0, "ends_early": 0}
        with _interrupts_wait():
            try:
                self._process: subprocess.Popen[bytes] = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL if feed is None else subprocess.PIPE,
                    stdout=subprocess.PIPE if read_output else subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    bufsize=0,
                    start_new_session=os.name == "posix",
                )
            except OSError as error:
                raise VideoError(
                    f"ffmpeg does not start: {error}", hint="rdmf doctor shows which one is used"
                ) from error
            self._finalizer = weakref.finalize(self, _kill, self._process)
            bound_memory(self._process.pid)
        errors = io.BufferedReader(cast(io.RawIOBase, self._process.stderr))
        self._drain = threading.Thread(
            target=_drain, args=(errors, self._lines, self._counts), name="rdmf-ffmpeg-stderr", daemon=True
        )
        self._drain.start()
        if feed is not None:
            thread = threading.Thread(target=_pour, args=(feed, self._process.stdin), name="rdmf-feed", daemon=True)
            thread.start()  # never waited for: it may hang in a pipe that nobody writes to

    @property
    def pid(self) -> int:
        """Process id, which is also the id of its group."""
        return self._process.pid

    @property
    def output(self) -> IO[bytes]:
        """Its stdout, unbuffered."""
        assert self._process.stdout is not None, "started without read_output"
        return self._process.stdout

    def wait(self, timeout_s: float | None = None) -> int:
        """Exit status once it has ended by itself. Raises subprocess.TimeoutExpired."""
        status = self._process.wait(timeout_s)
        self._drain.join(timeout=5)
        return status

    def kill(self) -> None:
        """End it at once; readers of its output see the end. Safe from any thread and more than once."""
        _kill(self._process)

    def stop(self) -> None:
        """Kill it if it runs, and free everything. Idempotent. Its output must not be read by a thread any more."""
        self.kill()
        self._process.wait()
        self._drain.join(timeout=5)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._finalizer.detach()

    @property
    def failures(self) -> int:
        """How many times it said that a packet could not be decoded or a picture is damaged."""
        return self._counts["failures"]

    @property
    def said_it_ends_early(self) -> bool:
        """True if it noticed that the file is cut off."""
        return self._counts["ends_early"] > 0

    def complaint(self) -> str:
        """What went wrong, in one line; "" if it said nothing."""
        return explain(list(self._lines))


@contextlib.contextmanager
def _interrupts_wait() -> Iterator[None]:
    """Ctrl-C and SIGTERM inside are raised at the end.

    Inside Popen, after the fork, they would leave a child that nobody knows of.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs signal handlers in the main thread only
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            # None: set by something else than Python, which can't be put back from here
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if came:
        signal.raise_signal(came[0])


@lru_cache(maxsize=16)
def has_decoder(name: str) -> bool:
    """True if the ffmpeg in use was built with the decoder `name`."""
    try:
        command = [ffmpeg_path(), "-hide_banner", "-h", f"decoder={name}"]
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return False
    return f"Decoder {name} [".encode() in answer.stdout


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


def _pour(feed: Iterator[bytes], target: IO[bytes]) -> None:
    """Write all of `feed` to ffmpeg's stdin, until it has ended or ffmpeg has."""
    with contextlib.suppress(OSError, ValueError), target:
        for piece in feed:
            left = memoryview(piece)
            while left:  # unbuffered: a write may take less than it was given
                left = left[target.write(left) :]


def _drain(errors: io.BufferedReader, lines: deque[str], counts: dict[str, int]) -> None:
    """Read stderr to its end. A line without an end is taken in pieces, so nothing grows."""
    with errors, contextlib.suppress(ValueError, OSError):
        for raw in iter(lambda: errors.readline(_LINE_BYTES), b""):
            line = raw.decode("utf-8", "replace").rstrip()
            counts["failures"] += bool(_FAILURE.search(line))
            counts["ends_early"] += bool(_ENDS_EARLY.search(line))
            lines.append(line)


def explain(lines: list[str]) -> str:
    """The one line of ffmpeg's stderr that tells a person most, without the `[mov @ 0x…]` in front."""
    text = "\n".join(lines)
    for pattern, plain in _PLAIN:
        if pattern in text:
            return plain
    telling = [_PREFIX.sub("", line).strip() for line in lines if not _NOISE.search(line)]
    return telling[-1][:200] if telling else ""
