"""Every number of every published or reference file, to the last printed digit."""

from __future__ import annotations

import csv
import gzip
import json
import random
from typing import Any

import numpy as np
import pytest

from rdmf_cli.evaluation.classification import mcnemar_p
from rdmf_cli.evaluation.highlights import domain_means, tvsum_precision
from rdmf_cli.evaluation.options import Options
from rdmf_cli.evaluation.protocols import evaluate
from rdmf_cli.evaluation.report import Evaluation
from rdmf_cli.evaluation.scores import class_document
from tests.evaluation.published import need, need_json, num_figures

# Whose evaluator made the published file, and how many numbers it holds.
SETS = {
    "moment_detr_sample": ("moment_detr", 104),
    "qd_detr": ("moment_detr", 104),
    "eatr": ("moment_detr", 104),
    "cg_detr": ("cg_detr", 126),
    "vtg_gpt": ("cg_detr", 126),
    "univtg": ("univtg", 188),
}
EDGE_CASES = (
    "00_baseline",
    "01_windows_shuffled",
    "02_confidence_ties",
    "04_zero_length_and_duplicate_windows",
    "05_saliency_too_short_or_too_long",
    "07_saliency_constant",
    "08_single_window",
    "09_gt_exactly_10s_30s_and_equal_iou",
    "11_no_saliency_field",
    "12_gt_all_positive_or_all_negative_saliency",
    "13_length_range_empty",
)
REFERENCES = {"moment_detr": "moment_detr", "cg_detr": "CGDETR", "univtg": "UniVTG"}


@pytest.mark.parametrize("name", SETS)
def test_qvhighlights(name):
    convention, number = SETS[name]
    folder = need("qvhighlights", "preds", name)
    expected = need_json("qvhighlights", "preds", name, "val_metrics.published.json")
    truth = need("qvhighlights", "gt", "highlight_val_release.jsonl")
    found = evaluate(folder / "val_preds.jsonl.gz", truth, Options(convention=convention))
    assert num_figures(expected) == number
    assert found.document == expected


@pytest.mark.parametrize("convention", REFERENCES)
@pytest.mark.parametrize("case", EDGE_CASES)
def test_edge_cases(case, convention):
    folder = need("qvhighlights", "edge_cases", case)
    options = Options(convention=convention, any_saliency_length=case.startswith("05"))
    found = evaluate(folder / "preds.jsonl.gz", folder / "gt.jsonl.gz", options)
    if case.startswith("13") and convention == "moment_detr":  # the original evaluator crashes
        assert found.document["long"]["MR-mAP"]["average"] is None
        assert found.document["brief"]["MR-long-mAP"] is None
        assert any("'long'" in note for note in found.notes)
        reference = need_json("qvhighlights", "edge_cases", case, "metrics.CGDETR.json")
        for name in ("short", "middle", "full"):
            assert found.document[name]["MR-mAP"] == reference[name]["MR-mAP"]
        return
    assert found.document == need_json("qvhighlights", "edge_cases", case, f"metrics.{REFERENCES[convention]}.json")


def test_every_edge_case_is_tested():
    folder = need("qvhighlights", "edge_cases")
    assert tuple(sorted(path.name for path in folder.iterdir())) == EDGE_CASES
    assert {path.name for path in need("qvhighlights", "preds").iterdir()} == set(SETS)


def test_charades():
    predictions = need("charades_sta", "preds_nms_0.7.jsonl.gz")
    expected = need_json("charades_sta", "metrics.published.json")
    truth = need("charades_sta", "charades_test_univtg_format.jsonl")
    found = evaluate(predictions, truth, Options(protocol="charades"))
    assert num_figures(expected) == 176
    assert found.document == expected


def test_charades_with_the_other_ground_truth(tmp_path):
    """The same predictions, ends clipped to other durations; as Charades-STA's text, which has no qids.

    The figures come with the data. Seven sentences were shortened in the predictions, so theirs are taken.
    """
    predictions = need("charades_sta", "preds_nms_0.7.jsonl.gz")
    windows = [
        row["relevant_windows"][0] for row in rows_of(need("charades_sta", "charades_sta_test_tvr_format.jsonl"))
    ]
    asked = rows_of(need("charades_sta", "charades_test_univtg_format.jsonl"))
    lines = [f"{row['vid']} {s} {e}##{row['query']}\n" for row, (s, e) in zip(asked, windows, strict=True)]
    text = tmp_path / "charades_sta_test.txt"
    text.write_text("".join(lines), encoding="utf-8")
    full = evaluate(predictions, text, Options(protocol="charades")).document["full"]
    assert full["MR-R1"]["0.7"] == 38.58
    assert (full["MR-R5"]["0.5"], full["MR-R5"]["0.7"]) == (84.01, 60.27)
    assert (full["MR-mIoU"], full["MR-mAP"]["average"]) == (52.18, 40.92)


@pytest.mark.parametrize("protocol", ["tacos", "activitynet"])
def test_tacos_and_activitynet_are_read(protocol, tmp_path):
    """No predictions are published: the truth itself as a prediction is perfect."""
    names = {"tacos": ("tacos", "tacos_test.jsonl"), "activitynet": ("anet", "activitynet_val.first600.jsonl")}
    truth = need("others", *names[protocol])
    predictions = tmp_path / "predictions.jsonl"
    with predictions.open("w") as file:
        for row in rows_of(truth):
            windows = [[*window, 1.0] for window in row["relevant_windows"]]
            print(json.dumps({"qid": row["qid"], "vid": row["vid"], "pred_relevant_windows": windows}), file=file)
    found = evaluate(predictions, truth, Options(protocol=protocol))
    assert set(found.document["full"]["MR-R1"].values()) == {100.0}
    assert found.document["full"]["MR-mAP"]["average"] == found.document["full"]["MR-mIoU"] == 100.0


# --- TVSum, YouTube Highlights ----------------------------------------------------------------------------------------

DOMAINS = ("BT", "DS", "GA", "PR", "VT", "VU")
SATURATED = ("DS", "VT")  # many scores of exactly 1.0: the published figure hangs on an unstable sort


@pytest.mark.parametrize("domain", DOMAINS)
def test_tvsum(domain):
    recomputed = need_json("tvsum", "preds", "recomputed.json")
    truth = need("tvsum", "tvsum_val.jsonl")
    found = evaluate(need("tvsum", "preds", f"{domain}.jsonl"), truth, Options(protocol="tvsum", common=True))
    assert set(found.document) == set(need_json("tvsum", "preds", "DS_metrics.published.json")) - {"DS"} | {domain}
    assert found.document[domain] == found.document["AVG"]
    if domain not in SATURATED:
        assert found.document[domain] == recomputed["torch_default_argsort"][domain]
    assert any("tied" in note for note in found.notes) == (domain in SATURATED)


@pytest.mark.parametrize("domain", DOMAINS)
def test_tvsum_with_the_stable_tie_rule(domain):
    recomputed = need_json("tvsum", "preds", "recomputed.json")["stable_argsort_first_index_wins"]
    labels = {row["vid"]: row["label"] for row in rows_of(need("tvsum", "tvsum_val.jsonl"))}
    (row,) = rows_of(need("tvsum", "preds", f"{domain}.jsonl"))
    value = tvsum_precision(np.array(row["pred"]), np.array(labels[row["vid"]]))
    assert round(100 * value, 4) == recomputed[domain]


def test_all_domains_of_tvsum_in_one_file(tmp_path):
    """One file of six domains: each as alone, and AVG is their plain mean."""
    files = [need("tvsum", "preds", f"{domain}.jsonl") for domain in DOMAINS]
    together = tmp_path / "all.jsonl"
    together.write_bytes(b"".join(file.read_bytes().rstrip() + b"\n" for file in files))
    found = evaluate(together, need("tvsum", "tvsum_val.jsonl"), Options(protocol="tvsum", common=True)).document
    stable = need_json("tvsum", "preds", "recomputed.json")["stable_argsort_first_index_wins"]
    assert {name: found[name] for name in DOMAINS} == {name: pytest.approx(stable[name], abs=6e-4) for name in DOMAINS}
    assert found["AVG"] == pytest.approx(np.mean(list(stable.values())), abs=1e-3)


@pytest.mark.parametrize("domain", ["dog", "surfing"])
def test_youtube(domain):
    expected = need_json("youtube_hl", "preds", "recomputed.json")[domain]
    truth = need("youtube_hl", "youtube_valid.jsonl")
    found = evaluate(need("youtube_hl", "preds", f"{domain}.jsonl"), truth, Options(protocol="youtube", common=True))
    assert found.document == {domain: expected["mAP"], "AVG": expected["mAP"]}
    assert found.counts == {domain: expected["videos"]}


def test_average_is_over_domains_not_videos():
    assert domain_means([1.0, 0.0, 0.0, 0.2], ["a", "b", "b", "b"])["AVG"] == pytest.approx((1 + 0.2 / 3) / 2)


# --- violence ---------------------------------------------------------------------------------------------------------

GUARDIAN = ("others", "violence", "guardian_eye_rwf2000")
ROUTING = ("others", "violence", "conditional_routing_2k")


def guardian(model: str, threshold: float) -> Evaluation:
    file = need(*GUARDIAN, "perclip.csv")
    columns = {"score": f"prob__{model}"}
    return evaluate(file, file, Options(protocol="classification", threshold=threshold, columns=columns))


@pytest.mark.parametrize("model", ["E_full_qgf", "E_full_lw"])
def test_guardian(model):
    expected = need_json(*GUARDIAN, f"{model}.test_metrics.published.json")
    found = guardian(model, expected["threshold"]).document
    published = {name: value for name, value in expected.items() if not name.startswith("cal_")}
    if model == "E_full_lw":  # the probabilities were stored rounded, which moves the AUROC alone
        assert found["roc_auc"] == pytest.approx(published.pop("roc_auc"), abs=5e-5)
    assert {name: found[name] for name in published} == published


@pytest.mark.parametrize("model", ["E_full_qgf", "E_full_lw"])
def test_guardian_calibrated(model):
    """The same probabilities with the published temperature, at the published threshold."""
    expected = need_json(*GUARDIAN, f"{model}.test_metrics.published.json")
    rows = table_of(need(*GUARDIAN, "perclip.csv"))
    probability = np.array([float(row[f"prob__{model}"]) for row in rows])
    positive = np.array([row["true_label"] == "1" for row in rows])
    logits = np.log(probability / (1 - probability))
    calibrated = 1 / (1 + np.exp(-logits / expected["cal_temp"]))
    found = class_document(calibrated, positive, expected["cal_threshold"])
    assert found["macro_f1"] == expected["cal_macro_f1"]
    assert found["accuracy"] == expected["cal_accuracy"]
    assert found["roc_auc"] == pytest.approx(expected["cal_roc_auc"], abs=0 if model == "E_full_qgf" else 5e-5)


@pytest.mark.parametrize("model", ["E_full_qgf", "E_full_lw"])
def test_guardian_comparison_table(model):
    rows = table_of(need(*GUARDIAN, "experiment_comparison.csv"))
    row = next(row for row in rows if row["experiment"] == model)
    found = guardian(model, float(row["test_threshold"])).document
    names = {"test_accuracy": "accuracy", "test_macro_f1": "macro_f1", "test_binary_f1": "binary_f1"}
    names |= {"test_macro_f1_thr050": "macro_f1_thr050", "test_accuracy_thr050": "accuracy_thr050"}
    assert {name: found[ours] for name, ours in names.items()} == {name: float(row[name]) for name in names}


def routing(policy: str, **where: str) -> Evaluation:
    file = need(*ROUTING, "frozen_counterfactual_predictions.csv")
    columns = {"score": f"{policy}_pred"}
    return evaluate(file, file, Options(protocol="classification", columns=columns, where=where))


def test_routing_summary():
    expected = need_json(*ROUTING, "frozen_counterfactual_summary.json")
    both = {policy: routing(policy) for policy in ("bypass", "route_on")}
    for policy, found in both.items():
        assert {name: found.document[name] for name in expected[policy]} == expected[policy]
    first, second = both["route_on"].correct, both["bypass"].correct
    assert first is not None
    assert second is not None
    assert mcnemar_p(first, second) == expected["paired_mcnemar"]["exact_two_sided_p"]
    apart = both["route_on"].document["accuracy"] - both["bypass"].document["accuracy"]
    assert apart == pytest.approx(expected["accuracy_difference_route_on_minus_bypass"], abs=1e-15)


def test_routing_bootstrap_over_groups():
    """Our statistics on the draws that the publication made: groups of videos, Python's generator."""
    expected = need_json(*ROUTING, "frozen_counterfactual_summary.json")["semantic_group_bootstrap"]
    groups = [row["semantic_group_id"] for row in table_of(need(*ROUTING, "frozen_counterfactual_predictions.csv"))]
    names = sorted(set(groups))
    member = np.array([names.index(group) for group in groups])
    generator, count = random.Random(expected["seed"]), len(names)
    first, second = routing("route_on").statistic, routing("bypass").statistic
    apart: list[float] = []
    for _ in range(20):  # in blocks, to spare memory
        rows = range(expected["replicates"] // 20)
        drawn = [np.bincount([generator.randrange(count) for _ in names], minlength=count) for _ in rows]
        weights = np.array(drawn, dtype=np.float64)[:, member]
        apart += (first(weights)[:, 0] - second(weights)[:, 0]).tolist()
    published = expected["accuracy_difference_route_on_minus_bypass"]
    assert np.mean(apart) == pytest.approx(published["mean"], abs=1e-15)
    assert np.percentile(apart, [2.5, 97.5]) == pytest.approx(published["ci95_percentile"], abs=1e-15)


def test_routing_by_source():
    for row in table_of(need(*ROUTING, "frozen_counterfactual_sourcewise.csv")):
        found = routing(row["policy"], source_dataset=row["source_dataset"]).document
        for name in ("n", "correct", "accuracy", "macro_f1", "tn", "fp", "fn", "tp"):
            assert found[name] == float(row[name]), (row, name)


def test_external_models_by_source():
    """90 rows: six models, three seeds, five sources, each at its own threshold."""
    predictions = table_of(need(*ROUTING, "external_paired_predictions.csv.gz"))
    models = {row["model_id"] for row in predictions}
    rows = [row for row in table_of(need(*ROUTING, "sourcewise_results.csv")) if row["model_id"] in models]
    assert len(rows) == 90
    for row in rows:
        same = ("model_id", "seed", "source_dataset")
        mine = [one for one in predictions if all(one[name] == row[name] for name in same)]
        scores = np.array([float(one["score_violence"]) for one in mine])
        found = class_document(
            scores, np.array([one["true_label"] == "1" for one in mine]), float(mine[0]["threshold"])
        )
        for name in ("n", "correct", "accuracy", "macro_f1", "tn", "fp", "fn", "tp"):
            assert found[name] == pytest.approx(float(row[name]), abs=1e-12), (row, name)


def test_rows_of_a_table_by_command():
    """The same through files: one model, one seed, one source."""
    file = need(*ROUTING, "external_paired_predictions.csv.gz")
    row = next(row for row in table_of(need(*ROUTING, "sourcewise_results.csv")) if row["model_id"] == "c3d")
    where = {name: row[name] for name in ("model_id", "seed", "source_dataset")}
    found = evaluate(file, file, Options(protocol="classification", threshold=0.55, where=where)).document
    assert (found["n"], found["macro_f1"]) == (int(row["n"]), pytest.approx(float(row["macro_f1"]), abs=1e-12))


def rows_of(file: Any) -> list[dict[str, Any]]:
    """Lines of JSON."""
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]


def table_of(file: Any) -> list[dict[str, str]]:
    """Rows of CSV, read by other means than the program's."""
    opener = gzip.open if file.suffix == ".gz" else open
    with opener(file, "rt", encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))
