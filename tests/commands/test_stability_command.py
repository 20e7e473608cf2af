"""`rdmf stability`: its words, its JSON, its picture, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rdmf_cli.commands import session
from tests import videos
from tests.commands.conftest import Done
from tests.fakes import FakeEncoder, plain_pictures

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
