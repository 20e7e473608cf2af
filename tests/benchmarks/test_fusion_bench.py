"""The benchmark of the fusions on made-up packs: what is kept, what is written, what a length costs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fusion, fusion_cost
from benchmarks.fusion import BASELINES, LENGTHS, PATTERN, SETS, VARIANTS, Packs
from rdmf_cli.errors import ModelError
from rdmf_cli.fusion.config import KINDS
from rdmf_cli.learn.datasets.packs import save_pack
from rdmf_cli.learn.moments.figures import FIGURES
from rdmf_cli.records import to_table
from tests import moment_examples

RECIPE = fusion.with_budget(moment_examples.recipe(), 2, 1, 6)


@pytest.fixture
def packs(tmp_path: Path) -> Packs:
    for seed, name in enumerate(("train", "validation", *SETS)):
        save_pack(tmp_path / f"{name}.npz", moment_examples.examples(6, seed))
    return fusion.load_packs(tmp_path)


def test_a_training_is_kept_and_its_table_written(packs: Packs, tmp_path: Path):
    results = [fusion.trained(packs, RECIPE, "rdmf", seed, tmp_path) for seed in (0, 1)]
    results.append(fusion.trained(packs, RECIPE, "none", 0, tmp_path))
    assert len(list(tmp_path.glob("*.json"))) == 3
    before = [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*.json"))]
    assert fusion.trained(packs, RECIPE, "rdmf", 0, tmp_path) == results[0]
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.glob("*.json"))] == before
    text, data = fusion.document(RECIPE, packs, results, {})
    assert "some rows have fewer seeds" in text
    assert all(title in text for title in SETS.values())
    assert json.loads(json.dumps(data))["summary"]["development"][PATTERN]["r1_50"][0] == 1
    assert len(data["trainings"]) == 3


def test_what_is_done_is_known(packs: Packs, tmp_path: Path) -> None:
    fusion.trained(packs, RECIPE, "none", 0, tmp_path)
    assert fusion.is_done(packs, RECIPE, "none", 0, tmp_path)
    assert fusion.is_done(replace(packs, tests_digest="another"), RECIPE, "none", 0, tmp_path)
    assert not fusion.is_done(packs, RECIPE, "none", 1, tmp_path)
    assert not fusion.is_done(packs, RECIPE, "rdmf", 0, tmp_path)


def test_other_steps_are_another_training(packs: Packs, tmp_path: Path):
    fusion.trained(packs, RECIPE, "none", 0, tmp_path)
    fusion.trained(packs, fusion.with_budget(RECIPE, 1, 1, 6), "none", 0, tmp_path)
    fusion.trained(replace(packs, digest="another"), RECIPE, "none", 0, tmp_path)
    assert len(list(tmp_path.glob("none-0-*.json"))) == 3


def test_other_packs_to_measure_on_need_no_other_training(packs: Packs, tmp_path: Path, monkeypatch):
    first = fusion.trained(packs, RECIPE, "none", 0, tmp_path)
    other = replace(packs, tests={name: part[:3] for name, part in packs.tests.items()}, tests_digest="another")
    monkeypatch.setattr("rdmf_cli.learn.moments.training.moment_losses", None)  # a step would fail
    again = fusion.trained(other, RECIPE, "none", 0, tmp_path)
    assert again["history"] == first["history"]
    assert again["sets"] != first["sets"]


def test_a_pack_that_is_missing(tmp_path: Path):
    with pytest.raises(ModelError, match="no such pack"):
        fusion.load_packs(tmp_path)


def test_every_variant_is_a_fusion_and_every_fusion_a_variant():
    kinds = {fusion.varied(RECIPE, variant).fusion.kind for variant in VARIANTS}
    assert kinds == set(KINDS)
    assert set(BASELINES) == kinds - {"rdmf"}


def row(map_: float, r1: float, auroc: float, border: float) -> dict[str, Any]:
    figures = dict.fromkeys(FIGURES, (map_, 0.01))
    return {**figures, "r1_50": (r1, 0.01), "auroc": (auroc, 0.01), "border": (border, 0.01)}


def test_what_was_aimed_at_is_said():
    rows = {"rdmf": row(0.6, 0.5, 0.9, 0.2), "none": row(0.5, 0.4, 0.8, 0.3), PATTERN: row(0.4, 0.45, 0.95, 0.1)}
    one = {str(length): {"fusion_s": length, "network_s": 2 * length, "memory_mib": length} for length in LENGTHS}
    slow = {str(length): {"fusion_s": 12 * length, "network_s": 12 * length, "memory_mib": 1} for length in LENGTHS}
    said = "\n".join(fusion.verdicts(dict.fromkeys(SETS, rows), {"rdmf": one, "self_attention": slow}))
    for part in (
        "best baseline (none): +10.0 points",
        "minus pattern mode: +5.0 points",
        "worse than pattern mode in AUROC, border",
        "20.0 × the time, 20.0 × the memory",
        "12.0 × as fast",
    ):
        assert part in said
    assert fusion.verdicts({}, {}) == []


def test_mean_and_spread_over_seeds():
    seeds = [{**dict.fromkeys(FIGURES, None), "map": value} for value in (0.2, 0.4)]
    found = fusion.mean_sd(seeds)
    assert found["map"] == pytest.approx((0.3, 0.1414), abs=1e-3)
    assert found["r1_50"] is None
    assert fusion.mean_sd(seeds[:1])["map"] == (0.2, 0.0)


@pytest.mark.parametrize("variant", ["rdmf", PATTERN])
def test_cost_of_lengths(variant):
    shapes = {"fusion": to_table(RECIPE.fusion), "head": to_table(RECIPE.head)}
    found = fusion_cost.measure({"variant": variant, "lengths": [8, 32], **shapes}, VARIANTS, PATTERN)
    assert list(found) == ["8", "32"]
    for cell in found.values():
        assert 0 < cell["fusion_s"] <= cell["network_s"]
