"""Three streams whose label is known to hide in one of them, or in all: what the fusion of the second model must find.

A window shows several "somebodies", each with a key (who it is) and a deed (+1 or -1, one channel). The motion stream
and the caption stream list some of them in random order; the image stream shows one of them, and no deed.

- `motion`, `image`, `caption`: the label is the sign of a mark in one row of that stream; the others are noise.
- `joint`: positive if the one whom the image shows does something both in the motion and in the captions. Who is asked
  for, only the image tells; what is done, only the other two: no stream alone knows more than the base rate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.fusion.cross_gru import STREAMS
from rdmf_cli.learn.affect.data import WindowSet
from rdmf_cli.model import Source, Sources
from rdmf_cli.windows import StreamRows, VideoStreams

CUES = ("motion", "image", "caption", "joint")
DIM = 16
NUM_KEYS = 6
NOISE = 0.1
ROWS = {"motion": 5, "image": 4, "caption": 5}  # per window
Floats = NDArray[np.float32]

SOURCES = Sources(**{name: Source("synthetic", "00", DIM) for name in STREAMS})
_KEYS = np.random.default_rng(99).standard_normal((NUM_KEYS, DIM - 1))
_KEYS /= np.linalg.norm(_KEYS, axis=1, keepdims=True)


def make(cue: str, num_windows: int, seed: int) -> WindowSet:
    """`num_windows` labelled windows of one cue."""
    rng = np.random.default_rng([CUES.index(cue), seed])
    streams, positive = (_joint if cue == "joint" else _single)(cue, num_windows, rng)
    rows = {
        name: StreamRows(
            (x + NOISE * rng.standard_normal(x.shape)).reshape(-1, DIM).astype(np.float32), x.shape[1], x.shape[1]
        )
        for name, x in streams.items()
    }
    # One long "video" of windows of a second each, which do not overlap.
    video = VideoStreams(rows, float(num_windows), 1.0, 1.0, 1.0)
    numbers = np.arange(num_windows)
    return WindowSet((video,), (cue,), np.zeros_like(numbers), numbers, np.eye(2)[positive.astype(np.int64)])


def longer(windows: WindowSet, stream: str, rows: int, seed: int) -> WindowSet:
    """The same with `rows` rows of a stream in each window: who is seen when is drawn, again and again."""
    rng = np.random.default_rng([rows, seed])
    known = windows.videos[0].streams[stream]
    each = known.rows.reshape(-1, known.per_window, known.rows.shape[1])
    places = rng.integers(known.per_window, size=(len(each), rows))
    return _replaced(windows, stream, np.take_along_axis(each, places[..., None], axis=1))


def thinned(windows: WindowSet, stream: str, keep: int) -> WindowSet:
    """The same with only `keep` evenly spaced rows of a stream in each window: fewer captions, fewer frames."""
    known = windows.videos[0].streams[stream]
    places = np.floor((np.arange(keep) + 0.5) * known.per_window / keep).astype(np.int64)
    return _replaced(windows, stream, known.rows.reshape(-1, known.per_window, known.rows.shape[1])[:, places])


def _replaced(windows: WindowSet, stream: str, rows: Floats) -> WindowSet:
    """The same with other rows (windows, rows, D) of one stream."""
    video = windows.videos[0]
    new = StreamRows(rows.reshape(-1, rows.shape[2]), float(rows.shape[1]), rows.shape[1])
    streams = {**video.streams, stream: new}
    changed = VideoStreams(streams, video.duration_s, video.source_fps, video.window_s, video.stride_s)
    return WindowSet((changed,), windows.names, windows.video, windows.window, windows.targets)


def _single(cue: str, count: int, rng: np.random.Generator) -> tuple[dict[str, Floats], NDArray[np.bool_]]:
    streams = {name: _listed(count, ROWS[name], rng)[0] for name in ("motion", "caption")}
    streams["image"] = _shown(rng.integers(NUM_KEYS, size=count))
    positive = rng.random(count) < 0.5
    # The mark is orthogonal to nothing in particular: keys plus a fixed direction, in one row only.
    mark = np.random.default_rng(7).standard_normal(DIM) / np.sqrt(DIM)
    place = rng.integers(ROWS[cue], size=count)
    streams[cue][np.arange(count), place] += np.where(positive, 1.0, -1.0)[:, None] * mark
    return streams, positive


def _joint(cue: str, count: int, rng: np.random.Generator) -> tuple[dict[str, Floats], NDArray[np.bool_]]:
    who = rng.integers(NUM_KEYS, size=count)
    motion, moves = _listed(count, ROWS["motion"], rng, who)
    caption, told = _listed(count, ROWS["caption"], rng, who)
    return {"motion": motion, "image": _shown(who), "caption": caption}, (moves > 0) & (told > 0)


def _listed(
    count: int, rows: int, rng: np.random.Generator, who: NDArray[np.int64] | None = None
) -> tuple[Floats, NDArray[np.int64]]:
    """Rows of keys and deeds (count, rows, D), each key at most once, and the deed of `who`, who is among them."""
    keys = np.argsort(rng.random((count, NUM_KEYS)), axis=1)[:, :rows]
    if who is not None:
        absent = ~(keys == who[:, None]).any(axis=1)
        place = rng.integers(rows, size=count)
        keys[absent, place[absent]] = who[absent]
    deeds = rng.integers(2, size=keys.shape) * 2 - 1
    own = np.zeros(count, np.int64) if who is None else (deeds * (keys == who[:, None])).sum(axis=1)
    return np.concatenate([_KEYS[keys], deeds[..., None]], axis=-1), own


def _shown(who: NDArray[np.int64]) -> Floats:
    """The image stream: the key of one, in every row, and no deed."""
    return np.repeat(np.concatenate([_KEYS[who], np.zeros((len(who), 1))], axis=1)[:, None], ROWS["image"], axis=1)
