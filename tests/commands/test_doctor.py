"""`rdmf doctor` and `rdmf demo`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from rdmf_cli.commands import checks
from rdmf_cli.commands.demo import QUERIES, VIDEO
from tests.commands.conftest import Done
from tests.fakes import FakeEncoder

Rdmf = Callable[..., Done]


@pytest.fixture
def works(monkeypatch: pytest.MonkeyPatch) -> None:
    """Encoders that open, whatever is installed."""
    monkeypatch.setattr("rdmf_cli.encoders.open_encoder", lambda name, **options: FakeEncoder(name))


@pytest.mark.usefixtures("works")
def test_all_is_well(rdmf: Rdmf, tmp_path: Path) -> None:
    done = rdmf("doctor", "--json")
    document = json.loads(done.out)
    assert (done.code, document["schema"], document["works"]) == (0, "rdmf.doctor/1", True)
    names = [check["name"] for check in document["checks"]]
    assert {"rdmf", "python", "torch", "device", "ffmpeg", "av", "decord", "store", "settings"} <= set(names)
    values = {check["name"]: check["value"] for check in document["checks"]}
    assert str(tmp_path / "store") in values["store"]
    assert str(tmp_path / "settings.toml") in values["settings"]
    text = rdmf("doctor")
    assert text.code == 0
    assert "a search works here" in text.err


def test_a_missing_encoder(rdmf: Rdmf, monkeypatch: pytest.MonkeyPatch) -> None:
    done = rdmf("doctor", "--encoder", "vit-b-32")
    assert done.code == 4
    assert "rdmf models pull vit-b-32" in " ".join(done.out.split())
    assert "problem" in done.out
    monkeypatch.setattr("rdmf_cli.encoders.open_encoder", lambda name, **options: 1 / 0)
    assert rdmf("doctor").code == 4


@pytest.mark.usefixtures("works")
def test_a_store_that_cannot_be_used(rdmf: Rdmf, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = rdmf("doctor", "--store", str(tmp_path / "file"))
    assert done.code == 5
    assert "name a folder with --store" in " ".join(done.out.split())


@pytest.mark.usefixtures("works")
def test_an_ffmpeg_that_does_not_run(rdmf: Rdmf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RDMF_FFMPEG", "/nowhere/ffmpeg")
    done = rdmf("doctor", "--json")
    assert done.code == 3
    [check] = [check for check in json.loads(done.out)["checks"] if check["status"] == "problem"]
    assert check["name"] == "ffmpeg"


@pytest.mark.parametrize(
    ("version", "missing"),
    [
        ("7.1.1-1ubuntu4", ["CVE-2026-8461", "CVE-2026-107697"]),
        ("8.1.1", ["CVE-2026-8461", "CVE-2026-107697"]),
        ("n8.1", ["CVE-2026-8461", "CVE-2026-107697"]),
        ("8.1.2", ["CVE-2026-107697"]),
        ("8.1.3", []),
        ("9.0.2-17-g2a571b6068-20260930", []),
        ("N-118000-gabc", []),
        ("unknown", []),
    ],
)
def test_old_ffmpegs_are_named_with_their_holes(version: str, missing: list[str]) -> None:
    status, advice = checks.old_ffmpeg(version, "update")
    assert status == ("warning" if missing else "ok")
    assert [name for name in ("CVE-2026-8461", "CVE-2026-107697") if name in advice] == missing


def test_the_demo_video() -> None:
    from rdmf_cli.media.probe import probe

    assert VIDEO.stat().st_size < 600_000
    info = probe(VIDEO)
    assert (info.width, info.height, info.codec) == (640, 360, "h264")
    assert info.duration_s == pytest.approx(26.0, abs=0.05)


@pytest.mark.usefixtures("pipeline")
def test_demo(rdmf: Rdmf) -> None:
    done = rdmf("demo")
    assert (done.code, done.err) == (0, "")
    assert done.out.count("$ rdmf search ") == len(QUERIES) == 4
    assert done.out.count("━1━") == 4  # the fake search finds everything
