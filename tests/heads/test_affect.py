"""The head of the second model."""

from __future__ import annotations

import pytest
import torch

from rdmf_cli.heads.affect import AffectHead, AffectHeadConfig


def test_classes_get_logits_and_dimensions_values_in_range():
    torch.manual_seed(0)
    joined = torch.randn(3, 10) * 100
    assert AffectHead(AffectHeadConfig(), 10)(joined).shape == (3, 2)
    values = AffectHead(AffectHeadConfig(task="regression", outputs=("valence", "arousal")), 10)(joined)
    assert values.shape == (3, 2)
    assert (values.abs() <= 1).all()


@pytest.mark.parametrize(
    "wrong",
    [{"task": "ranking"}, {"outputs": ("violence",)}, {"outputs": ("a", "a")}, {"hidden": 0}, {"dropout": -0.1}],
)
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError):
        AffectHeadConfig(**wrong)
