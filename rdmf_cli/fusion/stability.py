"""Steady states and Turing's criteria of the Gray–Scott system, and the wavelength it prefers.

With q = F + k and γ = g v² at the active steady state (where g u v = q), the Jacobian of the reaction is
[[−γ − F, −2 q], [γ, q]]: u is the inhibitor's fuel, v activates itself, and a pattern needs Du > Dv.

These are formulas of numbers, not of fields: nothing here steps in time. Those marked (any kind) take floats, numpy
arrays or tensors, in any mixture that broadcasts, and are differentiable in tensors: the learned model builds its
parameters with them. The others take a GrayScott system of plain numbers.

References
----------
Turing 1952; Murray, Mathematical Biology II (2003), ch. 2 (conditions, dispersion relation); Mazin et al. 1996
(Turing patterns of Gray–Scott).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rdmf_cli.fusion.gray_scott import GrayScott

# float, float64 array or Tensor. A constrained type variable would forbid the mixtures (a tensor of wavelengths with
# one feed rate), and a union of the three has no arithmetic.
Number = Any
Array = npt.NDArray[np.float64]


class SteadyState(NamedTuple):
    """A uniform steady state; nan where there is none."""

    u: Number
    v: Number


class SteadyStates(NamedTuple):
    """The two steady states beside (1, 0), which always exists and is always stable."""

    threshold: SteadyState  # (u+, v−), a saddle: about what a seed has to pass to ignite
    active: SteadyState  # (u−, v+), where the pattern lives


class TuringMargins(NamedTuple):
    """Turing's four conditions at the active state; each holds where its number is > 0. nan where there is none."""

    exists: Number  # g F − 4 q²
    damped: Number  # −trace = γ − k
    restoring: Number  # det = q (γ − F)
    unstable: Number  # Du q − Dv (γ + F) − 2 √(Du Dv det)


@dataclass(frozen=True)
class FastestMode:
    """The temporal frequency that grows fastest out of the uniform active state."""

    omega: float  # radians per snippet, in (0, π]
    growth: float  # per unit of dt

    @property
    def wavelength(self) -> float:
        """In snippets, at least 2."""
        return 2 * np.pi / self.omega

    def wavelength_s(self, dt_s: float) -> float:
        """In seconds, for snippets dt_s seconds apart."""
        return self.wavelength * dt_s


def _sqrt(x: Number) -> Number:
    if isinstance(x, Tensor):
        return x.sqrt()
    with np.errstate(invalid="ignore"):  # nan is the answer: no such state
        return np.sqrt(x)


def active_margin(feed: Number, kill: Number, catalysis: Number = 1.0) -> Number:
    """g F − 4 (F + k)² (any kind): the active state exists iff this is ≥ 0. Decides how much catalysis is enough."""
    return catalysis * feed - 4 * (feed + kill) ** 2


def steady_states(feed: Number, kill: Number, catalysis: Number = 1.0) -> SteadyStates:
    """Uniform steady states with v > 0 (any kind).   u± = ½ (1 ± √(1 − 4 q² / (g F))),   v± = F (1 − u±) / q

    feed > 0, kill ≥ 0, catalysis > 0, no seed. nan where g F < 4 q².
    """
    leave = feed + kill
    root = _sqrt(1 - 4 * leave**2 / (catalysis * feed))
    # v from u_high · u_low = q² / (g F), not from 1 − u: no cancellation where the threshold v is tiny.
    u_high = (1 + root) / 2
    u_low = leave**2 / (catalysis * feed) / u_high
    return SteadyStates(
        threshold=SteadyState(u_high, leave / (catalysis * u_high)),
        active=SteadyState(u_low, leave / (catalysis * u_low)),
    )


def jacobian(state: SteadyState, *, feed: float, kill: float, catalysis: float = 1.0) -> Array:
    """Jacobian of the reaction at any (u, v): [[−g v² − F, −2 g u v], [g v², 2 g u v − F − k]], shape (2, 2)."""
    u, v = state
    gain, exchange = catalysis * v**2, 2 * catalysis * u * v
    return np.array([[-gain - feed, -exchange], [gain, exchange - feed - kill]], dtype=np.float64)


def turing_margins(
    feed: Number, kill: Number, diff_u: Number, diff_v: Number, catalysis: Number = 1.0
) -> TuringMargins:
    """How far each of Turing's conditions is from failing at the active state (any kind). All > 0: patterns form."""
    leave = feed + kill
    gain = catalysis * steady_states(feed, kill, catalysis).active.v ** 2
    det = leave * (gain - feed)
    return TuringMargins(
        exists=active_margin(feed, kill, catalysis),
        damped=gain - kill,
        restoring=det,
        unstable=diff_u * leave - diff_v * (gain + feed) - 2 * _sqrt(diff_u * diff_v * det),
    )


def is_turing(system: GrayScott, catalysis: float = 1.0) -> bool:
    """Say whether patterns grow out of the active state although it is stable without diffusion."""
    return all(bool(margin > 0) for margin in turing_margins(*_numbers(system), catalysis))


def turing_parameters(
    gain: Number, depth: Number, margin: Number, catalysis: Number = 1.0
) -> tuple[Number, Number, Number]:
    """Map free parameters one to one onto the Turing region (any kind): the constraint by construction.

    Parameters
    ----------
    gain
        ρ = g v² / F > 1. Near 1 the active state is about to vanish; large ρ is a deep well.
    depth
        In (0, 1). 0 is k = 0; at 1 the active state begins to oscillate.
    margin
        > 0. Du/Dv passes its critical value by this fraction.

    Returns
    -------
    feed, kill, diff_ratio
        F = g ρ / (1 + ρ)^(2 + 2 depth),  k = F ((1 + ρ)^depth − 1),
        Du/Dv = (1 + margin) (√(ρ − 1) + √(2 ρ))² / (1 + ρ)^depth.

    Notes
    -----
    At the active state u = 1 / (1 + ρ), so q = √(g ρ F) / (1 + ρ) = F (1 + ρ)^depth. Then det > 0 is ρ > 1,
    k ≥ 0 and trace < 0 are 0 ≤ depth < 1, and y = √(Du q / (Dv F)) turns the last condition into
    y² − 2 y √(ρ − 1) − (1 + ρ) > 0, that is y > √(ρ − 1) + √(2 ρ).
    """
    stretch = (1 + gain) ** depth
    feed = catalysis * gain / ((1 + gain) * stretch) ** 2
    critical = (_sqrt(gain - 1) + _sqrt(2 * gain)) ** 2 / stretch
    return feed, feed * (stretch - 1), (1 + margin) * critical


def growth_rate(omega: npt.ArrayLike, system: GrayScott, catalysis: float = 1.0) -> Array:
    """Dispersion relation σ(ω): growth rate of cos(ω t) out of the active state, per unit of dt.

    omega in radians per snippet, any shape; returns the same shape: the larger real part of the eigenvalues of
    J − m diag(Du, Dv), with m = 4 sin²(ω/2), what the Laplacian on snippets makes of cos(ω t). The textbook's m = ω²
    is its limit for long waves; at a wavelength of 4 snippets it is off by a quarter.
    """
    feed, kill, diff_u, diff_v = _numbers(system)
    matrix = jacobian(steady_states(feed, kill, catalysis).active, feed=feed, kill=kill, catalysis=catalysis)
    eigenvalue = 4 * np.sin(np.asarray(omega, dtype=np.float64) / 2) ** 2
    damped_u, damped_v = matrix[0, 0] - eigenvalue * diff_u, matrix[1, 1] - eigenvalue * diff_v
    radicand = ((damped_u - damped_v) / 2) ** 2 + matrix[0, 1] * matrix[1, 0]
    growth: Array = (damped_u + damped_v) / 2 + np.sqrt(np.maximum(radicand, 0.0))
    return growth


def fastest_eigenvalue(feed: Number, kill: Number, diff_u: Number, diff_v: Number, catalysis: Number = 1.0) -> Number:
    """Eigenvalue m of −∇² that grows fastest (any kind), inside the Turing region.

    m = ((Du + Dv) √(2 q γ / (Du Dv)) − (q + γ + F)) / (Du − Dv), where dσ/dm = 0.
    """
    leave = feed + kill
    gain = catalysis * steady_states(feed, kill, catalysis).active.v ** 2
    pull = (diff_u + diff_v) * _sqrt(2 * leave * gain / (diff_u * diff_v))
    return (pull - (leave + gain + feed)) / (diff_u - diff_v)


def fastest_mode(system: GrayScott, catalysis: float = 1.0) -> FastestMode:
    """Find the maximum of the dispersion relation.

    Raises
    ------
    ValueError
        If the system forms no Turing pattern at this catalysis.
    """
    if not is_turing(system, catalysis):
        raise ValueError(f"{system} forms no Turing pattern with catalysis {catalysis}")
    omega = _omega(fastest_eigenvalue(*_numbers(system), catalysis))
    return FastestMode(omega=omega, growth=float(growth_rate(omega, system, catalysis)))


def turing_band(system: GrayScott, catalysis: float = 1.0) -> tuple[float, float] | None:
    """Return the frequencies (lowest, highest) between which σ > 0, in radians per snippet; None if there are none.

    The roots in m of det(J − m diag(Du, Dv)) = Du Dv m² − (Du q − Dv (γ + F)) m + det. A band wholly beyond the
    shortest wave on the grid (m > 4) is none.
    """
    if not is_turing(system, catalysis):
        return None
    feed, kill, diff_u, diff_v = _numbers(system)
    det = turing_margins(feed, kill, diff_u, diff_v, catalysis).restoring
    gain = catalysis * steady_states(feed, kill, catalysis).active.v ** 2
    slope = diff_u * (feed + kill) - diff_v * (gain + feed)
    upper = (slope + np.sqrt(slope**2 - 4 * diff_u * diff_v * det)) / (2 * diff_u * diff_v)
    lower = det / (diff_u * diff_v * upper)
    return None if lower >= 4 else (_omega(lower), _omega(upper))


# F = 0.05, k = 0.06, Du/Dv = 5: inside the Turing region by a wide margin (critical ratio 2.5), with catalysis down to
# 0.97 of its reference before the active state is gone. Pearson's own ratio is 2, which leaves hardly any room in 1-D.
def system_for_wavelength(
    wavelength_snippets: Number,
    *,
    feed: Number = 0.05,
    kill: Number = 0.06,
    diff_ratio: Number = 5.0,
    catalysis: Number = 1.0,
) -> GrayScott:
    """Choose Du and Dv so that the fastest mode has the given wavelength, for fixed F, k, Du/Dv (floats or tensors).

    Only the product of diffusion and m = 4 sin²(π / wavelength) counts, so diffusion scales as 1 / m: for long waves as
    wavelength², but exact on the grid down to 2 snippets.

    Raises
    ------
    ValueError
        For plain numbers: if the wavelength is under 2 snippets, or the parameters form no Turing pattern.
        Tensors are not checked (it would stop an accelerator); build them with `turing_parameters`.
    """
    if not isinstance(wavelength_snippets, Tensor) and wavelength_snippets < 2:
        raise ValueError(f"no wave is shorter than 2 snippets, asked for {wavelength_snippets}")
    given = (feed, kill, diff_ratio, catalysis)
    if not any(isinstance(value, Tensor) for value in given):
        margins = turing_margins(feed, kill, diff_ratio, 1.0, catalysis)
        if not all(margin > 0 for margin in margins):
            raise ValueError(f"F={feed}, k={kill}, Du/Dv={diff_ratio}, g={catalysis} form no Turing pattern: {margins}")
    half = np.pi / wavelength_snippets
    eigenvalue = 4 * (torch.sin(half) if isinstance(half, Tensor) else np.sin(half)) ** 2
    diff_v = fastest_eigenvalue(feed, kill, diff_ratio, 1.0, catalysis) / eigenvalue
    diff_v = diff_v if isinstance(diff_v, Tensor) else float(diff_v)
    return GrayScott(feed=feed, kill=kill, diff_u=diff_ratio * diff_v, diff_v=diff_v)


def _omega(eigenvalue: float) -> float:
    return float(2 * np.arcsin(min(np.sqrt(eigenvalue) / 2, 1.0)))


def _numbers(system: GrayScott) -> tuple[float, float, float, float]:
    values = (system.feed, system.kill, system.diff_u, system.diff_v)
    feed, kill, diff_u, diff_v = (float(x.detach()) if isinstance(x, Tensor) else float(x) for x in values)
    return feed, kill, diff_u, diff_v
