"""`rdmf evaluate` as a user meets it: figures, tables, JSON, and one clear line for whatever is wrong."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from rdmf_cli.commands import evaluate
from rdmf_cli.evaluation import protocols
from rdmf_cli.evaluation.conventions import CONVENTIONS

ROOT = Path(__file__).resolve().parents[2]

SAID = [
    {"qid": 1, "vid": "a", "query": "one", "pred_relevant_windows": [[0, 10, 0.9], [20, 30, 0.4]]},
    {"qid": 2, "vid": "a", "query": "two", "pred_relevant_windows": [[50, 60, 0.8], [0, 40, 0.7]]},
    {"qid": 3, "vid": "b", "query": "three", "pred_relevant_windows": [[0, 50, 0.8]]},
]
KNOWN = [
    {"qid": 1, "vid": "a", "query": "one", "duration": 100, "relevant_windows": [[0, 10]]},
    {"qid": 2, "vid": "a", "query": "two", "duration": 100, "relevant_windows": [[0, 30]]},
    {"qid": 3, "vid": "b", "query": "three", "duration": 60, "relevant_windows": [[0, 50], [52, 58]]},
]
SALIENCY = [{**row, "pred_saliency_scores": [float(clip) for clip in range(5)]} for row in SAID]
LABELS = [
    {**row, "duration": 10, "relevant_clip_ids": [3, 4], "saliency_scores": [[1, 2, 3], [4, 4, 4]]} for row in KNOWN
]
CLIPS = [{"vid": "v", "pred": [0.1, 0.9, 0.3]}, {"vid": "w", "pred": [0.3, 0.2]}]
RATED = [{"vid": "v", "label": [[0], [1], [0]], "domain": "dog"}, {"vid": "w", "label": [[1], [0]], "domain": "cat"}]
SCORED = "id,score\nx,0.9\ny,0.2\nz,0.6\n"
CLASSED = "id,label\nx,1\ny,0\nz,0\n"


@pytest.fixture
def put(tmp_path):
    """Writes rows or text as a file and names it."""

    def write(name, content):
        file = tmp_path / name
        text = content if isinstance(content, str) else "".join(json.dumps(row) + "\n" for row in content)
        file.write_text(text, encoding="utf-8")
        return str(file)

    return write


@pytest.fixture
def measure(rdmf, put):
    """The whole program on two files; the document, and what was noted."""

    def run(said, known, *arguments, suffix=".jsonl"):
        done = rdmf("evaluate", put(f"said{suffix}", said), put(f"known{suffix}", known), "--json", *arguments)
        assert done.code == 0, done.err
        return json.loads(done.out), done.err

    return run


def changed(rows, place, **values):
    """`rows` with some values of one of them replaced; None takes a key away."""
    new = {**rows[place], **values}
    kept = {key: value for key, value in new.items() if value is not None}
    return [*rows[:place], kept, *rows[place + 1 :]]


# --- figures ----------------------------------------------------------------------------------------------------------


def test_json_has_the_keys_of_published_files_and_no_others(measure):
    document, notes = measure(SALIENCY, LABELS)
    assert set(document) == {
        *("brief", "full", "long", "middle", "short"),
        *("HL-min-Fair", "HL-min-Good", "HL-min-VeryGood"),
    }
    assert document["brief"]["MR-full-R1@0.5"] == 66.67
    assert document["HL-min-VeryGood"] == {"HL-mAP": 100.0, "HL-Hit1": 100.0}
    assert list(document["full"]["MR-R1"]) == [
        "0.5",
        "0.55",
        "0.6",
        "0.65",
        "0.7",
        "0.75",
        "0.8",
        "0.85",
        "0.9",
        "0.95",
    ]
    assert notes == ""


def test_gzip_is_read_as_is(rdmf, put, tmp_path):
    packed = tmp_path / "said.bin"  # whatever its name
    packed.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in SAID).encode()))
    done = rdmf("evaluate", str(packed), put("known.jsonl", KNOWN), "--json")
    assert json.loads(done.out)["brief"]["MR-full-R1@0.5"] == 66.67


def test_stdin_is_read_once(rdmf, put):
    text = "".join(json.dumps(row) + "\n" for row in SAID).encode()
    done = rdmf("evaluate", "-", put("known.jsonl", KNOWN), "--json", stdin=text)
    assert json.loads(done.out)["brief"]["MR-full-R1@0.5"] == 66.67
    assert "once" in rdmf("evaluate", "-", "-", stdin=text).err


def test_order_of_lines_and_kind_of_qid_do_not_matter(measure):
    usual = measure(SAID, KNOWN)
    assert measure(SAID[::-1], KNOWN) == usual
    assert measure([{**row, "qid": str(row["qid"])} for row in SAID], KNOWN) == usual


def test_empty_range_is_null_zero_or_full_by_convention(measure):
    known = [{**row, "relevant_windows": [[0, 10]]} for row in KNOWN]
    document, notes = measure(SAID, known)
    assert document["long"]["MR-mAP"] == dict.fromkeys(document["full"]["MR-mAP"])
    assert document["brief"]["MR-long-mAP"] is None
    assert "no true window is of the range 'long'" in notes
    zeros = measure(SAID, known, "--convention", "cg_detr")[0]
    assert set(zeros["long"]["MR-mAP"].values()) == {0.0}
    assert "0.525" in zeros["long"]["MR-mAP"]
    full = measure(SAID, known, "--convention", "univtg")[0]
    assert full["long"] == full["full"]


def test_query_without_a_predicted_window_counts_as_0_and_is_told(measure):
    document, notes = measure(changed(SAID, 0, pred_relevant_windows=[]), KNOWN)
    assert document["brief"]["MR-full-R1@0.5"] == 33.33
    assert "without a predicted window, counted as 0: 1 query" in notes


def test_common_measures_what_both_have_and_says_so(measure):
    document, notes = measure(SAID, KNOWN[:2], "--common")
    assert document["brief"]["MR-full-R1@0.5"] == 50.0
    assert "left out: 0 without a prediction, 1 without ground truth" in notes


def test_saliency_of_any_length(measure):
    said = changed(SALIENCY, 1, pred_saliency_scores=[3.0, 1.0, 2.0])  # two clips short
    document, notes = measure(said, LABELS, "--any-saliency-length")
    assert document["HL-min-VeryGood"]["HL-Hit1"] == 66.67
    assert "counts as 0.0: 1 query" in notes
    one_short = changed(SALIENCY, 1, pred_saliency_scores=[0.0, 1.0, 2.0, 3.0])  # as in published files
    assert "counts as 0.0: 1 query" in measure(one_short, LABELS)[1]


def test_saliency_alone(measure):
    said = [{key: value for key, value in row.items() if key != "pred_relevant_windows"} for row in SALIENCY]
    document, notes = measure(said, LABELS)
    assert "full" not in document
    assert document["brief"]["HL-min-VeryGood-Hit1"] == 100.0
    assert "only highlights" in notes


def test_charades_text(measure):
    document, _ = measure(
        [{"qid": n, "vid": "3MSZA", "query": f"person {n}", "pred_relevant_windows": [[0, 10, 1]]} for n in (7, 8)],
        "3MSZA 0.0 5.0##person 8\n3MSZA 0.0 10.0##person 7\n",
        *("--protocol", "charades"),
    )
    assert document["full"]["MR-R1"]["0.5"] == 100.0
    assert document["full"]["MR-R1"]["0.7"] == 50.0
    assert document["full"]["MR-mIoU"] == 75.0
    assert "MR-R5" in document["full"]  # univtg is the default here


def test_youtube_and_tvsum(measure):
    assert measure(CLIPS, RATED, "--protocol", "youtube")[0] == {"cat": 100.0, "dog": 100.0, "AVG": 100.0}
    labels = [[1, 5]] * 4 + [[5, 1]]
    document, notes = measure(
        [{"vid": "v", "pred": [0.1, 0.2, 0.2, 0.4, 0.9]}],
        [{"vid": "v", "label": labels, "domain": "BT"}],
        *("--protocol", "tvsum"),
    )
    assert document == {"BT": 50.0, "AVG": 50.0}
    assert "tied" in notes


def test_names_in_help_are_those_of_the_tables():
    assert [item.value for item in evaluate.Protocol] == list(protocols.PROTOCOLS)
    assert [item.value for item in evaluate.ConventionName] == list(CONVENTIONS)


def test_youtube_with_intervals(measure):
    said = [{"vid": f"{place}", "pred": [0.9, 0.5, place / 10]} for place in range(8)]
    known = [{"vid": f"{place}", "label": [[place % 2], [1], [0]], "domain": "dog"} for place in range(8)]
    document, _ = measure(said, known, "--protocol", "youtube", "--ci")
    low, high = document["ci"]["intervals"]["AVG"]
    assert low < document["AVG"] < high


def test_classification(measure):
    document, _ = measure(SCORED, CLASSED, "--protocol", "classification", suffix=".csv")
    assert document["confusion_matrix"] == [[1, 1], [0, 1]]
    assert (document["binary_f1"], document["macro_f1"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert document["roc_auc"] == 1.0
    stricter, _ = measure(SCORED, CLASSED, "--protocol", "classification", "--threshold", "0.7", suffix=".csv")
    assert stricter["accuracy"] == 1.0
    assert stricter["accuracy_thr050"] == pytest.approx(2 / 3)


def test_columns_and_rows_of_one_csv(rdmf, put):
    file = put("all.csv", "clip,truth,p,model\nx,1,0.9,m\ny,0,0.2,m\nx,1,0.1,n\ny,0,0.2,n\n")
    roles = [part for role in ("id=clip", "label=truth", "score=p") for part in ("--column", role)]
    done = rdmf("evaluate", file, file, "--protocol", "classification", *roles, "--where", "model=n", "--json")
    assert json.loads(done.out)["accuracy"] == 0.5


def test_where_must_find_its_column_and_a_row(rdmf, put):
    files = put("said.csv", SCORED), put("known.csv", CLASSED)
    none = rdmf("evaluate", *files, "--protocol", "classification", "--where", "model=m")
    assert (none.code, "neither file has that column" in none.err) == (2, True)
    empty = rdmf("evaluate", *files, "--protocol", "classification", "--where", "id=q")
    assert (empty.code, "no row has id=q" in empty.err) == (2, True)


def test_regression(measure):
    document, notes = measure(
        "id,valence,arousal\nx,0.1,0\ny,0.2,0\nz,0.4,0\n",
        "id,valence,arousal\nx,0.1,0.3\ny,0.2,0.1\nz,0.4,0.2\n",
        *("--protocol", "regression"),
        suffix=".csv",
    )
    assert document["valence"] == {"ccc": pytest.approx(1), "pearson": pytest.approx(1), "mse": pytest.approx(0)}
    assert document["arousal"]["pearson"] is None
    assert document["mean"]["ccc"] == pytest.approx(0.5)
    assert "arousal pearson: 0/0" in notes


# --- intervals and comparison -----------------------------------------------------------------------------------------


def test_ci_adds_intervals_and_changes_nothing_else(measure):
    plain = measure(SAID, KNOWN)[0]
    document = measure(SAID, KNOWN, "--ci")[0]
    ci = document.pop("ci")
    assert document == plain
    assert set(ci["intervals"]) == set(plain["brief"])
    low, high = ci["intervals"]["MR-full-R1@0.5"]
    assert 0 <= low <= plain["brief"]["MR-full-R1@0.5"] <= high <= 100
    assert (ci["resamples"], ci["level_percent"], ci["resampled"]) == (10_000, 95, "queries")


def test_against_itself_nothing_differs(measure, put):
    against = measure(SAID, KNOWN, "--against", put("other.jsonl", SAID[::-1]))[0]["against"]
    assert {row["difference"] for row in against["differences"].values()} == {0.0}
    assert {row["high"] for row in against["differences"].values()} == {0.0}


def test_against_a_worse_one(measure, put):
    other = put("other.jsonl", [{**row, "pred_relevant_windows": [[90, 99, 1]]} for row in SAID])
    row = measure(SAID, KNOWN, "--against", other)[0]["against"]["differences"]["MR-full-R1@0.5"]
    assert (row["other"], row["difference"]) == (0.0, 66.67)
    assert row["low"] <= row["difference"] <= row["high"]


def test_mcnemar_beside_the_comparison_of_classifiers(measure, put):
    other = put("other.csv", SCORED.replace("0.6", "0.1"))
    document = measure(SCORED, CLASSED, "--protocol", "classification", "--against", other, suffix=".csv")[0]
    assert document["against"]["mcnemar_p"] == 1.0
    assert document["against"]["differences"]["accuracy"]["difference"] == pytest.approx(-1 / 3)


# --- tables -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("columns", ["40", "80"])
def test_tables_show_every_figure_whole(rdmf, put, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    other = put("other.jsonl", SALIENCY)
    done = rdmf("evaluate", other, put("known.jsonl", LABELS), "--convention", "univtg")
    assert done.code == 0
    for text in ("66.67", "mIoU", "R5@.7", "VeryGood", "HIT@1", "middle"):
        assert text in done.out
    assert all(len(line) <= 80 for line in done.out.splitlines())


def test_tables_of_the_other_protocols(rdmf, put):
    scored, classed = put("a.csv", SCORED), put("b.csv", CLASSED)
    done = rdmf("evaluate", scored, classed, "--protocol", "classification", "--ci", "--against", scored)
    assert "macro_f1" in done.out
    assert "called 1" in done.out
    assert "McNemar" in done.out
    done = rdmf("evaluate", put("c.jsonl", CLIPS), put("d.jsonl", RATED), "--protocol", "youtube")
    assert "dog" in done.out
    assert "AVG" in done.out
    numbers = put("e.csv", "id,valence\nx,1\ny,2\n")
    done = rdmf("evaluate", numbers, put("f.csv", "id,valence\nx,1\ny,3\n"), "--protocol", "regression")
    assert "CCC" in done.out


# --- what `rdmf search` says ------------------------------------------------------------------------------------------


def test_search_output_is_a_prediction_file(rdmf, pipeline, put, tmp_path):
    """Two runs, each counting its qids from 1; matched by video and sentence; no match is measured."""
    lines = ""
    for name in ("cat.mp4", "dog.mp4"):
        (tmp_path / name).touch()
        done = rdmf("search", str(tmp_path / name), "-q", "it  jumps", "-q", "nothing of it", "--jsonl")
        assert done.code == 0
        lines += done.out
    known = [
        {"qid": 1001, "vid": "cat.mp4", "query": "it jumps", "duration": 60, "relevant_windows": [[15, 21]]},
        {"qid": 1002, "vid": "dog.mp4", "query": "it jumps", "duration": 60, "relevant_windows": [[0, 5]]},
        {"qid": 1003, "vid": "cat.mp4", "query": "nothing of it", "duration": 60, "relevant_windows": []},
        {"qid": 1004, "vid": "dog", "query": "nothing of it", "duration": 60, "relevant_windows": []},
    ]
    done = rdmf("evaluate", put("said.jsonl", lines), put("known.jsonl", known), "--json")
    assert done.code == 0, done.err
    document = json.loads(done.out)
    assert document["brief"]["MR-full-R1@0.5"] == 50.0
    assert document["no-match"] == {"AUROC": 100.0, "F1-no-match": 100.0, "F1-match": 100.0, "cutoff": 0.5}
    stricter = rdmf("evaluate", put("said.jsonl", lines), put("known.jsonl", known), "--json", "--threshold", "0.1")
    assert json.loads(stricter.out)["no-match"]["F1-no-match"] == 0.0
    table = rdmf("evaluate", put("said.jsonl", lines), put("known.jsonl", known), "--ci")
    assert "2 queries with a match, 2 without" in table.out
    twice = rdmf("evaluate", put("said.jsonl", lines + lines), put("known.jsonl", known))
    assert twice.code == 2
    assert "line 5: “it jumps” in cat.mp4 is a duplicate of line 1" in twice.err


def test_no_match_without_a_relevance_score_is_told(measure):
    document, notes = measure(SAID, changed(KNOWN, 2, relevant_windows=[]))
    assert document["brief"]["MR-full-R1@0.5"] == 50.0
    assert "no relevance score: 1 query" in notes


def test_a_bare_relevance_needs_a_threshold(measure, rdmf, put):
    said, known = [{**row, "relevance": 0.5} for row in SAID], changed(KNOWN, 2, relevant_windows=[])
    assert measure(said, known, "--threshold", "0.4")[0]["no-match"]["AUROC"] == 50.0
    assert "--threshold" in rdmf("evaluate", put("a.jsonl", said), put("b.jsonl", known)).err


# --- whatever is wrong ------------------------------------------------------------------------------------------------

QUERIES = ("qvhighlights", ".jsonl")
BAD = {
    "prediction missing": (QUERIES, SAID[:2], KNOWN, "1 of * have no prediction (first: qid 3, line 3)"),
    "not asked for": (QUERIES, SAID, KNOWN[:2], "1 of * are not asked for (first: qid 3, line 3)"),
    "nothing in common": (QUERIES, [{**row, "qid": f"x{row['qid']}"} for row in SAID], KNOWN, "nothing in common"),
    "prediction twice": (QUERIES, [*SAID, SAID[1]], KNOWN, "line 4: qid 2 is a duplicate of line 2"),
    "truth twice": (QUERIES, SAID, [*KNOWN, KNOWN[0]], "line 4: qid 1 is a duplicate of line 1"),
    "no score": (
        QUERIES,
        changed(SAID, 1, pred_relevant_windows=[[0, 5]]),
        KNOWN,
        "line 2: a window of * has no score",
    ),
    "null score": (QUERIES, changed(SAID, 1, pred_relevant_windows=[[0, 5, None]]), KNOWN, "line 2: *missing (null)"),
    "NaN score": (QUERIES, changed(SAID, 2, pred_relevant_windows=[[0, 5, float("nan")]]), KNOWN, "line 3: *NaN"),
    "text score": (QUERIES, changed(SAID, 2, pred_relevant_windows=[[0, 5, "1"]]), KNOWN, "line 3: *3 numbers"),
    "inverted prediction": (QUERIES, changed(SAID, 0, pred_relevant_windows=[[9, 5, 1]]), KNOWN, "line 1: *before it"),
    "inverted truth": (QUERIES, SAID, changed(KNOWN, 1, relevant_windows=[[9, 5]]), "line 2: *ends before it starts"),
    "infinite truth": (QUERIES, SAID, changed(KNOWN, 1, relevant_windows=[[0, float("inf")]]), "line 2: *not finite"),
    "not JSON": (QUERIES, json.dumps(SAID[0]) + "\n\n{oops\n", KNOWN, "said.jsonl, line 3: not JSON: *column 2"),
    "cut off JSON": (QUERIES, SAID, json.dumps(KNOWN[0])[:-5], "known.jsonl, line 1: not JSON"),
    "a list": (QUERIES, "[1, 2]\n", KNOWN, "line 1: not a JSON object"),
    "empty": (QUERIES, "", KNOWN, "said.jsonl: the file is empty"),
    "blank lines": (QUERIES, SAID, "\n \n", "known.jsonl: the file is empty"),
    "no qid": (QUERIES, changed(SAID, 0, qid=None), KNOWN, "line 1: 'qid' is missing"),
    "odd qid": (QUERIES, changed(SAID, 0, qid=[1]), KNOWN, "line 1: 'qid' is neither"),
    "windows on some lines": (QUERIES, changed(SALIENCY, 1, pred_relevant_windows=None), KNOWN, "line 2: *missing"),
    "scores on some lines": (QUERIES, changed(SALIENCY, 1, pred_saliency_scores=None), KNOWN, "line 2: *missing"),
    "neither": (QUERIES, [{"qid": 1}], KNOWN, "line 1: neither 'pred_relevant_windows' nor"),
    "the wrong way round": (QUERIES, KNOWN, SAID, "known.jsonl, line 1: this is a prediction, not ground truth"),
    "no labels": (QUERIES, SAID, changed(KNOWN, 0, relevant_windows=None), "line 1: 'relevant_windows' is missing"),
    "saliency too short": (QUERIES, changed(SALIENCY, 1, pred_saliency_scores=[1.0]), LABELS, "line 2: 1 *5 clips"),
    "saliency two short": (QUERIES, changed(SALIENCY, 1, pred_saliency_scores=[1.0] * 3), LABELS, "line 2: 3 *5 clips"),
    "saliency too long": (QUERIES, changed(SALIENCY, 1, pred_saliency_scores=[1.0] * 9), LABELS, "line 2: 9 *5 clips"),
    "NaN saliency": (QUERIES, changed(SALIENCY, 2, pred_saliency_scores=[float("nan")] * 5), LABELS, "line 3: *NaN"),
    "labels on some lines": (QUERIES, SALIENCY, changed(LABELS, 1, saliency_scores=None), "line 2: *missing"),
    "too few labels": (QUERIES, SALIENCY, changed(LABELS, 1, saliency_scores=[[1, 1, 1]]), "line 2: 1 *for 2"),
    "endless video": (QUERIES, SALIENCY, changed(LABELS, 1, duration=1e30), "line 2: 'duration' is 1e+30 s"),
    "label of 5": (QUERIES, SALIENCY, changed(LABELS, 1, saliency_scores=[[1, 1, 5]] * 2), "line 2: *0 to 4"),
    "clip beyond": (QUERIES, SALIENCY, changed(LABELS, 1, relevant_clip_ids=[4, 5]), "line 2: *5 that 10 s hold"),
    "NaN relevance": (QUERIES, changed(SAID, 0, relevance=float("nan")), KNOWN, "line 1: 'relevance' is not finite"),
    "two windows": (("charades", ".jsonl"), SAID, KNOWN, "line 3: 2 true windows; charades has one"),
    "odd text line": (("charades", ".jsonl"), SAID, "a 0 1##one\na 0\n", "line 2: not 'VIDEO START END##QUERY'"),
    "inverted text": (("charades", ".jsonl"), SAID, "a 0 1##one\na 5 1##two\n", "line 2: *ends before"),
    "clips for queries": (QUERIES, SAID, RATED, "--protocol youtube"),
    "scores too few": (("youtube", ".jsonl"), changed(CLIPS, 1, pred=[1]), RATED, "line 2: 1 scores for the 2 clips"),
    "NaN clip": (("youtube", ".jsonl"), changed(CLIPS, 1, pred=[1, float("nan")]), RATED, "line 2: *NaN"),
    "null clip": (("youtube", ".jsonl"), changed(CLIPS, 1, pred=[1, None]), RATED, "line 2: *missing (null)"),
    "one annotator": (("tvsum", ".jsonl"), CLIPS, RATED, "line 1: 'label' has 1 annotators"),
    "no domain": (("youtube", ".jsonl"), CLIPS, changed(RATED, 1, domain=None), "line 2: 'domain' is missing"),
    "video missing": (("youtube", ".jsonl"), CLIPS[:1], RATED, "1 of * have no prediction (first: vid w, line 2)"),
    "NaN in CSV": (("classification", ".csv"), SCORED.replace("0.2", "nan"), CLASSED, "line 3: 'score' is not finite"),
    "nothing in CSV": (("classification", ".csv"), SCORED.replace("0.2", ""), CLASSED, "line 3: 'score' is missing"),
    "text in CSV": (("classification", ".csv"), SCORED.replace("0.2", "low"), CLASSED, "line 3: 'score' is not a"),
    "id twice": (("classification", ".csv"), SCORED + "x,0.1\n", CLASSED, "line 5: id x is a duplicate of line 2"),
    "third class": (("classification", ".csv"), SCORED, CLASSED.replace("z,0", "z,2"), "line 4: the label is 2"),
    "too many cells": (("classification", ".csv"), SCORED.replace("0.2", "0.2,1"), CLASSED, "line 3: 3 values for 2"),
    "header only": (("classification", ".csv"), "id,score\n", CLASSED, "a header, but no rows"),
    "one name twice": (("classification", ".csv"), "id,id,score\nx,x,1\n", CLASSED, "line 1: two columns"),
    "unknown column": (("classification", ".csv"), SCORED.replace("score", "p"), CLASSED, "--column score=NAME"),
    "no shared column": (("regression", ".csv"), SCORED, CLASSED, "which columns are predicted?"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(rdmf, put, case):
    (protocol, suffix), said, known, expected = BAD[case]
    done = rdmf("evaluate", put(f"said{suffix}", said), put(f"known{suffix}", known), "--protocol", protocol)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("rdmf: error: ")
    assert len(done.err.splitlines()) <= 2  # and a hint
    place = 0
    for part in expected.split("*"):
        assert part in done.err[place:], done.err
        place = done.err.index(part, place) + len(part)


def test_files_that_cant_be_read(rdmf, put, tmp_path):
    known = put("known.jsonl", KNOWN)
    damaged = tmp_path / "damaged.gz"
    damaged.write_bytes(gzip.compress(json.dumps(SAID[0]).encode())[:-12])
    other = tmp_path / "utf16.jsonl"
    other.write_bytes(b'{"qid": 1}\n' + "ä".encode("utf-16"))
    for file, expected in [
        (tmp_path / "absent.jsonl", "No such file"),
        (tmp_path, "can't be read"),
        (damaged, "damaged gzip"),
        (other, "line 2: not UTF-8"),
    ]:
        done = rdmf("evaluate", str(file), known)
        assert (done.code, done.out) == (2, "")
        assert expected in done.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["--column", "score"],
        ["--column", "colour=red"],
        ["--column", "score=x"],
        ["--where", "=x"],
        ["--threshold", "nan"],
        ["--protocol", "x"],
        ["--protocol", "tvsum", "--convention", "univtg"],
    ],
    ids=" ".join,
)
def test_options_that_make_no_sense(rdmf, put, arguments):
    done = rdmf("evaluate", put("said.jsonl", SAID), put("known.jsonl", KNOWN), *arguments)
    assert (done.code, done.out) == (2, "")


def test_comparison_of_what_cant_be_compared(rdmf, put):
    said, known = put("said.jsonl", SAID), put("known.jsonl", KNOWN)
    fewer = rdmf("evaluate", said, known, "--common", "--against", put("other.jsonl", SAID[:2]))
    assert (fewer.code, "different queries" in fewer.err) == (2, True)
    clips = rdmf("evaluate", put("c.jsonl", CLIPS), put("d.jsonl", RATED), "--protocol", "youtube", "--ci")
    assert (clips.code, "two or more videos in every domain" in clips.err) == (2, True)
    one = rdmf("evaluate", put("a.jsonl", SAID[:1]), put("b.jsonl", KNOWN[:1]), "--ci")
    assert (one.code, "two or more queries" in one.err) == (2, True)


# --- imports ----------------------------------------------------------------------------------------------------------


def test_numpy_is_all_it_needs(put):
    code = (
        "import json, sys; sys.argv = ['rdmf', *sys.argv[1:]]\n"
        "from rdmf_cli.main import run\n"
        "try: run()\n"
        "except SystemExit as leave: code = leave.code\n"
        "sys.stderr.write('\\n' + json.dumps([code or 0, sorted(sys.modules)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "evaluate", put("said.jsonl", SALIENCY), put("known.jsonl", LABELS), "--ci"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        timeout=120,
    )
    exit_code, imported = json.loads(done.stderr.splitlines()[-1])
    assert (exit_code, done.returncode) == (0, 0)
    assert "numpy" in imported
    heavy = ("torch", "faiss", "av", "transformers", "open_clip", "scipy", "sklearn", "PIL", "decord")
    assert [name for name in heavy if name in imported] == []
