"""What fusion and head cost at some lengths: time and memory of this process. Called by benchmarks/fusion.py."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from rdmf_cli.fusion.config import FusionConfig
from rdmf_cli.fusion.inputs import INPUT_NAMES, QUERY_NAMES, Batch
from rdmf_cli.fusion.pattern import PatternConfig, settle
from rdmf_cli.heads.moments import HeadConfig
from rdmf_cli.moment_model import MomentConfig, MomentNetwork, build
from rdmf_cli.records import from_table

_RUNS = 3
_LONG_S = 5.0  # a run that takes longer is not repeated
_SPACING_S = 2.0


def measure(asked: dict[str, Any], variants: Mapping[str, dict[str, Any]], pattern: str) -> dict[str, Any]:
    """{"T": {"fusion_s", "network_s", "memory_mib"}}; lengths rise."""
    run: Callable[[Batch], float]
    if asked["variant"] == pattern:
        run = pattern_run
    else:
        fusion = replace(from_table(FusionConfig, asked["fusion"]), **variants[asked["variant"]])
        run = NetworkRun(build(MomentConfig(fusion=fusion, head=from_table(HeadConfig, asked["head"]))))
    found: dict[str, Any] = {}
    with torch.inference_mode():
        run(batch(8))  # what is loaded at the first use is no cost of a length
        before = _memory_mib("VmRSS")
        for length in asked["lengths"]:
            _forget_peak()
            made = batch(length)
            times: list[tuple[float, float]] = []
            while len(times) < _RUNS and not (times and times[-1][1] > _LONG_S):
                started = time.perf_counter()
                fusion_s = run(made)
                times.append((fusion_s, time.perf_counter() - started))
            fusion_s, network_s = (sorted(values)[len(times) // 2] for values in zip(*times, strict=True))
            memory = _memory_mib("VmHWM") - before
            found[str(length)] = {"fusion_s": fusion_s, "network_s": network_s, "memory_mib": memory}
    return found


def batch(length: int) -> Batch:
    """One made-up video with a moment now and then."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(1, length, len(INPUT_NAMES), generator=generator)
    values[:, ::50, INPUT_NAMES.index("affinity")] += 4
    return Batch(
        values=values,
        query=torch.zeros(1, len(QUERY_NAMES)),
        distance=torch.rand(1, length - 1, generator=generator),
        is_cut=torch.rand(1, length - 1, generator=generator) < 0.2,
        valid=torch.ones(1, length, dtype=torch.bool),
        spacing_s=torch.tensor([_SPACING_S]),
    )


class NetworkRun:
    """A network, run once; says how long its fusion alone took."""

    def __init__(self, network: MomentNetwork) -> None:
        self.network = network.eval()

    def __call__(self, made: Batch) -> float:
        started = time.perf_counter()
        fused = self.network.fusion(made)
        fusion_s = time.perf_counter() - started
        self.network.head(fused.sequence, fused.activity, query=made.query, valid=made.valid, is_cut=made.is_cut)
        return fusion_s


def pattern_run(made: Batch) -> float:
    """Pattern mode's system from affinity to rest; it has no head."""
    config = PatternConfig()
    started = time.perf_counter()
    flows = torch.where(made.is_cut, 0.0, torch.exp(-((made.distance / config.conductance_reach) ** 2)))
    diffusion = (config.feed + config.kill) * (config.reach_s / made.spacing_s) ** 2
    settle(made.values[..., INPUT_NAMES.index("affinity")], flows, diffusion, config, made.valid)
    return time.perf_counter() - started


def _memory_mib(name: str) -> float:
    """VmRSS, what this process holds, or VmHWM, the most it has held since `_forget_peak`.

    Not from getrusage: its peak is inherited from the process that started this one. 0 outside Linux.
    """
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), 0.0)


def _forget_peak() -> None:
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
