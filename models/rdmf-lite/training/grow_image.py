"""Stage 2b: deeper last stages, and more training of them, from a tower whose norms are folded already.

Starts from a model folder (the first weights, so that their hours are not spent again). Batch norm comes back
as the identity on real crops; new blocks start as the identity too, so the first step computes what the folder
computes. The two early stages, which cost more than half of a step and converge first, stay as they are: their output
is computed once per crop. Then as stage 2's second phase, on rounds of crops that stage 2 has not seen. Resumes.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import command_line
import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from train_image import FIRST_BORDER, GROWN, ImageRecipe, Student, train_phase

from rdmf_cli.encoders.lite_network import Block, Conv, ImageTower, LiteConfig, dequantised

CROPS_FOR_NORMS = 256
FROZEN_STAGES = FIRST_BORDER - 1


def folded_tower(folder: Path) -> tuple[LiteConfig, ImageTower]:
    """Config and image tower of a model folder."""
    config = LiteConfig.from_json((folder / "config.json").read_text())
    state = dequantised(load_file(folder / "model.safetensors"))
    tower = ImageTower(config)
    tower.load_state_dict({name.removeprefix("image."): v for name, v in state.items() if name.startswith("image.")})
    return config, tower.eval()


@torch.no_grad()
def output_moments(tower: ImageTower, pixels: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Per convolution: mean and variance of its output per channel, over pixels (N, 3, S, S) in [-1, 1]."""
    moments: dict[str, tuple[Tensor, Tensor]] = {}

    def keep(name: str) -> None:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            moments[name] = (output.mean(dim=(0, 2, 3)), output.var(dim=(0, 2, 3)))

        module = tower.get_submodule(name)
        handles.append(module.register_forward_hook(hook))

    handles: list[torch.utils.hooks.RemovableHandle] = []
    for name, module in tower.named_modules():
        if isinstance(module, nn.Conv2d):
            keep(name)
    tower.features(pixels)
    for handle in handles:
        handle.remove()
    return moments


@torch.no_grad()
def grown_student(folder: Path, stage_blocks: tuple[int, ...], crops: np.ndarray) -> Student:
    """The folder's tower with batch norm and the wanted number of blocks per stage. crops (N, 224, 224, 3) uint8."""
    config, folded = folded_tower(folder)
    student = Student(replace(config, stage_blocks=stage_blocks))
    pixels = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 127.5 - 1
    moments = output_moments(folded, pixels)
    for name, module in student.tower.named_modules():
        if isinstance(module, Conv) and f"{name}.conv" in moments:
            unfold(module, folded.get_submodule(f"{name}.conv"), *moments[f"{name}.conv"])  # type: ignore[arg-type]
        if isinstance(module, Block) and f"{name}.first.conv" not in moments:
            nn.init.zeros_(module.second.norm.weight)  # type: ignore[arg-type]
    student.tower.adapter.load_state_dict(folded.adapter.state_dict())
    return student


def unfold(target: Conv, source: nn.Conv2d, mean: Tensor, variance: Tensor) -> None:
    """Give `target`, a convolution with batch norm, what `source` computes, with its own output as the statistics."""
    norm = target.norm
    assert isinstance(norm, nn.BatchNorm2d)
    assert source.bias is not None
    target.conv.weight.copy_(source.weight)
    norm.running_mean.copy_(mean - source.bias)  # type: ignore[union-attr]
    norm.running_var.copy_(variance)  # type: ignore[union-attr]
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean)


@torch.no_grad()
def cache_entries(config: LiteConfig, tower: ImageTower, folder: Path) -> None:
    """Write what the frozen stages give for every crop of a round: entry.npy (N, 28, 28, 32) float16."""
    path = folder / "entry.npy"
    if path.exists():
        return
    crops = np.load(folder / "crops.npy", mmap_mode="r")
    unfinished = folder / "entry.partial.npy"
    side, channels = config.border_grids_px[FROZEN_STAGES - 1], config.border_channels[FROZEN_STAGES - 1]
    shape = (len(crops), side, side, channels)
    entries = np.lib.format.open_memmap(unfinished, mode="w+", dtype=np.float16, shape=shape)
    early = tower.stages[:FROZEN_STAGES]
    for start in range(0, len(crops), 64):
        x = torch.from_numpy(np.array(crops[start : start + 64])).permute(0, 3, 1, 2)
        x = (x.to(torch.bfloat16) / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        for stage in early:
            x = stage(x)
        entries[start : start + 64] = x.permute(0, 2, 3, 1).half().numpy()
    entries.flush()
    unfinished.replace(path)


def main() -> None:
    parser = command_line.options(__doc__)
    parser.add_argument("--start", type=Path, default=command_line.FOLDER, help="model folder to start from")
    arguments = parser.parse_args()
    table = command_line.read(arguments.recipe)
    more = table["grow"]
    recipe = replace(ImageRecipe(**table["image"]), learning_rate=more["learning_rate"])
    torch.manual_seed(table["seed"])
    folders = [arguments.work / f"round{index}" for index in more["rounds"]]
    crops = np.array(np.load(folders[0] / "crops.npy", mmap_mode="r")[:CROPS_FOR_NORMS])
    student = grown_student(arguments.start, tuple(more["stage_blocks"]), crops)
    student.tower.stages[:FROZEN_STAGES].requires_grad_(False)
    student = student.to(arguments.device, memory_format=torch.channels_last)
    config, folded = folded_tower(arguments.start)
    prepare = partial(cache_entries, config, folded.to(torch.bfloat16).to(memory_format=torch.channels_last))
    train_phase(GROWN, recipe, more["crops"], student, arguments.work, folders, prepare)


if __name__ == "__main__":
    main()
