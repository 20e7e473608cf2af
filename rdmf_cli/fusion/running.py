"""Affinity of an endless video: affinity.py's with what was seen so far in place of the whole video.

Standardising along the video is not causal, so a stream can't have it. In its place stand running statistics: mean and
spread of the scores of each query and of the bank, mean and covariance of the features, the best snippets of each
query, and the median of the last neighbour distances. They are exact over all that was seen, so at the end of a video
they are those of affinity.py, but for the best snippets beyond the `best` kept and distances beyond the last few
thousand. A snippet is standardised once, when it is let go: `lag` snippets after it was seen, and not before `warm_up`.

Axes as in affinity.py. Memory does not grow with the length of the video.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from rdmf_cli.fusion.affinity import AffinityConfig, against_bank, pool_neighbours

MOST_BEST = 64  # snippets of each query
MOST_DISTANCES = 4096


class Released(NamedTuple):
    """m snippets, the oldest first; m may be 0."""

    evidence: Tensor  # (Q, m)
    conductance: Tensor  # (m,) between each and the one before it


class RunningStandard:
    """affinity.py's standardising along the video, with all that was seen so far in place of the whole video."""

    def __init__(self, queries: Tensor, bank: Tensor, config: AffinityConfig, *, best: int = MOST_BEST) -> None:
        self._queries, self._bank, self._config, self._best = queries, bank, config, best
        dim, num_queries = bank.shape[1], len(queries)
        self._scores, self._bank_scores = _Moments(num_queries), _Moments(len(bank))
        self._sum, self._square = (torch.zeros(*shape, dtype=torch.float64) for shape in ((dim,), (dim, dim)))
        self._top_scores = bank.new_zeros(num_queries, 0)
        self._top = bank.new_zeros(num_queries, 0, dim)
        self.num_seen = 0

    def add(self, features: Tensor) -> Tensor:
        """features (n, D) of unit length → their scores against the bank, (Q, n); 0 if the bank can't tell."""
        scores = features.new_zeros(len(self._queries), len(features))
        if len(self._bank) > 1:
            bank_cosines = self._bank @ features.T
            scores = against_bank(self._queries @ features.T, bank_cosines)
            self._bank_scores.add(against_bank(bank_cosines, bank_cosines))
        self._scores.add(scores)
        self.num_seen += len(features)
        rows = features.double()
        self._sum += rows.sum(dim=0)
        self._square += rows.T @ rows
        every = torch.cat((self._top_scores, scores), dim=1)
        vectors = torch.cat((self._top, features.expand(len(scores), -1, -1)), dim=1)
        self._top_scores, places = every.topk(min(self._best, every.shape[1]), dim=1)
        self._top = vectors.gather(1, places.unsqueeze(-1).expand(-1, -1, vectors.shape[-1]))
        return scores

    @property
    def typical(self) -> Tensor:
        """() spread of an ordinary query along the video."""
        return self._bank_scores.spread.median()

    @property
    def spread(self) -> Tensor:
        """(Q,) spread of the scores."""
        return self._scores.spread

    @property
    def scale(self) -> Tensor:
        """(Q, 1) what scores are divided by."""
        floor = self._config.scale_floor * self.typical
        return torch.maximum(self.spread, floor).clamp(min=1e-4).unsqueeze(1)

    def along_video(self, scores: Tensor) -> Tensor:
        """scores (Q, n) → (Q, n), centred and scaled, float64."""
        return (scores.double() - self._scores.mean.unsqueeze(1)) / self.scale

    def agreement(self, features: Tensor) -> Tensor:
        """Likeness of features (n, D) to the soft centroid of each query's best snippets, times how much the query
        varies: its mean over all that was seen is 0. (Q, n), float64.
        """
        standing = (self._top_scores.double() - self._top_scores.amax(dim=1, keepdim=True)) / self.scale
        weights = (standing / self._config.centroid_temperature).softmax(dim=1)  # (Q, K)
        mean = self._sum / self.num_seen
        centroids = torch.einsum("qk,qkd->qd", weights, self._top.double()) - mean
        covariance = self._square / self.num_seen - torch.outer(mean, mean)
        spread = torch.einsum("qd,de,qe->q", centroids, covariance, centroids).clamp(min=0).sqrt().clamp(min=1e-6)
        likeness = centroids @ (features.double() - mean).T / spread.unsqueeze(1)
        return self.spread.unsqueeze(1) / self.scale * likeness


class RunningPool:
    """pool_neighbours on a stream: each snippet waits for the next."""

    def __init__(self, none: Tensor, weight: float) -> None:
        self._weight = weight
        self._raw = none  # (n, D), none yet; the last two snippets that were seen, whose neighbours pool them
        self._cut = torch.zeros(0, dtype=torch.bool)
        self._num_done = 0  # of them, those that were given already

    def push(self, features: Tensor, is_cut: Tensor, *, last: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """features (n, D), is_cut (n,) to the one before → of the m that are ready features, pooled (m, D), is_cut.

        `last`: nothing follows.
        """
        self._raw = torch.cat((self._raw, features))
        self._cut = torch.cat((self._cut, is_cut))
        start = self._num_done
        stop = max(start, len(self._raw) - (not last))
        shots = (~self._cut[1:]).to(self._raw.dtype)
        pooled = pool_neighbours(self._raw, shots, self._weight)[start:stop]
        ready = self._raw[start:stop], pooled, self._cut[start:stop]
        keep = max(0, stop - 1)
        self._raw, self._cut, self._num_done = self._raw[keep:], self._cut[keep:], stop - keep
        return ready


class RunningAffinity:
    """Fed with features as they come; gives evidence and conductance `lag` snippets later."""

    def __init__(
        self,
        queries: Tensor,
        bank: Tensor,
        config: AffinityConfig,
        *,
        conductance_reach: float,
        lag: int,
        warm_up: int = 0,
        best: int = MOST_BEST,
    ) -> None:
        self._bank, self._config = bank, config
        self._reach, self._lag, self._warm_up = conductance_reach, lag, warm_up
        dim, num_queries = bank.shape[1], len(queries)
        self._standard = RunningStandard(queries, bank, config, best=best)
        self._pool = RunningPool(bank.new_zeros(0, dim), config.pooling)
        self._waiting = [bank.new_zeros(0, dim), bank.new_zeros(num_queries, 0), torch.zeros(0, dtype=torch.bool)]
        self._last = bank.new_zeros(0, dim)  # the snippet before the first that waits
        self._distances = bank.new_zeros(0)

    @torch.no_grad()
    def push(self, features: Tensor, is_cut: Tensor) -> Released:
        """features (n, D) of unit length, is_cut (n,): True where a cut lies before the snippet."""
        self._take(*self._pool.push(features, is_cut))
        return self._release(self._lag)

    @torch.no_grad()
    def finish(self) -> Released:
        """The rest, at the end of the video."""
        none = self._last[:0], torch.zeros(0, dtype=torch.bool)
        self._take(*self._pool.push(*none, last=True))
        self._warm_up = 0
        return self._release(0)

    def _take(self, _: Tensor, pooled: Tensor, is_cut: Tensor) -> None:
        """Add to the statistics."""
        if not len(pooled):
            return
        self._count(pooled)
        self._waiting = [
            torch.cat((self._waiting[0], pooled)),
            torch.cat((self._waiting[1], self._standard.add(pooled)), dim=1),
            torch.cat((self._waiting[2], is_cut)),
        ]

    def _count(self, pooled: Tensor) -> None:
        before = torch.cat((self._waiting[0][-1:] if len(self._waiting[0]) else self._last, pooled))
        distances = 1 - (before[1:] * before[:-1]).sum(dim=-1)
        self._distances = torch.cat((self._distances, distances))[-MOST_DISTANCES:]

    def _release(self, lag: int) -> Released:
        features, scores, is_cut = self._waiting
        count = max(0, len(features) - lag) if self._standard.num_seen >= self._warm_up else 0
        self._waiting = [features[count:], scores[:, count:], is_cut[count:]]
        features, scores, is_cut = features[:count], scores[:, :count], is_cut[:count]
        released = Released(self._evidence(features, scores), self._conductance(features, is_cut))
        self._last = features[-1:] if count else self._last
        return released

    def _evidence(self, features: Tensor, scores: Tensor) -> Tensor:
        """affinity.py's `affinity`, with running statistics."""
        if len(self._bank) < 2 or not len(features):
            return torch.zeros_like(scores)
        result = self._standard.along_video(scores)
        if self._config.agreement > 0:
            agreement = self._standard.agreement(features)
            result = (1 - self._config.agreement) * result + self._config.agreement * agreement
        return result.to(scores.dtype)

    def _conductance(self, features: Tensor, is_cut: Tensor) -> Tensor:
        before = torch.cat((self._last if len(self._last) else features[:1], features))
        distance = 1 - (before[1:] * before[:-1]).sum(dim=-1)
        if not len(distance):
            return distance
        # The first snippet of all has no distance; the median over n - 1 is what affinity.py takes.
        known = self._distances
        kappa = max(self._reach * float(known.median()) if len(known) else 0.0, 1e-3)
        return torch.where(is_cut, 0.0, torch.exp(-((distance / kappa) ** 2)))


class _Moments:
    """Running mean and spread of rows, exact over all that was added."""

    def __init__(self, num_rows: int) -> None:
        self._count = 0
        self._sum, self._square = (torch.zeros(num_rows, dtype=torch.float64) for _ in range(2))

    def add(self, rows: Tensor) -> None:
        """rows (R, n)."""
        self._count += rows.shape[1]
        self._sum += rows.double().sum(dim=1)
        self._square += rows.double().square().sum(dim=1)

    @property
    def mean(self) -> Tensor:
        """(R,)"""
        return self._sum / max(self._count, 1)

    @property
    def spread(self) -> Tensor:
        """(R,) standard deviation."""
        return (self._square / max(self._count, 1) - self.mean.square()).clamp(min=0).sqrt()
