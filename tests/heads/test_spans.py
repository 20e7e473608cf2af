"""Spans in tensors: the overlap is that of intervals.py, and generalized IoU is what its definition says."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from rdmf_cli.heads.spans import overlap, pairwise_overlap
from rdmf_cli.intervals import tiou

SPANS = st.lists(st.tuples(st.floats(0, 100), st.just(0.0) | st.floats(1e-3, 30)), min_size=1, max_size=6)


def spans(drawn: list[tuple[float, float]]) -> torch.Tensor:
    return torch.tensor([[start, start + width] for start, width in drawn], dtype=torch.float64)


@given(a=SPANS, b=SPANS)
@settings(max_examples=200, deadline=None)
def test_overlap_is_that_of_intervals(a: list[tuple[float, float]], b: list[tuple[float, float]]) -> None:
    found = pairwise_overlap(spans(a), spans(b))
    np.testing.assert_allclose(found.iou.numpy(), tiou(spans(a).numpy(), spans(b).numpy()), atol=1e-9)
    assert (found.giou <= found.iou + 1e-12).all()
    assert (found.giou >= -1 - 1e-12).all()


def test_generalized_iou_of_a_gap() -> None:
    found = overlap(torch.tensor([0.0, 2.0]), torch.tensor([6.0, 8.0]))
    assert found.iou == 0
    assert found.giou == -0.5  # 4 of the 8 seconds around both belong to neither


def test_generalized_iou_pulls_spans_apart_together() -> None:
    near = torch.tensor([0.0, 2.0], requires_grad=True)
    overlap(near, torch.tensor([6.0, 8.0])).giou.backward()
    assert near.grad is not None
    assert near.grad[1] > 0  # a later end is better
