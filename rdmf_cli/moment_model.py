"""The learned model as a whole: inputs → fusion → head, and what identifies a trained one."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from rdmf_cli.fusion.baselines import build_fusion
from rdmf_cli.fusion.config import Fused, FusionConfig
from rdmf_cli.fusion.inputs import INPUT_NAMES, QUERY_NAMES, Batch
from rdmf_cli.heads.moments import Found, HeadConfig, MomentHead

VERSION = 1  # of config.json; raise it when an older rdmf would misread a model
KIND = "moments"


@dataclass(frozen=True)
class MomentConfig:
    """Everything that shapes a trained model: config.json. None of it depends on an encoder, but for "features"."""

    fusion: FusionConfig = field(default_factory=FusionConfig)
    head: HeadConfig = field(default_factory=HeadConfig)
    input_names: tuple[str, ...] = INPUT_NAMES  # what it was trained on, in this order
    query_names: tuple[str, ...] = QUERY_NAMES
    encoder: str = ""  # only for fusion.input = "features": the one encoder that it fits
    encoder_fingerprint: str = ""
    # The calibrated statistic ("evidence" of QUERY_NAMES) joins the relevance logit with this weight, after training:
    # what made-up videos teach of absolute cosines fails on real ones, the statistic holds (docs/experiments.md).
    statistic_share: float = 0.5
    # In the same way each snippet's own evidence ("absolute" of INPUT_NAMES) joins the saliency logit.
    saliency_share: float = 0.0
    relevance_scale: tuple[float, ...] = (1.0, 0.0)  # slope and offset on the relevance logit, fitted on validation
    cutoff: float = 0.5  # calibrated probability from which on an answer counts as a match
    weights_sha256: str = ""  # of model.safetensors beside it; filled in when saved
    version: int = VERSION
    kind: str = KIND

    def __post_init__(self) -> None:
        given = (*INPUT_NAMES, *QUERY_NAMES)
        unknown = [name for name in (*self.input_names, *self.query_names) if name not in given]
        if unknown:
            raise ValueError(f"the model reads {unknown[0]}, which this rdmf does not compute")
        if self.input_names != INPUT_NAMES or self.query_names != QUERY_NAMES:
            raise ValueError("the model was trained on other inputs than this rdmf computes")
        if len(self.relevance_scale) != 2 or not self.relevance_scale[0] > 0:
            raise ValueError("relevance_scale is a slope above 0 and an offset")
        for name in ("statistic_share", "saliency_share"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is 0 or more, not {getattr(self, name):g}")
        if not 0 <= self.cutoff <= 1:
            raise ValueError(f"cutoff lies in [0, 1], not {self.cutoff:g}")


class MomentNetwork(nn.Module):
    """Batches in, moments out. Make one with `build`."""

    def __init__(self, config: MomentConfig, fusion: nn.Module, head: MomentHead) -> None:
        super().__init__()
        self.config = config
        self.fusion = fusion
        self.head = head

    def forward(self, batch: Batch, num_steps: int | None = None) -> tuple[Fused, Found]:
        """B padded items of T snippets → what fusion made of them and what the head found. Any T.

        `num_steps` of the fusion, where it has steps: other than the configuration's.
        """
        fused: Fused = self.fusion(batch, num_steps)
        found: Found = self.head(
            fused.sequence, fused.activity, query=batch.query, valid=batch.valid, is_cut=batch.is_cut
        )
        return fused, found

    def answer(self, batch: Batch, num_steps: int | None = None) -> tuple[Fused, Found]:
        """`forward` without gradients, in evaluation mode, the evidence joined to relevance and saliency."""
        self.eval()
        with torch.inference_mode():
            fused, found = self(batch, num_steps)
            statistic = batch.query[:, self.config.query_names.index("evidence")]
            return fused, found._replace(
                relevance=found.relevance + self.config.statistic_share * statistic,
                saliency=found.saliency + torch.where(batch.valid, self.lift(batch.values), 0.0),
            )

    def lift(self, values: Tensor) -> Tensor:
        """What joins the saliency logits: values (B, T, N) → (B, T)."""
        return self.config.saliency_share * values[..., self.config.input_names.index("absolute")]

    @property
    def num_parameters(self) -> int:
        """How many numbers are trained."""
        return sum(parameter.numel() for parameter in self.parameters())


def build(config: MomentConfig) -> MomentNetwork:
    """The network that a configuration describes, untrained."""
    fusion = build_fusion(config.fusion)
    head = MomentHead(config.head, dim=config.fusion.hidden, query_dim=len(config.query_names))
    return MomentNetwork(config, fusion, head)
