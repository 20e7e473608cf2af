"""The built-in encoder: a small convolutional image tower and a small text transformer in one unit-norm space.

Trained by models/rdmf-lite/training from random initialisation; needs neither open_clip, timm, torchvision nor
transformers. lite_network.py has the towers.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rdmf_cli.encoders.batches import Batches, is_out_of_memory
from rdmf_cli.encoders.lite_int8 import RANGES, Int8Tower, checked_ranges, cpu_can
from rdmf_cli.encoders.lite_network import (
    GRID_PX,
    ImageTower,
    LiteConfig,
    LiteNetwork,
    dequantised,
    frame_size_px,
    num_weights,
    pad_ids,
)
from rdmf_cli.encoders.lite_reach import load_reach
from rdmf_cli.errors import ModelError

PREPROCESSING = "lite/1"  # part of the fingerprint: squash to a square, RGB / 127.5 - 1
_FILES = ("config.json", "tokenizer.json", "model.safetensors")


class LiteEncoder:
    """The `Encoder` protocol over a LiteNetwork. See `rdmf_cli.encoders.base.Encoder`."""

    name = "lite"

    def __init__(
        self, folder: Path, *, device: str = "cpu", batch_size: int = 32, precision: str | None = None
    ) -> None:
        """`precision` of the image tower: "int8", "bf16", "fp32"; None is the fastest that works here."""
        self.config, state, self.fingerprint = _read_folder(folder)
        ranges = checked_ranges(state.pop(RANGES), self.config) if RANGES in state else None
        self.dim = self.config.dim
        self.max_text_tokens = self.config.text_tokens
        self._device, self._batches = torch.device(device), Batches(self.name, batch_size)
        self.precision = precision or fastest_precision(device, has_ranges=ranges is not None)
        self._tokenizer = _open_tokenizer(folder / "tokenizer.json")
        if self._tokenizer.get_vocab_size() > self.config.vocabulary:  # an id beyond the table would crash a search
            raise ModelError(f"{folder.name}: tokenizer.json has more words than config.json says")
        weights = dequantised(state)
        # Before a network is built: it must not reserve more than the file holds, whatever the config claims. Counted,
        # not built on the meta device, for which torch imports a second of reference code.
        if num_weights(self.config) > sum(value.numel() for value in weights.values()):
            raise ModelError(f"{folder.name}: weights do not fit config.json: there are fewer than it describes")
        network = LiteNetwork(self.config)
        try:
            network.load_state_dict(weights)
        except RuntimeError as error:
            raise ModelError(f"{folder.name}: weights do not fit config.json: {str(error).splitlines()[0]}") from error
        network.eval().requires_grad_(False).to(self._device)
        self._text = network.text
        self._reach = load_reach(folder, self.dim)
        self._image = self._runner(network.image, ranges)

    def frame_size_px(self, width: int, height: int) -> tuple[int, int]:
        """(height, width) of frames of such a video or picture: the module's `frame_size_px`."""
        return frame_size_px(self.config, width, height)

    @torch.inference_mode()
    def encode_images(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """frames (N, H, W, 3) RGB uint8 at a size that `frame_size_px` gives -> (N, dim), unit length."""
        if not self._takes(frames.shape):
            raise ValueError(f"frames are {frames.shape[1:]}, the encoder wants {self.frame_size_px(1, 1)} or alike")

        def encode(start: int, end: int) -> NDArray[np.float32]:
            try:
                return _unit(self._image(frames[start:end]))
            except RuntimeError as error:
                if self._device.type != "cpu" or is_out_of_memory(error):
                    raise
                raise self._no_network(error) from error

        return self._batches.run(len(frames), self.dim, encode)

    def _runner(self, tower: ImageTower, ranges: Tensor | None) -> Callable[[NDArray[np.uint8]], Tensor]:
        """Frames (B, H, W, 3) uint8 -> (B, dim), in the precision of this encoder."""
        if self.precision == "int8":
            if ranges is None:
                raise ModelError(f"{self.name}: no {RANGES} in model.safetensors: it cannot run in int8")
            try:
                return Int8Tower(tower, ranges, self.frame_size_px(1, 1))
            except RuntimeError as error:
                raise self._no_network(error) from error
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float32
        tower.to(dtype=dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

        def run(frames: NDArray[np.uint8]) -> Tensor:
            # (N, H, W, C) seen as (N, C, H, W) is already channels-last.
            pixels = torch.tensor(np.ascontiguousarray(frames)).to(self._device).permute(0, 3, 1, 2)
            vectors: Tensor = tower(pixels.to(dtype).div_(127.5).sub_(1))
            return vectors

        return run

    def _no_network(self, error: RuntimeError) -> ModelError:
        reason = str(error).splitlines()[0][:200]  # sizes that fit the weights, but not each other
        return ModelError(f"{self.name}: its config.json describes no working network: {reason}")

    @torch.inference_mode()
    def encode_texts(self, texts: list[str]) -> NDArray[np.float32]:
        """N sentences -> (N, dim), unit length. Longer ones than `max_text_tokens` are cut."""
        rows = [np.zeros((0, self.dim), np.float32)]
        for start in range(0, len(texts), 64):
            ids, padding = pad_ids(self._ids(texts[start : start + 64]), self.max_text_tokens)
            rows.append(_unit(self._text(ids.to(self._device), padding.to(self._device))))
        return np.concatenate(rows)

    def reach(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Sentences (N, dim) -> (N,) what they reach on ordinary photographs; 0 without ordinary.safetensors."""
        return np.zeros(len(vectors), np.float32) if self._reach is None else self._reach(vectors)

    def _takes(self, shape: tuple[int, ...]) -> bool:
        if len(shape) != 4 or shape[3] != 3:
            return False
        if self.config.longest_ratio == 1:
            return (shape[1], shape[2]) == self.frame_size_px(1, 1)
        # Rounded to the grid, a shape may round to another: any frame on the grid is taken.
        return min(shape[1:3]) >= GRID_PX and shape[1] % GRID_PX == 0 == shape[2] % GRID_PX

    def text_length(self, text: str) -> int:
        """Tokens that `text` would need."""
        return len(self._ids([text])[0])

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]


def load_lite(folder: Path, device: str = "cpu", batch_size: int = 32, *, precision: str | None = None) -> LiteEncoder:
    """The encoder of a model folder (config.json, tokenizer.json, model.safetensors). ModelError if it isn't one."""
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(f"{folder}: no {missing[0]}", hint="reinstall rdmf, or name another encoder with --encoder")
    try:
        return LiteEncoder(folder, device=device, batch_size=batch_size, precision=precision)
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


def fastest_precision(device: str, *, has_ranges: bool) -> str:
    """How the image tower runs: "int8", "bf16" or "fp32". Vectors of all three may share a store (decision 12).

    int8 is 1.8 times as fast as bf16 where the CPU has both; bf16 is twice as fast as fp32 where it is in hardware,
    several times slower elsewhere.
    """
    if device == "cpu" and has_ranges and cpu_can():
        return "int8"
    return "bf16" if device != "cpu" or _cpu_has_bf16() else "fp32"


def _cpu_has_bf16() -> bool:
    """True where bf16 matrix products run in hardware (AVX-512 BF16 or AMX, Arm BF16)."""
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported", "_is_arm_bf16_supported")
    return any(getattr(torch.cpu, name, bool)() for name in checks)
