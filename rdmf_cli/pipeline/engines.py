"""Where videos are encoded: here, one video per lane with one encoder for all, or on other machines (cluster.py)."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import VideoError
from rdmf_cli.media.probe import VideoInfo, probe
from rdmf_cli.pipeline.answer import SearchOptions, Timings
from rdmf_cli.pipeline.index import encode_video
from rdmf_cli.pipeline.planning import Work
from rdmf_cli.progress import Progress
from rdmf_cli.store import Store, VideoFeatures
from rdmf_cli.store.folder import state_of


class ChangedMeanwhile(VideoError):
    """A file was written to while it was read: what was made of it fits nothing."""


@dataclass(frozen=True)
class Made:
    """What was made of a video and is in the store now."""

    duration_s: float
    num_frames: int
    num_encoded: int
    seconds: float
    warnings: tuple[str, ...] = ()


class Engine(Protocol):
    """Makes and keeps the features of videos. `make` is called from one thread per lane."""

    lanes: int

    def make(self, lane: int, work: Work, progress: Progress) -> Made:
        """Raises VideoError for the video, StoreError and ModelError for all."""
        ...

    def close(self) -> None:
        """Free everything."""
        ...


class LocalEngine:
    """This process. Videos are decoded in as many ffmpegs as there are lanes and encoded one batch at a time.

    One encoder for all: more of them would share the same cores and multiply the memory (docs/library.md has figures).
    """

    def __init__(self, encoder: Encoder, store: Store, how: SearchOptions, lanes: int) -> None:
        self.lanes = lanes
        self._encoder, self._store, self._how = OneAtATime(encoder), store, how

    def make(self, lane: int, work: Work, progress: Progress) -> Made:
        """See Engine."""
        began = time.perf_counter()
        info, features, num_encoded = encode_work(work, self._encoder, self._how, progress)
        self._store.save(work.video_id, work.spec, features, work.path)
        self._store.remember_duration(work.video_id, info.duration_s)
        self._store.remember_place(work.state, work.video_id)
        return made_of(features, info, num_encoded, time.perf_counter() - began)

    def close(self) -> None:
        """Nothing to free."""


def encode_work(
    work: Work, encoder: Encoder, how: SearchOptions, progress: Progress
) -> tuple[VideoInfo, VideoFeatures, int]:
    """Decode and encode. Raises VideoError, ChangedMeanwhile."""
    info = work.info or probe(work.path)
    features, num_encoded = encode_video(info, work.sample_fps, encoder, how, progress, Timings())
    if state_of(work.path) != work.state:
        raise ChangedMeanwhile(f"{work.path}: changed while it was read", hint="the next run takes it again")
    return info, features, num_encoded


def made_of(features: VideoFeatures, info: VideoInfo, num_encoded: int, seconds: float) -> Made:
    """The report of a video."""
    return Made(info.duration_s, len(features.features), num_encoded, seconds, features.warnings)


class OneAtATime:
    """An encoder that several threads may call: they take turns."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder, self._turn = encoder, threading.Lock()
        self.name, self.dim, self.fingerprint = encoder.name, encoder.dim, encoder.fingerprint
        self.max_text_tokens = encoder.max_text_tokens

    def frame_size_px(self, width: int, height: int) -> tuple[int, int]:
        """See Encoder."""
        return self._encoder.frame_size_px(width, height)

    def encode_images(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See Encoder."""
        with self._turn:
            return self._encoder.encode_images(frames)

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """See Encoder."""
        with self._turn:
            return self._encoder.encode_texts(texts)

    def text_length(self, text: str) -> int:
        """See Encoder."""
        return self._encoder.text_length(text)
