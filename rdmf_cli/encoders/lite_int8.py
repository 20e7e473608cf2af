"""The image tower of the built-in encoder in 8-bit integers, for CPUs that multiply those in hardware.

Weights are 8 bits in the file already. Activations become 8 bits too, with one range each that
models/rdmf-lite/training/ranges.py measured and the file holds (`RANGES`). torch's oneDNN operators take plain uint8
tensors with scales beside them; torch's quantized tensor types would be as fast, but are going to be removed.
The last average and the adapter are float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rdmf_cli.encoders.lite_network import Block, Conv, ImageTower, LiteConfig, Stage, in_8_bits
from rdmf_cli.errors import ModelError

RANGES = "activations.ranges"  # (A, 2) float32 in model.safetensors: lower and upper end in the order of `activations`
_WIDEST, _NARROWEST = 1e6, 1e-6  # a range beyond these is damage, not a measurement
_PIXEL_ZERO = 128  # the pixel next to what the float tower pads with, 127.5


def activations(tower: ImageTower, x: Tensor) -> Iterator[Tensor]:
    """x (B, 3, H, W) in [-1, 1] -> every activation that has a range, in order; the last border has none."""
    for stage in tower.stages:
        assert isinstance(stage, Stage)
        if stage.stem is not None:
            x = torch.relu(stage.stem(x))
            yield x
        x = torch.relu(stage.entry(x))
        yield x
        for block in stage.blocks:
            assert isinstance(block, Block)
            inner = torch.relu(block.first(x))
            yield inner
            x = torch.relu(x + block.second(inner))
            yield x
        x = stage.exit(x)
        if not stage.is_last:
            yield x


def num_ranges(config: LiteConfig) -> int:
    """How many activations of an ImageTower have a range."""
    return 2 * len(config.stage_blocks) + 2 * sum(config.stage_blocks)


def checked_ranges(ranges: Tensor, config: LiteConfig) -> Tensor:
    """The ranges of a file as float32 (A, 2). ModelError unless each is finite, not empty, and has zero in it."""
    if ranges.shape != (num_ranges(config), 2) or not ranges.is_floating_point():
        raise ModelError(f"weights do not fit config.json: {RANGES} is {ranges.dtype} {tuple(ranges.shape)}")
    lower, upper = ranges.float().unbind(1)
    width = upper - lower  # NaN fails every comparison
    if not ((lower <= 0) & (upper >= 0) & (width >= _NARROWEST) & (width <= _WIDEST)).all():
        raise ModelError(f"weights are damaged: {RANGES} holds what is no range")
    return ranges.float()


def cpu_can() -> bool:
    """True where the CPU multiplies 8-bit integers in hardware and torch's operators do so rightly on a small case."""
    if not getattr(torch.cpu, "_is_vnni_supported", bool)() or not torch.backends.mkldnn.enabled:
        return False
    try:
        return _works()
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):  # operators that are absent or other ones
        return False


@torch.inference_mode()
def _works() -> bool:
    """A small block with a shortcut comes out as in float32, to a step and a half of the last activation."""
    block = Block(16, norm=False)
    for i, value in enumerate(block.parameters()):  # any fixed numbers
        value.copy_(torch.sin(torch.arange(float(value.numel())) * (1 + i)).view_as(value) / 8)
    levels = (torch.arange(16 * 64) * 37 % 256).view(1, 16, 8, 8).to(torch.uint8)
    levels = levels.contiguous(memory_format=torch.channels_last)
    steps = _Steps(1 / 255, 0)
    x = levels / 255
    inner, expected = torch.relu(block.first(x)), block(x)
    between, behind = _Steps.over(0, float(inner.max())), _Steps.over(0, float(expected.max()))
    first = _Int8Conv(block.first, steps, between, (8, 8), rectify=True)
    second = _Int8Conv(block.second, between, behind, (8, 8), rectify=False)
    found = second.added_to(levels, steps, first(levels)) * behind.size
    return bool((found - expected).abs().max() <= 1.5 * behind.size + 1.5 * between.size)


class Int8Tower:
    """What an ImageTower of float32 weights with folded norms computes, up to rounding."""

    def __init__(self, tower: ImageTower, ranges: Tensor, frame_size_px: tuple[int, int]) -> None:
        """`ranges`: as `checked_ranges` gives them. `frame_size_px` (height, width) decides how weights are laid out;
        other sizes only cost more. ModelError if the weights are no numbers, RuntimeError if sizes don't fit.
        """
        outputs = iter([_Steps.over(lower, upper) for lower, upper in ranges.tolist()])
        steps, grid = _PIXELS, frame_size_px
        self._stages: list[_Int8Stage] = []
        for stage in tower.stages:
            assert isinstance(stage, Stage)
            self._stages.append(_Int8Stage(stage, steps, grid, outputs))
            steps, grid = self._stages[-1].steps, self._stages[-1].grid
        self._adapter = tower.adapter

    def __call__(self, frames: NDArray[np.uint8]) -> Tensor:
        """frames (B, H, W, 3) RGB -> (B, dim) float32, not normalised."""
        count, height, width, _ = frames.shape
        # One copy makes room for the padding of the stem.
        padded = np.full((count, height + 1, width + 1, 3), _PIXEL_ZERO, np.uint8)
        padded[:, :height, :width] = frames
        x = torch.from_numpy(padded).permute(0, 3, 1, 2)
        for stage in self._stages:
            x = stage(x)
        result: Tensor = self._adapter(x.mean(dim=(2, 3)))
        return result


class _Int8Stage:
    """A Stage in 8 bits; `steps` and `grid` are those of its last activation. Takes its ranges from `outputs`."""

    def __init__(self, stage: Stage, steps: _Steps, grid: tuple[int, int], outputs: Iterator[_Steps]) -> None:
        self._first: list[_Int8Conv] = []
        for conv in (stage.stem, stage.entry):
            if conv is not None:
                self._first.append(_Int8Conv(conv, steps, steps := next(outputs), grid, rectify=True))
                grid = (grid[0] // conv.stride, grid[1] // conv.stride)
        self._blocks: list[tuple[_Int8Conv, _Int8Conv, _Steps]] = []
        for block in stage.blocks:
            assert isinstance(block, Block)
            inner, behind = next(outputs), next(outputs)
            first = _Int8Conv(block.first, steps, inner, grid, rectify=True)
            self._blocks.append((first, _Int8Conv(block.second, inner, behind, grid, rectify=False), steps))
            steps = behind
        out = None if stage.is_last else next(outputs)
        self._exit = _Int8Conv(stage.exit, steps, out, grid, rectify=stage.is_last)
        self.steps, self.grid = out or steps, grid

    def __call__(self, x: Tensor) -> Tensor:
        for conv in self._first:
            x = conv(x)
        for first, second, steps in self._blocks:
            x = second.added_to(x, steps, first(x))
        return self._exit(x)


@dataclass(frozen=True)
class _Steps:
    """An 8-bit activation stands for (value - zero) * size."""

    size: float
    zero: int

    @staticmethod
    def over(lower: float, upper: float) -> _Steps:
        size = (upper - lower) / 255
        return _Steps(size, round(-lower / size))


_PIXELS = _Steps(1 / 127.5, 0)  # less 1, which the stem's bias takes off


class _Int8Conv:
    """A Conv from 8-bit activations to 8-bit ones, or to float32 if `out` is None; `rectify` appends a ReLU.

    `grid` (height, width) of what comes in, before padding.
    """

    def __init__(self, conv: Conv, steps: _Steps, out: _Steps | None, grid: tuple[int, int], *, rectify: bool) -> None:
        if conv.stride < 1 or min(grid) < 1:  # integer division inside the library would end the process
            raise RuntimeError(f"a convolution of stride {conv.stride} over {grid[0]}x{grid[1]}")
        plain, pad = conv.conv, conv.kernel - 2 if conv.stride == 2 else 0
        assert plain.bias is not None
        weight, self._scales = in_8_bits(plain.weight)
        # A pixel of 0 is -1, not 0.
        self._bias = plain.bias - (plain.weight.sum(dim=(1, 2, 3)) if steps is _PIXELS else 0)
        if not (self._scales.isfinite().all() and self._bias.isfinite().all()):  # a row's scale is that of its worst
            raise ModelError("the weights of the image tower are no numbers: damaged")
        self._zeros = torch.zeros(len(weight), dtype=torch.int64)
        edge = plain.kernel_size[0] // 2 if not pad else 0
        self._geometry = ([conv.stride] * 2, [edge] * 2, [1, 1], 1)
        # Without the shape of what comes in, the weights are laid out anew at every call.
        shape = [1, plain.in_channels, grid[0] + pad, grid[1] + pad]
        self._weight = torch.ops.onednn.qconv_prepack(
            weight, self._scales, steps.size, steps.zero, *self._geometry, shape
        )
        self._in, self._out, self._pad = steps, out, 0 if steps is _PIXELS else pad
        self._unary = "relu" if rectify else "none"

    def __call__(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) uint8, channels last. Pixels come with their padding."""
        if self._pad:
            x = nn.functional.pad(x, (0, self._pad, 0, self._pad), value=self._in.zero)
        to, dtype = (_Steps(1.0, 0), torch.float32) if self._out is None else (self._out, torch.uint8)
        done: Tensor = torch.ops.onednn.qconv2d_pointwise(
            *self._operands(x), self._bias, *self._geometry, to.size, to.zero, dtype, self._unary, [], ""
        )
        return done

    def added_to(self, shortcut: Tensor, steps: _Steps, x: Tensor) -> Tensor:
        """relu(shortcut + self(x)) for a shortcut of those steps, which is overwritten."""
        assert self._out is not None
        done: Tensor = torch.ops.onednn.qconv2d_pointwise.binary(
            *self._operands(x), shortcut, self._bias, *self._geometry, self._out.size, self._out.zero, torch.uint8,
            steps.size, steps.zero, "sum", 1.0, "relu", [], "",
        )  # fmt: skip
        return done

    def _operands(self, x: Tensor) -> tuple[Tensor, float, int, Tensor, Tensor, Tensor]:
        return x, self._in.size, self._in.zero, self._weight, self._scales, self._zeros
