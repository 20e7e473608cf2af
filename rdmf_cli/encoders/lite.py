"""The built-in encoder: a small convolutional image tower and a small text transformer in one unit-norm space.

Trained by models/rdmf-lite/training from random initialisation; needs neither open_clip, timm, torchvision nor
transformers. The image tower is five stages joined by narrow linear borders; each border has the grid and the width
of a MobileNetV2 border, because that is what training matches it against stage by stage.

Plain 3x3 convolutions, no depth-wise ones: on CPUs with matrix units (AMX, bf16) a dense block trains about ten times
and infers about twice as fast as an inverted bottleneck of the same grid (docs/experiments.md).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rdmf_cli.encoders.batches import Batches, is_out_of_memory
from rdmf_cli.errors import ModelError

PREPROCESSING = "lite/1"  # part of the fingerprint: squash to a square, RGB / 127.5 - 1
_GRID_PX = 32  # of the frame behind one point of the last grid
_FILES = ("config.json", "tokenizer.json", "model.safetensors")


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


class LiteEncoder:
    """The `Encoder` protocol over a LiteNetwork. See `rdmf_cli.encoders.base.Encoder`."""

    name = "lite"

    def __init__(self, folder: Path, *, device: str = "cpu", batch_size: int = 32) -> None:
        self.config, state, self.fingerprint = _read_folder(folder)
        self.dim = self.config.dim
        self.max_text_tokens = self.config.text_tokens
        self._device, self._batches = torch.device(device), Batches(self.name, batch_size)
        # bf16 is used where the CPU has it in hardware: twice as fast there, several times slower elsewhere.
        self._dtype = torch.bfloat16 if device != "cpu" or _cpu_has_bf16() else torch.float32
        self._tokenizer = _open_tokenizer(folder / "tokenizer.json")
        if self._tokenizer.get_vocab_size() > self.config.vocabulary:  # an id beyond the table would crash a search
            raise ModelError(f"{folder.name}: tokenizer.json has more words than config.json says")
        weights = dequantised(state)
        # Before a network is built: it must not reserve more than the file holds, whatever the config claims. Counted,
        # not built on the meta device, for which torch imports a second of reference code.
        if _num_weights(self.config) > sum(value.numel() for value in weights.values()):
            raise ModelError(f"{folder.name}: weights do not fit config.json: there are fewer than it describes")
        network = LiteNetwork(self.config)
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ModelError(f"{folder.name}: weights do not fit config.json: {str(error).splitlines()[0]}") from error
        network.eval().requires_grad_(False).to(self._device)
        self._text = network.text
        self._image = network.image.to(dtype=self._dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def frame_size_px(self, width: int, height: int) -> tuple[int, int]:
        """(height, width) of frames of such a video or picture: the module's `frame_size_px`."""
        return frame_size_px(self.config, width, height)

    @torch.inference_mode()
    def encode_images(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """frames (N, H, W, 3) RGB uint8 at a size that `frame_size_px` gives -> (N, dim), unit length."""
        if not self._takes(frames.shape):
            raise ValueError(f"frames are {frames.shape[1:]}, the encoder wants {self.frame_size_px(1, 1)} or alike")

        def encode(start: int, end: int) -> NDArray[np.float32]:
            # (N, H, W, C) seen as (N, C, H, W) is already channels-last.
            batch = np.ascontiguousarray(frames[start:end])
            pixels = torch.tensor(batch).to(self._device).permute(0, 3, 1, 2)
            try:
                return _unit(self._image(pixels.to(self._dtype).div_(127.5).sub_(1)))
            except RuntimeError as error:
                if self._device.type != "cpu" or is_out_of_memory(error):
                    raise
                reason = str(error).splitlines()[0][:200]  # sizes that fit the weights, but not each other
                raise ModelError(f"{self.name}: its config.json describes no working network: {reason}") from error

        return self._batches.run(len(frames), self.dim, encode)

    @torch.inference_mode()
    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """N sentences -> (N, dim), unit length. Longer ones than `max_text_tokens` are cut."""
        rows = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(texts), 64):
            ids, padding = pad_ids(self._ids(texts[start : start + 64]), self.max_text_tokens)
            rows.append(_unit(self._text(ids.to(self._device), padding.to(self._device))))
        return np.concatenate(rows)

    def _takes(self, shape: tuple[int, ...]) -> bool:
        if len(shape) != 4 or shape[3] != 3:
            return False
        if self.config.longest_ratio == 1:
            return (shape[1], shape[2]) == self.frame_size_px(1, 1)
        # Rounded to the grid, a shape may round to another: any frame on the grid is taken.
        return min(shape[1:3]) >= _GRID_PX and shape[1] % _GRID_PX == 0 == shape[2] % _GRID_PX

    def text_length(self, text: str) -> int:
        """Tokens that `text` would need."""
        return len(self._ids([text])[0])

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]


def frame_size_px(config: LiteConfig, width: int, height: int) -> tuple[int, int]:
    """(height, width) of one area: the picture's shape as far as `longest_ratio` allows, in steps of the last grid."""
    ratio = min(max(width, height, 1) / max(min(width, height), 1), config.longest_ratio)
    steps = config.frame_side_px / _GRID_PX
    short, long = (max(1, round(steps * stretch)) * _GRID_PX for stretch in (ratio**-0.5, ratio**0.5))
    return (short, long) if width >= height else (long, short)


def _num_weights(config: LiteConfig) -> int:
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
        rows = value.float().flatten(1)
        scale = (rows.abs().amax(dim=1) / 127).clamp(min=1e-8)
        packed[name] = (rows / scale.unsqueeze(1)).round().to(torch.int8).view(value.shape).contiguous()
        packed[f"{name}.scale"] = scale
    return packed


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


def load_lite(folder: Path, device: str = "cpu", batch_size: int = 32) -> LiteEncoder:
    """The encoder of a model folder (config.json, tokenizer.json, model.safetensors). ModelError if it isn't one."""
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder}: no {missing[0]}", hint="reinstall rdmf, or name another encoder with --encoder")
    try:
        return LiteEncoder(folder, device=device, batch_size=batch_size)
    except ModelError:
        raise
    except Exception as error:  # a damaged tokenizer.json raises a plain Exception from Rust
        raise ModelError(f"{folder}: damaged: {str(error).splitlines()[0] if str(error) else error!r}") from error


def _read_folder(folder: Path) -> tuple[LiteConfig, dict[str, Tensor], str]:
    """Config, weights, and the fingerprint over all that decides a vector."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    digest = blake2b(PREPROCESSING.encode(), digest_size=16)
    contents = {name: (folder / name).read_bytes() for name in _FILES}
    for name in _FILES:
        digest.update(contents[name])
    try:
        state = load(contents["model.safetensors"])
    except SafetensorError as error:
        raise ModelError(f"{folder.name}/model.safetensors is damaged: {error}") from error
    try:
        config = LiteConfig.from_json(contents["config.json"].decode())
    except ModelError as error:
        raise ModelError(f"{folder.name}/{error}") from error
    return config, state, digest.hexdigest()


def _open_tokenizer(file: Path) -> Any:
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(file))
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic of Rust is no Exception
        raise ModelError(f"{file}: damaged: {' '.join(str(error).split())[:200]}") from error


def _unit(vectors: Tensor) -> NDArray[np.float32]:
    unit: NDArray[np.float32] = nn.functional.normalize(vectors.float(), dim=-1).cpu().numpy()
    if not np.isfinite(unit).all():
        raise ModelError("the built-in encoder gave no numbers: its weights are damaged", hint="reinstall rdmf-cli")
    return unit


def _cpu_has_bf16() -> bool:
    """True where bf16 matrix products run in hardware (AVX-512 BF16 or AMX, Arm BF16)."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
    return any(getattr(torch.cpu, name, bool)() for name in checks)
