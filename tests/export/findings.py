"""Findings to draw, of real small videos."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rdmf_cli.export.finding import Finding
from rdmf_cli.media.probe import probe
from rdmf_cli.moments import Moment, Relevance
from tests import videos

MOMENTS = (Moment(1.2, 2.0, 0.91, 1.6), Moment(0.2, 0.6, 0.42, 0.4))


def finding_of(
    video: Path | None = None,
    query: str = "a dog",
    *,
    moments: tuple[Moment, ...] = MOMENTS,
    relevance: float = 0.8,
) -> Finding:
    """Three seconds with two moments, unless told otherwise."""
    info = probe(video or videos.constant_rate())
    times_s = np.arange(0, info.duration_s, 0.1)
    saliency = np.exp(-(((times_s - 1.6) / 0.4) ** 2)).astype(np.float32)
    relevant = Relevance(relevance, 0.5)
    return Finding(info, info.duration_s, query, relevant, moments, times_s, saliency, cuts_s=(0.6, 1.2, 2.0))
