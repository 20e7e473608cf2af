"""RDMF against its ablations and baselines: same head, inputs, data and steps. Writes benchmarks/fusion.md and .json.

    python models/rdmf-base/training/prepare.py --data ../shared/data --work work/base     the packs, once
    python -m benchmarks.fusion --packs work/base [--work work/fusion] [--steps 600] [--seeds 0 1 2]
                                [--variants rdmf none ...] [--recipe models/rdmf-base/recipe.toml]

Every training is kept in --work under a name that says what it depends on: a run that was stopped goes on, within a
training too, and other test packs (a new encoder's) are measured without training again. Seeds come first and variants
second, so that an early table compares all variants on the same seeds.
Code is not part of the name: after a change of it, name another --work.

- Sets, none of which training has seen: (a) composite videos with the built-in encoder, (b) timelines of real CLIP
  pairs, (c) the development videos with the built-in encoder. A validation set chooses the weights of each training.
- Figures: rdmf_cli/learn/moments/figures.py. Pattern mode has no seeds: nothing in it is trained.
- Cost: one process for each variant, one thread, median of several runs without gradients. Memory is what the process
  grows by beyond what it had before the first run.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.report import ROOT, commit, machine, machine_line, table, write
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.datasets.packs import load_pack
from rdmf_cli.learn.moments.answers import network_answers, pattern_answers
from rdmf_cli.learn.moments.card import TITLES, shown
from rdmf_cli.learn.moments.figures import FIGURES, Figures, figures
from rdmf_cli.learn.moments.recipe import MomentRecipe
from rdmf_cli.learn.moments.run import config_of
from rdmf_cli.learn.moments.training import train
from rdmf_cli.learn.recipe import read_recipe
from rdmf_cli.progress import Silent
from rdmf_cli.records import to_table

HERE = Path(__file__).parent
RECIPE = ROOT / "models" / "rdmf-base" / "recipe.toml"
PATTERN = "pattern mode"
VARIANTS: dict[str, dict[str, Any]] = {
    "rdmf": {},
    "no conductance": {"conductance": False},
    "no Turing constraint": {"constrained": False},
    "no reaction": {"reaction": False},
    "4 steps": {"num_steps": 4},
    "16 steps": {"num_steps": 16},
    "none": {"kind": "none"},
    "self_attention": {"kind": "self_attention"},
    "query_dependent": {"kind": "query_dependent"},
    "cross_gru": {"kind": "cross_gru"},
}
BASELINES = ("none", "self_attention", "query_dependent", "cross_gru")
SETS = {
    "heldout-composites": "(a) held-out composites, built-in encoder",
    "heldout-pairs": "(b) held-out timelines of real CLIP pairs",
    "development": "(c) development videos, built-in encoder",
}
LENGTHS = (75, 1_000, 20_000)


@dataclass(frozen=True)
class Packs:
    """The packs, a digest that changes with what training sees, and one that changes with what is measured."""

    training: list[Example]
    validation: list[Example]
    tests: dict[str, list[Example]]
    digest: str
    tests_digest: str


def load_packs(folder: Path) -> Packs:
    """Raises ModelError for one that is missing or damaged."""
    names = ("train", "validation")
    sides = [load_pack(folder / f"{name}.npz") for name in names]
    tests = {name: load_pack(folder / f"{name}.npz") for name in SETS}
    return Packs(*sides, tests, _digest(folder, names), _digest(folder, SETS))


def _digest(folder: Path, names: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for name in names:
        with (folder / f"{name}.npz").open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def with_budget(recipe: MomentRecipe, steps: int, rounds: int, validation_examples: int) -> MomentRecipe:
    """The recipe for a training of so many steps."""
    training = replace(recipe.training, steps=steps, rounds=rounds, patience=0, validation_examples=validation_examples)
    return replace(recipe, training=training)


def varied(recipe: MomentRecipe, variant: str) -> MomentRecipe:
    """The recipe of a variant."""
    return replace(recipe, fusion=replace(recipe.fusion, **VARIANTS[variant]))


def name_of(packs: Packs, recipe: MomentRecipe, variant: str, seed: int) -> str:
    """Of one training: says what it depends on."""
    own = varied(recipe, variant)
    facts = {"fusion": to_table(own.fusion), "head": to_table(own.head), "losses": to_table(own.losses)}
    facts |= {
        "training": to_table(replace(own.training, seeds=(seed,))),
        "packs": packs.digest,
        "torch": torch.__version__,
    }
    key = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
    return f"{variant.replace(' ', '-')}-{seed}-{key}"


def is_done(packs: Packs, recipe: MomentRecipe, variant: str, seed: int, work: Path) -> bool:
    """Has this training come to its end, whatever it was measured on?"""
    return any(work.glob(f"{name_of(packs, recipe, variant, seed)}-*.json"))


def trained(packs: Packs, recipe: MomentRecipe, variant: str, seed: int, work: Path) -> dict[str, Any]:
    """The result of one training: from `work` if it is there, else trained, going on where it was stopped."""
    own, name = varied(recipe, variant), name_of(packs, recipe, variant, seed)
    file = work / f"{name}-{packs.tests_digest[:8]}.json"
    if file.exists():
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return kept
    state_file = work / f"{name}.safetensors"
    run = train(packs.training, packs.validation, config_of(own), own, seed, state_file=state_file, progress=Dots(name))
    found = {
        "variant": variant,
        "seed": seed,
        "validation_map": run.value,
        "step": run.step,
        "parameters": run.network.num_parameters,
        "sets": {name: figures(network_answers(run.network, part, "cpu"), part) for name, part in packs.tests.items()},
        "history": list(run.history),
    }
    temporary = file.with_suffix(".part")
    temporary.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    temporary.replace(file)
    # The state stays: with other sets to measure on, `train` gives the best weights of it without a further step.
    return found


class Dots(Silent):
    """One line on stderr at every tenth of a training."""

    def __init__(self, name: str) -> None:
        self.name, self.total, self.done = name, 1.0, 0.0

    def start(self, task: str, total: float | None, unit: str) -> None:
        self.total, self.done = total or 1.0, 0.0

    def advance(self, amount: float) -> None:
        before, self.done = self.done, self.done + amount
        if int(10 * self.done / self.total) > int(10 * before / self.total):
            print(f"{self.name}: {self.done:.0f} of {self.total:.0f} steps", file=sys.stderr, flush=True)


# --- cost -------------------------------------------------------------------------------------------------------------

_COST = """
import json, resource, sys, time
from dataclasses import replace
import torch
from benchmarks.fusion import cost_at
torch.set_num_threads(1)
print(json.dumps(cost_at(json.loads(sys.stdin.read()))))
"""


def cost(recipe: MomentRecipe, variant: str, lengths: Sequence[int]) -> dict[str, Any]:
    """{"T": {"fusion_s", "network_s", "memory_mib"}} of a variant (or of pattern mode), in a process of its own."""
    asked = {
        "variant": variant,
        "fusion": to_table(recipe.fusion),
        "head": to_table(recipe.head),
        "lengths": list(lengths),
    }
    done = subprocess.run(
        [sys.executable, "-c", _COST], input=json.dumps(asked), capture_output=True, text=True, cwd=ROOT, check=False
    )
    if done.returncode:
        raise RuntimeError(f"the cost of {variant} can't be measured: {done.stderr[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def cost_at(asked: dict[str, Any]) -> dict[str, Any]:
    """In that process. Lengths rise, so the most memory so far is that of the latest."""
    from benchmarks import fusion_cost

    return fusion_cost.measure(asked, VARIANTS, PATTERN)


# --- tables -----------------------------------------------------------------------------------------------------------


def mean_sd(rows: Sequence[Figures]) -> dict[str, tuple[float, float] | None]:
    """Mean and standard deviation (n - 1; 0 for one) of each figure over seeds; None where no seed has it."""
    found: dict[str, tuple[float, float] | None] = {}
    for name in FIGURES:
        values = [float(value) for row in rows if (value := row[name]) is not None]
        spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
        found[name] = (float(np.mean(values)), spread) if values else None
    return found


def summarise(results: Sequence[dict[str, Any]], pattern: Mapping[str, Figures]) -> dict[str, Any]:
    """{set: {variant: {figure: [mean, sd]}}}; pattern mode without sd."""
    summary: dict[str, Any] = {}
    for name in SETS:
        rows: dict[str, Any] = {}
        for variant in VARIANTS:
            own = [result["sets"][name] for result in results if result["variant"] == variant]
            if own:
                rows[variant] = mean_sd(own)
                if len(own) == 1:  # one seed tells no spread
                    rows[variant] = {figure: value and (value[0], None) for figure, value in rows[variant].items()}
        rows[PATTERN] = {figure: None if value is None else (value, None) for figure, value in pattern[name].items()}
        summary[name] = rows
    return summary


def set_table(rows: Mapping[str, Any]) -> str:
    """One set."""
    lines = [[label(variant), *(_cell(name, row[name]) for name in FIGURES)] for variant, row in rows.items()]
    return table(["", *(TITLES[name] for name in FIGURES)], lines)


def label(variant: str) -> str:
    """How a variant is called in the tables."""
    return {"rdmf": "RDMF (8 steps)"}.get(variant, variant)


def _cell(figure: str, value: tuple[float, float | None] | None) -> str:
    if value is None:
        return ""
    mean, spread = value
    return shown(figure, mean) if spread is None else f"{shown(figure, mean)} ± {shown(figure, spread)}"


def cost_table(costs: Mapping[str, Any], parameters: Mapping[str, int]) -> str:
    """Parameters, time and memory."""
    lines = []
    for variant, row in costs.items():
        times = [
            f"{1000 * row[str(length)]['fusion_s']:.1f} / {1000 * row[str(length)]['network_s']:.1f}"
            for length in LENGTHS
        ]
        memory = [f"{row[str(length)]['memory_mib']:.0f}" for length in LENGTHS[1:]]
        count = f"{parameters[variant] / 1000:.0f} k" if variant in parameters else ""
        lines.append([label(variant), count, *times, *memory])
    header = ["", "parameters", *(f"ms, T = {length:,}" for length in LENGTHS)]
    return table([*header, *(f"MiB, T = {length:,}" for length in LENGTHS[1:])], lines)


def verdicts(summary: Mapping[str, Any], costs: Mapping[str, Any]) -> list[str]:
    """What was aimed at and what is reached."""
    if summary and all("rdmf" in rows for rows in summary.values()):
        return [*_against_baselines(summary), *_against_pattern(summary), *_growth(costs)]
    return _growth(costs)


def _against_baselines(summary: Mapping[str, Any]) -> list[str]:
    said = []
    for name in ("heldout-composites", "heldout-pairs"):
        rows = summary[name]
        others = {variant: rows[variant]["map"][0] for variant in BASELINES if variant in rows}
        if others:
            best = max(others, key=lambda variant: others[variant])
            ahead = 100 * (rows["rdmf"]["map"][0] - others[best])
            said.append(f"{SETS[name]}: mAP of RDMF minus the best baseline ({best}): {ahead:+.1f} points (aim +3).")
    return said


def _against_pattern(summary: Mapping[str, Any]) -> list[str]:
    own = {name: rows["rdmf"] for name, rows in summary.items()}
    pattern = {name: rows[PATTERN] for name, rows in summary.items()}
    ahead = 100 * (own["development"]["r1_50"][0] - pattern["development"]["r1_50"][0])
    said = [f"{SETS['development']}: R1@0.5 of RDMF minus pattern mode: {ahead:+.1f} points (aim +10)."]
    for name, aim in (("heldout-composites", 95), ("development", 80)):
        said.append(f"{SETS[name]}: AUROC of RDMF {100 * own[name]['auroc'][0]:.1f} (aim {aim}).")
    pairs = "heldout-pairs"
    worse = [TITLES[name] for name in FIGURES if _is_worse(name, own[pairs][name], pattern[pairs][name])]
    said.append(f"{SETS[pairs]}: RDMF is worse than pattern mode in {', '.join(worse) or 'nothing'} (aim nothing).")
    border = own["heldout-composites"]["border"]
    if border is not None:
        said.append(f"{SETS['heldout-composites']}: border error of RDMF {border[0]:.2f} sampling steps (aim < 0.25).")
    return said


def _growth(costs: Mapping[str, Any]) -> list[str]:
    if "rdmf" not in costs:
        return []
    short, long = (costs["rdmf"][str(length)] for length in LENGTHS[1:])
    times, memory = long["network_s"] / short["network_s"], long["memory_mib"] / max(short["memory_mib"], 1.0)
    said = [f"RDMF from 1,000 to 20,000 snippets: {times:.1f} × the time, {memory:.1f} × the memory (aim ≤ 25)."]
    if "self_attention" in costs:
        faster = costs["self_attention"][str(LENGTHS[-1])]["fusion_s"] / long["fusion_s"]
        said.append(f"At 20,000 snippets the fusion is {faster:.1f} × as fast as self_attention (aim ≥ 10).")
    return said


def _is_worse(figure: str, own: tuple[float, Any] | None, other: tuple[float, Any] | None) -> bool:
    if own is None or other is None:
        return False
    return own[0] > other[0] if figure == "border" else own[0] < other[0]


def document(
    recipe: MomentRecipe, packs: Packs, results: Sequence[dict[str, Any]], costs: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Both files."""
    pattern = {name: figures(pattern_answers(part), part) for name, part in packs.tests.items()}
    summary = summarise(results, pattern)
    parameters = {result["variant"]: result["parameters"] for result in results}
    seeds = sorted({result["seed"] for result in results})
    plan = recipe.training
    unfinished = any(len([one for one in results if one["variant"] == variant]) < len(seeds) for variant in parameters)
    lines = [
        f"Learned fusion: RDMF, ablations and baselines. Commit {commit()}",
        f"Machine: {machine_line()}",
        f"{len(packs.training)} training examples, {plan.steps} steps of batches of up to {plan.batch_size}, "
        f"seeds {', '.join(map(str, seeds))}; mean ± sd over seeds, percent, border in sampling steps",
    ]
    if unfinished:
        lines += ["", "> The run was stopped before its end: some rows have fewer seeds. The same command goes on."]
    for name, title in SETS.items():
        count = sum(len(example.windows) > 0 for example in packs.tests[name])
        lines += ["", f"**{title}** ({len(packs.tests[name])} queries, {count} with a match)", ""]
        lines += [set_table(summary[name])]
    if costs:
        lines += ["", "**Cost** (fusion / fusion and head, one thread)", "", cost_table(costs, parameters)]
    lines += ["", "**Aims**", "", *(f"- {line}" for line in verdicts(summary, costs))]
    data = {
        "machine": machine(),
        "commit": commit(),
        "recipe": to_table(recipe),
        "packs": packs.digest,
        "seeds": seeds,
        "summary": summary,
        "trainings": [{key: value for key, value in result.items() if key != "history"} for result in results],
        "cost": costs,
    }
    return "\n".join(lines), data


def main() -> None:
    """Parse, train what is missing, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packs", type=Path, default=ROOT / "work" / "base")
    parser.add_argument("--work", type=Path, default=ROOT / "work" / "fusion")
    parser.add_argument("--recipe", type=Path, default=RECIPE, help="head, losses, batches and rates come from it")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--validation-examples", type=int, default=200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--only-done", action="store_true", help="train nothing: the table of what has been trained")
    parser.add_argument("--no-cost", action="store_true", help="don't measure time and memory")
    parser.add_argument("--markdown", type=Path, default=HERE / "fusion.md")
    parser.add_argument("--json", type=Path, default=HERE / "fusion.json", dest="json_file")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    read = read_recipe(args.recipe)
    assert isinstance(read, MomentRecipe)
    recipe = with_budget(read, args.steps, args.rounds, args.validation_examples)
    packs = load_packs(args.packs)
    results = []
    for seed in args.seeds:
        for variant in args.variants:
            if args.only_done and not is_done(packs, recipe, variant, seed, args.work):
                continue
            result = trained(packs, recipe, variant, seed, args.work)
            results.append(result)
            reached = " ".join(f"{name} {100 * row['map']:.1f}" for name, row in result["sets"].items())
            print(f"{variant}, seed {seed}: mAP {reached}", file=sys.stderr, flush=True)
    costs = {} if args.no_cost else {name: cost(recipe, name, LENGTHS) for name in (*args.variants, PATTERN)}
    text, data = document(recipe, packs, results, costs)
    write(text, data, markdown=args.markdown, json_file=args.json_file)


if __name__ == "__main__":
    main()
