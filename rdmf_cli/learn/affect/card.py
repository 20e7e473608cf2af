"""The card of a trained model: what it is, what it learned from, how good it is, what it must not be taken for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rdmf_cli.learn.affect.labels import VideoLabels
from rdmf_cli.learn.affect.recipe import AffectRecipe

_LIMITS = """\
## Limits

The validation windows chose the best epoch and the best seed, so these figures flatter: measure on videos that were
never used before you rely on them (`rdmf evaluate`). The encoders are frozen; what they don't see, the model doesn't
know. It rates pictures, not people: it does not know what anybody feels or intends, and must not decide about anybody.
The terms of the labelled data are those of whoever made them.
"""


def card(recipe: AffectRecipe, metrics: dict[str, Any], labels: Sequence[VideoLabels]) -> str:
    """README.md."""
    head, fusion = recipe.head, recipe.fusion
    what = (
        f"the class {head.outputs[-1]!r} (against {head.outputs[0]!r})" if recipe.is_class else ", ".join(head.outputs)
    )
    attention = {"none": "no attention", "single": "single-stage attention", "two_stage": "two-stage attention"}
    rows = [
        f"| {row['name']} | {row['mean']:.3f} ± {row['sd']:.3f} | {_p(row['p_against_recipe'])} |"
        for row in metrics["variants"]
    ]
    windows = metrics["windows"]
    return "\n".join(
        [
            f"# Rates {what} over time",
            "",
            f"Cross-attentive GRUs ({', '.join(fusion.streams)}; {attention[fusion.attention]}) over frozen features.",
            f"Encoder: {recipe.encoder}; motion: {recipe.streams.motion}; captions: {recipe.streams.captions}.",
            "After arXiv 2507.03531; docs/affect.md of rdmf says what is not the paper's.",
            "",
            "## Data",
            "",
            f"{len(labels)} labelled videos, layout {recipe.data.layout}: {windows['training']} windows for training,",
            f"{windows['validation']} for validation, split by video. recipe.toml says everything else.",
            "",
            "## Figures",
            "",
            f"{metrics['figure']} on the validation windows, mean ± standard deviation over "
            f"{len(metrics['variants'][0]['values'])} seeds; p: paired t test against the recipe.",
            "",
            f"| | {metrics['figure']} | p |",
            "|---|---|---|",
            *rows,
            "",
            f"Kept: seed {metrics['seed']}. All its figures: metrics.json; each window: predictions.csv and truth.csv.",
            "",
            _LIMITS,
        ]
    )


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
