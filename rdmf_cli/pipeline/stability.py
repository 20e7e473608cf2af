"""`rdmf stability`: what the mathematics says of a system, and how a pattern forms on a given video."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.fusion.affinity import AffinityConfig, affinity, conductance, pool_neighbours
from rdmf_cli.fusion.formation import Formation, watch, watch_learned
from rdmf_cli.fusion.inputs import batch_of_queries, snippet_inputs
from rdmf_cli.fusion.learned import ReactionDiffusionFusion
from rdmf_cli.fusion.pattern import PatternConfig, pattern_system, start_of
from rdmf_cli.fusion.regimes import AffinityRange, Channel, Regime, affinity_ranges, pattern_channel
from rdmf_cli.heads.decode import Timeline
from rdmf_cli.moment_model import MomentNetwork
from rdmf_cli.moment_weights import find_moment_model, load_moments
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.calibration import Calibration, calibrate
from rdmf_cli.pipeline.index import index_video
from rdmf_cli.pipeline.query import Encoded, encode_queries
from rdmf_cli.pipeline.snippets import snippets_of
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.store import Store

PATTERN = PatternConfig()
SCHEMA = "rdmf.stability/1"
_AFFINITIES = (0.25, 0.5, 1.0, 1.5, 2.0)  # of pattern mode, that are shown
_MOST_SNIPPETS = 1 << 16  # for which all steps are kept; a longer video would fill the memory


@dataclass(frozen=True)
class Stability:
    """What is known of a system without looking at a video."""

    model: str  # "pattern", or the name of a model
    spacing_s: float
    channels: tuple[Channel, ...]
    ranges: tuple[AffinityRange, ...] = ()  # pattern mode only

    def count(self, regime: Regime) -> int:
        """How many channels do this."""
        return sum(channel.regime == regime for channel in self.channels)

    @property
    def threshold(self) -> float | None:
        """Affinity from which evidence lives; None where it is not known, as in a learned model."""
        return next((found.start for found in self.ranges if found.regime is not Regime.dies), None)

    def to_json(self) -> dict[str, Any]:
        """The document of `--json`."""
        document: dict[str, Any] = {
            "schema": SCHEMA,
            "model": self.model,
            "spacing_s": self.spacing_s,
            "channels": [_channel_to_json(channel) for channel in self.channels],
        }
        if self.ranges:
            document["affinities"] = [
                {"start": r.start, "stop": None if r.stop == np.inf else r.stop, "regime": str(r.regime)}
                for r in self.ranges
            ]
        return document


@dataclass(frozen=True, eq=False)
class Watched:
    """How the pattern of one query formed on one video."""

    path: Path
    query: str
    timeline: Timeline
    formation: Formation

    def to_json(self) -> dict[str, Any]:
        """`video` of the document."""
        formation = self.formation
        return {
            "path": str(self.path),
            "query": self.query,
            "duration_s": round(self.timeline.end_s, 3),
            "steps": formation.num_steps,
            "dt": formation.dt,
            "tolerance": formation.tolerance,
            "rested": formation.rested,
            "change": [float(f"{value:.3g}") for value in formation.change],
            "times_s": [round(float(time_s), 3) for time_s in self.timeline.starts_s],
            "v": [round(float(value), 4) for value in formation.v[-1]],
        }


@dataclass(frozen=True, eq=False)
class Prepared:
    """A video and a query, encoded."""

    features: torch.Tensor  # (T, D)
    timeline: Timeline
    encoded: Encoded
    calibration: Calibration


def pattern_stability(spacing_s: float, config: PatternConfig = PATTERN) -> Stability:
    """Pattern mode: its one channel, at a few affinities."""
    channels = tuple(pattern_channel(affinity, spacing_s, config) for affinity in _AFFINITIES)
    return Stability("pattern", spacing_s, channels, tuple(affinity_ranges(config)))


def model_stability(name: str, network: MomentNetwork, spacing_s: float) -> Stability:
    """A trained model: its channels, block by block, at catalysis 1. Raises ModelError."""
    channels = [
        Channel(
            f"{number // network.config.fusion.channels + 1}.{number % network.config.fusion.channels + 1}",
            system,
            spacing_s,
        )
        for number, system in enumerate(_reaction(name, network).systems(spacing_s))
    ]
    return Stability(name, spacing_s, tuple(channels))


def open_model(name: str, models_folder: Path) -> tuple[str, MomentNetwork]:
    """The name and the network of a trained model whose fusion has channels. Raises ModelError."""
    folder = find_moment_model(name, models_folder)
    network = load_moments(folder).eval()
    _reaction(folder.name, network)
    return folder.resolve().name, network


def _reaction(name: str, network: MomentNetwork) -> ReactionDiffusionFusion:
    if not isinstance(network.fusion, ReactionDiffusionFusion):
        kind = network.config.fusion.kind
        raise ModelError(f"{name}: its fusion ({kind}) has no reaction and diffusion", hint="nothing to show of it")
    return network.fusion


def watch_model(
    video: Path,
    query: str,
    network: MomentNetwork,
    *,
    encoder: Encoder,
    store: Store | None,
    options: SearchOptions,
    progress: Progress = SILENT,
) -> Watched:
    """Run a model's fusion on a video as a search does, and keep every step. Raises VideoError, UsageError."""
    found = prepared(video, query, encoder, store, options, progress)
    vectors = torch.from_numpy(found.encoded.vectors)
    inputs = snippet_inputs(
        found.features,
        vectors,
        torch.from_numpy(found.calibration.bank),
        torch.from_numpy(found.timeline.is_cut),
        found.timeline.spacing_s,
        null_mean=found.calibration.null_mean,
        null_spread=found.calibration.null_spread,
        reach=torch.from_numpy(found.encoded.reach),
    )
    extra = (found.features, vectors) if network.config.fusion.input == "features" else ()
    formation = watch_learned(_reaction(str(video), network), batch_of_queries(inputs, *extra))
    return Watched(video, query, found.timeline, formation)


def watch_pattern(
    video: Path,
    query: str,
    *,
    encoder: Encoder,
    store: Store | None,
    options: SearchOptions,
    config: PatternConfig = PATTERN,
    progress: Progress = SILENT,
) -> Watched:
    """Run pattern mode on a video as a search does, and keep every step. Raises VideoError, UsageError."""
    found = prepared(video, query, encoder, store, options, progress)
    features, timeline, bank = found.features, found.timeline, torch.from_numpy(found.calibration.bank)
    affinity_config = AffinityConfig()
    is_cut = torch.from_numpy(timeline.is_cut)
    pooled = pool_neighbours(features, (~is_cut).to(features.dtype), affinity_config.pooling)
    evidence = affinity(pooled, torch.from_numpy(found.encoded.vectors), bank, affinity_config)
    start = start_of(evidence, pattern_system(config, timeline.spacing_s), config)
    v, change = watch(
        *start[:2],
        system=start.system,
        catalysis=start.catalysis,
        seed=start.seed,
        conductance=conductance(pooled, is_cut, config.conductance_reach).unsqueeze(0),
        dt=config.dt,
        num_steps=config.num_steps,
        tolerance=config.tolerance,
    )
    formation = Formation(evidence[0].numpy(), v, change, config.dt, config.tolerance)
    return Watched(video, query, timeline, formation)


def prepared(
    video: Path, query: str, encoder: Encoder, store: Store | None, options: SearchOptions, progress: Progress
) -> Prepared:
    """Encode what is needed. Raises UsageError for a video that is too long, VideoError."""
    calibration = calibrate(encoder, store)
    encoded = encode_queries([query], encoder, calibration, store)
    indexed = index_video(video, encoder=encoder, store=store, options=options, progress=progress)
    features, timeline = snippets_of(indexed.features, indexed.sample_fps)
    if len(features) > _MOST_SNIPPETS:
        raise UsageError(
            f"{video}: {len(features)} snippets are too many to keep every step of",
            hint="look at fewer frames a second: --fps 0.2",
        )
    return Prepared(torch.from_numpy(features), timeline, encoded, calibration)


def _channel_to_json(channel: Channel) -> dict[str, Any]:
    system = channel.system
    numbers: dict[str, NDArray[np.float64] | float | None] = {
        "feed": float(system.feed),
        "kill": float(system.kill),
        "diff_u": float(system.diff_u),
        "diff_v": float(system.diff_v),
        "catalysis": channel.catalysis,
        "wavelength_s": channel.wavelength_s,
        "reach_s": channel.reach_s,
        "seed": channel.seed,
        "u": channel.state[0],
        "v": channel.state[1],
    }
    rounded = {name: None if value is None else float(f"{value:.6g}") for name, value in numbers.items()}
    band = None if channel.band_s is None else [float(f"{value:.6g}") for value in channel.band_s]
    return {"name": channel.name, "regime": str(channel.regime), **rounded, "band_s": band}
