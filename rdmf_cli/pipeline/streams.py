"""A video → its three streams, each computed once and kept in the store as any features are.

Motion, image and phrase captions share one pass over the frames, at the finest rate that any of them needs; a video
encoder and a captioning model make a pass of their own each. Rows lie on even grids, from which windows are cut later:
a motion segment or a key frame that two windows share is encoded once.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder, FeatureSpec
from rdmf_cli.encoders.captions import CaptionEncoder, open_captioner
from rdmf_cli.encoders.video import VideoEncoder, open_video_encoder
from rdmf_cli.errors import ModelError, StoreError
from rdmf_cli.media.frames import SAMPLER_VERSION, Sampling, open_frames
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.model import Source, Sources
from rdmf_cli.pipeline.answer import SearchOptions, Timings
from rdmf_cli.pipeline.index import Indexed, index_video
from rdmf_cli.pipeline.phrases import NAME as PHRASES
from rdmf_cli.pipeline.phrases import PhraseBank, phrase_bank
from rdmf_cli.pipeline.snippets import snippets_of
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store, VideoFeatures
from rdmf_cli.windows import StreamConfig, StreamRows, VideoStreams

DIFFERENCES = "differences"
Rows = NDArray[np.float32]


@dataclass(frozen=True)
class StreamTools:
    """What makes the streams. A stream whose tool could not be had is not in `names`."""

    config: StreamConfig
    image: Encoder
    names: tuple[str, ...]
    motion: VideoEncoder | None = None  # None: temporal differences of the image features
    caption: CaptionEncoder | None = None  # None: the phrase bank
    bank: PhraseBank | None = None

    @property
    def sources(self) -> Sources:
        """The identity of each stream that is made."""
        image = Source(self.image.name, self.image.fingerprint, self.image.dim)
        made: dict[str, Source] = {"image": image}
        if self.motion is not None:
            made["motion"] = Source(self.motion.name, self.motion.fingerprint, self.motion.dim)
        else:
            # The length of a difference goes in as well: a GRU can't easily make it from the difference.
            made["motion"] = Source(DIFFERENCES, _hash(DIFFERENCES, image.fingerprint), image.dim + 1)
        if self.caption is not None:
            made["caption"] = Source(self.caption.name, self.caption.fingerprint, self.caption.dim)
        elif self.bank is not None:
            made["caption"] = Source(PHRASES, self.bank.fingerprint, image.dim)
        return Sources(**{name: made[name] for name in self.names})


@dataclass
class Streamed:
    """A video and its streams."""

    info: VideoInfo
    video_id: str
    video: VideoStreams
    warnings: tuple[str, ...] = ()
    timings: Timings = field(default_factory=Timings)


def open_tools(
    config: StreamConfig,
    encoder: Encoder,
    names: tuple[str, ...],
    *,
    store: Store | None,
    models_folder: Path,
    device: str,
    progress: Progress = SILENT,
) -> StreamTools:
    """Open what the streams need. A video encoder or captioner that is not here costs a warning and its stream.

    Raises ModelError if no stream is left.
    """
    motion, caption, bank, lost = None, None, None, set()
    if "motion" in names and config.motion != DIFFERENCES:
        try:
            motion = open_video_encoder(config.motion, models_folder, device)
        except ModelError as error:
            lost.add("motion")
            progress.warn(f"no motion stream, going on without it: {error}")
    if "caption" in names and config.captions != PHRASES:
        try:
            caption = CaptionEncoder(open_captioner(config.captions, models_folder, device), encoder)
        except ModelError as error:
            lost.add("caption")
            progress.warn(f"no caption stream, going on without it: {error}")
    elif "caption" in names:
        bank = phrase_bank(encoder, store)
        progress.warn("captions are the nearest phrases of the built-in bank, not written by a captioning model")
    left = tuple(name for name in names if name not in lost)
    if not left:
        raise ModelError("none of the model's streams can be made here", hint="see the warnings above")
    return StreamTools(config, encoder, left, motion, caption, bank)


def video_streams(
    path: Path, tools: StreamTools, *, store: Store | None, options: SearchOptions, progress: Progress = SILENT
) -> Streamed:
    """The streams of a video, from the store or by decoding and encoding it. Raises VideoError."""
    config, streams = tools.config, {}
    base_fps = _base_fps(tools)
    indexed = _indexed(path, tools.image, base_fps, store, options, progress)
    timings, warnings = indexed.timings, indexed.features.warnings
    grid, timeline = snippets_of(indexed.features, base_fps)
    if "image" in tools.names:
        streams["image"] = _sampled(grid, base_fps, config, config.image_frames)
    if "motion" in tools.names:
        if tools.motion is None:
            frames = _sampled(grid, base_fps, config, config.motion_frames)
            streams["motion"] = StreamRows(changes(frames.rows), frames.fps, frames.per_window)
        else:
            rows = _motion(indexed, tools.motion, config, store, options, progress, timings)
            steps = max(1, round(config.motion_frames * tools.motion.num_steps / tools.motion.num_frames))
            streams["motion"] = StreamRows(rows, config.fps(steps), steps)
    if "caption" in tools.names:
        if tools.caption is not None:
            fps = config.fps(config.caption_frames)
            captioned = _indexed(path, tools.caption, fps, store, options, progress)
            timings.decode_s += captioned.timings.decode_s
            timings.encode_s += captioned.timings.encode_s
            rows = snippets_of(captioned.features, fps)[0]
            streams["caption"] = StreamRows(rows, fps, config.caption_frames)
        elif tools.bank is not None:
            keys = _sampled(grid, base_fps, config, config.caption_frames)
            streams["caption"] = StreamRows(tools.bank.caption_vectors(keys.rows), keys.fps, keys.per_window)
    video = VideoStreams(streams, timeline.end_s, float(indexed.info.source_fps), config.window_s, config.stride_s)
    return Streamed(indexed.info, indexed.video_id, video, warnings, timings)


def _base_fps(tools: StreamTools) -> float:
    """The finest rate at which image features are needed."""
    config, counts = tools.config, []
    if "image" in tools.names:
        counts.append(config.image_frames)
    if "motion" in tools.names and tools.motion is None:
        counts.append(config.motion_frames)
    if "caption" in tools.names and tools.caption is None:
        counts.append(config.caption_frames)
    return config.fps(max(counts, default=1))


def _indexed(
    path: Path, encoder: Encoder, fps: float, store: Store | None, options: SearchOptions, progress: Progress
) -> Indexed:
    chosen = SearchOptions(sample_fps=fps, backend=options.backend, batch_size=options.batch_size)
    return index_video(path, encoder=encoder, store=store, options=chosen, progress=progress)


def _sampled(grid: Rows, base_fps: float, config: StreamConfig, frames: int) -> StreamRows:
    """Rows of a finer grid at `frames` per window: for each point of the coarser grid the row that it falls into."""
    fps = config.fps(frames)
    count = max(1, int(np.ceil(len(grid) / base_fps * fps - 1e-6)))
    places = np.minimum(np.floor(np.arange(count) / fps * base_fps + 1e-6).astype(np.int64), len(grid) - 1)
    return StreamRows(grid[places], fps, frames)


def changes(rows: Rows) -> Rows:
    """Image features (T, D) → (T, D + 1): what changed since the row before, and how much. 0 at the first row."""
    apart = np.diff(rows, axis=0, prepend=rows[:1])
    return np.concatenate([apart, np.linalg.norm(apart, axis=1, keepdims=True)], axis=1).astype(np.float32)


# --- a video encoder --------------------------------------------------------------------------------------------------


def _motion(
    indexed: Indexed,
    encoder: VideoEncoder,
    config: StreamConfig,
    store: Store | None,
    options: SearchOptions,
    progress: Progress,
    timings: Timings,
) -> Rows:
    """Rows of a video encoder on an even grid, from the store or made now."""
    fps = config.fps(config.motion_frames)
    sampling = f"{encoder.num_frames} frames at {fps:g} fps/{options.backend}/{SAMPLER_VERSION}"
    spec = FeatureSpec(encoder.name, encoder.fingerprint, encoder.dim, sampling)
    features = None
    try:
        features = store.load(indexed.video_id, spec) if store else None
    except StoreError as error:
        progress.warn(f"nothing is kept for the next time: {error}")
    if features is None:
        features = _encode_motion(indexed.info, encoder, fps, options, progress, timings)
        if store:
            try:
                store.save(indexed.video_id, spec, features, indexed.info.path)
                features = store.load(indexed.video_id, spec) or features
            except StoreError as error:
                progress.warn(f"motion features could not be kept: {error}")
    return snippets_of(features, fps * encoder.num_steps / encoder.num_frames)[0]


def _encode_motion(
    info: VideoInfo,
    encoder: VideoEncoder,
    fps: float,
    options: SearchOptions,
    progress: Progress,
    timings: Timings,
) -> VideoFeatures:
    """One segment at a time; a last one that is short is filled up with its last frame, and its filler cut off."""
    height, width = encoder.frame_size_px(info.width, info.height)
    source = open_frames(info, Sampling(fps, height, width), backend=options.backend)
    step = encoder.num_frames // encoder.num_steps  # frames
    parts: list[Rows] = []
    times: list[NDArray[np.float64]] = []
    progress.start(f"motion of {info.path.name}", info.duration_s or None, "s")
    try:
        for batch in source.batches(encoder.num_frames):
            frames, times_s = batch.frames, batch.times_s
            missing = encoder.num_frames - len(frames)
            whole = np.concatenate([frames, np.repeat(frames[-1:], missing, axis=0)]) if missing else frames
            starts_s = times_s[::step]
            parts.append(encoder.encode_segment(whole)[: len(starts_s)])
            times.append(starts_s)
            progress.advance(float(times_s[-1] - times_s[0]))
    finally:
        source.close()
        progress.finish()
    timings.decode_s += source.report.decode_busy_s
    features, times_s = np.concatenate(parts), np.concatenate(times)
    none = np.zeros(len(features))
    duration_s = max(source.report.duration_s, float(times_s[-1]) + 1e-3)
    return VideoFeatures(features, times_s, none.astype(np.float32), none, duration_s)


def _hash(*facts: str) -> str:
    return hashlib.blake2b("\n".join(facts).encode(), digest_size=16).hexdigest()
