"""What the reaction-diffusion fusion and its baselines share: the way in, and local mixing along time.

Axes: B batch, T snippets, H hidden. Sequences are (B, T, H), `valid` (B, T) is True on data. Padding is 0 throughout.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rdmf_cli.fusion.config import FusionConfig
from rdmf_cli.fusion.inputs import INPUT_NAMES, MAX_INPUT, QUERY_NAMES, Batch

# Pairs of inputs that change places when time runs backwards; they enter as their sum and the size of their difference.
_MIRRORED = (("distance_before", "distance_after"), ("cut_before", "cut_after"))


def keep_valid(x: Tensor, valid: Tensor) -> Tensor:
    """x (B, T, H) with 0 on padding; a selection, so that NaN in padding stays there."""
    return torch.where(valid[..., None], x, 0.0)


class Embedding(nn.Module):
    """Inputs of `Batch` → (B, T, H): a small network per snippet that knows the query's facts.

    Raises ValueError for a configuration made for other inputs than INPUT_NAMES and QUERY_NAMES.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        self.config = config
        hidden, made = config.hidden, (len(INPUT_NAMES), len(QUERY_NAMES))
        if (config.num_inputs, config.num_facts) != made:
            raise ValueError(
                f"the model reads {config.num_inputs} inputs per snippet and {config.num_facts} per query, "
                f"this version of rdmf makes {made[0]} and {made[1]}"
            )
        self.snippet = nn.Linear(config.num_inputs, hidden)
        self.facts = nn.Linear(config.num_facts, hidden, bias=False)
        self.mix = nn.Sequential(nn.GELU(), nn.Dropout(config.dropout), nn.Linear(hidden, hidden))
        self.norm = nn.LayerNorm(hidden)
        if config.input == "features":
            self.picture = nn.Linear(config.feature_dim, hidden)
            self.words = nn.Linear(config.feature_dim, hidden)
            self.product = nn.Linear(hidden, hidden)

    def forward(self, batch: Batch) -> Tensor:
        """Any padding → (B, T, H), 0 on padding.

        Raises
        ------
        ValueError
            If the model wants features and the batch has none.
        """
        values = keep_valid(batch.values, batch.valid)
        x = self.snippet(mirrored(values)) + self.facts(batch.query / (MAX_INPUT / 2))[:, None]
        if self.config.input == "features":
            if batch.features is None or batch.words is None:
                raise ValueError("this model reads features and words, and the batch has none")
            pictures = nn.functional.normalize(keep_valid(batch.features, batch.valid).float(), dim=-1)
            words = nn.functional.normalize(batch.words.float(), dim=-1)
            # Times √E: of the order of 1 per dimension whatever the dimension.
            scale = self.config.feature_dim**0.5
            x = x + self.product(self.picture(pictures * scale) * self.words(words * scale)[:, None])
        return keep_valid(self.norm(self.mix(x)), batch.valid)


def mirrored(values: Tensor) -> Tensor:
    """values (..., N) with each pair of before and after as its sum and the size of its difference.

    So a video that runs backwards gives the same values backwards.
    """
    columns = list(values.unbind(dim=-1))
    for before, after in _MIRRORED:
        i, j = INPUT_NAMES.index(before), INPUT_NAMES.index(after)
        columns[i], columns[j] = columns[i] + columns[j], (columns[i] - columns[j]).abs()
    return torch.stack(columns, dim=-1)


class LocalMixing(nn.Module):
    """x + MLP(depth-wise convolution of LN(x)). Backwards in time gives the same backwards.

    Each channel gives a symmetric and the size of an antisymmetric convolution: how much there is, and how steep.
    """

    def __init__(self, config: FusionConfig) -> None:
        super().__init__()
        hidden, reach = config.hidden, config.kernel // 2
        self.norm = nn.LayerNorm(hidden)
        self.even = nn.Parameter(torch.randn(reach + 1, hidden) * (reach + 1) ** -0.5)
        self.odd = nn.Parameter(torch.randn(reach, hidden) * max(reach, 1) ** -0.5)
        self.expand = nn.Linear(2 * hidden if reach else hidden, 2 * hidden)
        self.reduce = nn.Linear(2 * hidden, hidden)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """x (B, T, H) → (B, T, H). Beyond the ends and on padding the convolution reads 0."""
        mixed = self._convolved(keep_valid(self.norm(x), valid))
        mixed = self.reduce(self.dropout(nn.functional.gelu(self.expand(mixed))))
        return keep_valid(x + self.dropout(mixed), valid)

    def _convolved(self, x: Tensor) -> Tensor:
        # Shifted products and not nn.Conv1d: with one filter per channel that is several times slower on a CPU.
        reach, num_snippets = len(self.odd), x.shape[1]
        padded = nn.functional.pad(x, (0, 0, reach, reach))
        even, odd = x * self.even[0], torch.zeros_like(x)
        for distance in range(1, reach + 1):
            before = padded[:, reach - distance : reach - distance + num_snippets]
            after = padded[:, reach + distance : reach + distance + num_snippets]
            even = even + (before + after) * self.even[distance]
            odd = odd + (after - before) * self.odd[distance - 1]
        return torch.cat((even, odd.abs()), dim=-1) if reach else even
