"""`rdmf extract`: from videos and annotations to what training reads, and everything that can be wrong."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.commands import session
from rdmf_cli.learn.datasets.annotated import LayoutConfig, load_layout
from rdmf_cli.pipeline import calibration
from tests.fakes import FakeEncoder, plain_pictures
from tests.moment_sets import annotation, write_lines
from tests.videos import folder as kept_folder
from tests.videos import run_ffmpeg

RED_S = (2.0, 4.5)


@pytest.fixture(scope="module")
def shots() -> Path:
    """Grey to 2 s, red to 4.5 s, blue to 6 s, with cuts between."""
    path = kept_folder() / "extract-shots.mp4"
    source = "color=gray:s=96x54:r=10:d=2[a];color=red:s=96x54:r=10:d=2.5[b];color=blue:s=96x54:r=10:d=1.5[c]"
    run_ffmpeg("-f", "lavfi", "-i", f"{source};[a][b][c]concat=n=3,format=yuv420p", "-c:v", "libx264", path)
    return path


@pytest.fixture(autouse=True)
def encoder(monkeypatch):
    made = FakeEncoder()
    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: made)
    monkeypatch.setattr(calibration, "_demo_frames", plain_pictures)
    return made


@pytest.fixture
def place(tmp_path, shots):
    """videos/ with three videos, and annotations of the first two."""
    (tmp_path / "videos").mkdir()
    for name in ("a.mp4", "b.mp4", "c.mp4"):
        shutil.copy(shots, tmp_path / "videos" / name)
    write_lines(tmp_path / "train.jsonl", [line(1, "a"), line(2, "a", "something green", [])])
    write_lines(tmp_path / "val.jsonl", [line(3, "b.mp4")])
    return tmp_path


def line(query_id, video, query="something red", windows=(RED_S,)):
    return annotation(query_id, video, windows, query=query, duration=6.0)


def arguments(place, *more):
    files = [part for name in ("train", "val") for part in ("--annotations", str(place / f"{name}.jsonl"))]
    return ["extract", str(place / "videos"), "--out", str(place / "features"), *files, *more]


def test_from_raw_videos_to_examples(rdmf, place):
    done = rdmf(*arguments(place, "--json"))
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert document["schema"] == "rdmf.extract/1"
    assert [video["video"] for video in document["videos"]] == ["a", "b"]  # nobody asked about c
    assert (document["written"], document["failed"], document["texts"]) == (2, 0, {"written": 3, "unchanged": 0})
    data = load_layout(LayoutConfig(place / "features", place / "train.jsonl", place / "val.jsonl"))
    red, green = data.train
    np.testing.assert_array_equal(red.windows, [[4, 9]])  # at 2 snippets a second
    assert red.cut_at is not None
    np.testing.assert_array_equal(red.cut_at[[3, 8]], [4, 9])
    assert np.isnan(red.cut_at).sum() == len(red.cut_at) - 2
    assert np.flatnonzero(red.is_cut).tolist() == [3, 8]
    assert np.flatnonzero(red.saliency).tolist() == [4, 5, 6, 7, 8]
    assert green.windows.shape == (0, 2)
    assert red.spacing_s == 0.5
    inside = red.saliency > 0
    assert red.values[inside, 0].min() > red.values[~inside, 0].max()


def test_the_second_time_and_all_videos(rdmf, place, encoder):
    rdmf(*arguments(place))
    count = encoder.num_images
    done = rdmf(*arguments(place))
    assert done.code == 0
    assert "0 videos written (0 snippets), 2 unchanged, 0 of 3 queries written" in " ".join(done.out.split())
    assert encoder.num_images == count
    done = rdmf("extract", str(place / "videos"), "--out", str(place / "features"), "--fps", "2")
    assert done.code == 0
    assert "1 videos written" in done.out


def test_some_failed(rdmf, place):
    (place / "videos" / "b.mp4").write_bytes((place / "videos" / "a.mp4").read_bytes()[:2000])
    done = rdmf(*arguments(place))
    assert done.code == 7
    assert "b.mp4" in done.out
    assert "1 of 2 videos failed" in done.err
    (place / "videos" / "a.mp4").write_bytes((place / "videos" / "b.mp4").read_bytes())
    shutil.rmtree(place / "features")
    assert rdmf(*arguments(place)).code == 3


@pytest.mark.parametrize(
    ("row", "code", "message"),
    [
        (line(3, "zebra"), 2, "no video 'zebra' in"),
        (line(1, "b"), 0, ""),
        (line(1, "b", "another"), 2, "'qid' 1 is another query in"),
        (line("../x", "b"), 2, "can't be the name of a file"),
        (line(3, "b", windows=[[2, 9]]), 2, "outside the video of 6 s: [2, 9]"),
        (line(3, "b", windows=[[2, 2]]), 2, "a window is empty"),
    ],
)
def test_annotations_that_do_not_fit(rdmf, place, row, code, message):
    write_lines(place / "val.jsonl", [row])
    done = rdmf(*arguments(place))
    assert done.code == code
    text = " ".join(done.err.split())
    if code:
        assert message in text
        assert "val.jsonl, line 1" in text
        assert "Traceback" not in text
        assert not (place / "features").exists()


def test_a_command_line_that_makes_no_sense(rdmf, place):
    assert rdmf("extract", str(place / "videos")).code == 2
    assert rdmf(*arguments(place, "--fps", "0")).code == 2
    assert rdmf("extract", str(place / "nowhere"), "--out", str(place / "x")).code == 3
    (place / "file").touch()
    done = rdmf("extract", str(place / "videos"), "--out", str(place / "file"))
    assert done.code == 6
    assert "can't be written" in done.err
