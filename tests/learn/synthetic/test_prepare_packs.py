"""The script that prepares packs, on the data of the development machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.learn.datasets.packs import load_pack, pack_facts

ROOT = Path(__file__).resolve().parents[3]
DATA = ROOT.parent / "shared" / "data"
SCRIPT = ROOT / "models/rdmf-base/training/prepare.py"


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "published/features").is_dir(), reason="needs ../shared/data")
def test_sets_are_made_once_and_are_the_same_again(tmp_path):
    def prepare(*more: str) -> str:
        command = [sys.executable, str(SCRIPT), "--data", str(DATA), "--small", *more]
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout

    first = ["--work", str(tmp_path / "a"), "--sets", "heldout-pairs", "development"]
    assert "examples" in prepare(*first)
    assert prepare(*first).count("kept") == 2
    prepare("--work", str(tmp_path / "b"), "--sets", "heldout-pairs")
    packs = [load_pack(tmp_path / name / "heldout-pairs.npz") for name in ("a", "b")]
    for one, other in zip(*packs, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
    asked = load_pack(tmp_path / "a" / "development.npz")
    assert len(asked) == 113
    assert sum(len(example.windows) == 0 for example in asked) == 25
    assert all(example.windows.max() <= len(example.values) for example in asked if len(example.windows))
    assert pack_facts(tmp_path / "a" / "development.npz")["encoder"] == "lite"
    prepare(*first, "--seed", "1")
    assert not np.array_equal(load_pack(tmp_path / "a" / "heldout-pairs.npz")[0].query, packs[0][0].query)
