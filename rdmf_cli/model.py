"""The second model as a whole: streams → cross-attentive GRUs → head, and what identifies a trained one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from rdmf_cli.fusion.cross_gru import CrossAttentiveGru, CrossGruConfig
from rdmf_cli.heads.affect import AffectHead, AffectHeadConfig
from rdmf_cli.windows import StreamConfig

VERSION = 1  # of config.json; raise it when an older rdmf would misread a model
KIND = "affect"


@dataclass(frozen=True)
class Source:
    """What made the rows of a stream. Weights fit one fingerprint only."""

    name: str
    fingerprint: str
    dim: int


@dataclass(frozen=True)
class Sources:
    """Where the streams come from; None for a stream that the model does not use."""

    motion: Source | None = None
    image: Source | None = None
    caption: Source | None = None

    def dims(self) -> dict[str, int]:
        """Channels of each stream that exists."""
        return {name: source.dim for name, source in vars(self).items() if source is not None}


@dataclass(frozen=True)
class AffectConfig:
    """Everything that shapes a trained model and its inputs: config.json."""

    sources: Sources
    encoder: str = "lite"  # opened when the model is used: pictures and sentences
    streams: StreamConfig = field(default_factory=StreamConfig)
    fusion: CrossGruConfig = field(default_factory=CrossGruConfig)
    head: AffectHeadConfig = field(default_factory=AffectHeadConfig)
    threshold: float = 0.5  # classification: score from which on a segment counts
    weights_sha256: str = ""  # of model.safetensors beside it; filled in when saved
    version: int = VERSION
    kind: str = KIND

    def __post_init__(self) -> None:
        missing = [name for name in self.fusion.streams if getattr(self.sources, name) is None]
        if missing:
            raise ValueError(f"no source for the stream {missing[0]}")


class Rating(NamedTuple):
    """What the network says about B windows."""

    outputs: Tensor  # (B, outputs): logits, or values in (-1, 1)
    rebuilt: dict[str, Tensor]  # (B, D) per stream: the mean of its rows, rebuilt from what its GRU kept
    means: dict[str, Tensor]  # (B, D) per stream: that mean itself


class AffectNetwork(nn.Module):
    """Rows of the streams in, ratings out. Rows are centred and scaled by what `fit_scale` saw."""

    def __init__(self, config: AffectConfig) -> None:
        super().__init__()
        self.config = config
        dims = config.sources.dims()
        self.fusion = CrossAttentiveGru(config.fusion, dims)
        self.head = AffectHead(config.head, config.fusion.output_dim)
        # The auto-encoding regulariser: what a GRU keeps of its stream must still tell what was in it on average.
        self.decoders = nn.ModuleDict(
            {name: nn.Linear(config.fusion.hidden, dims[name]) for name in config.fusion.streams}
        )
        for name in config.fusion.streams:
            self.register_buffer(f"centre_{name}", torch.zeros(dims[name]))
            self.register_buffer(f"scale_{name}", torch.ones(()))

    def fit_scale(self, name: str, rows: Tensor) -> None:
        """Learn the centre and the overall spread of a stream from rows (M, D) of the training videos."""
        centre = rows.mean(dim=0)
        self.get_buffer(f"centre_{name}").copy_(centre)
        # One number, not one for each channel: channels that hardly vary would become noise.
        self.get_buffer(f"scale_{name}").copy_((rows - centre).square().mean().sqrt().clamp(min=1e-6))

    def forward(self, streams: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Rating:
        """streams (B, T, D) and valid (B, T) by name; a stream without a valid step counts as missing."""
        scaled = {name: self._scaled(name, streams[name], valid[name]) for name in self.config.fusion.streams}
        fused = self.fusion(scaled, valid)
        rebuilt = {name: self.decoders[name](pooled) for name, pooled in fused.pooled.items()}
        means = {name: _mean(scaled[name], valid[name]) for name in scaled}
        return Rating(self.head(fused.joined), rebuilt, means)

    def rate(self, streams: Mapping[str, Tensor], valid: Mapping[str, Tensor]) -> Tensor:
        """(B, outputs): probabilities of the classes, or values in (-1, 1). Without gradients, in evaluation mode."""
        self.eval()
        with torch.inference_mode():
            outputs: Tensor = self(streams, valid).outputs
            return outputs.softmax(dim=-1) if self.config.head.task == "classification" else outputs

    def _scaled(self, name: str, x: Tensor, valid: Tensor) -> Tensor:
        moved = (x - self.get_buffer(f"centre_{name}")) / self.get_buffer(f"scale_{name}")
        return torch.where(valid[..., None], moved, 0.0)


def _mean(x: Tensor, valid: Tensor) -> Tensor:
    """(B, T, D) → (B, D) over the valid steps."""
    return x.sum(dim=1) / valid.sum(dim=1, keepdim=True).clamp(min=1)
