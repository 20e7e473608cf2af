"""The evaluation benchmark on a few queries."""

from __future__ import annotations

import json

from benchmarks import evaluate
from rdmf_cli.evaluation.protocols import evaluate as measure


def test_report_names_what_it_measured():
    result = {"commit": None, "machine_line": "a machine", **evaluate.measure(30, 1)}
    text = evaluate.as_markdown(result)
    assert "30 predictions of 10 windows" in text
    assert "files to figures" in text
    assert result["cpu_s"].keys() == result["clock_s"].keys()


def test_files_hold_the_same_queries(tmp_path):
    queries = evaluate.made_up(30)
    document = measure(*evaluate.write_files(queries, tmp_path)).document
    truth = evaluate.moments_one_by_one(queries)
    assert document["full"]["MR-mAP"] == truth["full"]["MR-mAP"]
    highlights = evaluate.highlights_one_by_one(queries)
    assert {name: document[name] for name in highlights} == highlights


def test_made_up_queries_are_always_the_same():
    first, second = evaluate.made_up(3), evaluate.made_up(3)
    assert json.dumps([query["windows"].tolist() for query in first]) == json.dumps(
        [query["windows"].tolist() for query in second]
    )
