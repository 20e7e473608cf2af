"""Last stage: the range of every activation of the image tower, for its 8-bit form (rdmf_cli/encoders/lite_int8.py).

    python models/rdmf-lite/training/ranges.py [--folder models/rdmf-lite] [--data ../shared/data]

writes them into model.safetensors of a finished folder. finish.py does the same at the end.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from photos import PhotoReader, random_crop, read_manifest
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from rdmf_cli.encoders.lite_int8 import RANGES, activations
from rdmf_cli.encoders.lite_network import ImageTower, LiteConfig, LiteNetwork, dequantised, frame_size_px

PHOTOS = 256  # of the train split: half of them whole, half as augmented crops
BINS = 4096
SEED = 0
NARROWEST = 1e-3  # an activation that was zero all over still gets a range


def with_ranges(packed: dict[str, Tensor], tower: ImageTower, config: LiteConfig, data: Path) -> dict[str, Tensor]:
    """The tensors of a file and the ranges of its image tower (float32, norms folded)."""
    return packed | {RANGES: least_error_ranges(tower, calibration_frames(config, data))}


def calibration_frames(config: LiteConfig, data: Path) -> np.ndarray:
    """(N, H, W, 3) uint8 at the size that an encoder of this config asks for."""
    reader = PhotoReader(data / "photos")
    photos = [photo for photo in read_manifest(data / "photos") if photo.split == "train"]
    rng = np.random.default_rng(SEED)
    height, width = frame_size_px(config, 1, 1)
    frames = []
    for place, row in enumerate(rng.permutation(len(photos))[:PHOTOS]):
        image = reader.open(photos[row])
        if place % 2:
            image = Image.fromarray(random_crop(image, rng))
        frames.append(np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)))
    return np.stack(frames)


@torch.no_grad()
def least_error_ranges(tower: ImageTower, frames: np.ndarray) -> Tensor:
    """(A, 2) float32: lower and upper end with the least squared error over these frames (docs/experiments.md).

    Two passes: the extremes, then a histogram between them, on which ends are tried.
    """
    ends = [[0.0, NARROWEST] for _ in next(_passes(tower, frames))]
    for values in _passes(tower, frames):
        ends = [[min(a, float(v.min())), max(b, float(v.max()))] for (a, b), v in zip(ends, values, strict=True)]
    counts = torch.zeros(len(ends), BINS, dtype=torch.float64)
    for values in _passes(tower, frames):
        for row, value in enumerate(values):
            counts[row] += torch.histc(value, BINS, *ends[row]).double()
    return torch.tensor([_best_ends(row, lower, upper) for row, (lower, upper) in zip(counts, ends, strict=True)])


def _passes(tower: ImageTower, frames: np.ndarray) -> Iterator[list[Tensor]]:
    for start in range(0, len(frames), 16):
        x = torch.from_numpy(frames[start : start + 16]).permute(0, 3, 1, 2)
        yield list(activations(tower, x.float().div(127.5).sub(1)))


def _best_ends(counts: Tensor, lower: float, upper: float) -> tuple[float, float]:
    """Of cut-off ends (each a share of the extreme), those whose 256 steps lose least."""
    edges = torch.linspace(lower, upper, BINS + 1, dtype=torch.float64)
    values = (edges[1:] + edges[:-1]) / 2
    best = (float("inf"), lower, upper)
    for high in np.linspace(0.2, 1, 81) * upper:
        for low in np.linspace(0.4, 1, 13) * lower if lower < 0 else [0.0]:
            size = (high - low) / 255
            zero = round(-low / size)
            kept = ((values / size).round() + zero).clamp(0, 255) - zero
            best = min(best, (float((counts * (kept * size - values).square()).sum()), float(low), float(high)))
    return best[1:]


def folded_tower(folder: Path) -> tuple[LiteConfig, ImageTower, dict[str, Tensor]]:
    """Config, image tower and all tensors of a finished model folder, without ranges."""
    config = LiteConfig.from_json((folder / "config.json").read_text())
    packed = load_file(folder / "model.safetensors")
    packed.pop(RANGES, None)
    network = LiteNetwork(config)
    network.load_state_dict(dequantised(packed))
    return config, network.image.eval().to(memory_format=torch.channels_last), packed  # type: ignore[call-overload]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[4] / "shared/data")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parents[1])
    arguments = parser.parse_args()
    config, tower, packed = folded_tower(arguments.folder)
    partial = arguments.folder / "model.safetensors.partial"
    save_file(with_ranges(packed, tower, config, arguments.data), partial)
    partial.chmod(0o644)
    partial.replace(arguments.folder / "model.safetensors")


if __name__ == "__main__":
    main()
