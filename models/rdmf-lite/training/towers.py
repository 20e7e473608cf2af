"""The towers as the stages of training leave them in the work folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn
from train_image import Student

from rdmf_cli.encoders.lite_network import Conv, ImageTower, LiteConfig, TextTower


def fold_norms(network: nn.Module) -> None:
    """Batch norm becomes part of the convolution before it, in place."""
    for module in network.modules():
        if isinstance(module, Conv) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv = nn.utils.fuse_conv_bn_eval(module.conv.eval(), module.norm.eval())
            module.norm = nn.Identity()


def config_of(table: dict[str, Any]) -> LiteConfig:
    """Shapes of the towers that recipe.toml describes."""
    return LiteConfig(
        vocabulary=table["text"]["vocabulary"],
        stage_blocks=tuple(table["grow"]["stage_blocks"]),
        text_layers=table["tune_text"]["layers"],
        **table["frames"],
    )


def load_image_tower(work: Path, config: LiteConfig, name: str) -> ImageTower:
    """The averaged weights that `name` holds, norms folded."""
    student = Student(config)
    student.load_state_dict(torch.load(work / name, weights_only=True, map_location="cpu")["ema"])
    student.eval()
    fold_norms(student.tower)
    tower = ImageTower(config)
    tower.stages, tower.adapter = student.tower.stages, student.tower.adapter
    return tower.to(memory_format=torch.channels_last)


def load_text_tower(work: Path, config: LiteConfig, name: str) -> TextTower:
    """The weights that `name` holds."""
    tower = TextTower(config)
    tower.load_state_dict(torch.load(work / name, weights_only=True, map_location="cpu")["tower"])
    return tower.eval()
