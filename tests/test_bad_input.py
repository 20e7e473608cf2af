"""Whatever comes in: one clear line on stderr, a hint where there is one, the right exit code, and nothing damaged.

The whole program runs in this process; only the encoder is fake.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdmf_cli.commands import session
from rdmf_cli.encoders import presets
from rdmf_cli.pipeline import calibration
from rdmf_cli.store import Store, files
from tests import videos
from tests.commands import conftest as commands
from tests.fakes import FakeEncoder, plain_pictures

Done = commands.Done
Rdmf = Callable[..., Done]
home, rdmf = commands.home, commands.rdmf  # fixtures
real_encoder = session.encoder

FOUND, NO_MATCH, USAGE, VIDEO, MODEL, STORE, OUTPUT, SOME, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 7, 130


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    """A fake encoder, and plain pictures in place of the demo video's frames."""
    fake = FakeEncoder()

    monkeypatch.setattr(calibration, "_demo_frames", plain_pictures)
    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: fake)
    return fake


@pytest.fixture(scope="session")
def red() -> Path:
    """Grey, then red to its end."""
    path = videos.folder() / "bad-input-red.mp4"
    shots = "color=gray:s=96x54:r=10:d=6[a];color=red:s=96x54:r=10:d=3[b];[a][b]concat=n=2,format=yuv420p"
    videos.run_ffmpeg("-f", "lavfi", "-i", shots, "-c:v", "libx264", path)
    return path


def errors(done: Done) -> list[str]:
    return [line for line in done.err.splitlines() if line.startswith("rdmf: error: ")]


def assert_one_error(done: Done, code: int, text: str) -> None:
    """One line that says what is wrong, perhaps one with what to do; no answer, no traceback."""
    assert done.code == code, done
    assert done.out == ""
    [line] = errors(done)
    assert text in line
    others = [other for other in done.err.splitlines() if other != line]
    assert len(others) <= 1
    assert all(other.startswith("  ") for other in others)
    assert "Traceback" not in done.err
    assert "bug" not in done.err


def assert_answered(done: Done, warning: str = "") -> dict[str, Any]:
    """Found, on stdout, with at most warnings on stderr; the JSON document."""
    assert done.code == FOUND, done
    assert errors(done) == []
    assert "Traceback" not in done.err
    lines = done.err.splitlines()
    assert all(line.startswith("rdmf: warning: ") for line in lines), done.err
    assert bool(lines) == bool(warning)
    assert warning in done.err
    document: dict[str, Any] = json.loads(done.out)
    return document


# --- videos -----------------------------------------------------------------------------------------------------------


def no_frames(folder: Path) -> Path:
    """A well-formed video whose pictures are zeros."""
    data = videos.make("zeros.ts", "-f", "mpegts").read_bytes()
    packets = [bytearray(data[i : i + 188]) for i in range(0, len(data), 188)]
    for packet in packets:
        if ((packet[1] & 0x1F) << 8 | packet[2]) == 0x100:
            packet[60:] = bytes(len(packet) - 60)
    path = folder / "zeros.ts"
    path.write_bytes(b"".join(packets))
    return path


def no_length(folder: Path) -> Path:
    """A Matroska file with a video stream and nothing in it."""
    whole = videos.make("length.mkv").read_bytes()
    path = folder / "none.mkv"
    path.write_bytes(whole[: whole.index(b"\x1f\x43\xb6\x75")])  # up to the first cluster
    return path


def written(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return write


def empty_folder(folder: Path) -> Path:
    (folder / "empty").mkdir()
    (folder / "empty" / "notes.txt").write_text("nothing to see")
    return folder / "empty"


BAD_VIDEOS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "nowhere.mp4", "no such file"),
    "name too long": (lambda folder: folder / ("a" * 300 + ".mp4"), ".mp4: "),
    "folder without videos": (empty_folder, "no videos in this folder"),
    "empty file": (written("empty.mp4", b""), "the file is empty"),
    "one byte": (written("byte.mp4", b"\0"), "byte.mp4: "),
    "audio only": (lambda folder: videos.only_sound(), "audio only"),
    "text": (written("text.mp4", b"Dear diary,\n" * 100), "a text file, not a video"),
    "picture": (written("picture.mp4", b"\x89PNG\r\n\x1a\n" + bytes(200)), "an image file, not a video"),
    "noise": (written("noise.mp4", np.random.default_rng(0).bytes(20_000)), "noise.mp4: "),
    "playlist": (written("list.m3u8", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n"), "a playlist, not a video"),
    "index cut off": (
        lambda folder: written("cut.mp4", videos.make("tail.mp4").read_bytes()[:3000])(folder),
        "cut off",
    ),
    "no frame can be decoded": (no_frames, "zeros.ts: "),
    "no length": (no_length, "none.mkv: "),
}


@pytest.mark.parametrize("form", [[], ["--json"], ["--jsonl"]], ids=["text", "json", "jsonl"])
@pytest.mark.parametrize("kind", BAD_VIDEOS)
def test_a_video_that_cannot_be_searched(rdmf: Rdmf, tmp_path: Path, kind: str, form: list[str]) -> None:
    make, text = BAD_VIDEOS[kind]
    assert_one_error(rdmf("search", str(make(tmp_path)), "something red", *form), VIDEO, text)


@pytest.mark.parametrize("kind", [kind for kind in BAD_VIDEOS if "folder" not in kind])
def test_it_does_not_keep_the_others_from_being_searched(rdmf: Rdmf, red: Path, tmp_path: Path, kind: str) -> None:
    make, text = BAD_VIDEOS[kind]
    done = rdmf("search", str(make(tmp_path)), str(red), "something red", "--json")
    assert done.code == SOME
    document = json.loads(done.out)
    assert [result["video"]["path"] for result in document["results"]] == [str(red)]
    [failure] = document["failures"]
    assert text in failure["message"]
    assert failure["exit_code"] == VIDEO
    assert len(errors(done)) == 2  # which video and why; how many in all
    assert "1 of 2 videos could not be searched" in errors(done)[1]
    assert "Traceback" not in done.err


def test_a_truncated_video_is_searched_as_far_as_it_goes(rdmf: Rdmf, red: Path, tmp_path: Path) -> None:
    whole = videos.remake(red, "bad-input-fast.mp4", after=("-c:v", "libx264", "-g", "5", "-movflags", "+faststart"))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[:-150])
    for _ in range(2):  # the second time from the store
        done = rdmf("search", str(cut), "something red", "--json")
        document = assert_answered(done, "ends early")
        assert document["results"][0]["video"]["duration_s"] < 9
        assert "ends early" in document["results"][0]["warnings"][0]


def test_a_video_of_one_frame(rdmf: Rdmf) -> None:
    for _ in range(2):
        done = rdmf("search", str(videos.one_frame()), "something red", "--json")
        assert (done.code, done.err) == (NO_MATCH, "")
        [result] = json.loads(done.out)["results"]
        assert result["moments"] == []
        assert len(result["saliency"]["times_s"]) == 1
        assert result["video"]["duration_s"] == pytest.approx(0.04)
    assert rdmf("search", str(videos.one_frame()), "something red").code == NO_MATCH


@pytest.mark.parametrize("name", ["-dash.mp4", "[red].mp4", "a\nb.mp4", "ümläut 视频.mp4", "%03d.mp4", "a:b.mp4"])
def test_odd_names_are_names(rdmf: Rdmf, red: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(red, tmp_path / name)
    document = assert_answered(rdmf("search", "--json", "--", name, "something red"))
    assert document["results"][0]["video"]["path"] == name


# --- queries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "   ", "\t\n"])
def test_an_empty_query(rdmf: Rdmf, red: Path, query: str) -> None:
    assert_one_error(rdmf("search", str(red), query), USAGE, "the query is empty")


@pytest.mark.parametrize("times", [20, 100, 5000])  # longer than a file's name, a path, anything sensible may be
def test_a_very_long_query_is_cut_with_a_warning(rdmf: Rdmf, red: Path, times: int) -> None:
    query = "something red " * times
    document = assert_answered(rdmf("search", str(red), query, "--json"), "its end was cut")
    assert document["results"][0]["query"]["text"] == query.strip()
    done = rdmf("search", str(red), query)
    assert max(len(line) for line in done.err.splitlines()) < 200


@pytest.mark.parametrize("query", ["🔴 red", "red\x1b[2J", "赤 red", "red \u202eder", "'; DROP TABLE videos; -- red"])
def test_odd_queries_are_queries(rdmf: Rdmf, red: Path, query: str) -> None:
    assert_answered(rdmf("search", str(red), query, "--json"))
    done = rdmf("search", str(red), query)
    assert done.code in (FOUND, NO_MATCH)
    assert "\x1b[2J" not in done.out + done.err


# --- encoders ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "hint"),
    [
        ("vit-b-23", "unknown encoder 'vit-b-23'", "did you mean 'vit-b-32'?"),
        ("lit", "unknown encoder 'lit'", "did you mean 'lite'?"),
        ("vit-b-32", "its weights are not here", "rdmf models pull vit-b-32"),
        ("openclip:ViT-B-32@/nowhere/w.safetensors", "no such file", ""),
        ("hf:/nowhere", "", ""),
        ("x" * 300, "unknown encoder", ""),
    ],
)
def test_an_encoder_that_is_not_there(
    rdmf: Rdmf, red: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, hint: str
) -> None:
    monkeypatch.setattr(session, "encoder", real_encoder)
    done = rdmf("search", str(red), "something red", "--encoder", name)
    assert_one_error(done, MODEL, text)
    assert hint in done.err


def test_the_built_in_encoder_is_missing(
    rdmf: Rdmf, red: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(session, "encoder", real_encoder)
    monkeypatch.setattr(presets, "_lite_folders", lambda models: (tmp_path / "nowhere",))
    assert_one_error(rdmf("search", str(red), "red", "--encoder", "lite"), MODEL, "the built-in encoder is missing")


def test_a_damaged_built_in_encoder(rdmf: Rdmf, red: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(session, "encoder", real_encoder)
    monkeypatch.setattr(presets, "_lite_folders", lambda models: (tmp_path / "lite",))
    (tmp_path / "lite").mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / "lite" / name).write_text("{}")
    assert_one_error(rdmf("search", str(red), "red", "--encoder", "lite"), MODEL, "damaged")


# --- stores and disks -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["a file", "below a file", "somebody else's database"])
def test_a_store_that_cannot_be_used_costs_a_warning(rdmf: Rdmf, red: Path, tmp_path: Path, place: str) -> None:
    folder = tmp_path / "elsewhere"
    if place == "somebody else's database":
        folder.mkdir()
        (folder / "catalogue.sqlite").write_bytes(b"not a database at all" * 100)
    else:
        folder.write_text("a file")
        folder = folder / "store" if place == "below a file" else folder
    before = sorted(tmp_path.rglob("*"))
    done = rdmf("search", str(red), "something red", "--store", str(folder), "--json")
    assert_answered(done, "nothing is kept for the next search")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_store_that_cannot_be_written_costs_a_warning(rdmf: Rdmf, red: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Store, "read_only", property(lambda self: True))
    for _ in range(2):
        assert_answered(rdmf("search", str(red), "something red", "--json"), "could not be kept")


@pytest.mark.parametrize("point", ["features", "cache", "catalogue"])
def test_a_full_disk_costs_a_warning_and_damages_nothing(
    rdmf: Rdmf, red: Path, home: Path, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    other = videos.variable_rate()
    rdmf("search", str(other), "something red")  # something that is in the store already

    def full(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        if point == "features":
            patch.setattr(files, "_write_synced", full)
        elif point == "cache":
            shutil.rmtree(home / "store" / "cache")
            patch.setattr(files, "write_file", full)
        else:
            patch.setattr(files, "publish", full)
        during = assert_answered(rdmf("search", str(red), "something red", "--json"), "No space left on device")
    assert not list((home / "store").rglob("*.partial"))
    after = assert_answered(rdmf("search", str(red), "something red", "--json"))
    assert during["results"][0]["moments"][0]["start_s"] == after["results"][0]["moments"][0]["start_s"]
    counted = encoder.num_images
    assert rdmf("search", str(other), "something red").err == ""
    assert encoder.num_images == counted  # what was there is still there


@pytest.mark.parametrize("first_byte", [100, 4096])
def test_a_catalogue_with_damaged_pages(rdmf: Rdmf, red: Path, home: Path, first_byte: int) -> None:
    rdmf("search", str(red), "something red")
    file = home / "store" / "catalogue.sqlite"
    data = file.read_bytes()
    file.write_bytes(data[:first_byte] + b"\xff" * (len(data) - first_byte))
    done = rdmf("search", str(red), "something red", "--json")
    assert_answered(done, "nothing is kept for the next search")  # whether noticed at once or while reading


def test_no_cache_touches_no_store(rdmf: Rdmf, red: Path, home: Path) -> None:
    assert_answered(rdmf("search", str(red), "something red", "--json", "--no-cache"))
    assert not (home / "store").exists()


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_clips_that_cannot_be_written(rdmf: Rdmf, red: Path, tmp_path: Path, encoder: FakeEncoder) -> None:
    (tmp_path / "taken").write_text("a file")
    done = rdmf("search", str(red), "something red", "--clips", str(tmp_path / "taken"))
    assert_one_error(done, OUTPUT, "taken")
    assert encoder.num_images == 0  # said before the work


def test_nothing_found_is_no_error(rdmf: Rdmf, red: Path) -> None:
    done = rdmf("search", str(red), "something green")
    assert (done.code, done.err) == (NO_MATCH, "")


def test_an_interrupt(rdmf: Rdmf, red: Path, encoder: FakeEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(frames: np.ndarray) -> np.ndarray:
        raise KeyboardInterrupt

    monkeypatch.setattr(encoder, "encode_images", interrupted)
    done = rdmf("search", str(red), "something red", "--json")
    assert (done.code, done.out, done.err) == (INTERRUPTED, "", "rdmf: interrupted\n")
