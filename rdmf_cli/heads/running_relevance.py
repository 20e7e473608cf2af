"""The relevance of an endless sequence: every pooling of `RelevanceHead`, carried on from chunk to chunk.

Over a whole video it is what the head says of the video. Memory does not depend on the length.
"""

from __future__ import annotations

import torch
from torch import Tensor

from rdmf_cli.heads.moments import MomentHead, chance_logit


class RunningRelevance:
    """Of B streams."""

    def __init__(self, head: MomentHead) -> None:
        self._head = head
        self._num_seen = 0
        self._most = self._sum = self._chosen = self._peaks = torch.zeros(0)
        self._weight = torch.zeros(0)  # (B, 1) of `_chosen`: Σ exp(saliency − its peak)

    @torch.no_grad()
    def push(self, sequence: Tensor, activity: Tensor) -> None:
        """m ≥ 1 snippets more: sequence (B, m, H), activity (B, m)."""
        x = self._head.norm(sequence)
        saliency = self._head.saliency(x).squeeze(-1)
        entered = self._head.relevance.entered(x)
        peaks = torch.stack([saliency.amax(dim=1), chance_logit(activity).amax(dim=1)], dim=-1)
        most, total = entered.amax(dim=1), entered.double().sum(dim=1)
        if self._num_seen:
            peaks, most = torch.maximum(peaks, self._peaks), torch.maximum(most, self._most)
            total = total + self._sum
        # A softmax over all that was seen: what was summed is scaled to the new peak.
        shares = (saliency - peaks[:, :1]).double().exp()
        chosen, weight = (entered * shares[..., None]).sum(dim=1), shares.sum(dim=1, keepdim=True)
        if self._num_seen:
            fade = (self._peaks[:, :1] - peaks[:, :1]).double().exp()
            chosen, weight = chosen + fade * self._chosen, weight + fade * self._weight
        self._most, self._sum, self._peaks, self._chosen, self._weight = most, total, peaks, chosen, weight
        self._num_seen += sequence.shape[1]

    @torch.no_grad()
    def logit(self, query: Tensor) -> Tensor:
        """query (B, query_dim), what is known of it by now → (B,). Raises ValueError if nothing was fed."""
        if not self._num_seen:
            raise ValueError("nothing was fed")
        mean, chosen = (self._sum / self._num_seen).float(), (self._chosen / self._weight).float()
        return self._head.relevance.judged(self._most, mean, chosen, self._peaks, query)
