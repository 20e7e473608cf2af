from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rdmf_cli.fusion.laplacian import (
    diffuse_explicit,
    diffuse_implicit,
    divergence,
    edge_weights,
    factorise,
    solve,
)


def thomas(x: Tensor, weights: Tensor) -> Tensor:
    """Solve (I + L) x' = x by the plain Thomas algorithm, one snippet after the other."""
    num_snippets = x.shape[-1]
    edge = torch.nn.functional.pad(weights, (1, 1))
    diagonal = 1 + edge[..., 1:] + edge[..., :-1]
    ratio, right_hand_side = [edge[..., 1] / diagonal[..., 0]], [x[..., 0] / diagonal[..., 0]]
    for t in range(1, num_snippets):
        pivot = diagonal[..., t] - edge[..., t] * ratio[-1]
        right_hand_side.append((x[..., t] + edge[..., t] * right_hand_side[-1]) / pivot)
        ratio.append(edge[..., t + 1] / pivot)
    solved = [right_hand_side[-1]]
    for t in range(num_snippets - 2, -1, -1):
        solved.append(right_hand_side[t] + ratio[t] * solved[-1])
    return torch.stack(solved[::-1], dim=-1)


def random_problem(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(*shape, generator=generator, dtype=dtype)
    conductance = torch.rand(*shape[:-1], shape[-1] - 1, generator=generator, dtype=dtype)
    return x, conductance


@pytest.mark.parametrize("num_snippets", [1, 2, 3, 4, 5, 8, 17, 75, 200])
def test_implicit_equals_thomas(num_snippets: int) -> None:
    x, conductance = random_problem(3, 2, num_snippets)
    for strength in (1e-3, 1.0, 1e4):
        expected = thomas(x, strength * conductance)
        torch.testing.assert_close(diffuse_implicit(x, strength, conductance, 1.0), expected, rtol=1e-9, atol=1e-12)


def test_implicit_solves_the_dense_system() -> None:
    x, conductance = random_problem(1, 30)
    unit = torch.eye(30, dtype=x.dtype)
    laplacian = divergence(unit, 2.5, conductance).mT  # column t: the operator on a spike at t
    expected = torch.linalg.solve(unit - 0.7 * laplacian, x.mT).mT
    torch.testing.assert_close(diffuse_implicit(x, 2.5, conductance, 0.7), expected)


def test_implicit_approaches_explicit_with_the_square_of_dt() -> None:
    x, conductance = random_problem(2, 40)
    gaps = []
    for dt in (1e-2, 1e-3):
        gap = diffuse_implicit(x, 1.0, conductance, dt) - diffuse_explicit(x, 1.0, conductance, dt)
        gaps.append(float(gap.abs().max()))
    assert gaps[0] / gaps[1] == pytest.approx(100, rel=0.1)


def test_divergence_is_the_formula_of_the_docstring() -> None:
    x = torch.tensor([[1.0, 4.0, 2.0]])
    conductance = torch.tensor([[0.5, 1.0]])
    torch.testing.assert_close(divergence(x, 2.0, conductance), torch.tensor([[3.0, -7.0, 4.0]]))


@pytest.mark.parametrize("diffuse", [diffuse_implicit, diffuse_explicit])
def test_mass_is_kept_and_constants_stay(diffuse: object) -> None:
    assert callable(diffuse)
    x, conductance = random_problem(4, 3, 91)
    torch.testing.assert_close(diffuse(x, 0.4, conductance, 0.5).sum(-1), x.sum(-1), rtol=1e-12, atol=0)
    constant = torch.full_like(x, 0.3)
    torch.testing.assert_close(diffuse(constant, 0.4, conductance, 0.5), constant, rtol=1e-12, atol=0)


def test_mass_is_kept_in_single_precision_for_a_huge_step() -> None:
    x, conductance = random_problem(1, 20_000, dtype=torch.float32)
    spread = diffuse_implicit(x, 1.0, conductance, 1e6)
    assert float(spread.double().sum()) == pytest.approx(float(x.double().sum()), rel=1e-4)


def test_a_weight_beyond_single_precision_still_averages() -> None:
    # 1 + w loses the 1 in float32 for w = 1e12: elimination on diagonals would divide by 0 here.
    x = torch.tensor([[1.0, 0.0, 0.0, 3.0]])
    spread = diffuse_implicit(x, 1e12, torch.ones(1, 3), 1.0)
    torch.testing.assert_close(spread, torch.ones(1, 4), rtol=1e-5, atol=0)


@settings(max_examples=40, deadline=None)
@given(
    num_snippets=st.integers(1, 40),
    strength=st.floats(0, 1e8, width=32),
    kind=st.sampled_from(["zero", "one", "random", "cuts"]),
    seed=st.integers(0, 1000),
)
def test_implicit_stays_between_the_extremes(num_snippets: int, strength: float, kind: str, seed: int) -> None:
    x, conductance = random_problem(2, num_snippets, dtype=torch.float32, seed=seed)
    conductance = {
        "zero": torch.zeros_like(conductance),
        "one": torch.ones_like(conductance),
        "random": conductance,
        "cuts": (conductance > 0.5).float(),
    }[kind]
    spread = diffuse_implicit(x, strength, conductance, 1.0)
    assert bool((spread >= x.amin(-1, keepdim=True) * (1 - 1e-5)).all())
    assert bool((spread <= x.amax(-1, keepdim=True) * (1 + 1e-5)).all())


def test_diffusion_stops_at_a_cut() -> None:
    x, conductance = random_problem(1, 20)
    conductance[..., 7] = 0.0
    changed = x.clone()
    changed[..., :8] += 5.0
    before, after = (diffuse_implicit(y, 3.0, conductance, 10.0) for y in (x, changed))
    torch.testing.assert_close(before[..., 8:], after[..., 8:], rtol=0, atol=0)
    torch.testing.assert_close(before[..., :8].sum(), x[..., :8].sum())


@pytest.mark.parametrize("diffuse", [diffuse_implicit, diffuse_explicit])
@pytest.mark.parametrize("filler", [1e6, float("nan"), float("inf")])
def test_padding_never_leaks(diffuse: object, filler: float) -> None:
    assert callable(diffuse)
    x, conductance = random_problem(2, 12)
    padded = torch.full((2, 3, 20), filler, dtype=x.dtype)
    padded[..., :12] = x.unsqueeze(1)
    edges = torch.full((2, 19), filler, dtype=x.dtype)
    edges[..., :11] = conductance
    valid = (torch.arange(20) < 12).expand(2, 20)
    spread = diffuse(padded, 0.5, edges, 0.9, valid=valid)
    expected = diffuse(x, 0.5, conductance, 0.9)
    for channel in range(3):
        torch.testing.assert_close(spread[:, channel, :12], expected, rtol=1e-12, atol=1e-15)
    assert bool((spread[..., 12:] == 0).all())


def test_padding_in_front_is_a_boundary_too() -> None:
    x, conductance = random_problem(1, 9)
    valid = torch.arange(9)[None] >= 4
    spread = diffuse_implicit(x, 2.0, conductance, 1.0, valid=valid)
    torch.testing.assert_close(spread[..., 4:], diffuse_implicit(x[..., 4:], 2.0, conductance[..., 4:], 1.0))


def test_batch_equals_items_one_by_one() -> None:
    x, conductance = random_problem(5, 3, 33)
    diffusion = torch.tensor([0.1, 2.0, 50.0], dtype=x.dtype)
    together = diffuse_implicit(x, diffusion, conductance, 1.5)
    for item in range(5):
        for channel in range(3):
            alone = diffuse_implicit(
                x[item, channel][None], float(diffusion[channel]), conductance[item, channel][None], 1.5
            )
            torch.testing.assert_close(together[item, channel][None], alone, rtol=1e-12, atol=0)


def test_a_per_item_conductance_is_shared_by_channels_even_if_sizes_agree() -> None:
    x, _ = random_problem(3, 3, 10)  # B = C: broadcasting alone would read B as C
    conductance = torch.rand(3, 9, dtype=x.dtype)
    spread = diffuse_implicit(x, 1.0, conductance, 1.0)
    torch.testing.assert_close(spread[2], diffuse_implicit(x[2], 1.0, conductance[2], 1.0))


def test_reversed_time_reverses_the_answer() -> None:
    x, conductance = random_problem(2, 50)
    forward = diffuse_implicit(x, 4.0, conductance, 1.0)
    backward = diffuse_implicit(x.flip(-1), 4.0, conductance.flip(-1), 1.0)
    torch.testing.assert_close(backward.flip(-1), forward, rtol=1e-12, atol=0)


def test_implicit_is_first_order_in_dt() -> None:
    x, conductance = random_problem(1, 24)
    laplacian = divergence(torch.eye(24, dtype=x.dtype), 1.0, conductance).mT
    exact = (torch.linalg.matrix_exp(2.0 * laplacian) @ x.mT).mT
    errors = []
    for num_steps in (20, 40, 80):
        factors = factorise(edge_weights(x, 1.0, conductance, 2.0 / num_steps))
        y = x
        for _ in range(num_steps):
            y = solve(y, factors)
        errors.append(float((y - exact).abs().max()))
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("num_snippets", [1, 2, 7, 8])
def test_gradients_of_the_solve(num_snippets: int) -> None:
    x, weights = random_problem(2, 3, num_snippets)
    weights = weights[:, :1] * 5  # broadcast over channels

    def solved(x: Tensor, weights: Tensor) -> Tensor:
        return solve(x, factorise(weights))

    inputs = (x.requires_grad_(), weights.requires_grad_())
    assert torch.autograd.gradcheck(solved, inputs)
    assert torch.autograd.gradgradcheck(solved, inputs)


def test_wrong_number_of_edges_is_refused() -> None:
    with pytest.raises(ValueError, match="5 edges, 5 snippets need 4"):
        diffuse_implicit(torch.ones(1, 5), 1.0, torch.ones(1, 5), 1.0)


@pytest.mark.gpu
def test_same_answer_on_an_accelerator() -> None:
    x, conductance = random_problem(4, 8, 1000, dtype=torch.float32)
    expected = diffuse_implicit(x, 30.0, conductance, 1.0)
    actual = diffuse_implicit(x.cuda(), 30.0, conductance.cuda(), 1.0).cpu()
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)
