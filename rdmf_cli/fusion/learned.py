"""The learned reaction-diffusion fusion: what each snippet says of the query feeds a bank of Gray–Scott channels.

    h        = embedding of the inputs, then local mixing           (B, T, H)
    u₀, v₀, s, g, e = linear maps of h, per channel                 (B, C, T)
    c_{t+½}  = exp(−d²/κ²) · leak^[cut] · σ(e_t + e_{t+1})          (B, C, T-1)
    u, v     = N Strang steps, shared weights                       (B, C, T)
    h        ← h + W [u, v],  then local mixing

and from the first mixing on once more, `blocks` times. W starts at 0: at first it is local mixing alone, the baseline
`none`, and what the reaction gives is learned into it.

The reaction is where query and video meet: catalysis g decides what is amplified. Each channel prefers a wavelength in
seconds, hence a length of moment, at any sampling rate. Cost O(N T C); nothing is T × T and nothing is pooled over the
video, so what happens at a snippet is decided nearby. Backwards in time gives the same backwards.

References
----------
Fang et al. 2025, arXiv 2606.01615: reaction–diffusion along time as fusion. The parametrisation is ours
(docs/method.md).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from rdmf_cli.fusion.config import Fused, FusionConfig
from rdmf_cli.fusion.evolution import evolve
from rdmf_cli.fusion.gray_scott import GrayScott, diffusion_factors
from rdmf_cli.fusion.inputs import Batch
from rdmf_cli.fusion.laplacian import mask_padding, solve
from rdmf_cli.fusion.parts import Embedding, LocalMixing
from rdmf_cli.fusion.stability import fastest_eigenvalue, system_for_wavelength, turing_parameters

__all__ = ["Fused", "FusionConfig", "ReactionBlock", "ReactionDiffusionFusion"]

# The chart's three numbers (stability.py) move inside these ranges, open by the sigmoid's own limits: no step of an
# optimiser leaves the Turing region. Their start is near F = 0.05, k = 0.06.
_GAIN, _DEPTH, _MARGIN = (1.1, 6.0), (0.05, 0.97), (0.1, 4.0)
_FIRST_GAINS, _FIRST_DEPTHS, _FIRST_MARGIN = (1.44, 2.5), (0.88, 0.6), 1.0
_MAX_LOG_CATALYSIS = 3.0
IGNITION, SEED = 0.25, 0.02  # v at the start and s, per unit of evidence; as in pattern mode, per unit of its own
_FIRST_STRENGTH, _FIRST_OFFSET = 8.0, -2.0  # of activity
# v is about a fifth of the evidence where nothing ignites: times this, it weighs as much as u in what is read out.
_READ_V = 4.0


class ChannelBank(nn.Module):
    """Parameters of C channels: inside the Turing region by construction, or merely positive (`constrained`)."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        count = config.channels
        # On a logarithmic scale, denser at long waves: evidence itself spreads over a tenth of the wavelength only.
        places = ((torch.arange(count) + 0.5) / count).sqrt()
        gain, depth = (torch.tensor(pair).repeat(count)[:count] for pair in (_FIRST_GAINS, _FIRST_DEPTHS))
        margin = torch.full((count,), _FIRST_MARGIN)
        if config.constrained:
            self.gain, self.depth = (
                nn.Parameter(_unbounded(x, limits)) for x, limits in ((gain, _GAIN), (depth, _DEPTH))
            )
            self.margin = nn.Parameter(_unbounded(margin, _MARGIN))
            self.wavelength = nn.Parameter(torch.logit(places))
        else:
            feed, kill, ratio = turing_parameters(gain, depth, margin)
            diff_v = fastest_eigenvalue(feed, kill, ratio, 1.0) / (2 * math.pi / self._wavelength_s(places)) ** 2
            self.free = nn.Parameter(_unsoftplus(torch.stack((feed, kill, ratio * diff_v, diff_v))))

    def _wavelength_s(self, places: Tensor) -> Tensor:
        config = self.config
        return config.min_wavelength_s * (config.max_wavelength_s / config.min_wavelength_s) ** places

    def wavelengths_s(self) -> Tensor:
        """Preferred wavelength of each channel in seconds, (C,), before the grid's limit of 2 snippets.

        Raises
        ------
        ValueError
            If the parameters are not constrained: they may prefer none.
        """
        if not self.config.constrained:
            raise ValueError("without the Turing constraint a channel may prefer no wavelength")
        return self._wavelength_s(self.wavelength.sigmoid())

    def system(self, spacing_s: Tensor) -> GrayScott:
        """spacing_s (B,) → parameters for catalysis 1: feed, kill (C,), diffusion (B, C) in snippets²."""
        if not self.config.constrained:
            feed, kill, diff_u, diff_v = nn.functional.softplus(self.free)
            per_area = spacing_s[:, None].square()
            return GrayScott(feed, kill, diff_u / per_area, diff_v / per_area)
        gain, depth, margin = (
            _bounded(x, limits) for x, limits in ((self.gain, _GAIN), (self.depth, _DEPTH), (self.margin, _MARGIN))
        )
        feed, kill, ratio = turing_parameters(gain, depth, margin)
        wavelength = (self.wavelengths_s() / spacing_s[:, None]).clamp(min=2.0)  # (B, C)
        return system_for_wavelength(wavelength, feed=feed, kill=kill, diff_ratio=ratio)


class ReactionBlock(nn.Module):
    """Sequence → u, v of every channel → sequence."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        count = config.channels
        self.bank = ChannelBank(config)
        self.norm = nn.LayerNorm(config.hidden)
        self.drive = nn.Linear(config.hidden, 4 * count)  # what becomes u₀, evidence, g, e
        self.readout = nn.Linear(2 * count, config.hidden)
        nn.init.zeros_(self.readout.weight)
        nn.init.zeros_(self.readout.bias)
        # log κ, in units of the video's median distance; and the logit of what crosses a cut.
        self.reach = nn.Parameter(torch.linspace(0.7, 1.8, count))
        self.leak = nn.Parameter(torch.linspace(-6.0, -1.0, count)[torch.randperm(count)])
        with torch.no_grad():
            self.drive.weight.mul_(2.0)  # what differs between snippets should show in the state from the start
            self.drive.bias.copy_(torch.tensor([2.0, 0.0, 0.0, 1.0]).repeat_interleave(count))

    def forward(self, x: Tensor, batch: Batch, num_steps: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """x (B, T, H) → the sequence's change (B, T, H), u, v (B, C, T)."""
        start, evidence, catalysis, flow = self.driven(x)
        edges, steps = self.conductance(flow, batch), num_steps or self.config.num_steps
        u, v = self._run(start, evidence, catalysis, edges, batch, steps)
        return self.read(u, v), u, v

    def driven(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What each snippet by itself says: x (B, T, H) → u at the start, evidence, catalysis, flow e, (B, C, T)."""
        drive = self.drive(self.norm(x)).to(self.reach.dtype)  # not bfloat16: steps add up what it would round away
        start, evidence, log_catalysis, flow = drive.transpose(1, 2).contiguous().chunk(4, dim=1)
        catalysis = (_MAX_LOG_CATALYSIS * torch.tanh(log_catalysis / _MAX_LOG_CATALYSIS)).exp()
        return start.sigmoid(), nn.functional.softplus(evidence), catalysis, flow

    def read(self, u: Tensor, v: Tensor) -> Tensor:
        """u, v (B, C, T) → the sequence's change (B, T, H)."""
        read: Tensor = self.readout(torch.cat((u, _READ_V * v), dim=1).transpose(1, 2))
        return read

    def conductance(self, flow: Tensor, batch: Batch) -> Tensor:
        """flow e (B, C, T) → (B, C, T-1) in [0, 1]."""
        if not self.config.conductance:
            return torch.ones_like(flow[..., 1:])
        edges = batch.valid[:, 1:] & batch.valid[:, :-1]
        distance = torch.where(edges, batch.distance, 0.0)[:, None]  # (B, 1, T-1)
        drop = (distance * torch.exp(-self.reach)[:, None]).square()
        drop = drop - nn.functional.logsigmoid(self.leak)[:, None] * (batch.is_cut & edges)[:, None]
        return (nn.functional.logsigmoid(flow[..., 1:] + flow[..., :-1]) - drop).exp()

    def _run(
        self, u: Tensor, evidence: Tensor, catalysis: Tensor, conductance: Tensor, batch: Batch, num_steps: int
    ) -> tuple[Tensor, Tensor]:
        system, dt, valid = self.bank.system(batch.spacing_s), self.config.dt, batch.valid
        v = IGNITION * evidence
        if self.config.reaction:
            return evolve(
                u,
                v,
                system=system,
                catalysis=catalysis,
                seed=SEED * evidence,
                conductance=conductance,
                dt=dt,
                num_steps=num_steps,
                valid=valid,
            )
        factors = diffusion_factors(u, system=system, conductance=conductance, dt=dt, valid=valid)
        both = torch.stack((mask_padding(u, valid), mask_padding(v, valid)))
        for _ in range(num_steps):
            both = solve(both, factors)
        u, v = both.unbind(0)
        return u, v


class ReactionDiffusionFusion(nn.Module):
    """The whole fusion: `Batch` → `Fused`."""

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.first_mixings = nn.ModuleList(LocalMixing(config) for _ in range(config.blocks))
        self.reactions = nn.ModuleList(ReactionBlock(config) for _ in range(config.blocks))
        self.mixings = nn.ModuleList(LocalMixing(config) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.hidden)
        self.pooling = nn.Parameter(torch.zeros(config.channels))
        self.strength = nn.Parameter(_unsoftplus(torch.tensor(_FIRST_STRENGTH)))
        self.offset = nn.Parameter(torch.tensor(_FIRST_OFFSET))

    def forward(self, batch: Batch, num_steps: int | None = None) -> Fused:
        """num_steps: other than the configuration's."""
        x = self.before_last_reaction(batch, num_steps)
        change, u, v = self.reactions[-1](x, batch, num_steps)
        x = self.mixings[-1](x + change, batch.valid)
        sequence = torch.where(batch.valid[..., None], self.norm(x), 0.0)
        return Fused(sequence, u, v, torch.where(batch.valid, self.activity(v), 0.0))

    def before_last_reaction(self, batch: Batch, num_steps: int | None = None) -> Tensor:
        """What the last reaction is given, (B, T, H)."""
        x: Tensor = self.first_mixings[0](self.embedding(batch), batch.valid)
        for reaction, mixing, first in zip(self.reactions, self.mixings, self.first_mixings[1:], strict=False):
            change, _, _ = reaction(x, batch, num_steps)
            x = first(mixing(x + change, batch.valid), batch.valid)
        return x

    def activity(self, v: Tensor) -> Tensor:
        """v (B, C, T) of the last block → (B, T), as `Fused` says."""
        # softplus: 1 − exp(−activity) is the sigmoid of v pooled over the channels, with weights ≥ 0.
        pooled = ((nn.functional.softplus(self.strength) * self.pooling.softmax(dim=0))[:, None] * v).sum(dim=1)
        return nn.functional.softplus(pooled + self.offset)

    @torch.no_grad()
    def systems(self, spacing_s: float) -> list[GrayScott]:
        """Plain numbers of every channel of every block at this spacing, block by block, for catalysis 1."""
        found = []
        for block in self.reactions:
            assert isinstance(block, ReactionBlock)
            system = block.bank.system(block.leak.new_tensor([spacing_s]))
            feed, kill, diff_u, diff_v = (
                torch.as_tensor(x).double().cpu().expand(1, -1)[0].tolist()
                for x in (system.feed, system.kill, system.diff_u, system.diff_v)
            )
            found += [GrayScott(*values) for values in zip(feed, kill, diff_u, diff_v, strict=True)]
        return found


def _bounded(x: Tensor, limits: tuple[float, float]) -> Tensor:
    low, high = limits
    return low + (high - low) * x.sigmoid()


def _unbounded(x: Tensor, limits: tuple[float, float]) -> Tensor:
    low, high = limits
    return torch.logit((x - low) / (high - low))


def _unsoftplus(x: Tensor) -> Tensor:
    return x + torch.log(-torch.expm1(-x))
