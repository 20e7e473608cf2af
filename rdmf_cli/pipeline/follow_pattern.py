"""Following by pattern mode: running affinity → streaming pattern → closed moments."""

from __future__ import annotations

import numpy as np
import torch

from rdmf_cli.fusion.affinity import AffinityConfig
from rdmf_cli.fusion.pattern import PatternConfig
from rdmf_cli.fusion.running import Released, RunningAffinity
from rdmf_cli.fusion.streaming import State, StreamingPattern
from rdmf_cli.heads.closing import ClosingMoments, Stretch
from rdmf_cli.heads.decode import DecodeConfig
from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.pipeline.calibration import CUTOFF, Calibration
from rdmf_cli.pipeline.following import Array, FollowOptions, Rows
from rdmf_cli.pipeline.query import Encoded

_BEST = 3  # cosines that the relevance looks at


class PatternFollowing:
    """See Following."""

    closes_at_cuts = True

    def __init__(self, encoded: Encoded, calibration: Calibration, options: FollowOptions) -> None:
        pattern, spacing_s = PatternConfig(), options.spacing_s
        self._encoded, self._calibration = encoded, calibration
        self._lag = round(options.lag_s / spacing_s)
        self._affinity = RunningAffinity(
            torch.from_numpy(encoded.vectors),
            torch.from_numpy(calibration.bank),
            AffinityConfig(),
            conductance_reach=pattern.conductance_reach,
            lag=self._lag,
            warm_up=round(options.warm_up_s / spacing_s),
        )
        self._pattern = StreamingPattern(spacing_s, pattern, chunk=options.chunk)
        longest = max(1, round(options.longest_s / spacing_s))
        self._closing = [ClosingMoments(DecodeConfig(), longest=longest) for _ in encoded.queries]
        self._best: Rows = np.zeros((len(encoded.queries), 0), np.float32)
        self._starts_s = self._cut_s = np.zeros(0)  # of what has not come out of the pattern

    @property
    def delay_snippets(self) -> int:
        """See Following."""
        return self._lag + self._pattern.delay_snippets + 2  # decoding looks two ahead

    def see(self, features: Rows) -> None:
        """The relevance is that of the best snippets so far."""
        cosines = np.concatenate([self._best, self._encoded.vectors @ features.T], axis=1)
        self._best = np.sort(cosines, axis=1)[:, -_BEST:]

    def push(self, features: Rows, starts_s: Array, cut_s: Array) -> list[tuple[int, Moment]]:
        """See Following."""
        self._starts_s = np.concatenate([self._starts_s, starts_s])
        self._cut_s = np.concatenate([self._cut_s, cut_s])
        is_cut = torch.from_numpy(~np.isnan(cut_s))
        released: Released = self._affinity.push(torch.from_numpy(features), is_cut)
        if not released.evidence.shape[1]:
            return []
        return self._settled(self._pattern.push(*released))

    def finish(self, end_s: float) -> list[tuple[int, Moment]]:
        """See Following."""
        released = self._affinity.finish()
        told = self._settled(self._pattern.push(*released)) if released.evidence.shape[1] else []
        told += self._settled(self._pattern.finish())
        for number, closing in enumerate(self._closing):
            told += [(number, moment) for moment in closing.finish(end_s)]
        return told

    def relevance(self, number: int) -> Relevance:
        """See Following."""
        one, encoded = slice(number, number + 1), self._encoded
        found = self._calibration.relevance(self._best[one], encoded.reach[one])
        return Relevance(float(found[0]), CUTOFF)

    def score(self, moment: Moment, relevance: Relevance) -> float:
        """See Following."""
        return moment.score * relevance.score

    def _settled(self, found: tuple[State, torch.Tensor]) -> list[tuple[int, Moment]]:
        state, evidence = found
        count = state.v.shape[1]
        starts_s, self._starts_s = self._starts_s[:count], self._starts_s[count:]
        cut_s, self._cut_s = self._cut_s[:count], self._cut_s[count:]
        ahead, told = self._ahead(), []
        for number, closing in enumerate(self._closing if count else ()):
            v, own = state.v[number].double().numpy(), evidence[number].double().numpy()
            moments = closing.push(Stretch(v, own, starts_s, cut_s), ahead)
            told += [(number, moment) for moment in moments]
        return told

    def _ahead(self) -> Stretch | None:
        """Where the next two snippets lie, if what is final ends at a cut."""
        starts_s, cut_s = self._starts_s[:2], self._cut_s[:2]
        if not len(cut_s) or np.isnan(cut_s[0]):
            return None
        unknown = np.zeros(len(starts_s))
        return Stretch(unknown, unknown, starts_s, cut_s)
