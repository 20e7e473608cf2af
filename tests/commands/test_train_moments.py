"""`rdmf train` on a small set in QVHighlights' layout: it learns, goes on after a kill, and says what is wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from rdmf_cli.commands import session
from rdmf_cli.moment_weights import load_moments
from rdmf_cli.pipeline import calibration
from tests import moment_sets
from tests.fakes import FakeEncoder, plain_pictures
from tests.videos import run_ffmpeg

Rdmf = Callable[..., Any]

RECIPE = """
kind = "moments"
[data]
training = "train.jsonl"
validation = "val.jsonl"
features = "features"
[fusion]
hidden = 16
channels = 4
num_steps = 2
blocks = 1
[head]
num_slots = 4
hidden = 16
value_dim = 8
edge_dim = 8
coarse_layers = 1
border_reach = [3]
[training]
epochs = 2
rounds = 2
batch_size = 4
learning_rate = 3e-3
"""


def set_up(folder: Path, recipe: str = RECIPE, **size: int) -> Path:
    moment_sets.write_set(folder, **size)
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    return folder / "recipe.toml"


def test_two_epochs_lower_the_loss_and_make_a_model(tmp_path: Path, rdmf: Rdmf):
    done = rdmf("train", str(set_up(tmp_path, num_train=8)), "--out", str(tmp_path / "model"), "--json")
    assert done.code == 0, done.err
    said = json.loads(done.out)
    assert said["schema"] == "rdmf.train/1"
    history = said["history"]
    assert len(history) == 2
    assert history[1]["loss"] < history[0]["loss"]
    assert load_moments(tmp_path / "model").config.kind == "moments"


def test_for_people_it_is_a_table(tmp_path: Path, rdmf: Rdmf, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "160")
    done = rdmf("train", str(set_up(tmp_path)), "--out", str(tmp_path / "model"))
    assert done.code == 0, done.err
    assert "8 examples for training, 4 for validation" in done.out
    assert "pattern mode" in done.out
    assert f'rdmf search VIDEO "QUERY" --model {tmp_path / "model"}' in done.err.replace("\n", " ")


def test_its_weights_search_a_video(tmp_path: Path, rdmf: Rdmf, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(calibration, "_demo_frames", plain_pictures)
    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: FakeEncoder())
    video = tmp_path / "colours.mp4"
    shots = "color=gray:s=96x54:r=10:d=3[a];color=red:s=96x54:r=10:d=3[b];[a][b]concat=n=2,format=yuv420p"
    run_ffmpeg("-f", "lavfi", "-i", shots, "-c:v", "libx264", video)
    assert rdmf("train", str(set_up(tmp_path)), "--out", str(tmp_path / "model")).code == 0
    done = rdmf("search", str(video), "something red", "--model", str(tmp_path / "model"), "--json")
    assert done.code in (0, 1), done.err  # after two epochs it may well be unsure
    document = json.loads(done.out)
    assert document["model"] == {"name": "model", "kind": "learned"}
    [result] = document["results"]
    assert result["moments"]
    assert 0 < result["relevance"]["score"] < 1


def _nan(folder: Path) -> None:
    file = next((folder / "features" / "clip_features").iterdir())
    np.savez(file, features=np.full((moment_sets.ROWS, moment_sets.DIM), np.nan, np.float32))


def _missing(folder: Path) -> None:
    next((folder / "features" / "clip_features").iterdir()).unlink()


def _outside(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    rows[0]["relevant_windows"] = [[900, 910]]
    moment_sets.write_lines(folder / "train.jsonl", rows)


def _nothing_matches(folder: Path) -> None:
    rows = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    for row in rows:
        row |= {"relevant_windows": [], "relevant_clip_ids": [], "saliency_scores": []}
    moment_sets.write_lines(folder / "train.jsonl", rows)


@pytest.mark.parametrize("damage", [_nan, _missing, _outside, _nothing_matches])
def test_bad_input_is_one_clear_line_and_leaves_nothing(tmp_path: Path, rdmf: Rdmf, damage):
    recipe = set_up(tmp_path)
    damage(tmp_path)
    done = rdmf("train", str(recipe), "--out", str(tmp_path / "model"))
    assert done.code == 2
    assert done.out == ""
    assert "Traceback" not in done.err
    assert not (tmp_path / "model").exists()
    assert not list(tmp_path.glob(".model*"))


def test_options_of_the_other_kind_are_refused(tmp_path: Path, rdmf: Rdmf):
    recipe = set_up(tmp_path)
    done = rdmf("train", str(recipe), "--out", str(tmp_path / "model"), "--compare")
    assert (done.code, "--compare is for recipes of kind affect" in done.err) == (2, True)
    done = rdmf("train", str(recipe), "--out", str(tmp_path))
    assert (done.code, "is no model folder" in done.err) == (6, True)


def test_fine_tuning_begins_with_a_trained_model(tmp_path: Path, rdmf: Rdmf):
    recipe = set_up(tmp_path, num_train=8)
    assert rdmf("train", str(recipe), "--out", str(tmp_path / "first")).code == 0
    recipe.write_text(f'{RECIPE}start = "first"\n', encoding="utf-8")
    done = rdmf("train", str(recipe), "--out", str(tmp_path / "tuned"), "--json")
    assert done.code == 0, done.err
    said, before = json.loads(done.out), json.loads((tmp_path / "first" / "metrics.json").read_text())
    assert said["history"][0]["loss"] < before["history"][0]["loss"]
    assert said["seeds"][0]["map"] >= before["seeds"][0]["map"]
    assert "It began with `first`" in (tmp_path / "tuned" / "README.md").read_text(encoding="utf-8")
    recipe.write_text(f'{RECIPE}start = "nowhere"\n', encoding="utf-8")
    done = rdmf("train", str(recipe), "--out", str(tmp_path / "other"))
    assert (done.code, done.out, done.err.count("\n")) == (4, "", 2)
    assert not (tmp_path / "other").exists()
    recipe.write_text(f'{RECIPE.replace("channels = 4", "channels = 6")}start = "first"\n', encoding="utf-8")
    done = rdmf("train", str(recipe), "--out", str(tmp_path / "other"))
    assert (done.code, "fusion.channels is 4 there" in done.err) == (2, True)


def test_events_for_tensorboard(tmp_path: Path, rdmf: Rdmf):
    pytest.importorskip("tensorboard")
    done = rdmf(
        "train", str(set_up(tmp_path)), "--out", str(tmp_path / "model"), "--tensorboard", str(tmp_path / "events")
    )
    assert done.code == 0, done.err
    assert len(list((tmp_path / "events" / "seed-0").glob("events.out.tfevents.*"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_killed_for_good_and_started_again_it_gives_the_same_weights(tmp_path: Path, devices: int):
    """Two devices: two processes that share each batch, on the CPU here, over gloo and not over NCCL."""
    if devices > 1:
        pytest.importorskip("lightning_fabric")
    longer = f"epochs = 60\nrounds = 60\ndevices = {devices}"
    recipe = set_up(tmp_path, RECIPE.replace("epochs = 2\nrounds = 2", longer))
    command = [sys.executable, "-m", "rdmf_cli", "train", str(recipe), "--out"]
    kept = tmp_path / ".killed.training" / "seed-0.safetensors"
    with subprocess.Popen([*command, str(tmp_path / "killed"), "--device", "cpu"], start_new_session=True) as process:
        until = time.monotonic() + 120
        while not _rounds(kept) > 3 and process.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    assert 3 < _rounds(kept) < 60
    for name in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / name), "--device", "cpu"], check=True, capture_output=True)
    killed, whole = (load_moments(tmp_path / name).state_dict() for name in ("killed", "whole"))
    assert all(torch.equal(killed[name], whole[name]) for name in whole)
    assert not list(tmp_path.glob(".*.training"))


def _rounds(file: Path) -> int:
    """How many rounds a kept state has behind it."""
    if not file.exists():
        return 0
    with safe_open(file, "pt") as opened:
        return len(json.loads(opened.metadata()["facts"])["history"])
