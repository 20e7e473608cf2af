"""The network of the built-in encoder: its configuration, both towers, and how a file holds their weights.

The image tower is five stages joined by narrow linear borders; each border has the grid and the width of a MobileNetV2
border, because that is what training matches it against stage by stage.

Plain 3x3 convolutions, no depth-wise ones: on CPUs with matrix units (AMX, bf16) a dense block trains about ten times
and infers about twice as fast as an inverted bottleneck of the same grid (docs/experiments.md).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from rdmf_cli.errors import ModelError

GRID_PX = 32  # of the frame behind one point of the last grid


@dataclass(frozen=True)
class LiteConfig:
    """Shapes of both towers. Stored as config.json beside the weights; unknown keys are errors."""

    dim: int = 256  # of the shared space
    image_size_px: int = 224  # side of the squares that the tower learned on
    frame_side_px: int = 224  # side of the square that has the area of a frame as it is fed
    longest_ratio: float = 1.0  # how much longer one side of a frame may be; 1: every picture is squashed to a square
    stem_width: int = 24  # at 1/2
    stage_widths: tuple[int, ...] = (48, 96, 128, 160, 256)
    stage_blocks: tuple[int, ...] = (1, 2, 2, 2, 2)
    border_channels: tuple[int, ...] = (24, 32, 64, 96, 1280)
    border_grids_px: tuple[int, ...] = (56, 28, 14, 14, 7)
    adapter_width: int = 768
    vocabulary: int = 8192
    text_width: int = 256
    text_layers: int = 4
    text_heads: int = 4
    text_tokens: int = 48
    sentence_dim: int = 384  # of the sentence embedding before it is projected into the shared space

    @staticmethod
    def from_json(text: str) -> LiteConfig:
        """Read config.json. Raises ModelError for unknown keys or bad JSON."""
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ModelError(f"config.json is not JSON: {error}") from error
        known = {f.name for f in fields(LiteConfig)}
        if not isinstance(values, dict) or set(values) - known:
            strange = sorted(set(values) - known)[:3] if isinstance(values, dict) else values
            raise ModelError(f"config.json is of another kind or a newer version: {str(strange)[:100]!r}")
        shapes: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        config = LiteConfig(**shapes)
        wrong = [name for name, value in asdict(config).items() if not _is_sensible(name, value)]
        stages = {len(value) for value in asdict(config).values() if isinstance(value, tuple)}
        if wrong or len(stages) != 1 or config.text_width % config.text_heads:
            raise ModelError(f"config.json describes no network: {', '.join(wrong[:3]) or 'its parts do not fit'}")
        return config

    def to_json(self) -> str:
        """The text of config.json."""
        return json.dumps(asdict(self), indent=1) + "\n"


def _is_sensible(name: str, value: object) -> bool:
    """Could a config hold this? A file from elsewhere must not make us reserve all memory, or build layers for ever."""
    if name == "longest_ratio":
        return isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= 8
    if isinstance(getattr(LiteConfig, name), tuple):
        return isinstance(value, tuple) and 1 <= len(value) <= 8 and all(_is_count(v, 8192) for v in value)
    return _is_count(value, 1 << 20 if name == "vocabulary" else 64 if name == "text_layers" else 8192)


def _is_count(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= most


class Conv(nn.Module):
    """Convolution with "SAME" padding as TensorFlow does it, so that grids line up with the teacher's.

    `norm=True` while training (batch norm after it); shipped weights have the norm folded into the bias.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, norm: bool) -> None:
        super().__init__()
        self.stride, self.kernel = stride, kernel
        padding = 0 if stride == 2 else kernel // 2
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=not norm)
        self.norm = nn.BatchNorm2d(outputs) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W) -> (B, outputs, H / stride, W / stride)."""
        if self.stride == 2:  # TensorFlow pads an even grid at the bottom and right only
            x = nn.functional.pad(x, (0, self.kernel - 2, 0, self.kernel - 2))
        return self.norm(self.conv(x))  # type: ignore[no-any-return]


class Block(nn.Module):
    """Two dense 3x3 convolutions with a shortcut."""

    def __init__(self, width: int, *, norm: bool) -> None:
        super().__init__()
        self.first = Conv(width, width, 3, norm=norm)
        self.second = Conv(width, width, 3, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, C, H, W), same shape out."""
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class Stage(nn.Module):
    """From one border of the teacher to the next: entry, residual blocks, linear exit."""

    def __init__(self, config: LiteConfig, index: int, *, norm: bool) -> None:
        super().__init__()
        width = config.stage_widths[index]
        grids = (config.image_size_px // 2, *config.border_grids_px)
        inputs = config.stem_width if index == 0 else config.border_channels[index - 1]
        self.stem = Conv(3, config.stem_width, 3, 2, norm=norm) if index == 0 else None
        self.entry = Conv(inputs, width, 3, grids[index] // grids[index + 1], norm=norm)
        self.blocks = nn.Sequential(*(Block(width, norm=norm) for _ in range(config.stage_blocks[index])))
        self.exit = Conv(width, config.border_channels[index], 1, norm=norm)
        self.is_last = index == len(config.stage_widths) - 1

    def forward(self, x: Tensor) -> Tensor:
        """x: the border before (B, C, H, W), or the picture in [-1, 1] -> the border behind."""
        if self.stem is not None:
            x = torch.relu(self.stem(x))
        x = self.exit(self.blocks(torch.relu(self.entry(x))))
        return torch.relu(x) if self.is_last else x


class ImageTower(nn.Module):
    """Picture -> vector in the shared space, not normalised."""

    def __init__(self, config: LiteConfig, *, norm: bool = False) -> None:
        super().__init__()
        self.stages = nn.ModuleList(Stage(config, i, norm=norm) for i in range(len(config.stage_widths)))
        features = config.border_channels[-1]
        self.adapter = nn.Sequential(
            nn.Linear(features, config.adapter_width), nn.GELU(), nn.Linear(config.adapter_width, config.dim)
        )

    def features(self, x: Tensor) -> Tensor:
        """x (B, 3, H, W) in [-1, 1] -> (B, 1280), the average over the last grid."""
        for stage in self.stages:
            x = stage(x)
        return x.mean(dim=(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, 3, S, S) in [-1, 1] -> (B, dim)."""
        return self.adapter(self.features(x))  # type: ignore[no-any-return]


class TextTower(nn.Module):
    """Token ids -> sentence embedding -> vector in the shared space, not normalised."""

    def __init__(self, config: LiteConfig) -> None:
        super().__init__()
        self.tokens = nn.Embedding(config.vocabulary, config.text_width)
        self.positions = nn.Parameter(torch.randn(config.text_tokens, config.text_width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            config.text_width,
            config.text_heads,
            4 * config.text_width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerEncoder(layer, config.text_layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(config.text_width)
        self.sentence = nn.Linear(config.text_width, config.sentence_dim)
        self.projection = nn.Linear(config.sentence_dim, config.dim)

    def sentence_embedding(self, ids: Tensor, padding: Tensor) -> Tensor:
        """Ids (B, L) int64, padding (B, L) True on filler -> (B, sentence_dim), what the sentence teacher gives."""
        x = self.tokens(ids) + self.positions[: ids.shape[1]]
        x = self.norm(self.layers(x, src_key_padding_mask=padding))
        kept = (~padding).unsqueeze(-1)
        mean = (x * kept).sum(dim=1) / kept.sum(dim=1).clamp(min=1)
        return self.sentence(mean)  # type: ignore[no-any-return]

    def forward(self, ids: Tensor, padding: Tensor) -> Tensor:
        """Ids (B, L) int64, padding (B, L) True on filler -> (B, dim)."""
        unit = nn.functional.normalize(self.sentence_embedding(ids, padding), dim=-1)
        return self.projection(unit)  # type: ignore[no-any-return]


class LiteNetwork(nn.Module):
    """Both towers; what model.safetensors holds."""

    def __init__(self, config: LiteConfig, *, norm: bool = False) -> None:
        super().__init__()
        self.image = ImageTower(config, norm=norm)
        self.text = TextTower(config)


def frame_size_px(config: LiteConfig, width: int, height: int) -> tuple[int, int]:
    """(height, width) of one area: the picture's shape as far as `longest_ratio` allows, in steps of the last grid."""
    ratio = min(max(width, height, 1) / max(min(width, height), 1), config.longest_ratio)
    steps = config.frame_side_px / GRID_PX
    short, long = (max(1, round(steps * stretch)) * GRID_PX for stretch in (ratio**-0.5, ratio**0.5))
    return (short, long) if width >= height else (long, short)


def num_weights(config: LiteConfig) -> int:
    """How many numbers the matrices and kernels of a LiteNetwork have; biases and norms, some more, are left out."""
    count = 3 * config.stem_width * 9
    inputs = (config.stem_width, *config.border_channels[:-1])
    stages = zip(inputs, config.stage_widths, config.stage_blocks, config.border_channels, strict=True)
    for entering, width, blocks, leaving in stages:
        count += entering * width * 9 + 2 * blocks * width * width * 9 + width * leaving
    count += config.adapter_width * (config.border_channels[-1] + config.dim)
    count += (config.vocabulary + config.text_tokens) * config.text_width
    count += config.text_layers * 12 * config.text_width**2
    return count + config.sentence_dim * (config.text_width + config.dim)


def quantised(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights as the file holds them: matrices and kernels in 8 bits with a scale per output row, the rest in 16.

    Half the size of 16 bits all over; measured, it moves no vector by more than a degree or two (docs/experiments.md).
    """
    packed: dict[str, Tensor] = {}
    for name, value in state.items():
        if value.dim() < 2:
            packed[name] = value.half().contiguous()
            continue
        packed[name], packed[f"{name}.scale"] = in_8_bits(value)
    return packed


def in_8_bits(value: Tensor) -> tuple[Tensor, Tensor]:
    """A matrix or kernel (N, …) -> int8 of the same shape, and float32 (N,): what one step of each row is worth.

    What `dequantised` gave comes back as it was in the file.
    """
    rows = value.float().flatten(1)
    scale = (rows.abs().amax(dim=1) / 127).clamp(min=1e-8)
    return (rows / scale.unsqueeze(1)).round().to(torch.int8).view(value.shape).contiguous(), scale


def dequantised(packed: dict[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `quantised`, float32."""
    state: dict[str, Tensor] = {}
    for name, value in packed.items():
        if name.endswith(".scale"):
            continue
        scale = packed.get(f"{name}.scale")
        wide = value.float()
        state[name] = wide if scale is None else wide * scale.view(-1, *[1] * (wide.dim() - 1))
    return state


def pad_ids(ids: list[list[int]], max_tokens: int) -> tuple[Tensor, Tensor]:
    """Token lists -> ids (B, L) int64 and padding (B, L), True on filler; cut at `max_tokens`, at least one token."""
    length = max(1, min(max_tokens, max((len(row) for row in ids), default=1)))
    padded = torch.zeros(len(ids), length, dtype=torch.int64)
    padding = torch.ones(len(ids), length, dtype=torch.bool)
    for i, row in enumerate(ids):
        kept = row[:length] or [0]
        padded[i, : len(kept)] = torch.tensor(kept)
        padding[i, : len(kept)] = False
    return padded, padding
