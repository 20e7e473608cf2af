"""Inputs of the learned fusion on an endless video: inputs.py's with what was seen so far in place of the whole video.

As in running.py: what inputs.py takes from the whole video — centre and scale, the query's best snippets, ranks, the
median distance of neighbours, facts of a query — is exact over all that was seen, and a snippet is judged once, `lag`
snippets after it was seen. So over a whole video these are the very numbers of inputs.py (distances: of the last few
thousand). With a lag of `look_ahead` or more the contrasts, which look around a snippet, see all that they look at.

Axes as in inputs.py. Memory does not grow with the length of the video.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from rdmf_cli.fusion.inputs import (
    AFFINITY,
    BEST,
    CONTRASTS_S,
    INPUT_NAMES,
    LEAST_DISTANCE,
    QUERY_NAMES,
    RANK_STEPS,
    SHARPNESS,
    bounded,
    contrast,
    evidence_of_sum,
    margin,
    mean_of_best,
    null_deviations,
    rank_in_bank,
)
from rdmf_cli.fusion.running import MOST_DISTANCES, RunningPool, RunningStandard

_BLOCK = 512  # counters that are summed at once
_MOST_DISTANT = 100.0  # as in inputs.py's neighbour_distance


class Judged(NamedTuple):
    """m snippets more, the oldest first, as `StreamingFusion.push` takes them; m may be 0."""

    values: Tensor  # (Q, m, N)
    query: Tensor  # (Q, S) as far as it is known by now
    distance: Tensor  # (m,) to the snippet before; 0 for the first of all
    is_cut: Tensor  # (m,) between it and the snippet before
    features: Tensor  # (m, D) as they came


class _Waiting(NamedTuple):
    """Snippets that were seen and not judged, n of them."""

    features: Tensor  # (n, D)
    pooled: Tensor  # (n, D)
    pooled_scores: Tensor  # (Q, n)
    distance: Tensor  # (n,) raw, to the one before
    is_cut: Tensor  # (n,)

    def part(self, own: slice) -> _Waiting:
        """Some of them, one behind the other."""
        features, pooled, scores, distance, is_cut = self
        return _Waiting(features[own], pooled[own], scores[:, own], distance[own], is_cut[own])


def look_ahead(spacing_s: float) -> int:
    """Snippets on either side that the widest contrast looks at."""
    return 3 * _radius(max(CONTRASTS_S) / spacing_s) + 1


class RunningInputs:
    """Fed with features as they come; gives inputs `lag` ≥ 1 snippets later, and none before `warm_up` were seen.

    Arguments as of `snippet_inputs`; reach (Q,).
    """

    def __init__(
        self,
        queries: Tensor,
        bank: Tensor,
        spacing_s: float,
        *,
        null_mean: float,
        null_spread: float,
        reach: Tensor,
        lag: int,
        warm_up: int = 0,
    ) -> None:
        self._queries, self._bank, self._spacing_s = queries, bank, spacing_s
        self._null, self._reach = (null_mean, null_spread), reach
        self._lag, self._warm_up = max(lag, 1), warm_up
        self._pool = RunningPool(bank.new_zeros(0, bank.shape[1]), AFFINITY.pooling)
        self._pooled, self._alone = (RunningStandard(queries, bank, AFFINITY) for _ in range(2))
        self._ranks = _Ranks(len(queries))
        self._best, self._bank_best = (bank.new_zeros(len(x), 0) for x in (queries, bank))  # cosines
        self._peak = bank.new_full((len(queries), 1), -torch.inf)  # the highest pooled score
        self._evidence = bank.new_full((len(queries), 1), -torch.inf)  # log of the sum of exp(SHARPNESS · absolute)
        self._distances = bank.new_zeros(0)
        none, no_cut = bank.new_zeros(0, bank.shape[1]), torch.zeros(0, dtype=torch.bool)
        self._waiting = _Waiting(none, none, bank.new_zeros(len(queries), 0), bank.new_zeros(0), no_cut)
        self._newest = none  # the snippet before the next one to come
        # Scores without neighbours of all that waits, and of what contrasts look back at.
        self._scores = bank.new_zeros(len(queries), 0)
        self._num_judged = 0

    @torch.no_grad()
    def push(self, features: Tensor, is_cut: Tensor) -> Judged:
        """features (n, D) of unit length, is_cut (n,): True where a cut lies before the snippet."""
        self._take(*self._pool.push(features, is_cut))
        ready = self._pooled.num_seen >= self._warm_up
        return self._judge(max(0, len(self._waiting.features) - self._lag) if ready else 0, last=False)

    @torch.no_grad()
    def finish(self) -> Judged:
        """The rest, at the end of the video."""
        self._take(*self._pool.push(self._bank.new_zeros(0, self._bank.shape[1]), self._waiting.is_cut[:0], last=True))
        return self._judge(len(self._waiting.features), last=True)

    def _take(self, features: Tensor, pooled: Tensor, is_cut: Tensor) -> None:
        """Add to the statistics and to what waits."""
        if not len(features):
            return
        cosines, bank_cosines = self._queries @ features.T, self._bank @ features.T
        self._ranks.add(cosines)
        self._evidence = torch.cat((self._evidence, SHARPNESS * self._absolute(cosines)), dim=1)
        self._evidence = self._evidence.logsumexp(dim=1, keepdim=True)
        self._best, self._bank_best = (
            _top(torch.cat(pair, dim=1)) for pair in ((self._best, cosines), (self._bank_best, bank_cosines))
        )
        scores = self._pooled.add(pooled)
        self._peak = torch.cat((self._peak, scores), dim=1).amax(dim=1, keepdim=True)
        self._scores = torch.cat((self._scores, self._alone.add(features)), dim=1)
        fresh = _Waiting(features, pooled, scores, self._measured(features), is_cut)
        axes = (0, 0, 1, 0, 0)
        self._waiting = _Waiting(
            *(torch.cat(pair, dim=axis) for *pair, axis in zip(self._waiting, fresh, axes, strict=True))
        )

    def _measured(self, features: Tensor) -> Tensor:
        """Distances (n,) to the snippet before, added to those whose median counts; the first of all has none: 0."""
        is_first = not len(self._newest)
        before = torch.cat((features[:1] if is_first else self._newest, features))
        distance = (1 - (before[1:] * before[:-1]).sum(dim=-1)).clamp(min=0)
        self._distances = torch.cat((self._distances, distance[int(is_first) :]))[-MOST_DISTANCES:]
        self._newest = features[-1:]
        return distance

    def _judge(self, count: int, *, last: bool) -> Judged:
        """The first `count` that wait."""
        waiting = self._waiting
        own = waiting.part(slice(count))
        distance = self._in_medians(waiting.distance[: count + 1])
        if not count:
            nothing = self._queries.new_zeros(len(self._queries), 0, len(INPUT_NAMES)).float()
            return Judged(nothing, self._facts(), distance[:0], own.is_cut, own.features)
        rows = {
            **self._parts(own),
            **self._alone_parts(own, count),
            **self._edges(distance, waiting.is_cut[: count + 1], count, last=last),
        }
        values = torch.stack([rows[name].expand(len(self._queries), -1) for name in INPUT_NAMES], dim=-1)
        self._waiting = waiting.part(slice(count, None))
        self._num_judged += count
        behind = len(self._waiting.features) + look_ahead(self._spacing_s)
        self._scores = self._scores[:, max(0, self._scores.shape[1] - behind) :]
        return Judged(bounded(values), self._facts(), distance[:count].float(), own.is_cut, own.features)

    def _parts(self, own: _Waiting) -> dict[str, Tensor]:
        """What is made of pooled features."""
        return self._standardised(self._pooled, own.pooled, own.pooled_scores, "")

    def _standardised(
        self, standard: RunningStandard, features: Tensor, scores: Tensor, ending: str
    ) -> dict[str, Tensor]:
        along = agreement = torch.zeros_like(scores)
        if len(self._bank) > 1:
            along, agreement = standard.along_video(scores), standard.agreement(features)
        share = AFFINITY.agreement
        named = {
            "affinity": (1 - share) * along + share * agreement,
            "along_video": along,
            "agreement": agreement,
            "against_bank": scores,
        }
        return {name + ending: row for name, row in named.items()}

    def _alone_parts(self, own: _Waiting, count: int) -> dict[str, Tensor]:
        """What is made of each snippet without its neighbours; contrasts see all that is known around it."""
        first = self._scores.shape[1] - len(self._waiting.features)
        mine = slice(first, first + count)
        cosines = self._queries @ own.features.T
        scale = self._alone.scale if len(self._bank) > 1 else 1.0
        contrasts = [contrast(self._scores, window_s / self._spacing_s)[:, mine] / scale for window_s in CONTRASTS_S]
        return {
            **self._standardised(self._alone, own.features, self._scores[:, mine], "_alone"),
            "rank_in_video": self._ranks.of(cosines),
            "rank_in_bank": rank_in_bank(cosines, self._bank @ own.features.T),
            **dict(zip(("contrast_short", "contrast_middle", "contrast_long"), contrasts, strict=True)),
            "absolute": self._absolute(cosines),
        }

    def _absolute(self, cosines: Tensor) -> Tensor:
        """Cosines (Q, n) less a share of the reach, in null deviations."""
        return null_deviations(cosines, self._reach, *self._null)

    def _edges(self, distance: Tensor, is_cut: Tensor, count: int, *, last: bool) -> dict[str, Tensor]:
        """distance, is_cut (count + 1,) to the one before, of the next snippet too unless this is the `last`."""
        cut = is_cut.to(distance.dtype)
        if last:
            distance, cut = (torch.nn.functional.pad(x, (0, 1), value=end) for x, end in ((distance, 0.0), (cut, 1.0)))
        before = cut[:count].clone()
        if not self._num_judged:
            before[0] = 1.0
        return {
            "distance_before": distance[:count],
            "distance_after": distance[1 : count + 1],
            "cut_before": before,
            "cut_after": cut[1 : count + 1],
        }

    def _in_medians(self, distance: Tensor) -> Tensor:
        known = self._distances
        median = known.median() if len(known) else known.new_zeros(())
        return (distance / median.clamp(min=LEAST_DISTANCE)).clamp(max=_MOST_DISTANT)

    def _facts(self) -> Tensor:
        """(Q, S) of all that was seen."""
        none = self._queries.new_zeros(len(self._queries))
        seen = self._pooled.num_seen
        if not seen:
            return none[:, None].expand(-1, len(QUERY_NAMES)).float()
        spread, peak, typical = none, none, none.new_ones(())
        if len(self._bank) > 1:
            spread, typical = self._pooled.spread, self._pooled.typical.clamp(min=1e-4)
            peak = self._pooled.along_video(self._peak).squeeze(1)
        facts = {
            "relevance": mean_of_best(self._absolute(self._best)),
            "margin": margin(self._best, self._bank_best),
            "spread": (spread / typical).clamp(min=1e-2).log(),
            "peak": peak,
            "log_duration": none + math.log(seen * self._spacing_s / 60),
            "log_snippets": none + math.log(seen / 75),
            "evidence": evidence_of_sum(self._evidence.squeeze(1), seen),
        }
        return bounded(torch.stack([facts[name] for name in QUERY_NAMES], dim=-1))


class _Ranks:
    """Rank of a cosine among all that were seen, in steps of 1 / RANK_STEPS as in inputs.py: one counter per step.

    Counters stand in blocks with their sums, so that a rank costs two short sums.
    """

    def __init__(self, num_queries: int) -> None:
        self._limit = round(RANK_STEPS) + 1  # rounding may take a cosine past 1
        num_blocks = 2 * self._limit // _BLOCK + 1
        self._counts = torch.zeros(num_queries, num_blocks * _BLOCK, dtype=torch.int32)
        self._blocks = torch.zeros(num_queries, num_blocks, dtype=torch.int32)
        self._num_seen = 0

    def add(self, cosines: Tensor) -> None:
        """cosines (Q, n)."""
        places = self._places(cosines)
        ones = torch.ones_like(places, dtype=torch.int32)
        self._counts.scatter_add_(1, places, ones)
        self._blocks.scatter_add_(1, places // _BLOCK, ones)
        self._num_seen += cosines.shape[1]

    def of(self, cosines: Tensor) -> Tensor:
        """cosines (Q, m), all of them added before → (Q, m) in [-1, 1]; ties share their mean rank."""
        places = self._places(cosines)
        block = places // _BLOCK
        before = (self._blocks.cumsum(dim=1) - self._blocks).gather(1, block)
        rows = torch.arange(len(cosines))[:, None]
        own = self._counts.reshape(len(cosines), -1, _BLOCK)[rows, block]  # (Q, m, _BLOCK)
        upto = before + own.cumsum(dim=2).gather(2, (places % _BLOCK)[..., None]).squeeze(-1)
        below = upto - self._counts.gather(1, places)
        ranks: Tensor = (below + upto).to(cosines.dtype) / self._num_seen - 1
        return ranks

    def _places(self, cosines: Tensor) -> Tensor:
        steps = (cosines * RANK_STEPS).round().long()
        return steps.clamp(-self._limit, self._limit) + self._limit


def _top(x: Tensor) -> Tensor:
    """The highest few of each row."""
    return x.topk(min(BEST, x.shape[1]), dim=1).values


def _radius(window: float) -> int:
    """As in inputs.py's `contrast`."""
    return max(0, round((window - 1) / 2))
