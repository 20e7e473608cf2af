"""The head: padding never leaks, a batch is its items one by one, slots are local, lengths 1 and long work."""

from __future__ import annotations

import time
from typing import cast

import pytest
import torch

from rdmf_cli.heads.moments import BorderStep, CoarseStep, Found, HeadConfig, MomentHead, Scene, chance_logit, ordered

DIM, FACTS = 24, 3
CONFIG = HeadConfig(num_slots=5, window=40, hidden=16, value_dim=8, edge_dim=8, border_reach=(4, 2))


@pytest.fixture(scope="module")
def head() -> MomentHead:
    torch.manual_seed(0)
    return MomentHead(CONFIG, DIM, FACTS).eval()


def scene(num_items: int, num_snippets: int, seed: int = 0) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    return {
        "sequence": torch.randn(num_items, num_snippets, DIM, generator=draw),
        "activity": torch.rand(num_items, num_snippets, generator=draw),
        "query": torch.randn(num_items, FACTS, generator=draw),
        "valid": torch.ones(num_items, num_snippets, dtype=torch.bool),
        "is_cut": torch.rand(num_items, num_snippets - 1, generator=draw) < 0.1,
    }


def answer(head: MomentHead, given: dict[str, torch.Tensor]) -> Found:
    with torch.no_grad():
        return head(given["sequence"], given["activity"], **{k: given[k] for k in ("query", "valid", "is_cut")})


def test_a_batch_is_its_items_one_by_one(head: MomentHead) -> None:
    lengths, most = (30, 90, 1, 55), 90
    given = scene(4, most)
    given["valid"] = torch.arange(most) < torch.tensor(lengths)[:, None]
    # Padding holds what would be noticed.
    given["sequence"][~given["valid"]] = torch.nan
    given["activity"][~given["valid"]] = 50.0
    given["is_cut"][~given["valid"][:, 1:]] = True
    together = answer(head, given)
    for item, length in enumerate(lengths):
        alone = answer(
            head,
            {
                "sequence": given["sequence"][item : item + 1, :length],
                "activity": given["activity"][item : item + 1, :length],
                "query": given["query"][item : item + 1],
                "valid": given["valid"][item : item + 1, :length],
                "is_cut": given["is_cut"][item : item + 1, : length - 1],
            },
        )
        slots = alone.slot_valid.shape[1]
        usable = alone.slot_valid[0]
        assert together.slot_valid[item, :slots].equal(usable)
        assert not together.slot_valid[item, slots:].any()
        for name in ("spans", "logits", "quality"):
            one, of_many = getattr(alone, name)[:, 0], getattr(together, name)[:, item, :slots]
            torch.testing.assert_close(of_many[:, usable], one[:, usable], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(together.saliency[item, :length], alone.saliency[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(together.boundary[item, : length + 1], alone.boundary[0], atol=1e-4, rtol=1e-4)
        torch.testing.assert_close(together.relevance[item], alone.relevance[0], atol=1e-4, rtol=1e-4)
        assert (together.saliency[item, length:] < -10).all()
        assert (together.boundary[item, length + 1 :] < -10).all()


def test_slots_look_at_their_neighbourhood_only(head: MomentHead) -> None:
    given = scene(1, 400)
    given["activity"][:] = 0.01
    given["activity"][0, 20:24] = 2.0
    changed = {name: value.clone() for name, value in given.items()}
    changed["sequence"][0, 200:] *= -1.0
    before, after = answer(head, given), answer(head, changed)
    torch.testing.assert_close(after.spans[:, :, 0], before.spans[:, :, 0])  # the strongest of the first window
    torch.testing.assert_close(after.quality[:, :, 0], before.quality[:, :, 0])
    assert not torch.allclose(after.relevance, before.relevance)


@pytest.mark.parametrize("num_snippets", [1, 2, 3])
def test_tiny_videos(head: MomentHead, num_snippets: int) -> None:
    found = answer(head, scene(2, num_snippets))
    assert found.slot_valid.any(dim=1).all()
    assert all(value.isfinite().all() for value in found)
    assert (found.spans[..., 1] > found.spans[..., 0]).all()
    assert found.boundary.shape == (2, num_snippets + 1)


def test_gradients_are_finite_and_reach_everything() -> None:
    torch.manual_seed(0)
    head = MomentHead(CONFIG, DIM, FACTS)
    given = scene(3, 50)
    given["activity"].requires_grad_()
    found = head(given["sequence"], given["activity"], **{k: given[k] for k in ("query", "valid", "is_cut")})
    torch.stack([value.float().square().sum() for value in found if value.dtype != torch.bool]).sum().backward()
    for name, parameter in head.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert name.endswith("ask.bias") or parameter.grad.abs().max() > 0, name
    assert given["activity"].grad is not None
    assert given["activity"].grad.abs().min() > 0


def test_a_border_can_reach_any_edge_nearby_and_lie_between_edges() -> None:
    torch.manual_seed(0)
    step = BorderStep(hidden=4, edge_dim=6, reach=3)
    edges = torch.zeros(1, 11, 6)
    view = Scene(torch.zeros(1, 11, 1).double(), edges, torch.tensor([[10.0]]), torch.ones(1, 1, dtype=torch.bool))
    spans = torch.tensor([[[3.2, 7.7]]])
    with torch.no_grad():
        for layer in (step.ask, step.place, step.judge, step.stay):
            layer.weight.zero_()
            layer.bias.zero_()
        # Edge 5 says so in its first channel, and that channel is all that is judged.
        edges[0, 5, 0] = 10.0
        step.judge.weight[0, 0] = 10.0
        exact = step(torch.zeros(1, 1, 4), spans, view)
        step.judge.weight[1, 0] = torch.atanh(torch.tensor(0.4)) / 10
        between = step(torch.zeros(1, 1, 4), spans, view)
    torch.testing.assert_close(exact, torch.tensor([[[5.0, 5.0]]]), atol=1e-3, rtol=0)
    torch.testing.assert_close(between, torch.tensor([[[5.4, 5.4]]]), atol=1e-3, rtol=0)


def test_the_chance_of_an_activity() -> None:
    activity = torch.tensor([0.5, 1.0, 4.0, 30.0])
    torch.testing.assert_close(chance_logit(activity).sigmoid(), 1 - torch.exp(-activity - 0.02))
    assert chance_logit(torch.zeros(1)).isfinite().all()


def test_spans_are_put_in_order() -> None:
    spans = ordered(torch.tensor([[5.0, 3.0], [1.0, 4.0]]))
    assert (spans[:, 1] > spans[:, 0]).all()
    assert spans[0].mean() == 4
    assert spans[1].tolist() == [1, 4]


@pytest.mark.parametrize(
    "wrong",
    [
        {"num_slots": 0},
        {"hidden": 10, "attention_heads": 3},
        {"coarse_layers": 0, "border_reach": ()},
        {"border_reach": (0,)},
        {"dropout": 1.0},
        {"max_overlap": 0.0},
    ],
)
def test_a_shape_that_makes_no_sense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        HeadConfig(**wrong)  # type: ignore[arg-type]


def test_cost_grows_linearly(head: MomentHead) -> None:
    short, long = scene(1, 2_000), scene(1, 16_000)

    def took(given: dict[str, torch.Tensor]) -> float:
        times = []
        for _ in range(3):
            started = time.process_time()
            answer(head, given)
            times.append(time.process_time() - started)
        return min(times)

    assert took(long) < 20 * took(short)


def test_no_coarse_step_closes_a_slot() -> None:
    step = CoarseStep(8)
    spans = torch.tensor([[[3.0, 4.0], [10.0, 40.0]]])
    scene = cast(Scene, None)  # not looked at
    for first, second in ((9.0, -9.0), (-9.0, 9.0), (9.0, 9.0)):
        with torch.no_grad():
            cast(torch.nn.Linear, step.move[-1]).bias.copy_(torch.tensor([first, second]))
            moved = step(torch.zeros(1, 2, 8), spans, scene)
        width, before = moved[..., 1] - moved[..., 0], spans[..., 1] - spans[..., 0]
        assert (width >= 0.09 * before).all()
