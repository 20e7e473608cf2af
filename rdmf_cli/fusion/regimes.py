"""What a Gray–Scott channel does with evidence: where it lies in the (F, k) plane, and which wavelengths grow.

Catalysis is a change of scale: dividing time, diffusion and seed by g turns (F, k, s, g) into (F / g, k / g, s / g, 1).
So every channel is one point of the plane of g = 1, and more catalysis moves it along a straight line to the origin.

stability.py has the formulas without a seed. A seed keeps the active state alive at less catalysis, and pattern mode
depends on it, so here the state is found with the seed, and everything else follows from its Jacobian. Numbers only:
nothing here steps in time. References: there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from rdmf_cli.fusion.gray_scott import GrayScott
from rdmf_cli.fusion.pattern import PatternConfig, pattern_system

Array = npt.NDArray[np.float64]
_AFFINITIES = np.arange(0.0, 6.0, 0.001)  # looked at; catalysis is clamped a little beyond
_EIGENVALUES = 4 * np.sin(np.geomspace(1e-4, math.pi, 20_000) / 2) ** 2  # of −∇², for waves of 2 to 60,000 snippets


class Regime(StrEnum):
    """What becomes of evidence. In the order of `REGIMES`, which `regime_map` counts by."""

    dies = "dies"  # no active state: v falls back to what the seed feeds
    swings = "swings"  # an active state, but not a steady one
    peaks = "peaks"  # Turing: steady when even, but peaks at a distance of their own grow out of it
    fills = "fills"  # steady and even: evidence fills its shot


REGIMES = tuple(Regime)


@dataclass(frozen=True)
class Channel:
    """One channel on snippets `spacing_s` seconds apart, under a given catalysis and seed."""

    name: str
    system: GrayScott  # of plain numbers; diffusion in snippets² per unit of time
    spacing_s: float
    catalysis: float = 1.0
    seed: float = 0.0

    @property
    def plane(self) -> tuple[float, float]:
        """(F, k) of the same channel with catalysis 1."""
        return float(self.system.feed) / self.catalysis, float(self.system.kill) / self.catalysis

    @property
    def plane_seed(self) -> float:
        """Seed of the same channel with catalysis 1."""
        return self.seed / self.catalysis

    @property
    def diff_ratio(self) -> float:
        """Du / Dv."""
        return float(self.system.diff_u) / float(self.system.diff_v)

    @property
    def regime(self) -> Regime:
        """What becomes of evidence."""
        return REGIMES[int(regime_map(*self.plane, self.diff_ratio, self.plane_seed))]

    @property
    def state(self) -> tuple[float, float]:
        """(u, v) of the uniform steady state with the most v."""
        u, v = steady_state(float(self.system.feed), float(self.system.kill), self.catalysis, self.seed)
        return float(u), float(v)

    @property
    def wavelength_s(self) -> float | None:
        """Distance in seconds of the peaks that grow fastest; None outside the Turing region."""
        if self.regime is not Regime.peaks:
            return None
        return self._seconds(float(_EIGENVALUES[int(np.argmax(self._growth(_EIGENVALUES)))]))

    @property
    def band_s(self) -> tuple[float, float] | None:
        """Shortest and longest wavelength in seconds that grow at all; None outside the Turing region."""
        if self.regime is not Regime.peaks:
            return None
        diff_u, diff_v, matrix = float(self.system.diff_u), float(self.system.diff_v), self._jacobian()
        slope = diff_u * matrix[1, 1] + diff_v * matrix[0, 0]
        det = float(np.linalg.det(matrix))
        most = (slope + math.sqrt(slope**2 - 4 * diff_u * diff_v * det)) / (2 * diff_u * diff_v)
        return self._seconds(most), self._seconds(det / (diff_u * diff_v * most))

    @property
    def reach_s(self) -> float:
        """How far evidence spreads before it leaves, in seconds: √(Dv / (F + k))."""
        leave = float(self.system.feed) + float(self.system.kill)
        return self.spacing_s * math.sqrt(float(self.system.diff_v) / leave)

    def growth(self, wavelengths_s: Array) -> Array:
        """Growth rate per unit of time of waves on the steady state; wavelengths of 2 snippets and more, in seconds."""
        return self._growth(4 * np.sin(np.pi * self.spacing_s / wavelengths_s) ** 2)

    def _jacobian(self) -> Array:
        (u, v), g = self.state, self.catalysis
        feed, leave = float(self.system.feed), float(self.system.feed) + float(self.system.kill)
        return np.array([[-g * v * v - feed, -2 * g * u * v], [g * v * v, 2 * g * u * v - leave]])

    def _growth(self, eigenvalues: Array) -> Array:
        """The larger real part of the eigenvalues of J − m diag(Du, Dv)."""
        matrix = self._jacobian()
        first = matrix[0, 0] - eigenvalues * float(self.system.diff_u)
        second = matrix[1, 1] - eigenvalues * float(self.system.diff_v)
        radicand = ((first - second) / 2) ** 2 + matrix[0, 1] * matrix[1, 0]
        growth: Array = (first + second) / 2 + np.sqrt(np.maximum(radicand, 0.0))
        return growth

    def _seconds(self, eigenvalue: float) -> float:
        """Wavelength of an eigenvalue of −∇²; the shortest there is beyond 4."""
        return math.pi * self.spacing_s / math.asin(min(math.sqrt(eigenvalue) / 2, 1.0))


@dataclass(frozen=True)
class AffinityRange:
    """Affinities of pattern mode that do the same. `stop` is inf for the last."""

    start: float
    stop: float
    regime: Regime


def steady_state(
    feed: npt.ArrayLike, kill: npt.ArrayLike, catalysis: npt.ArrayLike = 1.0, seed: npt.ArrayLike = 0.0
) -> tuple[Array, Array]:
    """(u, v) of the uniform steady state with the most v, of any shapes that broadcast; (1, 0) if it is the only one.

    v is the largest root of v³ − (F + s) / q v² + F / g v − s F / (q g), q = F + k, by Cardano's and Viète's formulas.
    """
    feed, kill, g, seed = np.broadcast_arrays(*(np.asarray(x, np.float64) for x in (feed, kill, catalysis, seed)))
    leave = feed + kill
    square, linear, constant = -(feed + seed) / leave, feed / g, -seed * feed / (leave * g)
    apart, skew = (square**2 - 3 * linear) / 9, (2 * square**3 - 9 * square * linear + 27 * constant) / 54
    is_three = skew**2 < apart**3
    root = np.sqrt(np.where(is_three, apart, 1.0))
    angle = np.arccos(np.clip(skew / root**3, -1, 1))
    largest = -2 * root * np.cos((angle + 2 * np.pi) / 3)
    single = -np.copysign(np.cbrt(np.abs(skew) + np.sqrt(np.where(is_three, 0.0, skew**2 - apart**3))), skew)
    single = single + np.divide(apart, single, out=np.zeros_like(single), where=single != 0)
    v = np.maximum(np.where(is_three, largest, single) - square / 3, 0.0)
    return feed / (feed + g * v * v), v


def regime_map(
    feed: npt.ArrayLike, kill: npt.ArrayLike, diff_ratio: float, seed: npt.ArrayLike = 0.0
) -> npt.NDArray[np.int64]:
    """Index into REGIMES for each (F, k) with catalysis 1; any shapes that broadcast.

    Active is a state that has used up half of u: without a seed exactly the one beyond the saddle-node bifurcation.
    """
    feed, kill = np.asarray(feed, np.float64), np.asarray(kill, np.float64)
    u, v = steady_state(feed, kill, 1.0, seed)
    gain, exchange = v * v, 2 * u * v
    first, last = -gain - feed, exchange - feed - kill
    det = first * last + gain * exchange
    is_unstable = diff_ratio * last + first > 2 * np.sqrt(diff_ratio * np.maximum(det, 0.0))
    found = np.where(is_unstable, REGIMES.index(Regime.peaks), REGIMES.index(Regime.fills))
    found = np.where((first + last < 0) & (det > 0), found, REGIMES.index(Regime.swings))
    found = np.where(u <= 0.5, found, REGIMES.index(Regime.dies))
    return np.asarray(found, np.int64)


def pattern_channel(affinity: float, spacing_s: float, config: PatternConfig) -> Channel:
    """Pattern mode's one channel where the affinity is as given."""
    g, seed = _catalysis(np.asarray(affinity), config), config.seed * max(affinity, 0.0)
    return Channel(f"affinity {affinity:g}", pattern_system(config, spacing_s), spacing_s, float(g), seed)


def affinity_ranges(config: PatternConfig) -> list[AffinityRange]:
    """What pattern mode does at which affinity, from 0 up."""
    g = _catalysis(_AFFINITIES, config)
    seed = config.seed * _AFFINITIES
    kinds = regime_map(config.feed / g, config.kill / g, config.diff_ratio, seed / g)
    firsts = [0, *(np.flatnonzero(np.diff(kinds)) + 1).tolist()]
    starts = [round(float(_AFFINITIES[first]), 3) for first in firsts]
    stops = [*starts[1:], math.inf]
    return [
        AffinityRange(start, stop, REGIMES[int(kinds[first])])
        for first, start, stop in zip(firsts, starts, stops, strict=True)
    ]


def _catalysis(affinity: Array, config: PatternConfig) -> Array:
    """`pattern.catalysis` on numbers."""
    least = 4 * (config.feed + config.kill) ** 2 / config.feed
    return np.asarray(least * np.exp(np.clip(config.sharpness * (affinity - config.threshold), -6, 6)))
