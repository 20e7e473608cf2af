"""Augmentation of features."""

from __future__ import annotations

import pytest
import torch

from rdmf_cli.learn.affect.augment import AugmentConfig, augment


def batch() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    torch.manual_seed(0)
    streams = {"image": torch.randn(200, 6, 3), "motion": 5 * torch.randn(200, 4, 2)}
    valid = {name: torch.ones(x.shape[:2], dtype=torch.bool) for name, x in streams.items()}
    valid["image"][:, 4:] = False
    return streams, valid


def changed(config: AugmentConfig, seed: int = 1):
    return augment(*batch(), config, torch.Generator().manual_seed(seed))


def test_none_changes_nothing():
    streams, valid = batch()
    same, usable = changed(AugmentConfig(0, 0, 0))
    assert all(torch.equal(same[name], streams[name]) for name in streams)
    assert all(torch.equal(usable[name], valid[name]) for name in valid)


def test_amounts_are_as_asked():
    streams, valid = batch()
    noisy, usable = changed(AugmentConfig(noise=0.5, drop_rows=0.25, drop_streams=0.3))
    for name in streams:
        spread = streams[name][valid[name]].std()
        assert float((noisy[name] - streams[name]).std() / spread) == pytest.approx(0.5, rel=0.1)
        has = usable[name].any(dim=1)
        assert float(has.float().mean()) == pytest.approx(0.7 + 0.3 * 0.3 / 2, abs=0.08)
        assert float(usable[name][has][valid[name][has]].float().mean()) == pytest.approx(0.75, abs=0.05)


def test_padding_stays_padding_and_no_window_loses_everything():
    _, valid = batch()
    _, usable = changed(AugmentConfig(0, 0.9, 0.9))
    assert all((usable[name] <= valid[name]).all() for name in valid)
    assert (usable["image"].any(dim=1) | usable["motion"].any(dim=1)).all()


def test_a_seed_is_a_result():
    first, second, other = (changed(AugmentConfig(), seed)[0]["image"] for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("wrong", [{"noise": -1}, {"drop_rows": 1.0}, {"drop_streams": -0.1}])
def test_nonsense_is_refused(wrong):
    with pytest.raises(ValueError):
        AugmentConfig(**wrong)
