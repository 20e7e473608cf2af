"""The figures that other parts of the program ask for one by one; each formula lies in the module of its field."""

from __future__ import annotations

from rdmf_cli.evaluation.classification import auroc
from rdmf_cli.evaluation.conventions import TIOU_THRESHOLDS
from rdmf_cli.evaluation.highlights import hit_at_1
from rdmf_cli.evaluation.retrieval import MAX_WINDOWS, average_precisions, mean_ap, r1_at

__all__ = ["MAX_WINDOWS", "TIOU_THRESHOLDS", "auroc", "average_precisions", "hit_at_1", "mean_ap", "r1_at"]
