"""One measured job in a process of its own, for benchmarks/pipeline.py: nothing of one job warms or burdens the next.

    python -m benchmarks.workloads '{"job": "decode", "video": "a.mp4", ...}'      prints one JSON line

Imports and the opening of an encoder are not part of any time: they are paid once per command, not per video.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from math import floor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.media.frames import GRID_TOLERANCE, Sampling, open_frames
from rdmf_cli.media.probe import probe
from rdmf_cli.settings import share_cores

if TYPE_CHECKING:
    from rdmf_cli.encoders.base import Encoder

Job = dict[str, Any]
QUERY = "a colourful pattern that moves"
BATCH_SIZE = 32


class StubEncoder:
    """The `Encoder` protocol at almost no cost: a fixed random projection of 8 x 8 colours; texts are noise.

    For measuring everything but the encoder, and for smoke tests without weights.
    """

    name = "stub"
    dim = 64
    fingerprint = hashlib.blake2b(b"benchmark stub/1", digest_size=16).hexdigest()
    max_text_tokens = 64

    def __init__(self, size_px: int = 224) -> None:
        self._size_px = size_px
        self._projection = np.random.default_rng(0).standard_normal((192, self.dim)).astype(np.float32)

    def frame_size_px(self, width: int, height: int) -> tuple[int, int]:
        """(height, width): a square."""
        return self._size_px, self._size_px

    def encode_images(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """frames (N, H, W, 3) -> (N, dim), unit length."""
        step = self._size_px // 8
        cells = frames[:, step // 2 :: step, step // 2 :: step][:, :8, :8].reshape(len(frames), -1)
        rows = (cells.astype(np.float32) / 255 - 0.5) @ self._projection
        rows[:, 0] += 1e-3  # a grey frame would have no direction
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)

    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """N sentences -> (N, dim), unit length."""
        seeds = [int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") for text in texts]
        rows = np.array([np.random.default_rng(seed).standard_normal(self.dim) for seed in seeds], np.float32)
        rows = rows.reshape(-1, self.dim)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)

    def text_length(self, text: str) -> int:
        """Words, start and end included."""
        return len(text.split()) + 2


def encoder_of(job: Job) -> Encoder:
    """The encoder that `job` names; "stub" or "stub:SIZE" is the one above."""
    name, _, size = str(job["encoder"]).partition(":")
    if name == "stub":
        return StubEncoder(int(size or 224))
    from rdmf_cli.encoders import open_encoder
    from rdmf_cli.settings import load_settings

    settings = load_settings(encoder=job["encoder"])
    return open_encoder(settings.encoder, models_folder=settings.models, device=settings.device, offline=True)


def decode(job: Job) -> Job:
    """Decode `video` with `backend` and throw the frames away, or keep small copies of them in the file `keep`.

    `warm_up` is decoded first, not timed: it loads the backend's library.
    """
    height_px, width_px = job["size_px"]
    sampling = Sampling(job["sample_fps"], height_px, width_px)
    with_backend = _opencv_frames if job["backend"] == "opencv" else _our_frames
    for _ in with_backend(Path(job["warm_up"]), sampling, job["backend"]):
        pass
    small: list[NDArray[np.float32]] = []
    times_s: list[float] = []
    begin = time.perf_counter()
    for frame, time_s in with_backend(Path(job["video"]), sampling, job["backend"]):
        times_s.append(time_s)
        if "keep" in job:
            small.append(_small(frame))
    seconds = time.perf_counter() - begin
    if "keep" in job:
        np.savez(job["keep"], times_s=np.array(times_s), frames=np.array(small))
    return {"seconds": seconds, "num_frames": len(times_s)}


def encode(job: Job) -> Job:
    """Encode the sampled frames of `video`, which are decoded into memory first, outside the measured time."""
    encoder = encoder_of(job)
    info = probe(Path(job["video"]))
    source = open_frames(info, Sampling(job["sample_fps"], *encoder.frame_size_px(info.width, info.height)))
    batches = [batch.frames for batch in source.batches(BATCH_SIZE)]
    encoder.encode_images(batches[0])  # the first pass sets up threads and kernels
    begin = time.perf_counter()
    for frames in batches:
        encoder.encode_images(frames)
    return {"seconds": time.perf_counter() - begin, "num_frames": sum(map(len, batches))}


def search(job: Job) -> Job:
    """Search `video` for the first time, then `again` more times. A new store in `store`.

    With `warm_up` another video comes first: threads and kernels are set up, and the background bank is embedded,
    which a store needs once per encoder.
    """
    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.search import search_videos
    from rdmf_cli.store import Store

    encoder = encoder_of(job)
    options = SearchOptions(sample_fps=job.get("sample_fps"), batch_size=BATCH_SIZE)

    with Store.open(Path(job["store"])) as store:

        def timed(video: str) -> Job:
            begin = time.perf_counter()
            outcome = search_videos([Path(video)], [QUERY], encoder=encoder, store=store, options=options)
            seconds = time.perf_counter() - begin
            if outcome.failures:
                raise RuntimeError(outcome.failures[0].message)
            return {"seconds": seconds, "num_snippets": len(outcome.answers[0].times_s), **vars(outcome.timings)}

        if "warm_up" in job:
            timed(job["warm_up"])
        return {"first": timed(job["video"]), "again": [timed(job["video"]) for _ in range(job.get("again", 0))]}


def _our_frames(video: Path, sampling: Sampling, backend: str) -> Iterator[tuple[NDArray[np.uint8], float]]:
    for batch in open_frames(video, sampling, backend=backend).batches(BATCH_SIZE):
        yield from zip(batch.frames, batch.times_s.tolist(), strict=True)


def _opencv_frames(video: Path, sampling: Sampling, backend: str) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """What many scripts do: read every frame at full size, keep those at or after a grid point, shrink them."""
    import cv2

    capture = cv2.VideoCapture(str(video))
    source_fps, number, last_point = capture.get(cv2.CAP_PROP_FPS), 0, -1
    while True:
        is_good, picture = capture.read()
        if not is_good:
            break
        time_s = number / source_fps  # right for the constant rate of the benchmark's video only
        number += 1
        point = floor(time_s * sampling.sample_fps + GRID_TOLERANCE)
        if point > last_point:
            last_point = point
            shrunk = cv2.resize(picture, (sampling.width_px, sampling.height_px), interpolation=cv2.INTER_AREA)
            yield np.asarray(cv2.cvtColor(shrunk, cv2.COLOR_BGR2RGB), dtype=np.uint8), time_s
    capture.release()


def _small(frame: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Block means (8, 8, 3): what two decoders of the same frame must agree on."""
    height, width = (side // 8 * 8 for side in frame.shape[:2])
    blocks = frame[:height, :width].reshape(8, height // 8, 8, width // 8, 3)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)


JOBS: dict[str, Callable[[Job], Job]] = {"decode": decode, "encode": encode, "search": search}


def main() -> None:
    share_cores()  # as the program does
    job = json.loads(sys.argv[1])
    print(json.dumps(JOBS[job["job"]](job)))


if __name__ == "__main__":
    main()
