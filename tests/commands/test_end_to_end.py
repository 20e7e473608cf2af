"""From the command line to the moments and back, with the real pipeline, ffmpeg and store; only the encoder is fake."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rdmf_cli.commands import session
from rdmf_cli.media.probe import probe
from tests.commands.conftest import Done
from tests.fakes import FakeEncoder
from tests.videos import folder, run_ffmpeg

Rdmf = Callable[..., Done]
COLOURS = (("gray", 8), ("red", 4), ("blue", 9))


@pytest.fixture(scope="module")
def colours() -> Path:
    """Grey to 8 s, red to 12 s, blue to 21 s."""
    path = folder() / "colours.mp4"
    inputs = ";".join(f"color={name}:s=160x90:r=25:d={length}[{name}]" for name, length in COLOURS)
    joined = "".join(f"[{name}]" for name, _ in COLOURS) + f"concat=n={len(COLOURS)},format=yuv420p"
    run_ffmpeg("-f", "lavfi", "-i", f"{inputs};{joined}", "-c:v", "libx264", path)
    return path


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeEncoder]:
    fake = FakeEncoder()
    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: fake)
    return fake


def test_first_and_second_search(rdmf: Rdmf, colours: Path, encoder: FakeEncoder) -> None:
    first = rdmf("search", str(colours), "something red", "--json")
    assert (first.code, first.err) == (0, "")
    [moment] = json.loads(first.out)["results"][0]["moments"]
    assert (moment["start_s"], moment["end_s"]) == pytest.approx((8, 12), abs=0.6)
    encoded = encoder.num_images
    second = rdmf("search", str(colours), "something red", "--json")
    assert encoder.num_images == encoded
    one, two = (json.loads(done.out) for done in (first, second))
    assert one.pop("timings_s")["decode"] > 0
    assert two.pop("timings_s")["decode"] == 0
    assert one == two


def test_nothing_found(rdmf: Rdmf, colours: Path) -> None:
    done = rdmf("search", str(colours), "something green")
    assert done.code == 1
    assert "no confident match" in done.out


def test_folder_with_a_broken_file_and_clips(rdmf: Rdmf, colours: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    (videos / "a.mp4").write_bytes(colours.read_bytes())
    (videos / "b.mp4").write_bytes(colours.read_bytes()[:3000])
    done = rdmf("search", str(videos), "something red", "--clips", str(tmp_path / "clips"))
    assert done.code == 7
    assert "0:00:08.000" in done.out
    assert "rdmf: error: " in done.err
    [clip] = (tmp_path / "clips").iterdir()
    assert probe(clip).duration_s == pytest.approx(4, abs=1.2)


def test_not_a_video(rdmf: Rdmf, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("hello")
    done = rdmf("search", str(tmp_path / "a.mp4"), "something red")
    assert (done.code, done.out) == (3, "")
    assert "a.mp4: " in done.err
