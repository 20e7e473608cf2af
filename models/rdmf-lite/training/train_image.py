"""Stage 2: the image tower learns from the first classifier's activations, from random initialisation.

Phase one, stage-wise: each stage gets the teacher's activations at its entry and must give those at its exit, all
stages at once. Phase two, end to end: the stages in a row; borders, pooled feature and the probabilities of both
classifiers and the detector are the targets. Resumes from the last checkpoint; data order depends on the step only.
"""

from __future__ import annotations

import json
import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import command_line
import numpy as np
import torch
from teachers import HINTS
from torch import Tensor, nn

from rdmf_cli.encoders.lite_network import ImageTower, LiteConfig

Batch = dict[str, Tensor]
Prepare = Callable[[Path], None]  # adds what else a round needs, when it is first opened
CHECKPOINT_STEPS = 200
BORDER_WEIGHTS = {"hint3": 0.2, "hint4": 0.3, "hint5": 1.0}
FIRST_BORDER = 3  # the border whose stage reads the batch's `entry`


@dataclass(frozen=True)
class ImageRecipe:
    """The [image] table of recipe.toml."""

    batch_size: int
    learning_rate: float
    weight_decay: float
    stagewise_crops: int
    end_to_end_crops: int
    ema_decay: float


class Rounds:
    """Batches of teacher targets, round after round; every pass over a round is shuffled anew."""

    def __init__(self, folders: list[Path], batch_size: int, names: list[str], prepare: Prepare | None = None) -> None:
        self.batch_size, self.names = batch_size, names
        self._folders, self._prepare = folders, prepare
        self._opened: dict[int, dict[str, np.ndarray]] = {}
        self.per_round = len(self._open(0)[names[0]]) // batch_size

    def _open(self, index: int) -> dict[str, np.ndarray]:
        """Arrays of a round; waits for the teachers where they are still at work in another process."""
        folder = self._folders[index]
        while index not in self._opened:
            if (folder / "done").exists():
                if self._prepare:
                    self._prepare(folder)
                paths = {name: folder / f"{name}.npy" for name in self.names}
                self._opened[index] = {n: np.load(p, mmap_mode="r") for n, p in paths.items() if p.exists()}
            else:
                time.sleep(5)
        return self._opened[index]

    def batch(self, step: int) -> dict[str, np.ndarray]:
        passes, place = divmod(step, self.per_round)
        arrays = self._open(passes % len(self._folders))
        order = np.random.default_rng(passes).permutation(self.per_round * self.batch_size)
        rows = np.sort(order[place * self.batch_size : (place + 1) * self.batch_size])
        return {name: array[rows] for name, array in arrays.items()}

    def stream(self, first: int, last: int) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Steps first..last-1, read ahead by a thread."""
        ahead: queue.Queue[tuple[int, dict[str, np.ndarray]] | None] = queue.Queue(4)

        def read() -> None:
            for step in range(first, last):
                ahead.put((step, self.batch(step)))
            ahead.put(None)

        threading.Thread(target=read, daemon=True).start()
        while (item := ahead.get()) is not None:
            yield item


def to_tensors(raw: dict[str, np.ndarray], device: torch.device) -> Batch:
    """Dequantised, channels-last, on the device: pictures in [-1, 1], activations in the teacher's units."""
    batch: Batch = {}
    for name, array in raw.items():
        x = torch.from_numpy(array).to(device)
        if name == "crops":
            batch[name] = x.permute(0, 3, 1, 2).float() / 127.5 - 1
        elif name == "entry":
            batch[name] = x.permute(0, 3, 1, 2).float()
        elif name in HINTS:
            scale, zero = HINTS[name][2]
            batch[name] = (x.permute(0, 3, 1, 2).float() - zero) * scale
        else:
            batch[name] = x.float() / 256 if x.dtype == torch.uint8 else x.float()
    return batch


def hint_variances(folder: Path, device: torch.device) -> dict[str, Tensor]:
    """Variance of every channel of every border (1, C, 1, 1), from 500 crops; the pooled feature's too (1, 1280)."""
    variances = {}
    for name, (_, shape, (scale, zero)) in HINTS.items():
        if not (folder / f"{name}.npy").exists():
            continue  # only the first round has the early borders
        x = (np.load(folder / f"{name}.npy", mmap_mode="r")[:500].astype(np.float32) - zero) * scale
        variances[name] = torch.from_numpy(x.reshape(-1, shape[2]).var(axis=0) + 1e-3).view(1, -1, 1, 1).to(device)
        if name == "hint5":
            variances["pooled"] = torch.from_numpy(x.mean(axis=(1, 2)).var(axis=0) + 1e-4).view(1, -1).to(device)
    return variances


class Student(nn.Module):
    """The tower with batch norm, and the heads that only training needs."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        self.config = config
        self.tower = ImageTower(config, norm=True)
        width = config.border_channels[-1]
        self.heads = nn.ModuleDict(
            {"probs1": nn.Linear(width, 1001), "probs2": nn.Linear(width, 1001), "objects": nn.Linear(width, 80)}
        )


def border_error(output: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    """Mean squared error in units of each channel's variance: 1.0 is what a constant gives."""
    return ((output.float() - target).square() / variance).mean()


def stagewise_losses(student: Student, batch: Batch, variances: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every stage by itself, fed with the teacher's activations."""
    losses, x = {}, batch["crops"]
    for i, stage in enumerate(student.tower.stages, start=1):
        losses[f"hint{i}"] = border_error(stage(x), batch[f"hint{i}"], variances[f"hint{i}"])
        x = batch[f"hint{i}"]
    return losses


def in_a_row(student: Student, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
    """All stages in a row, or those behind the one whose output is the batch's `entry`: borders, pooled feature."""
    first = FIRST_BORDER if "entry" in batch else 1
    borders, x = {}, batch["entry"] if "entry" in batch else batch["crops"]
    for i, stage in enumerate(student.tower.stages[first - 1 :], start=first):
        x = stage(x)
        borders[f"hint{i}"] = x
    return borders, x.float().mean(dim=(2, 3))


def end_to_end_losses(student: Student, batch: Batch, variances: dict[str, Tensor]) -> dict[str, Tensor]:
    """All stages in a row."""
    return losses_behind(*in_a_row(student, batch), student, batch, variances)


def losses_behind(
    borders: dict[str, Tensor], pooled: Tensor, student: Student, batch: Batch, variances: dict[str, Tensor]
) -> dict[str, Tensor]:
    """`BORDER_WEIGHTS` say what counts: the pooled feature and what it knows."""
    losses = {
        name: weight * border_error(borders[name], batch[name], variances[name])
        for name, weight in BORDER_WEIGHTS.items()
    }
    target = batch["hint5"].mean(dim=(2, 3))
    losses["pooled"] = 2.0 * ((pooled - target).square() / variances["pooled"]).mean()
    for name in ("probs1", "probs2"):
        wanted = batch[name] / batch[name].sum(dim=1, keepdim=True).clamp(min=1e-6)
        losses[name] = 0.15 * nn.functional.cross_entropy(student.heads[name](pooled), wanted)
    losses["objects"] = 2.0 * nn.functional.binary_cross_entropy_with_logits(
        student.heads["objects"](pooled), batch["objects"].clamp(0, 1)
    )
    return losses


@dataclass(frozen=True)
class Phase:
    """What a phase of training is called, loses and reads."""

    name: str
    losses_of: Callable[[Student, Batch, dict[str, Tensor]], dict[str, Tensor]]
    targets: tuple[str, ...]


LATE = ("hint3", "hint4", "hint5", "probs1", "probs2", "objects")
STAGEWISE = Phase("stagewise", stagewise_losses, ("crops", *HINTS))
END_TO_END = Phase("end_to_end", end_to_end_losses, ("crops", *LATE))
GROWN = Phase("grown", end_to_end_losses, ("entry", *LATE))  # grow_image.py has the early stages' output on disk


@dataclass
class Run:
    """One phase of training with everything that a resumed run needs."""

    student: Student
    ema: dict[str, Tensor]
    optimizer: torch.optim.Optimizer
    step: int
    path: Path

    def save(self) -> None:
        partial = self.path.with_suffix(".partial")
        state = {"student": self.student.state_dict(), "ema": self.ema, "optimizer": self.optimizer.state_dict()}
        torch.save({**state, "step": self.step}, partial)
        partial.replace(self.path)

    def resume(self) -> None:
        if self.path.exists():
            state = torch.load(self.path, weights_only=True)
            self.student.load_state_dict(state["student"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.ema, self.step = state["ema"], state["step"]

    def update_ema(self, decay: float) -> None:
        decay = min(decay, (1 + self.step) / (10 + self.step))
        for name, value in self.student.state_dict().items():
            if value.dtype.is_floating_point:
                self.ema[name].lerp_(value, 1 - decay)
            else:
                self.ema[name].copy_(value)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Warm-up over 100 steps, then cosine to zero."""
    return peak * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / steps))


def train_phase(
    phase: Phase,
    recipe: ImageRecipe,
    crops: int,
    student: Student,
    work: Path,
    folders: list[Path],
    prepare: Prepare | None = None,
) -> None:
    """Run one phase to its end and leave the averaged weights in the student and in `work/image_<phase>.pt`."""
    device = next(student.parameters()).device
    data = Rounds(folders, recipe.batch_size, list(phase.targets), prepare)
    variances = hint_variances(folders[0], device)
    learned = [parameter for parameter in student.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    ema = {k: v.clone() for k, v in student.state_dict().items()}
    run = Run(student, ema, optimizer, 0, work / f"image_{phase.name}.pt")
    run.resume()
    steps = crops // recipe.batch_size
    sums: dict[str, float] = {}
    started, since = time.time(), run.step
    for step, raw in data.stream(run.step, steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps, recipe.learning_rate)
        batch = to_tensors(raw, device)
        with torch.autocast(device.type, torch.bfloat16):
            losses = phase.losses_of(student, batch, variances)
        total = torch.stack([loss.float() for loss in losses.values()]).sum()
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(student.parameters(), 5.0)
        optimizer.step()
        run.step = step + 1
        run.update_ema(recipe.ema_decay)
        for key, loss in losses.items():
            sums[key] = sums.get(key, 0.0) + float(loss.detach())
        if run.step % 50 == 0:
            per_crop = (time.time() - started) / (run.step - since) / recipe.batch_size
            line = {"phase": phase.name, "step": run.step, "of": steps, "ms_per_crop": round(per_crop * 1e3, 2)}
            print(json.dumps(line | {k: round(v / 50, 4) for k, v in sums.items()}), flush=True)
            sums = {}
        if run.step % CHECKPOINT_STEPS == 0 or run.step == steps:
            run.save()
    student.load_state_dict(run.ema)


def main() -> None:
    arguments = command_line.options(__doc__).parse_args()
    table = command_line.read(arguments.recipe)
    recipe = ImageRecipe(**table["image"])
    torch.manual_seed(table["seed"])
    student = Student(LiteConfig()).to(arguments.device, memory_format=torch.channels_last)
    folders = [arguments.work / f"round{i}" for i in range(table["teachers"]["rounds"])]
    train_phase(STAGEWISE, recipe, recipe.stagewise_crops, student, arguments.work, folders[:1])
    train_phase(END_TO_END, recipe, recipe.end_to_end_crops, student, arguments.work, folders)


if __name__ == "__main__":
    main()
