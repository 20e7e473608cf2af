"""Encoders of motion: a run of frames in, a few vectors along time out. VideoMAE and VideoPrism (transformers)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.encoders.transformers_models import Opened, open_model
from rdmf_cli.errors import ModelError

VERSION = "motion/1"  # raise it when the same frames would give other vectors
# model_type -> the name of its input. Both answer (B, steps x patches, D), step by step.
_INPUTS = {"videomae": "pixel_values", "videoprism_vision_model": "pixel_values_videos"}


class VideoEncoder:
    """A frozen encoder of segments of `num_frames` frames, which it sees as `num_steps` steps of equal length."""

    def __init__(self, name: str, opened: Opened, device: str) -> None:
        self.name = name
        self.fingerprint = opened.fingerprint
        self.dim = int(opened.config.get("hidden_size", 768))
        self.num_frames = int(opened.config.get("num_frames", 16))
        tubelet = opened.config.get("tubelet_size", 2 if opened.config["model_type"] == "videomae" else [1, 18, 18])
        self.num_steps = self.num_frames // int(tubelet[0] if isinstance(tubelet, list) else tubelet)
        self._network, self._device = opened.network, torch.device(device)
        self._preprocessing = opened.preprocessing
        self._input = _INPUTS[opened.config["model_type"]]

    def frame_size_px(self, width: int, height: int) -> tuple[int, int]:
        """(height, width) at which frames must arrive."""
        return self._preprocessing.size_px

    def encode_segment(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """frames (num_frames, H, W, 3) RGB uint8 → (num_steps, dim), unit length. Raises ModelError for no numbers."""
        if len(frames) != self.num_frames:
            raise ValueError(f"{self.name} takes {self.num_frames} frames, not {len(frames)}")
        pixels = self._preprocessing.apply(torch.from_numpy(np.array(frames, order="C")).to(self._device))
        with torch.inference_mode():
            states: Any = self._network(**{self._input: pixels[None]}).last_hidden_state[0]
        steps = states.float().reshape(self.num_steps, -1, states.shape[-1]).mean(dim=1)
        lengths = steps.norm(dim=-1, keepdim=True)
        if not bool((torch.isfinite(lengths) & (lengths > 0)).all()):
            raise ModelError(f"{self.name} gave a vector of zeros or no numbers: its weights are damaged")
        rows: NDArray[np.float32] = (steps / lengths).cpu().numpy()
        return rows


def open_video_encoder(name: str, models_folder: Path, device: str) -> VideoEncoder:
    """Open a folder or hf:ID. Raises ModelError: not there, another kind of model, damaged, only pickled weights."""
    return VideoEncoder(name, open_model(name, models_folder, device, tuple(_INPUTS), "AutoModel", VERSION), device)
