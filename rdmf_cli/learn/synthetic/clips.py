"""Stretches of real videos as sources of composites: annotated windows of a folder that `rdmf extract` made.

A photo under a camera moves as one thing; in a real clip people come and go, and its frames are what an encoder will
meet. Each annotated window is a source, and the sentence of its annotation asks for it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rdmf_cli.errors import UsageError
from rdmf_cli.learn.datasets.annotations import read_annotations
from rdmf_cli.learn.datasets.features import FeatureSet
from rdmf_cli.learn.synthetic.composites import Source
from rdmf_cli.learn.synthetic.rendering import along

_SLACK_S = 1e-3


def clip_sources(annotations: Path, features: Path, *, encoder: str, views: int) -> list[Source]:
    """Every window of `annotations` as a source with `views` views, evenly along it.

    features: folder of `rdmf extract`, of the encoder with this fingerprint. Windows of one query, which show the same
    thing, are of one class.

    Raises
    ------
    UsageError, ModelError
        As `read_annotations` and `FeatureSet`; or if no window is in the file.
    """
    rows, found = FeatureSet(features, encoder=encoder), []
    for asked in read_annotations(annotations):
        if not len(asked.windows_s):
            continue
        video = rows.video(asked.video, asked.line)
        of = asked.query if len(asked.windows_s) > 1 else ""
        for start_s, end_s in asked.windows_s:
            inside = _frames_in(video.timeline.starts_s, float(start_s), float(end_s))
            path = along(video.features[inside], np.linspace(0, len(inside) - 1, views))
            found.append(Source(path, (asked.query,), of))
    if not found:
        raise UsageError(f"{annotations}: no window in it, so no clip")
    return found


def _frames_in(starts_s: NDArray[np.float64], start_s: float, end_s: float) -> NDArray[np.int64]:
    """Snippets whose frame lies in [start_s, end_s); of a window between two frames, the one before it."""
    inside = np.flatnonzero((starts_s >= start_s - _SLACK_S) & (starts_s < end_s))
    if len(inside):
        return inside
    return np.array([max(int(np.searchsorted(starts_s, start_s, side="right")) - 1, 0)])
