"""A stream gives what the whole video gives: exactly behind a cut, and up to the tolerance behind the delay."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rdmf_cli.fusion.config import FusionConfig
from rdmf_cli.fusion.evolution import evolve
from rdmf_cli.fusion.gray_scott import GrayScott, Integration, integrate
from rdmf_cli.fusion.inputs import Batch
from rdmf_cli.fusion.learned import ReactionDiffusionFusion
from rdmf_cli.fusion.pattern import PatternConfig, pattern_system, start_of
from rdmf_cli.fusion.streaming import ReactionStream, State, StreamingPattern, Supply, delay_of
from rdmf_cli.fusion.streaming_learned import StreamingFusion
from tests.reactions import awake

CONFIG = PatternConfig(num_steps=40)
SPACING_S = 2.0


def evidence_of(length: int, seed: int = 0, rows: int = 2) -> Tensor:
    """Smooth noise that crosses the threshold here and there."""
    noise = torch.randn(rows, length + 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.avg_pool1d(noise, 9, stride=1) * 3


def whole(evidence: Tensor, edges: Tensor, config: PatternConfig = CONFIG) -> Integration:
    start = start_of(evidence, pattern_system(config, SPACING_S), config)
    return integrate(
        start.u, start.v, system=start.system, catalysis=start.catalysis, seed=start.seed,
        conductance=edges[1:].expand(len(evidence), -1), dt=config.dt, num_steps=config.num_steps,
    )  # fmt: skip


def streamed(evidence: Tensor, edges: Tensor, chunk: int, **options: float) -> tuple[State, list[int]]:
    stream = StreamingPattern(SPACING_S, CONFIG, **options)  # type: ignore[arg-type]
    parts, counts = [], []
    for start in range(0, evidence.shape[1], chunk):
        part = slice(start, start + chunk)
        state, own = stream.push(evidence[:, part], edges[part])
        assert torch.equal(own, evidence[:, sum(counts) : sum(counts) + state.v.shape[1]])
        parts.append(state)
        counts.append(state.v.shape[1])
    parts.append(stream.finish()[0])
    return State(*(torch.cat(pair, dim=-1) for pair in zip(*parts, strict=True))), counts


@pytest.mark.parametrize("chunk", [2, 7, 200])
def test_a_stream_is_the_whole_within_the_tolerance(chunk: int) -> None:
    evidence, edges = evidence_of(90), torch.ones(90, dtype=torch.float64)
    state, counts = streamed(evidence, edges, chunk)
    expected = whole(evidence, edges)
    assert state.v.shape == evidence.shape
    assert float((state.v - expected.v).abs().max()) < 2e-4
    assert float((state.u - expected.u).abs().max()) < 2e-4
    assert bool((expected.v > 0.3).any())
    assert bool((expected.v < 0.05).any())
    delay = StreamingPattern(SPACING_S, CONFIG).delay_snippets
    assert sum(counts) == max(0, 90 - delay)


def test_the_tolerance_is_what_the_delay_costs() -> None:
    evidence, edges = evidence_of(90, seed=3), torch.ones(90, dtype=torch.float64)
    expected = whole(evidence, edges).v
    errors, delays = [], []
    for tolerance in (1e-1, 1e-3, 1e-6):
        errors.append(float((streamed(evidence, edges, 5, tolerance=tolerance)[0].v - expected).abs().max()))
        delays.append(StreamingPattern(SPACING_S, CONFIG, tolerance=tolerance).delay_snippets)
    assert errors[0] > errors[1] > errors[2]
    assert errors[1] < 2e-3
    assert errors[2] < 2e-6
    assert delays == sorted(delays)


def test_behind_a_cut_all_is_final_at_once_and_exact() -> None:
    evidence, edges = evidence_of(40), torch.rand(40, dtype=torch.float64)
    edges[[11, 25]] = 0
    state, counts = streamed(evidence, edges, 1, tolerance=1e-12)
    assert counts[:26] == [0] * 11 + [11] + [0] * 13 + [14]
    assert torch.allclose(state.v, whole(evidence, edges).v, atol=1e-12)


def test_memory_does_not_grow() -> None:
    config = replace(CONFIG, num_steps=3)
    stream = ReactionStream(pattern_system(config, SPACING_S), dt=config.dt, num_steps=3, chunk=4)
    for seed in range(60):
        evidence = evidence_of(5, seed)
        start = start_of(evidence, pattern_system(config, SPACING_S), config)
        stream.push(Supply(start.u, start.v, start.catalysis, start.seed, torch.ones_like(evidence)))
        assert stream.num_pending <= stream.delay_snippets
    rest = stream.num_pending
    assert stream.finish().v.shape[-1] == rest > 0


def test_delays() -> None:
    slow, fast = (pattern_system(PatternConfig(), spacing_s) for spacing_s in (0.5, 2.0))
    assert delay_of(slow, 4.0, 150) == 50
    assert delay_of(fast, 4.0, 150) < delay_of(slow, 4.0, 150) < delay_of(slow, 4.0, 150, 1e-8)
    assert delay_of(GrayScott(0.05, 0.06, 0.0, 0.0), 4.0, 150) == 1
    channels = GrayScott(0.05, 0.06, torch.tensor([0.1, 9.0]), torch.tensor([0.1, 3.0]))
    assert delay_of(channels, 4.0, 8) == delay_of(GrayScott(0.05, 0.06, 9.0, 3.0), 4.0, 8)


def test_nothing_was_fed() -> None:
    with pytest.raises(ValueError, match="nothing was fed"):
        ReactionStream(pattern_system(CONFIG, 1.0), dt=4.0, num_steps=2).finish()


def test_steps_of_the_learned_fusion() -> None:
    torch.manual_seed(0)
    u, v, g, s = torch.rand(2, 3, 60), torch.rand(2, 3, 60), 2 * torch.rand(2, 3, 60), 0.1 * torch.rand(2, 3, 60)
    edges = torch.rand(2, 3, 60)
    system = GrayScott(torch.full((3,), 0.05), torch.full((3,), 0.06), 2 * torch.rand(2, 3), torch.rand(2, 3))
    with torch.no_grad():
        expected = evolve(u, v, system=system, catalysis=g, seed=s, conductance=edges[..., 1:], dt=4.0, num_steps=6)
    stream = ReactionStream(system, dt=4.0, num_steps=6, joined=True)
    parts = [stream.push(Supply(*(x[..., i : i + 6] for x in (u, v, g, s, edges)))) for i in range(0, 60, 6)]
    parts.append(stream.finish())
    for mine, other in zip(zip(*parts, strict=True), expected, strict=True):
        assert torch.allclose(torch.cat(mine, dim=-1), other, atol=2e-4)


def fused(config: FusionConfig, chunk: int, length: int = 90) -> tuple[float, list[int], StreamingFusion]:
    """Largest difference between a stream and the whole, and how many snippets each push gave."""
    torch.manual_seed(1)
    fusion = awake(ReactionDiffusionFusion(config)).eval()
    values, query = torch.randn(2, length, config.num_inputs), torch.randn(2, config.num_facts)
    distance, is_cut = 2 * torch.rand(2, length), torch.rand(2, length) < 0.05
    valid, spacing_s = torch.ones(2, length, dtype=torch.bool), torch.full((2,), SPACING_S)
    with torch.no_grad():
        expected = fusion(Batch(values, query, distance[:, 1:], is_cut[:, 1:], valid, spacing_s))
    stream = StreamingFusion(fusion, 2, SPACING_S)
    parts = []
    for start in range(0, length, chunk):
        part = slice(start, start + chunk)
        parts.append(stream.push(values[:, part], query, distance[:, part], is_cut[:, part]))
    counts = [found.activity.shape[1] for found in parts]
    parts.append(stream.finish())
    sequence, activity = (torch.cat([getattr(x, name) for x in parts], dim=1) for name in ("sequence", "activity"))
    assert sequence.shape == expected.sequence.shape
    apart = ((sequence - expected.sequence).abs().max(), (activity - expected.activity).abs().max())
    return max(map(float, apart)), counts, stream


SMALL = FusionConfig(hidden=16, channels=4, max_wavelength_s=8.0)


@pytest.mark.parametrize(
    "config",
    [SMALL, replace(SMALL, reaction=False), replace(SMALL, conductance=False), replace(SMALL, kernel=1, blocks=1)],
    ids=["rdmf", "no reaction", "no conductance", "no mixing"],
)
@pytest.mark.parametrize("chunk", [4, 13])
def test_the_learned_fusion_on_a_stream(config: FusionConfig, chunk: int) -> None:
    apart, counts, stream = fused(config, chunk)
    assert apart < 5e-4
    assert 0 < sum(counts) == 90 - stream.delay_snippets


def test_a_network_in_training_can_not_be_streamed() -> None:
    with pytest.raises(ValueError, match="evaluation mode"):
        StreamingFusion(ReactionDiffusionFusion(SMALL), 1, 1.0)
    with pytest.raises(ValueError, match="nothing was fed"):
        StreamingFusion(ReactionDiffusionFusion(SMALL).eval(), 1, 1.0).finish()
