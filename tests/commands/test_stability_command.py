"""`rdmf stability`: its words, its JSON, its picture, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from rdmf_cli.commands import session
from rdmf_cli.fusion.config import FusionConfig
from rdmf_cli.fusion.formation import watch_learned
from rdmf_cli.fusion.inputs import INPUT_NAMES, QUERY_NAMES, Batch
from rdmf_cli.fusion.learned import ReactionDiffusionFusion
from rdmf_cli.heads.moments import HeadConfig
from rdmf_cli.model_folder import Papers
from rdmf_cli.moment_model import MomentConfig, build
from rdmf_cli.moment_weights import save_moments
from tests import videos
from tests.commands.conftest import Done
from tests.fakes import FakeEncoder, plain_pictures
from tests.reactions import awake

Rdmf = Callable[..., Done]


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    fake = FakeEncoder()
    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: fake)
    monkeypatch.setattr("rdmf_cli.pipeline.calibration._demo_frames", plain_pictures)
    return fake


def test_pattern_mode_in_words(rdmf: Rdmf) -> None:
    done = rdmf("stability")
    assert (done.code, done.err) == (0, "")
    assert "Pattern mode, snippets 0.5 s apart" in done.out
    assert "0.421 and more  steady: fills its shot evenly" in done.out
    assert "waves that grow" in done.out


def test_json_has_every_channel(rdmf: Rdmf) -> None:
    document = json.loads(rdmf("stability", "--json", "--fps", "1").out)
    assert (document["schema"], document["model"], document["spacing_s"]) == ("rdmf.stability/1", "pattern", 1.0)
    assert [channel["regime"] for channel in document["channels"]] == ["dies", "fills", "fills", "fills", "fills"]
    assert document["affinities"][-1]["stop"] is None
    assert document["channels"][0]["reach_s"] == pytest.approx(1.0)


def test_a_video_and_a_picture(rdmf: Rdmf, encoder: FakeEncoder, tmp_path: Path) -> None:
    picture = tmp_path / "out.png"
    arguments = ("stability", "--video", str(videos.hard_cuts()), "--query", "something red", "--fps", "4")
    document = json.loads(rdmf(*arguments, "--plot", str(picture), "--json").out)
    assert picture.read_bytes().startswith(b"\x89PNG")
    video = document["video"]
    assert video["rested"]
    assert video["steps"] == len(video["change"])
    assert video["change"][-1] < video["tolerance"]
    assert len(video["v"]) == len(video["times_s"])
    assert max(video["v"]) > 0.3
    refused = rdmf(*arguments, "--plot", str(picture))
    assert (refused.code, refused.out) == (6, "")
    told = rdmf(*arguments)
    assert told.code == 0
    assert "at rest after" in told.out


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two untrained models, one without reaction and diffusion."""
    folder = tmp_path_factory.mktemp("models")
    for kind in ("rdmf", "none"):
        torch.manual_seed(0)
        fusion = FusionConfig(kind=kind, hidden=16, channels=4, blocks=2, max_wavelength_s=20.0)
        network = build(MomentConfig(fusion=fusion, head=HeadConfig(num_slots=4)))
        save_moments(folder / kind, network, Papers(card="# untrained", recipe="", metrics={}))
    return folder


def test_a_model(rdmf: Rdmf, encoder: FakeEncoder, models: Path, tmp_path: Path) -> None:
    model = ("stability", "--model", str(models / "rdmf"))
    words = rdmf(*model)
    assert (words.code, words.err) == (0, "")
    assert "Model rdmf, snippets 0.5 s apart" in words.out
    assert "8 channels: 8 Turing; waves of " in words.out
    video = ("--video", str(videos.hard_cuts()), "--query", "something red", "--plot", str(tmp_path / "out.svg"))
    document = json.loads(rdmf(*model, *video, "--json").out)
    assert document["model"] == "rdmf"
    assert [channel["regime"] for channel in document["channels"]] == ["peaks"] * 8
    assert "affinities" not in document
    shown = document["video"]
    assert (shown["steps"], shown["rested"], shown["tolerance"]) == (8, False, 0.0)
    assert (tmp_path / "out.svg").read_text().startswith("<?xml")


def test_models_that_can_not_be_shown(rdmf: Rdmf, models: Path) -> None:
    other = rdmf("stability", "--model", str(models / "none"))
    assert (other.code, other.out) == (4, "")
    assert "its fusion (none) has no reaction and diffusion" in other.err
    assert rdmf("stability", "--model", str(models / "nowhere")).code == 4


def test_watching_a_model_changes_nothing() -> None:
    torch.manual_seed(0)
    fusion = awake(ReactionDiffusionFusion(FusionConfig(hidden=16, channels=4, max_wavelength_s=20.0))).eval()
    batch = Batch(
        torch.randn(1, 30, len(INPUT_NAMES)), torch.randn(1, len(QUERY_NAMES)), torch.rand(1, 29),
        torch.rand(1, 29) < 0.1, torch.ones(1, 30, dtype=torch.bool), torch.tensor([1.0]),
    )  # fmt: skip
    formation = watch_learned(fusion, batch)
    assert formation.v.shape == (9, 30)
    assert np.allclose(formation.v[-1], fusion(batch).activity[0].detach().numpy(), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--video", "x.mp4"], 2, "--video and --query go together"),
        (["--query", "a dog"], 2, "--video and --query go together"),
        (["--video", "x.mp4", "--query", " "], 2, "the query is empty"),
        (["--plot", "x.txt"], 2, "not a kind of picture"),
        (["--plot", "nowhere/x.png"], 6, "no such folder"),
        (["--fps", "0"], 2, "makes no sense"),
    ],
)
def test_what_it_refuses(rdmf: Rdmf, arguments: list[str], code: int, said: str) -> None:
    done = rdmf("stability", *arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert len(done.err.splitlines()) <= 2
