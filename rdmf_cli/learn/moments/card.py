"""The card of a trained model of moment search: what it is, what it learned from, how good it is."""

from __future__ import annotations

from typing import Any

from rdmf_cli.learn.moments.figures import FIGURES
from rdmf_cli.learn.moments.recipe import MomentRecipe

CURVES, DIAGRAM = "curves.png", "reliability.png"
TITLES = {
    "r1_50": "R1@0.5",
    "r1_70": "R1@0.7",
    "map": "mAP",
    "map_short": "mAP < 10 s",
    "hit_at_1": "HIT@1",
    "auroc": "AUROC",
    "border": "border",
}

_WHAT = """\
In percent, but the border. R1 and mAP: QVHighlights' rules (docs/evaluation.md). mAP < 10 s: true windows of at most
10 s alone. HIT@1: the best snippet begins in a true window. AUROC: relevance, queries with a match against those
without. Border: median distance of the first answer's two borders from the true ones, in sampling steps, where the two
overlap by half. Pattern mode is the training-free fusion on the same inputs.
"""

_LIMITS = """\
## Limits

The validation chose the best round and the best seed, so its figures flatter; sets named as tests chose nothing. The
model sees numbers that compare the query with the pictures, not the pictures: what the encoder does not see, it does
not find. The relevance is a probability where as many queries have a match as have none. The terms of the data
that it learned from are those of whoever made them.
"""


def card(recipe: MomentRecipe, metrics: dict[str, Any], pictures: tuple[str, ...]) -> str:
    """README.md. pictures: which of CURVES and DIAGRAM lie beside it."""
    counts, plan = metrics["examples"], recipe.training
    header = ["", *(TITLES[name] for name in FIGURES)]
    seeds = ", ".join(f"{row['seed']}: {100 * row['map']:.1f}" for row in metrics["seeds"])
    said, told = metrics["reliability"], metrics["shown"]
    lines = [
        "# Moments that a sentence describes",
        "",
        f"Learned fusion of kind `{recipe.fusion.kind}` with a head that starts at its peaks; "
        f"{metrics['parameters'] / 1e6:.2f} M parameters.",
        "It reads numbers that depend on no encoder, so one checkpoint serves every encoder."
        if recipe.fusion.input != "features"
        else f"It reads features of {recipe.fusion.feature_dim} dimensions and serves their encoder only.",
        'Use it: `rdmf search VIDEO "QUERY" --model` and this folder. docs/training.md of rdmf says how it is made.',
        "",
        "## Data",
        "",
        f"{counts['training']} examples for training, {counts['validation']} for validation, layout "
        f"{recipe.data.layout}; recipe.toml says everything else.",
        *(["", recipe.data.about.strip()] if recipe.data.about else []),
        "",
        "## Figures",
        "",
        _row(header),
        _row(["---", *("---:" for _ in FIGURES)]),
        *(_row(row) for row in rows_for_people(metrics)),
        "",
        _WHAT,
        f"Kept: seed {metrics['seed']}, step {metrics['step']}. mAP of each seed in the rounds: {seeds}.",
        *([f"It began with `{plan.start}`, which is step 0."] if plan.start else []),
        f"Batch {plan.batch_size}, learning rate {plan.learning_rate:g}, precision {plan.precision}.",
        *_picture(CURVES, "Curves", pictures),
        "",
        "## Is the relevance a probability",
        "",
        "Of queries that were given about this probability, so many had a match (validation; each half judged by the",
        "scale that was fitted to the other; queries with and without a match weigh the same). Mean distance of said",
        f"and true: {said['error']:.3f}.",
        "",
        _row(["said", "true", "queries"]),
        _row(["---:", "---:", "---:"]),
        *(_row([f"{row['said']:.2f}", f"{row['true']:.2f}", str(row["count"])]) for row in said["bins"]),
        *_picture(DIAGRAM, "Reliability diagram", pictures),
        "",
        f"From {told['cutoff']:.3f} on an answer is shown as a match: of the validation's queries with a match "
        f"{_percent(told['matching'])}, of the others {_percent(told['others'])}.",
        "",
        _LIMITS,
    ]
    return "\n".join(lines)


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{100 * share:.0f} %"


def _picture(name: str, title: str, pictures: tuple[str, ...]) -> list[str]:
    return ["", f"![{title}]({name})"] if name in pictures else []


def rows_for_people(metrics: dict[str, Any]) -> list[list[str]]:
    """Name and FIGURES in percent (`border` in sampling steps) of the validation and of every test."""
    rows = {"validation": metrics["validation"], "validation, pattern mode": metrics["validation_pattern"]}
    for name, both in metrics["tests"].items():
        rows |= {name: both["model"], f"{name}, pattern mode": both["pattern"]}
    return [[name, *(shown(figure, row[figure]) for figure in FIGURES)] for name, row in rows.items()]


def shown(figure: str, value: float | None) -> str:
    """One figure for people."""
    if value is None:
        return ""
    return f"{value:.2f}" if figure == "border" else f"{100 * value:.1f}"
