"""Learned fusion and its baselines: padding, batches, reversal, the Turing constraint, cost."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from rdmf_cli.fusion.baselines import build_fusion
from rdmf_cli.fusion.config import KINDS, Fused, FusionConfig
from rdmf_cli.fusion.inputs import INPUT_NAMES, QUERY_NAMES, Batch, batch_of
from rdmf_cli.fusion.learned import ReactionDiffusionFusion
from rdmf_cli.fusion.stability import fastest_mode, is_turing
from tests.reactions import awake

SMALL = FusionConfig(hidden=16, channels=6, num_steps=4)
VARIANTS = {
    **{kind: replace(SMALL, kind=kind) for kind in KINDS},
    "no conductance": replace(SMALL, conductance=False),
    "not constrained": replace(SMALL, constrained=False),
    "no reaction": replace(SMALL, reaction=False),
    "features": replace(SMALL, input="features", feature_dim=10),
    "kernel 1": replace(SMALL, kernel=1),
}
RDMF = {name: config for name, config in VARIANTS.items() if config.kind == "rdmf"}


def item(num_snippets: int, seed: int, spacing_s: float = 2.0) -> tuple[Tensor | float, ...]:
    generator = torch.Generator().manual_seed(seed)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    edges = num_snippets - 1
    parts = random(num_snippets, len(INPUT_NAMES)), random(len(QUERY_NAMES)), random(edges).abs(), random(edges) > 1
    return (*parts, spacing_s, random(num_snippets, 10), random(10))


def made(config: FusionConfig, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return awake(build_fusion(config)).eval()


ITEMS = [item(13, 1), item(5, 2, 0.5), item(1, 3), item(2, 4)]


def one(fused: Fused, index: int, length: int) -> list[Tensor]:
    """The tensors of one item without padding, time first."""
    parts = [fused.sequence[index, :length], fused.activity[index, :length]]
    return parts + [state[index, :, :length].T for state in (fused.u, fused.v) if state is not None]


@pytest.mark.parametrize("name", VARIANTS)
def test_a_batch_gives_what_its_items_give(name):
    net = made(VARIANTS[name])
    together = net(batch_of(ITEMS))
    assert together.sequence.shape == (4, 13, 16)
    assert together.activity.shape == (4, 13)
    for index, single in enumerate(ITEMS):
        length = len(single[0])
        alone = net(batch_of([single]))
        torch.testing.assert_close(one(together, index, length), one(alone, 0, length), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS)
def test_padding_never_leaks_and_comes_back_as_nothing(name):
    net = made(VARIANTS[name])
    batch = batch_of(ITEMS)
    expected = net(batch)
    padding, edges = ~batch.valid, ~(batch.valid[:, 1:] & batch.valid[:, :-1])
    assert batch.features is not None
    spoilt = batch._replace(
        values=batch.values.masked_fill(padding[..., None], float("nan")),
        distance=batch.distance.masked_fill(edges, float("nan")),
        is_cut=batch.is_cut | edges,
        features=batch.features.masked_fill(padding[..., None], float("nan")),
    )
    found = net(spoilt)
    for mine, theirs in zip(found, expected, strict=True):
        if mine is not None:
            assert torch.equal(mine, theirs)
    assert not found.sequence[padding].any()
    assert not found.activity[padding].any()
    (found.sequence.square().sum() + found.activity.sum()).backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


@pytest.mark.parametrize("name", VARIANTS)
def test_every_parameter_learns(name):
    net = made(VARIANTS[name]).train()
    fused = net(batch_of(ITEMS))
    weights = torch.randn(fused.sequence.shape, generator=torch.Generator().manual_seed(7))
    ((fused.sequence * weights).sum() + fused.activity.sum()).backward()
    unused = {n for n, p in net.named_parameters() if p.grad is None}
    # A switched-off part keeps its parameters, so that ablations have the same start; the GRUs have streams unread.
    allowed = {
        "no conductance": ("reach", "leak"),
        "no reaction": ("gain", "depth", "margin"),
        "cross_gru": ("gru",),
        "kernel 1": ("odd",),
    }.get(name, ())
    assert all(n.split(".")[-1] in allowed or n.split(".")[0] in allowed for n in unused), unused
    assert all(p.grad.isfinite().all() for p in net.parameters() if p.grad is not None)


def mirrored(single: tuple[Tensor | float, ...]) -> tuple[Tensor | float, ...]:
    values, query, distance, is_cut, spacing_s, features, words = single
    swap = {"before": "after", "after": "before"}
    order = [INPUT_NAMES.index("_".join(swap.get(w, w) for w in name.split("_"))) for name in INPUT_NAMES]
    return values.flip(0)[:, order], query, distance.flip(0), is_cut.flip(0), spacing_s, features.flip(0), words


@pytest.mark.parametrize("name", [*RDMF, "none"])
def test_backwards_in_time_gives_the_same_backwards(name):
    net = made(VARIANTS[name])
    forth, back = net(batch_of(ITEMS[:1])), net(batch_of([mirrored(ITEMS[0])]))
    for mine, theirs in zip(one(forth, 0, 13), one(back, 0, 13), strict=True):
        torch.testing.assert_close(mine, theirs.flip(0), rtol=1e-4, atol=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.3, 3.0, 30.0]), name=st.sampled_from(sorted(RDMF)))
def test_u_and_v_stay_positive_for_random_parameters(seed, scale, name):
    net = made(RDMF[name], seed)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(scale).add_(scale * torch.randn(parameter.shape))
    fused = net(batch_of(ITEMS))
    assert (fused.u >= 0).all()
    assert (fused.u <= 1 + 1e-5).all()
    assert (fused.v >= 0).all()
    assert (fused.activity >= 0).all()
    assert fused.sequence.isfinite().all()


@pytest.mark.parametrize("rate", [0.3, 20.0])
def test_no_step_of_an_optimiser_leaves_the_turing_region(rate):
    net = made(SMALL)
    assert isinstance(net, ReactionDiffusionFusion)
    optimiser = torch.optim.SGD(net.parameters(), rate)
    generator = torch.Generator().manual_seed(3)
    for _ in range(10):
        for parameter in net.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimiser.step()
        for spacing_s in (0.2, 2.0):
            assert all(is_turing(system) for system in net.systems(spacing_s))


def test_without_the_constraint_an_optimiser_does_leave_it():
    net = made(replace(SMALL, constrained=False))
    assert isinstance(net, ReactionDiffusionFusion)
    assert all(is_turing(system) for system in net.systems(2.0))  # the same start
    with torch.no_grad():
        for block in net.reactions:
            block.bank.free[1].add_(1.0)
    assert not any(is_turing(system) for system in net.systems(2.0))


@pytest.mark.parametrize("spacing_s", [0.25, 0.5, 2.0])
def test_channels_prefer_lengths_in_seconds(spacing_s):
    net = made(FusionConfig(channels=12))
    assert isinstance(net, ReactionDiffusionFusion)
    wanted = torch.cat([block.bank.wavelengths_s() for block in net.reactions]).tolist()
    assert min(wanted) < 6
    assert max(wanted) > 120
    for system, wavelength_s in zip(net.systems(spacing_s), wanted, strict=True):
        found = fastest_mode(system).wavelength_s(spacing_s)
        assert found == pytest.approx(max(wavelength_s, 2 * spacing_s), rel=1e-3)


def test_both_parametrisations_start_alike():
    free, bound = (made(replace(SMALL, constrained=flag)) for flag in (False, True))
    assert isinstance(free, ReactionDiffusionFusion)
    assert isinstance(bound, ReactionDiffusionFusion)
    for mine, theirs in zip(free.systems(0.25), bound.systems(0.25), strict=True):
        assert mine.feed == pytest.approx(theirs.feed, rel=1e-4)
        assert mine.diff_v == pytest.approx(theirs.diff_v, rel=0.05)  # the grid's sine against the long-wave limit


def test_a_cut_stops_what_would_flow():
    net = made(SMALL)
    block = net.reactions[0]
    batch = batch_of(ITEMS[:1])._replace(is_cut=torch.zeros(1, 12, dtype=torch.bool))
    flow = torch.zeros(1, 6, 13)
    whole = block.conductance(flow, batch)
    cut = block.conductance(flow, batch._replace(is_cut=torch.ones(1, 12, dtype=torch.bool)))
    torch.testing.assert_close(cut, whole * block.leak.sigmoid()[None, :, None])
    assert (whole <= 1).all()
    far = block.conductance(flow, batch._replace(distance=torch.full((1, 12), 30.0)))
    assert (far < 1e-6).all()


def test_steps_may_differ_at_inference():
    net = made(SMALL)
    batch = batch_of(ITEMS)
    assert torch.equal(net(batch).v, net(batch, num_steps=4).v)
    assert not torch.allclose(net(batch).v, net(batch, num_steps=16).v)


@pytest.mark.parametrize("kind", KINDS)
def test_mixed_precision_runs(kind):
    net = made(VARIANTS[kind])
    with torch.autocast("cpu", torch.bfloat16):
        fused = net(batch_of(ITEMS))
        (fused.sequence.float().square().sum() + fused.activity.sum()).backward()
    assert fused.sequence.isfinite().all()
    full = net(batch_of(ITEMS))
    torch.testing.assert_close(fused.sequence.float(), full.sequence, rtol=0.2, atol=0.3)


def test_sizes_are_similar():
    sizes = {kind: sum(p.numel() for p in build_fusion(FusionConfig(kind=kind)).parameters()) for kind in KINDS}
    assert max(sizes.values()) < 2 * min(sizes.values()), sizes


def _work(net: nn.Module, num_snippets: int) -> int:
    """Elements of all tensors that a forward pass makes."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counter(TorchDispatchMode):
        total = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **(kwargs or {}))
            parts = result if isinstance(result, tuple | list) else (result,)
            Counter.total += sum(part.numel() for part in parts if isinstance(part, Tensor))
            return result

    with torch.no_grad(), Counter() as counter:
        net(batch_of([item(num_snippets, 0)]))
    return counter.total


def test_work_grows_linearly():
    net = made(SMALL)
    few, many = _work(net, 500), _work(net, 5000)
    assert 9 < many / few < 11


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "convolution"},
        {"input": "pixels"},
        {"feature_dim": 8},
        {"hidden": 30},
        {"kernel": 4},
        {"num_steps": 0},
        {"dropout": 1.0},
        {"min_wavelength_s": 200.0},
    ],
)
def test_wrong_configurations_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        FusionConfig(**wrong)


def test_features_are_asked_for():
    net = made(VARIANTS["features"])
    batch: Batch = batch_of(ITEMS)
    with pytest.raises(ValueError, match="reads features and words"):
        net(batch._replace(features=None))


def test_weights_made_for_other_inputs_are_refused():
    with pytest.raises(ValueError, match="this version of rdmf makes"):
        build_fusion(replace(SMALL, num_inputs=len(INPUT_NAMES) - 1))


def test_it_starts_as_local_mixing_and_its_reactions_learn():
    torch.manual_seed(0)
    net = build_fusion(SMALL).eval()
    batch = batch_of(ITEMS)
    before = net(batch).sequence
    with torch.no_grad():
        for reaction in net.reactions:
            reaction.drive.weight.mul_(3)
    torch.testing.assert_close(net(batch).sequence, before)
    net(batch).sequence.square().mean().backward()
    assert all(reaction.readout.weight.grad.abs().max() > 0 for reaction in net.reactions)
    awake(net)
    assert not torch.allclose(net(batch).sequence, before)
