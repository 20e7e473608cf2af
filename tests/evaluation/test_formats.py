"""Readers: what formats mean, and that nothing but a UsageError comes out of them."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rdmf_cli.errors import UsageError
from rdmf_cli.evaluation.formats import (
    read_clip_labels,
    read_clip_scores,
    read_predictions,
    read_table,
    read_truths,
)
from rdmf_cli.evaluation.lines import csv_lines

PREDICTION = {
    "qid": 7,
    "vid": "v",
    "query": "a  dog\nruns",
    "pred_relevant_windows": [[0, 2, 0.5]],
    "pred_saliency_scores": [0.5, 1],
    "relevance": {"score": 0.75, "cutoff": 0.5, "confident": True},
}
TRUTH = {
    "qid": 7,
    "vid": "v",
    "query": "a dog runs",
    "duration": 5.9,
    "relevant_windows": [[0, 2], [4, 4]],
    "relevant_clip_ids": [1],
    "saliency_scores": [[2, 3, 4]],
}
CLIPS = {"vid": "v", "pred": [0.5, 1], "label": [[1], [0]], "domain": "dog"}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "file.jsonl"


def test_prediction(file):
    file.write_text(json.dumps(PREDICTION))
    (one,) = read_predictions(file)
    assert (one.key, one.query, one.is_search, one.relevance, one.cutoff) == ("7", "a dog runs", False, 0.75, 0.5)
    assert one.windows is not None
    assert one.windows.dtype == np.float64
    np.testing.assert_array_equal(one.windows, [[0, 2, 0.5]])


@pytest.mark.parametrize("path", ["films/v.mp4", "C:\\films\\v.mp4"])
def test_line_of_a_search_knows_its_file(file, path):
    file.write_text(json.dumps({**PREDICTION, "path": path}))
    (one,) = read_predictions(file)
    assert one.is_search
    assert one.videos == ("v.mp4", "v")


def test_truth_spreads_labels_over_whole_clips(file):
    file.write_text(json.dumps(TRUTH))
    (one,) = read_truths(file)
    assert one.labels is not None
    assert one.labels.tolist() == [[0, 0, 0], [2, 3, 4]]  # 5.9 s hold two whole clips
    assert one.windows is not None
    assert one.windows.tolist() == [[0, 2], [4, 4]]


def test_byte_order_mark_and_windows_line_ends(file):
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(TRUTH).encode() + b"\r\n\r\n")
    assert len(read_truths(file)) == 1
    file.write_bytes(gzip.compress(b"id,score\r\nx,1\r\n"))
    assert read_table(csv_lines(file), "id", ["score"]).values.tolist() == [[1.0]]


def test_charades_text(file):
    file.write_text("3MSZA 24.3 30.4##person turn a light on.\nAB1 0 5##a # b ## c\n")
    first, second = read_truths(file)
    assert (first.key, first.video, first.query) == (None, "3MSZA", "person turn a light on.")
    assert first.windows is not None
    assert first.windows.tolist() == [[24.3, 30.4]]
    assert (second.line.number, second.query) == (2, "a # b ## c")


def test_quoted_csv_counts_lines_of_the_file(file):
    file.write_text('id,note,score\n"x","two\nlines",1\ny,,two\n')
    with pytest.raises(UsageError, match=r"line 4: 'score' is not a number"):
        read_table(csv_lines(file), "id", ["score"])


@pytest.mark.parametrize("text", ['{"qid": 1', "[" * 5000, '{"qid": ' + "1" * 6000 + "}", "\x00", "null", "3"])
def test_what_is_not_an_object(file, text):
    file.write_text(text)
    for read in (read_predictions, read_clip_scores):
        with pytest.raises(UsageError, match="line 1"):
            read(file)


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.sampled_from(["", "1", "nan", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["score", "cutoff"]), inner),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["prediction", "truth", "scores", "labels"]), st.data())
def test_whatever_stands_in_a_field(kind, data):
    read, row = {
        "prediction": (read_predictions, PREDICTION),
        "truth": (read_truths, TRUTH),
        "scores": (read_clip_scores, CLIPS),
        "labels": (lambda path: read_clip_labels(path, one_annotator=True), CLIPS),
    }[kind]
    key = data.draw(st.sampled_from(sorted(row)))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "file.jsonl"
        file.write_text(json.dumps({**row, key: data.draw(ANYTHING)}), encoding="utf-8")
        problem, found = None, []
        try:
            found = read(file)
        except UsageError as error:
            problem = str(error)
    if problem is not None:
        assert "line 1: " in problem
        assert len(problem.splitlines()) == 1
    for one in found:
        arrays = [value for value in vars(one).values() if isinstance(value, np.ndarray)]
        assert all(np.isfinite(array).all() for array in arrays)
