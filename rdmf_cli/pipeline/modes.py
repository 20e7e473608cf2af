"""How an indexed video is answered: by pattern mode, which is here, or by a learned model (learned.py)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from rdmf_cli.fusion.affinity import AffinityConfig
from rdmf_cli.fusion.pattern import Pattern, PatternConfig, Snippets, pattern_system, run_patterns
from rdmf_cli.fusion.trace import Trace, preferred_wavelength_s
from rdmf_cli.heads.decode import DecodeConfig, Timeline, moments_of
from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.pipeline.answer import Answer
from rdmf_cli.pipeline.calibration import CUTOFF, Calibration
from rdmf_cli.pipeline.index import Indexed
from rdmf_cli.pipeline.query import Encoded
from rdmf_cli.pipeline.snippets import snippets_of

AFFINITY = AffinityConfig()
PATTERN = PatternConfig()
DECODE = DecodeConfig()


class Mode(Protocol):
    """Fusion and head of a search. One is used for all videos and queries of a run."""

    name: str
    kind: str  # "pattern" or "learned"
    judges_relevance: bool  # False: relevance is the calibration's, which a library knows without running the fusion

    def answer(
        self,
        videos: Sequence[Indexed],
        encoded: Encoded,
        calibration: Calibration,
        *,
        max_moments: int = 100,
        explain: bool = False,
    ) -> list[list[Answer]]:
        """The answers of each of several indexed videos, at least one, to each query. `explain`: with their traces."""
        ...


class PatternMode:
    """The Gray-Scott pattern alone: nothing in it is trained."""

    name = kind = "pattern"
    judges_relevance = False

    def answer(
        self,
        videos: Sequence[Indexed],
        encoded: Encoded,
        calibration: Calibration,
        *,
        max_moments: int = 100,
        explain: bool = False,
    ) -> list[list[Answer]]:
        """See Mode."""
        prepared = [snippets_of(indexed.features, indexed.sample_fps) for indexed in videos]
        patterns = run_patterns(
            [Snippets(torch.from_numpy(x), torch.from_numpy(time.is_cut), time.spacing_s) for x, time in prepared],
            torch.from_numpy(encoded.vectors),
            torch.from_numpy(calibration.bank),
            affinity_config=AFFINITY,
            config=PATTERN,
        )
        found = []
        for indexed, (features, timeline), pattern in zip(videos, prepared, patterns, strict=True):
            cosines = encoded.vectors @ features.T
            scores = calibration.relevance(cosines, encoded.reach)
            found.append(
                [
                    answer_of(
                        indexed,
                        encoded,
                        number,
                        timeline,
                        moments=_ranked(pattern, number, timeline, float(scores[number]))[:max_moments],
                        saliency=_saliency(pattern.affinity[number].numpy()),
                        relevance=float(scores[number]),
                        trace=_trace(pattern, number, timeline) if explain else None,
                    )
                    for number in range(len(encoded.queries))
                ]
            )
        return found


PATTERN_MODE = PatternMode()


def answer_of(
    indexed: Indexed,
    encoded: Encoded,
    number: int,
    timeline: Timeline,
    *,
    moments: Sequence[Moment],
    saliency: NDArray[np.float32],
    relevance: float,
    cutoff: float = CUTOFF,
    trace: Trace | None = None,
) -> Answer:
    """The answer to query `number`. moments: best first; without any there is nothing to be confident of."""
    query = encoded.queries[number]
    return Answer(
        info=indexed.info,
        video_id=indexed.video_id,
        duration_s=timeline.end_s,
        query=query.label,
        relevance=Relevance(relevance if moments else 0.0, cutoff),
        moments=tuple(moments),
        times_s=timeline.starts_s,
        saliency=saliency,
        warnings=indexed.features.warnings,
        cuts_s=tuple(float(cut_s) for cut_s in timeline.cut_s[1:][timeline.is_cut]),
        asked=query,
        trace=trace,
    )


def _ranked(pattern: Pattern, number: int, timeline: Timeline, relevance: float) -> list[Moment]:
    """Moments best first. A moment's score is its own strength times the chance that the video answers at all."""
    v, evidence = pattern.v[number].double().numpy(), pattern.affinity[number].double().numpy()
    found = moments_of(v, evidence, timeline, DECODE)
    return [Moment(m.start_s, m.end_s, m.score * relevance, m.peak_s) for m, _ in found]


def _saliency(evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    """Affinity (T,) in [0, 1]; a half is the threshold, where an active state exists even without seeds."""
    return np.asarray(1 / (1 + np.exp(-(evidence - PATTERN.threshold))), dtype=np.float32)


def _trace(pattern: Pattern, number: int, timeline: Timeline) -> Trace:
    """The one channel of pattern mode."""
    u, v = (x[number].float().numpy() for x in (pattern.u, pattern.v))
    return Trace(
        affinity=pattern.affinity[number].float().numpy(),
        u=u[None],
        v=v[None],
        activity=v,
        wavelengths_s=(preferred_wavelength_s(pattern_system(PATTERN, timeline.spacing_s), timeline.spacing_s),),
    )
