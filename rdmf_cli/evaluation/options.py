"""What can be chosen about an evaluation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Options:
    """The choices of `rdmf evaluate`; each protocol uses those that concern it."""

    protocol: str = "qvhighlights"
    convention: str | None = None  # None: moment_detr; univtg for data sets with one true window per query
    common: bool = False  # evaluate what both files have instead of refusing
    any_saliency_length: bool = False  # cut and fill saliency of any length, as reference evaluators do
    threshold: float | None = None  # of classification (0.5), and of relevance (the cut-off of each line)
    columns: Mapping[str, str] = field(default_factory=dict)  # CSV: role (id, label, score) -> name
    where: Mapping[str, str] = field(default_factory=dict)  # CSV: only rows that hold this text in this column
