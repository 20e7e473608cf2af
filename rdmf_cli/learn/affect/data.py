"""Streams and labels → windows with targets, split by video. No torch.

Rows are kept once per video and gathered for each batch: windows overlap, and copying them would double the memory.
Axes: N windows, K rows of a stream in a window, D channels, C outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError
from rdmf_cli.learn.affect.labels import VideoLabels
from rdmf_cli.windows import Floats, VideoStreams

_LEAST_COVERAGE = 0.5  # of a window that must be labelled
_CONSTANT = 1e-6  # targets are means: rounding differs from window to window
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class WindowSet:
    """N labelled windows of several videos."""

    videos: tuple[VideoStreams, ...]
    names: tuple[str, ...]  # of the videos
    video: Ints  # (N,) which video
    window: Ints  # (N,) which window of it
    targets: NDArray[np.float64]  # (N, C): share of each class, or numbers in [-1, 1]

    def __len__(self) -> int:
        return len(self.video)

    @property
    def classes(self) -> Ints:
        """(N,) the class that covers most of each window."""
        return np.asarray(self.targets.argmax(axis=1), dtype=np.int64)

    @property
    def keys(self) -> list[str]:
        """A name for each window: video and start in seconds."""
        starts_s = [video.starts_s for video in self.videos]
        return [
            f"{self.names[video]}@{starts_s[video][window]:.3f}"
            for video, window in zip(self.video, self.window, strict=True)
        ]

    def gather(self, name: str, places: Ints) -> tuple[Floats, NDArray[np.bool_]]:
        """Rows of one stream for some windows: (B, K, D) and which exist (B, K).

        Windows of videos that lack the stream have no valid row. Raises KeyError if no video has it.
        """
        has = [video for video in self.videos if name in video.streams]
        if not has:
            raise KeyError(name)
        example = has[0].streams[name]
        rows = np.zeros((len(places), example.per_window, example.rows.shape[1]), np.float32)
        valid = np.zeros(rows.shape[:2], dtype=bool)
        owners = self.video[places]
        for number in np.unique(owners):
            video = self.videos[number]
            if name in video.streams:
                mine = owners == number
                rows[mine], valid[mine] = video.gather(name, self.window[places[mine]])
        return rows, valid

    def all_rows(self, name: str) -> Floats:
        """Every row of a stream in the videos that have windows here, (M, D), each once."""
        own = [self.videos[number] for number in np.unique(self.video)]
        parts = [video.streams[name].rows for video in own if name in video.streams]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)

    def part(self, keep: NDArray[np.bool_]) -> WindowSet:
        """The windows for which `keep` (N,) is True."""
        return WindowSet(self.videos, self.names, self.video[keep], self.window[keep], self.targets[keep])


def window_set(labels: Sequence[VideoLabels], videos: Sequence[VideoStreams]) -> WindowSet:
    """Windows of which at least half is labelled, with the mean label over time as target."""
    numbers: list[Ints] = []
    windows: list[Ints] = []
    targets: list[NDArray[np.float64]] = []
    for number, (label, video) in enumerate(zip(labels, videos, strict=True)):
        values, coverage = window_targets(label.in_seconds(video.source_fps), video)
        kept = np.flatnonzero(coverage >= _LEAST_COVERAGE)
        numbers.append(np.full(len(kept), number, dtype=np.int64))
        windows.append(kept)
        targets.append(values[kept])
    return WindowSet(
        videos=tuple(videos),
        names=tuple(label.video.name for label in labels),
        video=np.concatenate(numbers),
        window=np.concatenate(windows),
        targets=np.concatenate(targets),
    )


def window_targets(labels: VideoLabels, video: VideoStreams) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean label of each window over what of it is labelled (N, C), and which share that is (N,)."""
    starts, ends = video.starts_s, video.ends_s
    until = np.minimum(labels.ends, max(video.duration_s, float(ends[-1])))
    lengths = np.maximum(until - labels.starts, 0.0)
    columns = [np.ones(len(lengths)), *labels.values.T]
    sums = np.stack(
        [
            _integral(labels.starts, lengths, column, ends) - _integral(labels.starts, lengths, column, starts)
            for column in columns
        ],
        axis=1,
    )  # (N, 1 + C)
    labelled = sums[:, :1]
    means = np.divide(sums[:, 1:], labelled, out=np.zeros_like(sums[:, 1:]), where=labelled > 1e-9)
    return means, labelled[:, 0] / np.maximum(ends - starts, 1e-9)


def _integral(
    starts: NDArray[np.float64], lengths: NDArray[np.float64], values: NDArray[np.float64], at: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Integral from 0 to `at` of a step function that is `values` on [starts, starts + lengths), 0 elsewhere."""
    if not len(starts):
        return np.zeros_like(at)
    steps = np.concatenate([[0.0], np.cumsum(values * lengths)])
    edges = np.stack([starts, starts + lengths], axis=1).ravel()
    heights = np.stack([steps[:-1], steps[1:]], axis=1).ravel()
    return np.asarray(np.interp(at, edges, heights), dtype=np.float64)


def split_sets(
    labels: Sequence[VideoLabels], whole: WindowSet, share: float, seed: int, *, is_class: bool
) -> tuple[WindowSet, WindowSet]:
    """Training and validation windows: by what the labels say, else a share of the videos, drawn with the seed.

    Always by video: windows of one video look alike, and validating on them would flatter. Of each class a share of the
    videos is drawn. Raises UsageError if one side would be empty or, for classes, hold only one.
    """
    if not len(whole):
        raise UsageError("no window is labelled for at least half of its length", hint="are the segments' times right?")
    _check_mixed(whole, "training and validation", is_class)
    in_validation = np.array([label.split == "validation" for label in labels])
    if not in_validation.any():
        in_validation[_drawn(whole, len(labels), share, seed, is_class)] = True
    held = in_validation[whole.video]
    parts = {"training": whole.part(~held), "validation": whole.part(held)}
    for name, part in parts.items():
        if not len(part):
            raise UsageError(
                f"no labelled window is left for {name}", hint="label more videos: each is in one part only"
            )
        _check_mixed(part, name, is_class)
    return parts["training"], parts["validation"]


def _check_mixed(part: WindowSet, name: str, is_class: bool) -> None:
    if is_class and len(np.unique(part.classes)) < 2:
        raise UsageError(
            f"all {len(part)} windows for {name} are of one class ({part.classes[0]}): nothing to tell apart",
            hint="training and validation need videos of both classes",
        )
    if not is_class and (np.ptp(part.targets, axis=0) < _CONSTANT).any():
        raise UsageError(f"a dimension has one value in all {len(part)} windows for {name}: nothing to learn")


def _drawn(whole: WindowSet, num_videos: int, share: float, seed: int, is_class: bool) -> list[int]:
    """Numbers of the videos to validate on."""
    rng = np.random.default_rng(seed)
    groups: dict[int, list[int]] = {}
    for number in range(num_videos):
        mine = whole.targets[whole.video == number]
        if len(mine):
            groups.setdefault(int(mine.mean(axis=0).argmax()) if is_class else 0, []).append(number)
    drawn: list[int] = []
    for _, members in sorted(groups.items()):
        count = min(max(1, round(share * len(members))), len(members) - 1)
        drawn += rng.permutation(members)[:count].tolist()
    return drawn
