"""Pairs of predictions and truths: by qid, or by video and sentence."""

from __future__ import annotations

import json

import pytest

from rdmf_cli.errors import UsageError
from rdmf_cli.evaluation.formats import read_predictions, read_truths
from rdmf_cli.evaluation.matching import pair_queries


@pytest.fixture
def pairs(tmp_path):
    """Line numbers of what was paired."""

    def run(said, known, *, common=False):
        files = tmp_path / "said.jsonl", tmp_path / "known.jsonl"
        for file, rows in zip(files, (said, known), strict=True):
            file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        found, _ = pair_queries(read_predictions(files[0]), read_truths(files[1]), common=common)
        return [(one.line.number, true.line.number) for one, true in found]

    return run


def searched(path, query, qid=1):
    stem = path.rsplit("/", 1)[-1].rsplit(".", 1)[0]
    relevance = {"score": 0.5, "cutoff": 0.5, "confident": True}
    return {
        "qid": qid,
        "vid": stem,
        "path": path,
        "query": query,
        "relevance": relevance,
        "pred_relevant_windows": [[0, 1, 1]],
    }


def known(vid, query, qid):
    return {"qid": qid, "vid": vid, "query": query, "duration": 10, "relevant_windows": [[0, 1]]}


def test_qids_pair_in_the_order_of_the_truth(pairs):
    said = [{"qid": qid, "pred_relevant_windows": [[0, 1, 1]]} for qid in ("b", "a")]
    assert pairs(said, [known("v", "x", "a"), known("w", "y", "b")]) == [(2, 1), (1, 2)]


def test_equal_qids_of_other_videos_are_told(tmp_path):
    said, truth = tmp_path / "said.jsonl", tmp_path / "known.jsonl"
    rows = [{"qid": qid, "vid": vid, "pred_relevant_windows": []} for qid, vid in (("a", "v.mp4"), ("b", "other"))]
    said.write_text("".join(json.dumps(row) + "\n" for row in rows))
    truth.write_text("".join(json.dumps(known("v", "x", qid)) + "\n" for qid in "ab"))
    _, notes = pair_queries(read_predictions(said), read_truths(truth), common=False)
    assert notes == ["equal qids, but different videos: 1 of 2 (first: line 2)"]


def test_searches_pair_by_video_and_sentence(pairs):
    said = [searched("films/a.mp4", "x"), searched("films/b.mp4", "x"), searched("c.mp4", "x")]
    truth = [known("c", "x", 1), known("b.mp4", "x", 2), known("a.mp4", " x ", 3)]
    assert pairs(said, truth) == [(3, 1), (2, 2), (1, 3)]


def test_files_of_one_stem_are_kept_apart(pairs):
    said = [searched("a.webm", "x"), searched("a.mp4", "x")]
    assert pairs(said, [known("a.mp4", "x", 1), known("a.webm", "x", 2)]) == [(2, 1), (1, 2)]


def test_names_that_end_in_a_time_have_no_suffix(pairs):
    said = [searched("RoripwjYFp8_60.0_210.0.mp4", "x")]
    assert pairs(said, [known("RoripwjYFp8_60.0_210.0", "x", 1)]) == [(1, 1)]


def test_a_sentence_asked_twice_pairs_in_order(pairs):
    truth = [known("a", "x", 1), known("a", "x", 2)]
    assert pairs([searched("a.mp4", "x"), searched("a.mp4", "x")], truth) == [(1, 1), (2, 2)]
    with pytest.raises(UsageError, match=r"line 3: .* duplicate"):
        pairs([searched("a.mp4", "x")] * 3, truth)


def test_what_only_one_has(pairs):
    said = [searched("a.mp4", "x"), searched("a.mp4", "y")]
    with pytest.raises(UsageError, match=r"1 of .*known.* no prediction .* line 2.*; 1 of .*said.* not asked for"):
        pairs(said, [known("a", "x", 1), known("a", "z", 2)])
    assert pairs(said, [known("a", "x", 1), known("a", "z", 2)], common=True) == [(1, 1)]
    with pytest.raises(UsageError, match="nothing in common"):
        pairs(said, [known("b", "x", 1)], common=True)


def test_long_keys_stay_one_line(pairs):
    with pytest.raises(UsageError) as raised:
        pairs([{"qid": "a\nb" * 1000, "pred_relevant_windows": []}], [known("v", "x", 1)], common=True)
    assert len(raised.value.hint) < 250
    assert "\n" not in raised.value.hint
