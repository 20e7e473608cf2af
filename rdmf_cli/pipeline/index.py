"""Video → frames → features → store. A video whose features are stored is not decoded again."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder, FeatureSpec
from rdmf_cli.errors import StoreError
from rdmf_cli.media.frames import SAMPLER_VERSION, Sampling, default_sample_fps, open_frames
from rdmf_cli.media.probe import VideoInfo, fingerprint, probe
from rdmf_cli.pipeline.answer import SearchOptions, Timings
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store, VideoFeatures
from rdmf_cli.store.folder import state_of


@dataclass
class Indexed:
    """A video and its features."""

    info: VideoInfo
    video_id: str
    sample_fps: float
    features: VideoFeatures
    timings: Timings = field(default_factory=Timings)


def feature_spec(encoder: Encoder, sample_fps: float, backend: str) -> FeatureSpec:
    """The identity under which features are stored; decoders are told apart because they scale differently."""
    sampling = f"{sample_fps:g} fps/{backend}/{SAMPLER_VERSION}"
    return FeatureSpec(encoder.name, encoder.fingerprint, encoder.dim, sampling)


def index_video(
    path: Path, *, encoder: Encoder, store: Store | None, options: SearchOptions, progress: Progress = SILENT
) -> Indexed:
    """Features of `path`, from the store or by decoding and encoding it. Raises VideoError.

    A store that can't be read or written costs a warning, not the answer.
    """
    started = time.perf_counter()
    info = probe(path)
    sample_fps = options.sample_fps or default_sample_fps(info.duration_s)
    spec = feature_spec(encoder, sample_fps, options.backend)
    state = state_of(path)
    store, video_id, features = _kept(store, path, spec, progress)
    timings = Timings(probe_s=time.perf_counter() - started)
    if features is None:
        features = _encode(info, sample_fps, encoder, options, progress, timings)
        if state_of(path) != state:
            progress.warn(f"{path}: changed while it was read; the answer may mix old and new, and nothing is kept")
        elif store:
            features = _saved(store, video_id, spec, features, path, progress)
    return Indexed(info, video_id, sample_fps, features, timings)


def _kept(
    store: Store | None, path: Path, spec: FeatureSpec, progress: Progress
) -> tuple[Store | None, str, VideoFeatures | None]:
    """The store if it can be read, the video's fingerprint, and its features if the store has them."""
    if store:
        try:
            video_id = store.fingerprint_of(path, fingerprint)
            return store, video_id, store.load(video_id, spec)
        except StoreError as error:
            progress.warn(f"nothing is kept for the next search: {error}")
    return None, fingerprint(path), None


def video_features(
    video: Path, *, encoder: Encoder, store: Store | None, options: SearchOptions, progress: Progress = SILENT
) -> VideoFeatures:
    """Only the features of `index_video`."""
    return index_video(video, encoder=encoder, store=store, options=options, progress=progress).features


def _saved(
    store: Store, video_id: str, spec: FeatureSpec, features: VideoFeatures, path: Path, progress: Progress
) -> VideoFeatures:
    """Save and read back, so that a second search answers from exactly the same numbers as the first."""
    try:
        store.save(video_id, spec, features, path)
    except StoreError as error:
        progress.warn(f"features could not be kept, the next search will decode again: {error}")
        return features
    return store.load(video_id, spec) or features


def _encode(
    info: VideoInfo,
    sample_fps: float,
    encoder: Encoder,
    options: SearchOptions,
    progress: Progress,
    timings: Timings,
) -> VideoFeatures:
    """Decode in one thread and ffmpeg's process, encode in this one; at most a few batches are in memory."""
    height, width = encoder.frame_size_px(info.width, info.height)
    source = open_frames(info, Sampling(sample_fps, height, width), backend=options.backend)
    parts: list[tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float32], NDArray[np.float64]]] = []
    progress.start(f"reading {info.path.name}", info.duration_s or None, "s")
    seen_s = 0.0
    try:
        for batch in source.batches(options.batch_size):
            started = time.perf_counter()
            parts.append((encoder.encode_images(batch.frames), batch.times_s, batch.change, batch.change_time_s))
            timings.encode_s += time.perf_counter() - started
            progress.advance(float(batch.times_s[-1]) - seen_s)
            seen_s = float(batch.times_s[-1])
    finally:
        source.close()
        progress.finish()
    timings.decode_s += source.report.decode_busy_s
    features, times_s, change, change_time_s = (np.concatenate(column) for column in zip(*parts, strict=True))
    duration_s = max(source.report.duration_s, float(times_s[-1]) + 1e-3)
    return VideoFeatures(features, times_s, change, change_time_s, duration_s, tuple(source.report.warnings))
