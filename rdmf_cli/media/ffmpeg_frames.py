"""Frames by the ffmpeg program: one child, one pipe, exact times.

The graph splits the decoded video in two: tiny thumbnails of every frame (for the cut signal) and the sampled frames
at full target size. Both travel as raw pictures in one NUT stream, which keeps pts, so nothing has to be guessed from
frame numbers; one pipe means that no second one can block it. A reader thread takes the stream apart and fills a
bounded queue, so that decoding runs ahead of the consumer but memory does not grow.
"""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
import av.error
import av.packet
import ffmpeg

from rdmf_cli.errors import VideoError
from rdmf_cli.media.colour import deinterlacer, picture_bytes, pixel_format, thumbnail, to_rgb
from rdmf_cli.media.cuts import THUMB_BYTES, THUMB_HEIGHT_PX, THUMB_WIDTH_PX, ChangeSignal
from rdmf_cli.media.ffmpeg import INPUT_OPTIONS, Child, ffmpeg_path, file_url, has_decoder
from rdmf_cli.media.frames import GRID_TOLERANCE, STALL_S, DecodeReport, FrameBatch, Sample, Sampling, collect
from rdmf_cli.media.limits import limits
from rdmf_cli.media.outcome import judge_end
from rdmf_cli.media.probe import VideoInfo

_TICK_S = 0.25  # how often a waiting thread looks whether it should still wait
_PIPE_BYTES = 1 << 18
_MOST_LATE = 100  # packets beyond the time limit before the video is left
# NUT says all in its header; probing would only read ahead and delay the first frame.
_NUT_OPTIONS = {"fpsprobesize": "0", "probesize": "32", "analyzeduration": "0"}


class FfmpegFrames:
    """A FrameSource; see there. `stall_s`: ffmpeg is killed if it gives nothing for so long.

    `feed`: the file's bytes, if they come from elsewhere (growing.py); then `batches` can be asked for once only.
    """

    def __init__(
        self,
        info: VideoInfo,
        sampling: Sampling,
        *,
        stall_s: float = STALL_S,
        feed: Iterator[bytes] | None = None,
    ) -> None:
        self._feed = feed
        self.info = info
        self.sampling = sampling
        self.report = DecodeReport()
        self._stall_s = stall_s
        self._reader: _Reader | None = None

    def batches(self, batch_size: int) -> Iterator[FrameBatch]:
        """See FrameSource."""
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size}")
        self.close()
        self.report = report = DecodeReport()
        reader = self._reader = _Reader(self.info, self.sampling, capacity=2 * batch_size, feed=self._feed)
        try:
            samples: list[Sample] = []
            for sample in self._samples(reader, report):
                samples.append(sample)
                if len(samples) == batch_size:
                    yield collect(samples)
                    samples = []
            if samples:
                yield collect(samples)
            self._conclude(reader, report)
        finally:
            reader.stop()

    def close(self) -> None:
        """See FrameSource."""
        if self._reader is not None:
            self._reader.stop()
            self._reader = None

    def _samples(self, reader: _Reader, report: DecodeReport) -> Iterator[Sample]:
        """Samples as they come; ends when the stream ends or ffmpeg had to be killed."""
        while True:
            began = time.monotonic()
            sample = reader.next_sample(self._stall_s)
            report.decode_busy_s += time.monotonic() - began
            if sample is None:
                return
            yield sample

    def _conclude(self, reader: _Reader, report: DecodeReport) -> None:
        """Fill in the report; raise VideoError if there was not one frame."""
        reader.finish()
        report.frames_decoded = reader.frames
        report.decode_failures = reader.child.failures
        complaint = reader.trouble or reader.child.complaint()
        if reader.frames == 0:
            raise VideoError(
                f"{self.info.path}: no frame could be decoded{f' ({complaint})' if complaint else ''}",
                hint="the file is damaged or its codec is not supported",
            )
        stopped = reader.trouble or (complaint if reader.status else "")
        judge_end(report, self.info, reader.last_s, stopped=stopped, said_early=reader.child.said_it_ends_early)


def arguments(info: VideoInfo, sampling: Sampling, *, from_stdin: bool = False) -> list[str]:
    """The command line: samples and thumbnails of `info`'s video stream, as NUT on stdout."""
    options = {**INPUT_OPTIONS, "max_pixels": limits().pixels}
    if from_stdin:
        options["protocol_whitelist"] = "pipe"
    if info.decoder and has_decoder(info.decoder):
        options["vcodec"] = info.decoder
    picture = ffmpeg.input("pipe:0" if from_stdin else file_url(info.path), **options)[str(info.stream_index)]
    for name, values in deinterlacer(info):
        picture = picture.filter(name, **values)
    if info.has_alpha:  # else what is transparent would still colour its neighbours when it is scaled
        planar = "gbrap16le" if info.hdr else "gbrap"
        picture = picture.filter("format", planar).filter("premultiply", inplace=1)
    decoded = picture.filter_multi_output("split")
    # A few rows and columns first: averaging all pixels of every frame costs up to a tenth of decoding.
    thumbs = (
        decoded[0]
        .filter("scale", THUMB_WIDTH_PX * 8, THUMB_HEIGHT_PX * 8, flags="neighbor")
        .filter("scale", THUMB_WIDTH_PX, THUMB_HEIGHT_PX, flags="area")
        .filter("format", "yuv444p")
    )
    samples = (
        decoded[1]
        .filter("select", _grid_rule(sampling.sample_fps))
        .filter("scale", sampling.width_px, sampling.height_px, flags="area")
        .filter("format", pixel_format(info))
    )
    output = ffmpeg.output(
        thumbs,
        samples,
        "pipe:1",
        format="nut",
        write_index=0,  # nobody seeks in a pipe, and ffmpeg would keep it in memory to the end
        vcodec="rawvideo",
        fps_mode="passthrough",  # no frame is repeated or dropped to please a constant rate
        enc_time_base=f"{info.time_base.numerator}:{info.time_base.denominator}",
    )
    manner = ["-nostdin", "-hide_banner", "-loglevel", "repeat+level+warning", "-max_error_rate", "1"]
    return [ffmpeg_path(), *manner, *output.get_args()]


def _grid_rule(sample_fps: float) -> str:
    """Select a frame if a grid point lies after the frame before it and not after itself."""
    rate, nudge = f"{sample_fps:.9g}", f"{GRID_TOLERANCE:.6f}"
    point, point_before = (f"floor(({name}-start_t)*{rate}+{nudge})" for name in ("t", "prev_t"))
    return f"isnan(prev_t)+gt({point},{point_before})"


class _Reader:
    """Runs ffmpeg and takes its stream apart in a thread. `next_sample` is for one consumer."""

    def __init__(
        self, info: VideoInfo, sampling: Sampling, *, capacity: int, feed: Iterator[bytes] | None = None
    ) -> None:
        self.frames = 0  # all frames so far
        self.last_s = 0.0  # time of the newest
        self.trouble = ""  # why it was stopped, in one line
        self.status = 0  # ffmpeg's exit status, after `finish`
        self._info, self._sampling = info, sampling
        self._longest_s, self._num_late = limits().seconds, 0
        self._first: Fraction | None = None
        self._signal = ChangeSignal()
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._queue: queue.Queue[Sample | None] = queue.Queue(maxsize=capacity)
        self._stopped = threading.Event()
        self._last_sign = time.monotonic()
        self._bytes = (THUMB_BYTES, picture_bytes(info, sampling.height_px, sampling.width_px))
        self.child = Child(arguments(info, sampling, from_stdin=feed is not None), feed=feed)
        self._thread = threading.Thread(target=self._run, name="rdmf-frames", daemon=True)
        self._thread.start()

    def next_sample(self, stall_s: float) -> Sample | None:
        """The next sample, or None at the end; waits. Kills an ffmpeg that gives nothing for `stall_s`."""
        began = time.monotonic()
        while True:
            try:
                return self._queue.get(timeout=min(_TICK_S, stall_s))
            except queue.Empty:
                silent_s = time.monotonic() - max(self._last_sign, began)
                if silent_s > stall_s and not self.trouble:
                    self.trouble = f"the decoder hung: nothing for {stall_s:g} s"
                    self.child.kill()  # the thread then sees the end of the stream and passes it on

    def finish(self) -> None:
        """After the end: wait for ffmpeg, keep its status."""
        self._thread.join()
        with contextlib.suppress(Exception):
            self.status = self.child.wait(timeout_s=10)

    def stop(self) -> None:
        """End child and thread, whatever they do. Idempotent."""
        self._stopped.set()
        self.child.kill()
        self._thread.join()
        self.child.stop()

    def _run(self) -> None:
        try:
            with av.open(self.child.output, format="nut", options=_NUT_OPTIONS, buffer_size=_PIPE_BYTES) as container:
                for packet in container.demux():
                    self._last_sign = time.monotonic()
                    if self._stopped.is_set():
                        return
                    if packet.size and packet.pts is not None:
                        self._take(packet)
        except (av.error.FFmpegError, OSError, ValueError) as error:
            # A stream that ends within its header or a packet: ffmpeg died, and says why itself.
            if not self.trouble and self.child.wait(timeout_s=10) == 0 and self.frames:
                self.trouble = f"ffmpeg's answer can't be read: {error}"
        finally:
            self._release(math.inf)
            self._put(None)

    def _take(self, packet: av.packet.Packet) -> None:
        if packet.size != self._bytes[packet.stream_index]:
            return  # ffmpeg was killed while it wrote this one
        moment = packet.pts * packet.time_base  # exact
        if self._first is None:
            self._first = moment
        time_s = float(moment - self._first)
        if time_s > self._longest_s:
            self._too_late()
            return
        if packet.stream_index == 1:
            self._waiting.append((time_s, bytes(packet)))
            return
        if self.frames and time_s <= self.last_s:
            return  # damaged times that go back: such a frame has no place in the order
        thumb = bytes(packet)
        self._signal.add(time_s, thumbnail(thumb, self._info.hdr) if self._info.hdr else thumb)
        self.frames += 1
        self.last_s = time_s
        self._release(time_s)

    def _too_late(self) -> None:
        """A frame beyond the limit: a few may be damaged times, more mean a video that is refused from there on."""
        self._num_late += 1
        if self._num_late == _MOST_LATE:
            self.trouble = f"longer than {self._longest_s / 3600:g} hours; RDMF_MAX_HOURS raises the limit"
            self.child.kill()

    def _release(self, until_s: float) -> None:
        """Pass on the samples whose own thumbnail has been seen."""
        while self._waiting and self._waiting[0][0] <= until_s:
            time_s, raw = self._waiting.popleft()
            change, change_time_s = self._signal.strongest(time_s)
            frame = to_rgb(raw, self._info, self._sampling.height_px, self._sampling.width_px)
            self._put(Sample(frame, time_s, change, change_time_s))

    def _put(self, sample: Sample | None) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(sample, timeout=_TICK_S)
            except queue.Full:
                continue
            self._last_sign = time.monotonic()
            return
