"""Following by a learned model: running inputs → streaming fusion → the head on a moving window → closed moments."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from rdmf_cli.errors import UsageError
from rdmf_cli.fusion.config import Fused
from rdmf_cli.fusion.inputs import QUERY_NAMES
from rdmf_cli.fusion.learned import ReactionDiffusionFusion
from rdmf_cli.fusion.running_inputs import Judged, RunningInputs, look_ahead
from rdmf_cli.fusion.streaming_learned import StreamingFusion
from rdmf_cli.heads.closing_windows import ClosingWindows, FusedStretch
from rdmf_cli.heads.moment_decode import told_score
from rdmf_cli.heads.running_relevance import RunningRelevance
from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.pipeline.calibration import Calibration
from rdmf_cli.pipeline.following import Array, FollowOptions, Rows
from rdmf_cli.pipeline.learned import DECODE, LEAST_SHARE, LearnedMode
from rdmf_cli.pipeline.query import Encoded

_STATISTIC = QUERY_NAMES.index("evidence")


class LearnedFollowing:
    """See Following. Raises UsageError for a fusion that only knows whole videos."""

    closes_at_cuts = False  # a learned fusion lets something through

    def __init__(self, mode: LearnedMode, encoded: Encoded, calibration: Calibration, options: FollowOptions) -> None:
        network, spacing_s = mode.network, options.spacing_s
        fusion, num_queries = network.fusion, len(encoded.queries)
        if not isinstance(fusion, ReactionDiffusionFusion):
            raise UsageError(
                f"--follow can't use {mode.name}: its fusion, {network.config.fusion.kind}, looks at whole videos",
                hint="a model with the fusion rdmf, or --fusion pattern",
            )
        self._network, self._num_queries = network, num_queries
        self._words = torch.from_numpy(encoded.vectors) if network.config.fusion.input == "features" else None
        self._lag = max(round(options.lag_s / spacing_s), look_ahead(spacing_s))
        self._inputs = RunningInputs(
            torch.from_numpy(encoded.vectors),
            torch.from_numpy(calibration.bank),
            spacing_s,
            null_mean=calibration.null_mean,
            null_spread=calibration.null_spread,
            reach=torch.from_numpy(encoded.reach),
            lag=self._lag,
            warm_up=round(options.warm_up_s / spacing_s),
        )
        self._fusion = StreamingFusion(fusion, num_queries, spacing_s, tolerance=options.tolerance, chunk=options.chunk)
        self._was_fed = False
        self._judging = RunningRelevance(network.head)
        self._closing = [
            ClosingWindows(network.head, len(QUERY_NAMES), DECODE, least_share=LEAST_SHARE) for _ in encoded.queries
        ]
        self._relevances: Array = np.zeros(num_queries)
        self._starts_s = self._cut_s = np.zeros(0)  # of what has not come out of the fusion
        self._lift = torch.zeros(num_queries, 0)

    @property
    def delay_snippets(self) -> int:
        """See Following."""
        return self._lag + self._fusion.delay_snippets + self._closing[0].delay_snippets

    def see(self, features: Rows) -> None:
        """Nothing: the network judges what has been fused."""

    def push(self, features: Rows, starts_s: Array, cut_s: Array) -> list[tuple[int, Moment]]:
        """See Following."""
        self._starts_s = np.concatenate([self._starts_s, starts_s])
        self._cut_s = np.concatenate([self._cut_s, cut_s])
        judged = self._inputs.push(torch.from_numpy(features), torch.from_numpy(~np.isnan(cut_s)))
        return self._settled(self._fused(judged), judged.query) if judged.values.shape[1] else []

    def finish(self, end_s: float) -> list[tuple[int, Moment]]:
        """See Following."""
        judged = self._inputs.finish()
        told = self._settled(self._fused(judged), judged.query) if judged.values.shape[1] else []
        told += self._settled(self._fusion.finish(), judged.query)
        for number, closing in enumerate(self._closing):
            told += [(number, moment) for moment in closing.finish(end_s)]
        return told

    def relevance(self, number: int) -> Relevance:
        """See Following."""
        return Relevance(float(self._relevances[number]), self._network.config.cutoff)

    def score(self, moment: Moment, relevance: Relevance) -> float:
        """See Following."""
        return told_score(moment.score * relevance.score)

    def _fused(self, judged: Judged) -> Fused:
        distance, is_cut = (x.expand(self._num_queries, -1) for x in (judged.distance, judged.is_cut))
        self._lift = torch.cat((self._lift, self._network.lift(judged.values)), dim=1)
        features = None if self._words is None else judged.features.expand(self._num_queries, -1, -1)
        return self._fusion.push(judged.values, judged.query, distance, is_cut, features, self._words)

    def _settled(self, fused: Fused, query: Tensor) -> list[tuple[int, Moment]]:
        count = fused.sequence.shape[1]
        if not count:
            return []
        starts_s, self._starts_s = self._starts_s[:count], self._starts_s[count:]
        cut_s, self._cut_s = self._cut_s[:count], self._cut_s[count:]
        lift, self._lift = self._lift[:, :count], self._lift[:, count:].clone()
        self._judging.push(fused.sequence, fused.activity)
        self._relevances = self._judged(query)
        is_cut, told = torch.from_numpy(~np.isnan(cut_s)), []
        for number, closing in enumerate(self._closing):
            stretch = FusedStretch(
                fused.sequence[number], fused.activity[number], lift[number], is_cut, starts_s, cut_s
            )
            told += [(number, moment) for moment in closing.push(stretch)]
        return told

    def _judged(self, query: Tensor) -> Array:
        """(Q,) chance that what was seen answers, as MomentNetwork.answer and moment_decode.py have it."""
        config = self._network.config
        logit = self._judging.logit(query) + config.statistic_share * query[:, _STATISTIC]
        slope, offset = config.relevance_scale
        chances: Array = torch.sigmoid((slope * logit + offset).double()).numpy()
        return chances
