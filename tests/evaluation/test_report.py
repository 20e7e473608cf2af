"""Documents: what intervals are about is what the document says, for every protocol."""

from __future__ import annotations

import json

import numpy as np
import pytest

from benchmarks.evaluate import made_up, write_files
from rdmf_cli.evaluation.options import Options
from rdmf_cli.evaluation.protocols import evaluate
from rdmf_cli.evaluation.report import percent, rounded


def assert_statistic_is_brief(found):
    fractions = found.statistic(np.ones((1, len(found.keys))))[0]
    assert len(fractions) == len(found.brief)
    for (name, value), fraction in zip(found.brief.items(), fractions.tolist(), strict=True):
        assert found.shown(fraction) == (None if value is None else pytest.approx(value, abs=0.0101)), name


@pytest.mark.parametrize("convention", ["moment_detr", "cg_detr", "univtg"])
def test_moments_and_highlights(tmp_path, convention):
    assert_statistic_is_brief(evaluate(*write_files(made_up(40), tmp_path), Options(convention=convention)))


def test_no_match(tmp_path):
    files = write_files(made_up(40), tmp_path)
    rows = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    for place, (said, known) in enumerate(zip(*rows, strict=True)):
        said["relevance"] = {"score": place % 7 / 10, "cutoff": 0.3}
        if place % 3 == 0:
            known["relevant_windows"] = []
    for file, part in zip(files, rows, strict=True):
        file.write_text("".join(json.dumps(row) + "\n" for row in part))
    found = evaluate(*files)
    assert_statistic_is_brief(found)
    assert "NM-AUROC" in found.brief


def test_scores_at_the_threshold_are_positive_everywhere(tmp_path):
    said, known = tmp_path / "said.csv", tmp_path / "known.csv"
    said.write_text("id,score\na,0.5\nb,0.5\nc,0.2\nd,0.9\n")
    known.write_text("id,label\na,1\nb,0\nc,0\nd,1\n")
    found = evaluate(said, known, Options(protocol="classification"))
    assert_statistic_is_brief(found)
    assert found.document["confusion_matrix"] == [[1, 1], [0, 2]]
    assert found.correct is not None
    assert found.correct.tolist() == [True, False, True, True]


def test_domains_and_numbers(tmp_path):
    said, known = tmp_path / "said.jsonl", tmp_path / "known.jsonl"
    rng = np.random.default_rng(2)
    said.write_text("".join(json.dumps({"vid": v, "pred": rng.random(6).tolist()}) + "\n" for v in "abcd"))
    labels = [{"vid": v, "label": rng.integers(0, 2, (6, 1)).tolist(), "domain": "xy"[v > "b"]} for v in "abcd"]
    known.write_text("".join(json.dumps(row) + "\n" for row in labels))
    assert_statistic_is_brief(evaluate(said, known, Options(protocol="youtube")))
    numbers = [
        "id,valence,arousal\n" + "".join(f"{n},{a},{b}\n" for n, (a, b) in enumerate(rng.random((9, 2)))) for _ in "ab"
    ]
    said.write_text(numbers[0])
    known.write_text(numbers[1])
    found = evaluate(said, known, Options(protocol="regression"))
    assert_statistic_is_brief(found)
    assert list(found.document) == ["valence", "arousal", "mean"]


def test_rounding_is_that_of_the_text_of_the_double():
    assert percent(0.12345) == 12.35  # 12.345 is stored as 12.3450000000000006
    assert percent(0.00125) == 0.12  # exactly half, to even
    assert rounded(0.1 + 0.2, None) == 0.1 + 0.2
