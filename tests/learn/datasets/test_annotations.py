"""Annotations in the layout of QVHighlights: what is read, and one line for everything that can be wrong."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import UsageError
from rdmf_cli.learn.datasets.annotations import check_disjoint, read_annotations, read_queries, split_by_video
from tests.moment_sets import annotation, write_lines

PUBLISHED = Path("/work/shared/data/published")


def lines_of(tmp_path, *rows):
    return write_lines(tmp_path / "a.jsonl", rows)


def test_what_a_line_says(tmp_path):
    labels = {"relevant_clip_ids": [1, 2], "saliency_scores": [[4, 4, 4], [0, 2, 4]]}
    file = lines_of(
        tmp_path,
        annotation(7, "a_0.0_9.5", [[2, 6]], duration=9.5, query=" a  dog ", **labels),
        annotation("x1", "b", [], relevant_clip_ids=None),
    )
    one, other = read_annotations(file)
    assert (one.query_id, one.video, one.query, one.duration_s) == ("7", "a_0.0_9.5", "a dog", 9.5)
    assert one.windows_s.tolist() == [[2, 6]]
    np.testing.assert_allclose(one.saliency, [0, 1, 0.5, 0])
    assert (other.query_id, other.windows_s.shape, other.saliency) == ("x1", (0, 2), None)
    assert (one.line.file, other.line.number) == (str(file), 2)


def test_gzip_is_read(tmp_path):
    file = tmp_path / "a.jsonl.gz"
    file.write_bytes(gzip.compress(json.dumps(annotation(1, "a", [[0, 1]])).encode()))
    assert len(read_annotations(file)) == 1


def test_an_end_just_behind_a_rounded_duration_is_the_end(tmp_path):
    [one] = read_annotations(lines_of(tmp_path, annotation(1, "a", [[30, 40.03]])))
    assert one.windows_s.tolist() == [[30, 40]]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"relevant_windows": [[30, 41]]}, "outside the video of 40 s: [30, 41]"),
        ({"relevant_windows": [[40, 40.02]]}, "outside the video"),
        ({"relevant_windows": [[-1, 4]]}, "outside the video"),
        ({"relevant_windows": [[4, 4]]}, "a window is empty: [4, 4]"),
        ({"relevant_windows": [[6, 4]]}, "ends before it starts"),
        ({"relevant_windows": [[0, float("nan")]]}, "not finite"),
        ({"relevant_windows": [[0, float("inf")]]}, "not finite"),
        ({"relevant_windows": [[0, 4, 0.5]]}, "list of lists of 2 numbers"),
        ({"relevant_windows": None}, "'relevant_windows' is missing"),
        ({"duration": None}, "'duration' is missing"),
        ({"duration": float("nan")}, "'duration' is not finite"),
        ({"duration": 0}, "'duration' is 0 s"),
        ({"vid": None}, "'vid' is missing"),
        ({"vid": " "}, "'vid' is empty"),
        ({"vid": 5}, "'vid' is not text"),
        ({"query": None}, "'query' is missing"),
        ({"query": ""}, "'query' is empty"),
        ({"qid": None}, "'qid' is missing"),
        ({"qid": 1.5}, "'qid' is neither"),
        ({"relevant_clip_ids": [99], "saliency_scores": [[1, 1, 1]]}, "not different clips of the 20"),
        ({"relevant_clip_ids": [1], "saliency_scores": [[1, 1, 5]]}, "from 0 to 4"),
        ({"pred_relevant_windows": []}, "a prediction, not ground truth"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path, changes, message):
    bad = annotation(2, "b", [[0, 4]], **changes)
    file = lines_of(tmp_path, annotation(1, "a", [[0, 4]]), bad)
    with pytest.raises(UsageError) as caught:
        read_annotations(file)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"{file}, line 2: ")
    assert "\n" not in str(caught.value)


def test_no_match_only_where_it_is_allowed(tmp_path):
    file = lines_of(tmp_path, annotation(1, "a", []))
    assert len(read_annotations(file)) == 1
    with pytest.raises(UsageError, match="line 1: no window in 'relevant_windows'"):
        read_annotations(file, allow_no_match=False)


def test_a_qid_is_there_once(tmp_path):
    file = lines_of(tmp_path, annotation(3, "a", [[0, 4]]), annotation("3", "b", [[0, 4]]))
    with pytest.raises(UsageError, match="line 2: 'qid' 3 is that of line 1, too"):
        read_annotations(file)


@pytest.mark.parametrize(("text", "message"), [("", "empty"), ("{", "line 1: not JSON"), ("[1]", "not a JSON object")])
def test_files_that_are_none(tmp_path, text, message):
    (tmp_path / "a.jsonl").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_annotations(tmp_path / "a.jsonl")
    with pytest.raises(UsageError, match="can't be read"):
        read_annotations(tmp_path / "missing.jsonl")


def test_charades_text_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "a.txt").write_text("3MSZA 24.3 30.4##person turn a light on.\n")
    with pytest.raises(UsageError, match="neither ids nor durations") as caught:
        read_annotations(tmp_path / "a.txt")
    assert caught.value.hint == "convert it to JSON lines"


def test_queries_of_a_test_set_need_no_labels(tmp_path):
    bare = annotation(1, "a", [], relevant_windows=None, duration=None)
    [asked] = read_queries(lines_of(tmp_path, bare))
    assert (asked.query_id, asked.video, asked.query) == ("1", "a", "thing 1")
    with pytest.raises(UsageError, match="line 2: 'relevant_windows' is missing"):  # labels: then all of them
        read_queries(lines_of(tmp_path, annotation(2, "b", [[0, 1]]), bare))


def test_a_split_shares_no_video_and_is_always_the_same(tmp_path):
    file = lines_of(tmp_path, *(annotation(i, f"v{i // 3}", [[0, 4]]) for i in range(30)))
    train, validation = split_by_video(read_annotations(file), 0.3, seed=1)
    assert len(train) == 21
    assert len(validation) == 9
    check_disjoint(train, validation)
    again = split_by_video(read_annotations(file), 0.3, seed=1)
    assert [one.query_id for one in again[1]] == [one.query_id for one in validation]
    with pytest.raises(UsageError, match="is in the training, too"):
        check_disjoint(train, [*validation, train[4]])


def test_one_video_can_not_be_split(tmp_path):
    with pytest.raises(UsageError, match="a single video"):
        split_by_video(read_annotations(lines_of(tmp_path, annotation(1, "a", [[0, 4]]))), 0.5)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("qvhighlights/gt/highlight_train_release.jsonl.gz", 7218),
        ("qvhighlights/gt/highlight_val_release.jsonl", 1550),
        ("charades_sta/charades_test_univtg_format.jsonl", 3720),
        ("others/tacos/tacos_test.jsonl", 4001),
        ("others/anet/activitynet_val.first600.jsonl", 600),
    ],
)
def test_published_annotations_are_sound(name, count):
    if not (PUBLISHED / name).exists():
        pytest.skip(f"{name} is not on this machine")
    found = read_annotations(PUBLISHED / name)
    assert len(found) == count
    assert all(0 <= start < end <= one.duration_s for one in found for start, end in one.windows_s)
