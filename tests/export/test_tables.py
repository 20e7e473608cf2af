from __future__ import annotations

import csv
import io
import json

from rdmf_cli.export.tables import COLUMNS, clip_saliency, csv_text, json_text, jsonl_text, losslesscut_text
from tests.export.documents import answer, answers_of, document, selection_of


def test_csv_has_human_times_and_seconds() -> None:
    answers = answers_of(answer(), answer("/videos/beach.mp4", query="a cat", moments=[(3661.5, 3662.0, 0.5)]))
    long = answers.selections(show_all=False)
    rows = list(csv.DictReader(io.StringIO(csv_text(answers, long))))
    assert tuple(rows[0]) == COLUMNS
    assert [(row["video"], row["query"], row["rank"]) for row in rows] == [
        ("/videos/holiday.mp4", "a dog jumps", "1"),
        ("/videos/holiday.mp4", "a dog jumps", "2"),
        ("/videos/beach.mp4", "a cat", "1"),
    ]
    assert (rows[0]["start_s"], rows[0]["start"], rows[0]["length_s"]) == ("15.015", "0:00:15.015", "6.006")
    assert (rows[2]["end_s"], rows[2]["end"]) == ("3662.000", "1:01:02.000")


def test_losslesscut_has_no_header_and_is_sorted() -> None:
    text = losslesscut_text(selection_of(answer(query="a, b", moments=[(5.0, 6.0, 0.9), (1.0, 2.5, 0.5)])))
    assert text == '1.000,2.500,"a, b"\n5.000,6.000,"a, b"\n'


def test_json_is_what_was_read() -> None:
    assert json.loads(json_text(answers_of(), [])) == document()


def test_jsonl_is_a_submission() -> None:
    lines = [json.loads(line) for line in jsonl_text(answers_of(), []).splitlines()]
    assert [line["qid"] for line in lines] == [1, 2]
    assert lines[0]["vid"] == "holiday"
    assert lines[0]["pred_relevant_windows"] == [[15.015, 21.021, 0.91], [37.2, 46.8, 0.47]]
    assert len(lines[0]["pred_saliency_scores"]) == 31


def test_saliency_of_clips() -> None:
    saliency = {"times_s": [0.0, 1.0, 5.0], "values": [0.2, 0.4, 0.9]}
    assert clip_saliency(saliency, 6.0) == [0.3, 0.3, 0.9]
    assert clip_saliency({"times_s": [], "values": []}, 0.5) == [0.0]
