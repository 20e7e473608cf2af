"""Stage 5a: the image tower's last stages learn the teachers' space itself, end to end.

The classifier's activations were the way there; now what counts is where a crop lies in the space that texts share.
All photos take part, with or without captions. As in stage 2b, the two early stages stay as they are. Resumes.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import command_line
import numpy as np
import torch
from distil import DistilRecipe, fit, scale_inputs, space_loss
from grow_image import FROZEN_STAGES
from torch import Tensor, nn
from towers import config_of, load_image_tower
from train_image import LATE, Batch, ImageRecipe, Phase, Student, in_a_row, losses_behind, train_phase

from rdmf_cli.encoders.lite_network import ImageTower

KEEP = 0.3  # weight of the classifier's own activations, so that nothing else is forgotten


def grown_student(work: Path, table: dict[str, dict[str, object]]) -> Student:
    """The averaged weights of stage 2b, batch norm and heads included."""
    student = Student(config_of(table))
    student.load_state_dict(torch.load(work / "image_grown.pt", weights_only=True, map_location="cpu")["ema"])
    return student


@torch.no_grad()  # not inference mode: the results are trained on
def features_of_round(tower: ImageTower, folder: Path) -> Tensor:
    """(N, 1280) float16 pooled features of a round's crops, from what the frozen stages gave, in bf16.

    tower: norms folded; it stays as it is.
    """
    stages = deepcopy(tower.stages[FROZEN_STAGES:]).to(torch.bfloat16).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    entries, rows = np.load(folder / "entry.npy", mmap_mode="r"), []
    for start in range(0, len(entries), 64):
        x = torch.from_numpy(np.array(entries[start : start + 64])).permute(0, 3, 1, 2)
        x = x.to(torch.bfloat16).contiguous(memory_format=torch.channels_last)
        for stage in stages:
            x = stage(x)
        rows.append(x.float().mean(dim=(2, 3)).half())
    return torch.cat(rows)


def fit_adapter(
    adapter: nn.Sequential, features: Tensor, targets: Tensor, bank: Tensor, recipe: DistilRecipe, seed: int
) -> None:
    """Fit the image adapter to frozen features (N, F), which are far smaller than 1."""
    factor = 1 / float(features.float().std())
    fit(adapter, features.float() * factor, targets, bank, recipe, seed)
    scale_inputs(adapter, factor)


def losses_of(student: Student, batch: Batch, variances: dict[str, Tensor], *, bank: Tensor) -> dict[str, Tensor]:
    """The space's own loss in full, the classifier's in part."""
    borders, pooled = in_a_row(student, batch)
    losses = losses_behind(borders, pooled, student, batch, variances)
    return {name: KEEP * loss for name, loss in losses.items()} | {
        "space": space_loss(student.tower.adapter(pooled), batch["space"], bank)
    }


def main() -> None:
    arguments = command_line.options(__doc__).parse_args()
    table = command_line.read(arguments.recipe)
    more = table["tune_image"]
    recipe = replace(ImageRecipe(**table["image"]), learning_rate=more["learning_rate"])
    torch.manual_seed(table["seed"])
    folders = [arguments.work / f"round{index}" for index in more["rounds"]]
    bank = torch.from_numpy(np.load(arguments.work / "space_sentences.npy")).float()
    student = grown_student(arguments.work, table)
    if not (arguments.work / "image_tuned.pt").exists():
        targets = torch.from_numpy(np.load(folders[0] / "space.npy"))
        features = features_of_round(load_image_tower(arguments.work, student.config, "image_grown.pt"), folders[0])
        fit_adapter(student.tower.adapter, features, targets, bank, DistilRecipe(**table["distil"]), table["seed"])
    student.tower.stages[:FROZEN_STAGES].requires_grad_(False)
    student = student.to(arguments.device, memory_format=torch.channels_last)
    phase = Phase("tuned", partial(losses_of, bank=bank.to(arguments.device)), ("entry", *LATE, "space"))
    train_phase(phase, recipe, more["crops"], student, arguments.work, folders)


if __name__ == "__main__":
    main()
