"""Labels of every layout, and everything that can be wrong with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import RdmfError, UsageError, VideoError
from rdmf_cli.learn.affect.labels import read_labels

CLASSES = ("other", "violence")
AFFECT = ("valence", "arousal")


@pytest.fixture
def videos(tmp_path: Path) -> Path:
    (tmp_path / "videos" / "deep").mkdir(parents=True)
    for name in ("a.mp4", "b.mp4", "deep/c.avi"):
        (tmp_path / "videos" / name).touch()
    return tmp_path / "videos"


def write(folder: Path, text: str, name: str = "labels.csv") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


def test_segments_of_csv_and_json_lines(videos: Path, tmp_path: Path):
    text = "video,start_s,end_s,label,split\na.mp4,5,9,violence,train\na.mp4,0,5,0,train\nc,,,1,val\n"
    first, last = read_labels("segments", write(tmp_path, text), videos, CLASSES)
    assert (first.video.name, first.split, last.video.name, last.split) == ("a.mp4", "train", "c.avi", "validation")
    assert first.starts.tolist() == [0, 5]
    assert first.values.tolist() == [[1, 0], [0, 1]]
    assert last.ends.tolist() == [np.inf]
    lines = '{"video": "b", "start_s": 1, "end_s": 2, "valence": 0.5, "arousal": -1}\n'
    (numbers,) = read_labels("segments", write(tmp_path, lines, "labels.jsonl"), videos, AFFECT)
    assert numbers.values.tolist() == [[0.5, -1]]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("a.mp4,5,3,violence", "line 2: the segment ends before it starts"),
        ("a.mp4,-1,3,violence", "line 2: the segment ends before it starts"),
        ("a.mp4,3,3,violence", "line 2: the segment ends before it starts"),
        ("a.mp4,0,5,other\na.mp4,4,6,violence", "line 3: overlaps another segment of a.mp4: 0 to 5 s (line 2)"),
        ("a.mp4,0,5,other\na,4,6,violence", "line 3: overlaps another segment"),  # the same video by another name
        ("a.mp4,0,x,violence", "'end_s' is no number: 'x'"),
        ("a.mp4,0,nan,violence", "'end_s' is not finite"),
        ("a.mp4,0,5,violent", "unknown label 'violent'"),
        ("a.mp4,0,5,2", "unknown label '2'"),
    ],
)
def test_segments_that_make_no_sense(videos: Path, tmp_path: Path, rows, told):
    file = write(tmp_path, f"video,start_s,end_s,label\n{rows}\n")
    with pytest.raises(UsageError) as raised:
        read_labels("segments", file, videos, CLASSES)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_labels_for_missing_videos(videos: Path, tmp_path: Path):
    file = write(tmp_path, "video,start_s,end_s,label\na.mp4,0,1,0\ngone.mp4,0,1,0\nlost.mp4,0,1,1\n")
    with pytest.raises(VideoError, match=r"line 3: labels for a video that is not there: gone.mp4 \(and for 1 more\)"):
        read_labels("segments", file, videos, CLASSES)


def test_values_out_of_range(videos: Path, tmp_path: Path):
    file = write(tmp_path, "video,start_s,end_s,valence,arousal\na.mp4,0,1,1.5,0\n")
    with pytest.raises(UsageError, match=r"valence and arousal lie in \[-1, 1\]"):
        read_labels("segments", file, videos, AFFECT)


def test_split_in_two(videos: Path, tmp_path: Path):
    file = write(tmp_path, "video,start_s,end_s,label,split\na.mp4,0,1,0,train\na.mp4,1,2,0,val\n")
    with pytest.raises(UsageError, match=r"a.mp4 is in several splits"):
        read_labels("segments", file, videos, CLASSES)


def test_rwf_2000(tmp_path: Path):
    for split in ("train", "val"):
        for kind in ("Fight", "NonFight"):
            (tmp_path / split / kind).mkdir(parents=True)
            (tmp_path / split / kind / f"{kind}1.avi").touch()
            (tmp_path / split / kind / "Thumbs.db").touch()
    found = read_labels("rwf2000", tmp_path, None, CLASSES)
    assert len(found) == 4
    assert {(f.video.parent.name, f.split, tuple(f.values[0])) for f in found} == {
        ("Fight", "train", (0, 1)),
        ("NonFight", "train", (1, 0)),
        ("Fight", "validation", (0, 1)),
        ("NonFight", "validation", (1, 0)),
    }
    (tmp_path / "val" / "Fight" / "Fight1.avi").unlink()
    (tmp_path / "val" / "Fight" / "Thumbs.db").unlink()
    (tmp_path / "val" / "Fight").rmdir()
    with pytest.raises(UsageError, match="no such folder"):
        read_labels("rwf2000", tmp_path, None, CLASSES)


def test_aff_wild2(videos: Path, tmp_path: Path):
    labels = tmp_path / "annotations"
    write(labels, "valence,arousal\n0.5,0.1\n-5,-5\n-0.25,0.75\n0.1,-5\n", "Train_Set/a.txt")
    write(labels, "valence,arousal\n0,0\n", "Validation_Set/c_left.txt")
    first, last = read_labels("affwild2", labels, videos, AFFECT)
    assert (first.video.name, first.split, last.video.name, last.split) == ("a.mp4", "train", "c.avi", "validation")
    assert first.starts.tolist() == [0, 2]  # frames 1 and 3 are not annotated
    assert first.values.tolist() == [[0.5, 0.1], [-0.25, 0.75]]
    assert first.in_seconds(25.0).ends.tolist() == [1 / 25, 3 / 25]
    write(labels, "valence,arousal\n0,0\n", "Validation_Set/c_right.txt")
    with pytest.raises(UsageError, match=r"a second set of labels for c\.avi"):
        read_labels("affwild2", labels, videos, AFFECT)


@pytest.mark.parametrize("text", ["0\n1\n1\n-1\n", "frame,violence\n0,0\n1,1\n2,1\n3,-1\n", "label\n0\n1\n1\n-5\n"])
def test_dvd(videos: Path, tmp_path: Path, text):
    write(tmp_path / "dvd", text, "a.csv")
    (found,) = read_labels("dvd", tmp_path / "dvd", videos, CLASSES)
    assert found.starts.tolist() == [0, 1, 2]
    assert found.values.argmax(axis=1).tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("layout", "text", "told"),
    [
        ("affwild2", "valence,arousal\n0,0\n0.5\n", "line 3: not 2 numbers: '0.5'"),
        ("affwild2", "valence,arousal\n0,1.5\n", "line 2: outside [-1, 1]: 0, 1.5"),
        ("affwild2", "valence,energy\n0,0\n", "no column 'arousal'"),
        ("affwild2", "valence,arousal\n", "no frames in it"),
        ("affwild2", "", "no frames in it"),
        ("dvd", "0\n2\n", "line 2: no label from 0 to 1: 2"),
        ("dvd", "frame,fight\n0,1\n", "no column 'label' or 'violence'"),
    ],
)
def test_frames_that_make_no_sense(videos: Path, tmp_path: Path, layout, text, told):
    write(tmp_path / "labels", text, "a.txt")
    with pytest.raises(UsageError) as raised:
        read_labels(layout, tmp_path / "labels", videos, AFFECT if layout == "affwild2" else CLASSES)
    assert told in str(raised.value)


@pytest.mark.parametrize("layout", ["segments", "rwf2000", "dvd", "affwild2", "ucf"])
def test_nothing_there(tmp_path: Path, layout):
    with pytest.raises(RdmfError):
        read_labels(layout, tmp_path / "none", tmp_path, CLASSES)
