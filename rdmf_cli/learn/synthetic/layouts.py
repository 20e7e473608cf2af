"""How made-up videos are put together: shots, what joins them, and where the thing asked for is seen.

A layout knows neither pictures nor words, only that shots show scenes 0, 1, 2, ...; scene 0 is the one asked for. Both
generators (timelines.py, composites.py) fill the same layouts. Times are seconds; snippet i is the frame at
i · spacing_s and covers the stretch up to the next, as in a search.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Style:
    """One way of cutting a video. Lengths are log-normal: median in seconds and spread of the logarithm."""

    name: str
    weight: float  # how often, relative to the others
    shot_s: float
    shot_spread: float
    cut: float  # share of joins that are hard cuts; then of dissolves, of fades through black. The rest: a soft change
    dissolve: float
    fade: float
    recurring: float  # chance that a shot shows a scene seen before
    sameness: tuple[float, float]  # weight of what all pictures of the video share, least and most; see rendering.py


COMPILATION = Style("compilation", 0.36, 5.5, 0.65, 0.90, 0.06, 0.04, 0.15, (0.0, 0.7))
FILM = Style("film", 0.30, 3.0, 0.75, 0.92, 0.06, 0.02, 0.45, (0.2, 1.0))
MONTAGE = Style("montage", 0.10, 1.2, 0.5, 0.93, 0.05, 0.02, 0.15, (0.0, 0.7))
ONE_TAKE = Style("one-take", 0.24, 4.0, 0.8, 0.04, 0.0, 0.0, 0.5, (0.8, 2.5))


@dataclass(frozen=True)
class Sampling:
    """Videos of one sampling rate: how long they are, and how often a window is short, annotated, tiny or long."""

    spacing_s: float
    weight: float
    duration_s: float  # median; log-normal
    lengths: tuple[float, float, float, float]  # see `_window_s`


DENSE = Sampling(0.5, 0.7, 48.0, (0.64, 0.08, 0.24, 0.04))  # as `rdmf search` samples short videos
MIDDLE = Sampling(1.0, 0.15, 75.0, (0.40, 0.35, 0.12, 0.13))
SPARSE = Sampling(2.0, 0.15, 140.0, (0.20, 0.60, 0.05, 0.15))  # as QVHighlights
# Long videos: lengths of 300 snippets to the hour are equally likely on a logarithmic scale. `rdmf search` looks at the
# second kind less often.
MINUTES = Sampling(0.5, 0.0, 600.0, (0.55, 0.10, 0.15, 0.20))
HOUR = Sampling(1.0, 0.0, 3600.0, (0.35, 0.25, 0.05, 0.35))


@dataclass(frozen=True)
class LayoutConfig:
    """What is drawn how often. The spread of window lengths is wider than any one data set's; see `_window_s`."""

    styles: tuple[Style, ...] = (COMPILATION, FILM, MONTAGE, ONE_TAKE)
    samplings: tuple[Sampling, ...] = (DENSE, MIDDLE, SPARSE)
    duration_spread: float = 0.5
    num_snippets: tuple[int, int] = (20, 160)
    long_share: float = 0.05  # of videos, of up to `max_snippets`
    max_snippets: int = 300
    hour_share: float = 0.0  # of videos, of `max_snippets` up to an hour, sampled as a search samples them
    most_of_it: float = 0.6  # share of the video that windows never pass together, but for `whole`
    window_counts: tuple[float, ...] = (0.8, 0.13, 0.04, 0.02, 0.01)  # chance of 1, 2, 3, ... windows
    several_shots: float = 0.25  # chance that a window goes on across the shots of its style
    no_match: float = 0.35  # share of queries that nothing answers
    whole: float = 0.02  # share of videos that show the thing from start to end
    missed_cut: float = 0.04
    missed_jump: float = 0.5  # of cuts between two shots of one scene, which change the picture little
    false_cut: float = 0.003  # per pair of neighbours
    flash: float = 0.04  # chance that a video has a few flashes, each of which looks like a cut


@dataclass(frozen=True)
class Shot:
    """One stretch of one scene."""

    start_s: float
    end_s: float
    scene: int  # 0: what is asked for
    take: int  # two shots of one scene and one take show the same picture


@dataclass(frozen=True)
class Join:
    """What lies between a shot and the next."""

    at_s: float
    kind: str  # "cut", "dissolve", "fade", "soft"
    length_s: float  # 0 for a cut; centred on `at_s`


@dataclass(frozen=True, eq=False)
class Layout:
    """One video as a plan."""

    style: Style
    spacing_s: float
    num_snippets: int
    shots: tuple[Shot, ...]
    joins: tuple[Join, ...]  # one fewer than shots
    is_cut: NDArray[np.bool_]  # (T-1,) as a detector would say
    flashes: tuple[int, ...]  # snippets that are disturbed
    windows: Floats  # (W, 2) in snippets, where scene 0 is seen
    matches: bool  # False: the query asks for something else, and scene 0 is only one more scene

    @property
    def times_s(self) -> NDArray[np.float64]:
        """(T,) when each snippet's frame is shown."""
        return np.arange(self.num_snippets, dtype=np.float64) * self.spacing_s

    @property
    def cut_at(self) -> Floats:
        """(T-1,) where each detected cut lies, in snippets, nan where there is none; of a false one, the middle."""
        edges = np.arange(1, self.num_snippets)
        places = np.where(self.is_cut, edges - 0.5, np.nan)
        for join in self.joins:
            place = join.at_s / self.spacing_s
            after = int(np.ceil(place - 1e-9))
            if join.kind == "cut" and 0 < after < self.num_snippets and self.is_cut[after - 1]:
                places[after - 1] = place
        return places.astype(np.float32)

    def shares(self) -> tuple[Floats, Floats]:
        """How much of each snippet's frame is which shot, (T, number of shots), and how much is black, (T,).

        Each row of the first sums to 1: black covers what would be seen.
        """
        times = self.times_s
        bounds = np.array([shot.start_s for shot in self.shots] + [np.inf])
        shown = (times[:, None] >= bounds[:-1]) & (times[:, None] < bounds[1:])
        shares, black = shown.astype(np.float32), np.zeros(len(times), np.float32)
        for i, join in enumerate(self.joins):
            if join.length_s <= 0:
                continue
            place = (times - join.at_s) / join.length_s  # -1/2 to 1/2 while it lasts
            near = np.abs(place) < 0.5
            if join.kind == "fade":
                black[near] = np.maximum(black[near], np.minimum(1, 1.6 - 3.2 * np.abs(place[near])))
                continue
            both = shares[near, i] + shares[near, i + 1]
            shares[near, i + 1] = both * (0.5 + place[near])
            shares[near, i] = both - shares[near, i + 1]
        return shares, black

    def saliency(self) -> Floats:
        """(T,) in [0, 1]: how much of the frame is what the query asks for."""
        if not self.matches:
            return np.zeros(self.num_snippets, np.float32)
        shares, black = self.shares()
        wanted = np.array([shot.scene == 0 for shot in self.shots])
        return np.asarray(shares[:, wanted].sum(axis=1) * (1 - black), np.float32)


def draw_layout(rng: np.random.Generator, config: LayoutConfig, real_s: Floats) -> Layout:
    """One layout. real_s (L,): lengths of annotated moments in seconds, drawn from as they are."""
    style = config.styles[_choice(rng, [style.weight for style in config.styles])]
    sampling, count = _sampled(rng, config)
    spacing_s = sampling.spacing_s
    end_s = count * spacing_s
    spans = _spans(rng, config, sampling, real_s, end_s)
    shots = _shots(rng, config, style, spans, end_s)
    joins = tuple(_join(rng, style, before, after) for before, after in pairwise(shots))
    flashes: tuple[int, ...] = ()
    if rng.random() < config.flash:
        flashes = tuple(sorted({int(i) for i in rng.integers(1, count, size=int(rng.integers(1, 4)))}))
    matches = bool(rng.random() >= config.no_match)
    windows = np.asarray(spans, np.float32) / spacing_s if matches else np.zeros((0, 2), np.float32)
    cuts = _detected(rng, config, shots, joins, flashes, count, spacing_s)
    return Layout(style, spacing_s, count, shots, joins, cuts, flashes, windows.astype(np.float32), matches)


def _sampled(rng: np.random.Generator, config: LayoutConfig) -> tuple[Sampling, int]:
    """How often a video is looked at, and how many snippets that gives."""
    if config.hour_share and rng.random() < config.hour_share:
        shortest_s = config.max_snippets * MINUTES.spacing_s
        length_s = float(np.exp(rng.uniform(np.log(shortest_s), np.log(HOUR.duration_s))))
        sampling = MINUTES if length_s <= MINUTES.duration_s else HOUR
        return sampling, round(length_s / sampling.spacing_s)
    sampling = config.samplings[_choice(rng, [sampling.weight for sampling in config.samplings])]
    count = round(rng.lognormal(np.log(sampling.duration_s), config.duration_spread) / sampling.spacing_s)
    if rng.random() < config.long_share:
        return sampling, int(rng.integers(config.num_snippets[1], config.max_snippets + 1))
    return sampling, int(np.clip(count, *config.num_snippets))


def _choice(rng: np.random.Generator, weights: tuple[float, ...] | list[float]) -> int:
    shares = np.asarray(weights, np.float64)
    return int(rng.choice(len(shares), p=shares / shares.sum()))


def _window_s(rng: np.random.Generator, weights: tuple[float, ...], real_s: Floats) -> float:
    """Length of one moment: short ones as in cut footage, annotated ones, and some far below and above both."""
    kind = _choice(rng, weights)
    if kind == 1:
        return float(rng.choice(real_s))
    median_s, spread = {0: (4.8, 0.85), 2: (1.3, 0.5), 3: (25.0, 0.8)}[kind]
    return float(rng.lognormal(np.log(median_s), spread))


def _spans(
    rng: np.random.Generator, config: LayoutConfig, sampling: Sampling, real_s: Floats, end_s: float
) -> list[tuple[float, float]]:
    """Where scene 0 is shown: stretches in order, apart from each other, each holding at least one snippet's frame."""
    if rng.random() < config.whole:
        return [(0.0, end_s)]
    count, spacing_s = 1 + _choice(rng, config.window_counts), sampling.spacing_s
    apart_s = max(0.5, spacing_s)
    count = max(1, min(count, int(end_s / (4 * apart_s))))
    lengths = np.maximum([_window_s(rng, sampling.lengths, real_s) for _ in range(count)], 0.4)
    lengths = np.minimum(lengths, rng.uniform(0.25, 1) * config.most_of_it * end_s / count)
    free_s = end_s - lengths.sum() - (count - 1) * apart_s
    shares = rng.dirichlet(np.full(count + 1, 1.2))
    for side in (0, -1):  # videos that begin or end with it
        if rng.random() < 0.15:
            shares[side] = 0
    gaps = max(free_s, 0.0) * shares / max(shares.sum(), 1e-9)
    spans: list[tuple[float, float]] = []
    now_s = -apart_s
    for i, length_s in enumerate(lengths):
        start_s = now_s + gaps[i] + apart_s
        frame_s = np.ceil(start_s / spacing_s) * spacing_s  # the first frame that could show it
        if start_s + length_s <= frame_s or frame_s >= end_s:  # no frame would: begin just before one
            frame_s = min(frame_s, end_s - spacing_s)
            start_s = max(frame_s - length_s * rng.uniform(0.05, 0.95), 0.0)
        stop_s = min(start_s + length_s, end_s)
        if start_s < now_s + apart_s - 1e-6:  # no room left at the end
            break
        spans.append((float(start_s), float(stop_s)))
        now_s = stop_s
    return spans or [(0.0, end_s)]


def _shots(
    rng: np.random.Generator, config: LayoutConfig, style: Style, spans: list[tuple[float, float]], end_s: float
) -> tuple[Shot, ...]:
    """Shots from start to end: those of scene 0 in `spans`, others between them."""
    shots: list[Shot] = []
    scenes, takes, now_s = 0, 0, 0.0
    for start_s, stop_s in [*spans, (end_s, end_s)]:
        for first_s, last_s in _split(rng, style, now_s, start_s):
            if scenes and rng.random() < style.recurring:
                scene = int(rng.integers(1, scenes + 1))
            else:
                scenes += 1
                scene = scenes
            takes += 1
            shots.append(Shot(first_s, last_s, scene, takes))
        several = rng.random() < config.several_shots
        parts = _split(rng, style, start_s, stop_s) if several else [(start_s, stop_s)]
        is_same_take = rng.random() < 0.4  # the same picture again, or another one of the same thing
        for first_s, last_s in parts:
            if last_s > first_s:
                takes += 0 if is_same_take else 1
                shots.append(Shot(first_s, last_s, 0, -1 if is_same_take else takes))
        now_s = stop_s
    return tuple(shots)


def _split(rng: np.random.Generator, style: Style, start_s: float, end_s: float) -> list[tuple[float, float]]:
    """[start, end) in shots of the style's lengths; nothing if it is empty."""
    parts, now_s = [], start_s
    while end_s - now_s > 1e-6:
        length_s = max(0.3, rng.lognormal(np.log(style.shot_s), style.shot_spread))
        stop_s = end_s if end_s - now_s - length_s < 0.3 else now_s + length_s
        parts.append((now_s, stop_s))
        now_s = stop_s
    return parts


def _join(rng: np.random.Generator, style: Style, before: Shot, after: Shot) -> Join:
    """How two shots meet; a transition is never longer than the shorter of them."""
    kinds = ("cut", "dissolve", "fade", "soft")
    shares = (style.cut, style.dissolve, style.fade, 1 - style.cut - style.dissolve - style.fade)
    kind = kinds[_choice(rng, tuple(max(share, 0.0) for share in shares))]
    most_s = 0.9 * min(before.end_s - before.start_s, after.end_s - after.start_s)
    length_s = 0.0 if kind == "cut" else min(float(rng.uniform(0.3, 1.8)), most_s)
    return Join(after.start_s, kind, length_s)


def _detected(
    rng: np.random.Generator,
    config: LayoutConfig,
    shots: tuple[Shot, ...],
    joins: tuple[Join, ...],
    flashes: tuple[int, ...],
    count: int,
    spacing_s: float,
) -> NDArray[np.bool_]:
    """(T-1,) cuts as frame differences show them: a few are missed, a few are none."""
    cuts = rng.random(count - 1) < config.false_cut
    for i, join in enumerate(joins):
        missed = config.missed_jump if shots[i].scene == shots[i + 1].scene else config.missed_cut
        after = int(np.ceil(join.at_s / spacing_s - 1e-9))  # the first frame behind it
        if join.kind == "cut" and rng.random() >= missed and 0 < after < count:
            cuts[after - 1] = True
    for flash in flashes:
        if rng.random() < 0.7:
            cuts[flash - 1] = True
    return cuts
