"""`rdmf highlights` and the options for cutting, as a whole program; only the encoder is fake."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rdmf_cli.commands import session
from rdmf_cli.commands.options_cut import seconds_of
from rdmf_cli.errors import UsageError
from rdmf_cli.media.probe import probe
from rdmf_cli.pipeline import calibration
from tests import sync_videos, videos
from tests.commands.conftest import Done
from tests.fakes import FakeEncoder, plain_pictures

Rdmf = Callable[..., Done]


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    fake = FakeEncoder()

    monkeypatch.setattr(calibration, "_demo_frames", plain_pictures)
    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: fake)
    return fake


@pytest.fixture(scope="module")
def scenes() -> Path:
    """Grey, red, grey; with sound."""
    path = videos.folder() / "command-highlights.mp4"
    shots = "color=gray:s=96x54:r=10:d=8[a];color=red:s=96x54:r=10:d=3[b];color=gray:s=96x54:r=10:d=5[c];"
    graph = f"{shots}[a][b][c]concat=n=3,format=yuv420p"
    sound = ("-f", "lavfi", "-i", "sine=d=16")
    videos.run_ffmpeg("-f", "lavfi", "-i", graph, *sound, "-c:v", "libx264", "-c:a", "aac", path)
    return path


def one_error(done: Done, code: int, words: str) -> None:
    assert done.code == code, done
    [line] = [line for line in done.err.splitlines() if line.startswith("rdmf: error: ")]
    assert words in line
    assert "Traceback" not in done.err


def test_a_list(rdmf: Rdmf, scenes: Path) -> None:
    done = rdmf("highlights", str(scenes), "--length", "3s", "--clip-length", "3")
    assert (done.code, done.err) == (0, "")
    assert "0:00:08.000 – 0:00:11.000" in done.out
    assert "3.0 s of" in done.out


def test_json(rdmf: Rdmf, scenes: Path) -> None:
    done = rdmf("highlights", str(scenes), "--length", "0:03", "--clip-length", "3s", "--json")
    document = json.loads(done.out)
    assert (document["schema"], document["length_s"]) == ("rdmf.highlights/1", 3.0)
    assert document["model"] == {"name": "standout", "kind": "pattern"}
    [result] = document["results"]
    assert (result["query"], result["relevance"]) == (None, None)
    assert result["moments"][0]["start_s"] == pytest.approx(8, abs=0.11)
    asked = json.loads(rdmf("highlights", str(scenes), "-q", "something red", "--length", "1s", "--json").out)
    [result] = asked["results"]
    assert (result["query"], result["relevance"]["confident"]) == ({"text": "something red"}, True)
    [moment] = result["moments"]
    assert moment["end_s"] - moment["start_s"] == pytest.approx(1, abs=0.002)
    assert 8 <= moment["start_s"] < moment["end_s"] <= 11.2


def test_clips_and_a_reel(rdmf: Rdmf, scenes: Path, tmp_path: Path) -> None:
    out, folder = tmp_path / "reel.mp4", tmp_path / "clips"
    wish = ("--length", "6s", "--clip-length", "3s", "--reel", str(out), "--clips", str(folder), "--titles")
    done = rdmf("highlights", str(scenes), *wish)
    assert done.code == 0, done.err
    assert f"wrote {out} (" in done.err
    clips = sorted(folder.iterdir())
    assert len(clips) == 2
    assert clips[0].name.startswith("command-highlights-01-0h00m08.000s")
    assert done.err.count("rdmf: wrote ") == 3
    num_clips = int(done.err.partition(f"wrote {out} (")[2].split()[0])  # stretches that touch are one
    assert probe(out).duration_s == pytest.approx(6 + 2 * num_clips, abs=0.11)
    assert probe(out).has_audio
    one_error(rdmf("highlights", str(scenes), *wish), 6, "already exists")
    assert rdmf("highlights", str(scenes), *wish, "--force").code == 0


def test_nothing_matches(rdmf: Rdmf, scenes: Path, tmp_path: Path) -> None:
    out = tmp_path / "reel.mp4"
    done = rdmf("highlights", str(scenes), "--query", "something green", "--reel", str(out), "--clips", str(tmp_path))
    assert done.code == 1
    assert "no confident match" in done.out
    assert done.err.splitlines() == ["rdmf: no moments, so no clips", "rdmf: no moments, so no reel"]
    assert not out.exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--length", "soon"], 2, "--length soon: not a length"),
        (["--length", "0"], 2, "--length 0 makes no sense"),
        (["--clip-length", "-5"], 2, "--clip-length"),
        (["--query", " "], 2, "the query is empty"),
        (["--titles"], 2, "are for --reel"),
        (["--copy", "--smart"], 2, "exclude each other"),
        (["--reel", "reel.gif"], 2, ".mp4 or .mkv"),
        (["--reel", "no/such/reel.mp4"], 6, "no such folder"),
        (["--clips", "x", "--name", "../{rank}"], 2, "leads out of the folder"),
        (["--clips", "x", "--name", "/tmp/{rank}"], 2, "leads out of the folder"),
        (["--clips", "x", "--name", ""], 2, "the template is empty"),
        (["--clips", "x", "--name", "y" * 300], 2, "more than 60 bytes"),
        (["--clips", "x", "--name", "{who}"], 2, "no field is called {who}"),
        (["--name", "x"], 2, "are for --clips"),
        (["--reel", "a.mp4", "--smart"], 2, "are for --clips"),
        (["--pad", "1"], 2, "are for files"),
        (["--pad", "inf"], 2, "are seconds"),
    ],
)
def test_bad_wishes(
    rdmf: Rdmf,
    scenes: Path,
    encoder: FakeEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    one_error(rdmf("highlights", str(scenes), *arguments), code, words)
    assert encoder.num_images == 0  # said before the work
    assert sorted(tmp_path.iterdir()) == before


def test_a_folder_where_nothing_may_be_written(
    rdmf: Rdmf, scenes: Path, encoder: FakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)  # root may always
    for wish in (["--clips", str(tmp_path)], ["--reel", str(tmp_path / "reel.mp4")]):
        one_error(rdmf("highlights", str(scenes), *wish), 6, "the folder is read-only")
    assert encoder.num_images == 0


def test_the_reel_is_not_the_video(rdmf: Rdmf, scenes: Path, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(scenes.read_bytes())
    one_error(rdmf("highlights", str(path), "--reel", str(path), "--force"), 6, "one of the videos")
    assert path.read_bytes() == scenes.read_bytes()


def test_lengths() -> None:
    given = {"60": 60, "60s": 60, "1.5m": 90, "2 min": 120, "1h": 3600, "1:30": 90, "0:01:00.5": 60.5}
    assert {text: seconds_of(text, "--length") for text in given} == given
    for text in ("", "-1", "0", "1x", "nan", "inf", "1:2:3:4"):
        with pytest.raises(UsageError):
            seconds_of(text, "--length")


# --- the options for cutting, with search -----------------------------------------------------------------------------


def test_pad_names_and_copy(rdmf: Rdmf, scenes: Path, tmp_path: Path) -> None:
    wish = ("something red", "--top", "1", "--clips", str(tmp_path / "clips"))
    assert rdmf("search", str(scenes), *wish, "--pad", "1", "--name", "{query} {rank}.mkv").code == 0
    [clip] = (tmp_path / "clips").iterdir()
    assert clip.name == "something-red 01.mkv"
    assert probe(clip).duration_s == pytest.approx(5, abs=1.2)
    done = rdmf("search", str(scenes), *wish, "--copy", "--name", "copy")
    assert done.code == 0
    [line] = done.err.splitlines()
    assert line.startswith(f"rdmf: wrote {tmp_path / 'clips' / 'copy.mp4'} (starts ")


def test_a_device_name_is_made_safe_with_one_line(rdmf: Rdmf, scenes: Path, tmp_path: Path) -> None:
    done = rdmf("search", str(scenes), "something red", "--top", "1", "--clips", str(tmp_path / "c"), "--name", "CON")
    assert done.code == 0
    assert [file.name for file in (tmp_path / "c").iterdir()] == ["clip-CON.mp4"]
    assert "device on Windows" in done.err.splitlines()[0]


def test_nothing_is_cut_if_one_file_is_there(rdmf: Rdmf, tmp_path: Path) -> None:
    wish = ("search", str(sync_videos.constant()), "anything", "--all", "--clips", str(tmp_path / "c"))
    first = rdmf(*wish, "--min-score", "0")
    if "no moments" in first.err:
        pytest.skip("the fake encoder finds nothing in it")
    before = {file.name: file.stat().st_mtime_ns for file in (tmp_path / "c").iterdir()}
    done = rdmf(*wish)
    one_error(done, 6, "already exists")
    assert {file.name: file.stat().st_mtime_ns for file in (tmp_path / "c").iterdir()} == before


def test_a_video_that_goes_while_it_is_searched(
    rdmf: Rdmf, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(scenes.read_bytes())
    from rdmf_cli.commands import clips

    real = clips.cut_all

    def gone_first(*arguments: object) -> None:
        path.unlink()
        real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(clips, "cut_all", gone_first)
    done = rdmf("search", str(path), "something red", "--clips", str(tmp_path / "c"))
    one_error(done, 3, "no such file any more")
    assert list((tmp_path / "c").iterdir()) == []


def test_a_container_that_cannot_hold_a_copy(rdmf: Rdmf, tmp_path: Path) -> None:
    path = tmp_path / "old.webm"
    graph = "color=gray:s=96x54:r=10:d=5[a];color=red:s=96x54:r=10:d=3[b];[a][b]concat=n=2"
    videos.run_ffmpeg("-f", "lavfi", "-i", graph, "-c:v", "libvpx", path)
    wish = ("search", str(path), "something red", "--clips", str(tmp_path / "c"), "--copy")
    one_error(rdmf(*wish, "--name", "a.mp4"), 2, ".mp4 files can't hold vp8")
    assert list((tmp_path / "c").iterdir()) == []
    assert rdmf(*wish).code == 0
    assert [file.suffix for file in (tmp_path / "c").iterdir()] == [".mkv"]
