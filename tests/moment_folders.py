"""Model folders of small untrained networks, and folders in which something is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from rdmf_cli.fusion.config import FusionConfig
from rdmf_cli.heads.moments import HeadConfig
from rdmf_cli.model_folder import Papers
from rdmf_cli.moment_model import MomentConfig, MomentNetwork, build
from rdmf_cli.moment_weights import save_moments
from tests import broken
from tests.reactions import awake

SMALL = MomentConfig(
    fusion=FusionConfig(hidden=16, channels=4, num_steps=4, blocks=2),
    head=HeadConfig(num_slots=4, hidden=16, value_dim=8, edge_dim=8),
    relevance_scale=(1.0, 4.0),  # sure of everything
    saliency_share=0.5,
)


def network_of(config: MomentConfig = SMALL) -> MomentNetwork:
    """An untrained network, the same one each time."""
    torch.manual_seed(3)
    return awake(build(config))


def saved(folder: Path, config: MomentConfig = SMALL) -> Path:
    """`folder`, with an untrained network in it."""
    save_moments(folder, network_of(config), Papers("# Untrained\n", "", {}))
    return folder


def _changed(folder: Path, **changes: object) -> Path:
    broken.edit(saved(folder), **changes)
    return folder


def other_kind(folder: Path) -> Path:
    """Of the second model."""
    return _changed(folder, kind="affect")


def newer(folder: Path) -> Path:
    """Made by an rdmf of tomorrow."""
    return _changed(folder, version=99)


def unknown_key(folder: Path) -> Path:
    """With something in config.json that nobody knows."""
    return _changed(folder, surprise=1)


def pickled(folder: Path) -> Path:
    """Weights that could run code."""
    broken.pickled(saved(folder))
    return folder


def cut_off(folder: Path) -> Path:
    """Half of the weights."""
    broken.cut(saved(folder))
    return folder


def not_finite(folder: Path) -> Path:
    """One weight is NaN."""
    network = network_of()
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = float("nan")
    save_moments(folder, network, Papers("", "", {}))
    return folder


def other_encoder(folder: Path) -> Path:
    """Reads features of an encoder that is not the one in use."""
    fusion = replace(SMALL.fusion, input="features", feature_dim=32)
    return saved(folder, replace(SMALL, fusion=fusion, encoder="vit-b-32", encoder_fingerprint="ab" * 16))


def empty(folder: Path) -> Path:
    """Nothing in it."""
    folder.mkdir()
    return folder


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "other kind": (other_kind, "a model of kind 'affect', not 'moments'"),
    "newer": (newer, "made by a newer rdmf (version 99"),
    "unknown key": (unknown_key, "unknown key surprise"),
    "pickled": (pickled, "pickled weights are not loaded"),
    "cut off": (cut_off, "damaged or cut off"),
    "not finite": (not_finite, "not finite"),
    "other encoder": (other_encoder, "made for the encoder vit-b-32, not for fake"),
    "empty": (empty, "no model here"),
}
