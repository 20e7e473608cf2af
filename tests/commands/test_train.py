"""`rdmf train`, `classify` and `affect`: from real small videos to F1, and everything that can be wrong."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdmf_cli.commands import session
from tests.affect_media import SECONDS, jerky_and_calm
from tests.fakes import FakeEncoder

Rdmf = Callable[..., Any]

RECIPE = """
kind = "affect"
[data]
labels = "labels.csv"
videos = "videos"
validation_share = 0.34
[fusion]
hidden = 16
heads = 2
[head]
hidden = 16
"""
CLASSES = 'outputs = ["calm", "jerky"]\n'
NUMBERS = 'task = "regression"\noutputs = ["valence", "arousal"]\n'
TRAINING = "[training]\nseeds = [0, 1]\nepochs = 8\nlearning_rate = 3e-3\n"


def data(folder: Path, rows: Sequence[Sequence[object]], recipe: str, head: Sequence[str]) -> Path:
    """Videos, labels and a recipe."""
    (folder / "videos").mkdir(parents=True)
    for path, _ in jerky_and_calm(3):
        shutil.copy(path, folder / "videos" / path.name)
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([head, *rows])
    (folder / "recipe.toml").write_text(recipe)
    return folder / "recipe.toml"


def classes(folder: Path, *more: Sequence[object]) -> Path:
    rows = [(path.name, 0, SECONDS, ("calm", "jerky")[label]) for path, label in jerky_and_calm(3)]
    return data(folder, [*rows, *more], RECIPE + CLASSES + TRAINING, ["video", "start_s", "end_s", "label"])


QUICK = TRAINING.replace("epochs = 8", "epochs = 3")


def numbers(folder: Path) -> Path:
    """Arousal is how jerky it is, valence goes with the number of the video."""
    rows = [
        (path.name, 0, SECONDS, i / 6 - 0.4, 0.8 * label - 0.4 + 0.03 * i)
        for i, (path, label) in enumerate(jerky_and_calm(3))
    ]
    return data(folder, rows, RECIPE + NUMBERS + QUICK, ["video", "start_s", "end_s", "valence", "arousal"])


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a model of jerky motion, made with the built-in encoder, and its data and store are."""
    return tmp_path_factory.mktemp("trained")


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    encoder = FakeEncoder("lite")
    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: encoder)
    return encoder


def model_of(rdmf: Rdmf, trained: Path) -> Path:
    """Trained on the first call, with the real encoder."""
    if not (trained / "model").exists():
        done = rdmf("train", str(classes(trained / "data")), "--out", str(trained / "model"), "--json",
                    "--store", str(trained / "store"))  # fmt: skip
        assert done.code == 0, done.err
        (trained / "train.json").write_text(done.out)
    return trained / "model"


def test_from_files_to_f1(rdmf: Rdmf, trained: Path):
    model = model_of(rdmf, trained)
    report = json.loads((trained / "train.json").read_text())
    assert report["schema"] == "rdmf.train/1"
    assert report["variants"][0]["mean"] > 0.8
    assert len(report["variants"][0]["values"]) == 2
    assert not list(trained.glob(".model.training*"))  # the state is gone once the model is there
    done = rdmf(
        "evaluate", str(model / "predictions.csv"), str(model / "truth.csv"), "--protocol", "classification", "--json"
    )
    measured = json.loads(done.out)
    assert json.dumps(report["validation"]["binary_f1"]) in done.out
    assert measured
    assert "split by video" in (model / "README.md").read_text()


def test_classify_with_a_model(rdmf: Rdmf, trained: Path):
    model = model_of(rdmf, trained)
    store = ("--store", str(trained / "store"))
    jerky, calm = (trained / "data" / "videos" / f"affect-{kind}-0-6.mp4" for kind in ("jerky", "calm"))
    done = rdmf("classify", str(jerky), str(calm), "--model", str(model), "--json", *store)
    document = json.loads(done.out)
    assert document["schema"] == "rdmf.search/1"
    assert document["model"] == {"name": str(model), "kind": "learned"}
    high, low = (np.mean(result["saliency"]["values"]) for result in document["results"])
    assert high > low
    assert [result["query"]["text"] for result in document["results"]] == ["jerky", "jerky"]
    assert document["timings_s"]["encode"] == 0  # streams are from training
    done = rdmf("classify", str(jerky), "--model", str(model), "--threshold", "0.01", *store)
    assert done.code == 0, done.err
    assert "“jerky” in" in done.out
    assert "nearest phrases" in done.err
    done = rdmf("classify", str(calm), "--model", str(model), "--threshold", "1", *store)
    assert done.code == 1
    assert "no confident match" in done.out


def test_models_of_the_other_kind_and_encoders_that_do_not_fit(rdmf: Rdmf, trained: Path, fake: FakeEncoder):
    video = str(jerky_and_calm(1)[0][0])
    if not (trained / "model").exists():
        pytest.skip("no model was trained")
    done = rdmf("affect", video, "--model", str(trained / "model"))
    assert (done.code, done.out) == (4, "")
    assert "rates calm, jerky" in done.err
    done = rdmf("classify", video, "--model", str(trained / "model"))  # a fake encoder of the same name
    assert done.code == 4
    assert "not trained on these" in done.err
    assert "train it again" in done.err


def test_valence_and_arousal(rdmf: Rdmf, fake: FakeEncoder, tmp_path: Path):
    done = rdmf("train", str(numbers(tmp_path / "data")), "--out", str(tmp_path / "model"), "--compare")
    assert done.code == 0, done.err
    for name in ("as in the recipe", "motion alone", "caption alone", "concatenation", "mean CCC (validation)"):
        assert name in done.out
    video = str(jerky_and_calm(1)[0][0])
    done = rdmf("affect", video, "--model", str(tmp_path / "model"))
    assert done.code == 0, done.err
    assert "“valence” in" in done.out
    assert "“arousal” in" in done.out
    assert "lowest" in done.out
    document = json.loads(rdmf("affect", video, "--model", str(tmp_path / "model"), "--json").out)
    for result in document["results"]:
        values = np.array(result["affect"]["values"])
        assert (np.abs(values) <= 1).all()
        np.testing.assert_allclose((1 + values) / 2, result["saliency"]["values"], atol=1e-3)
    assert "rates valence, arousal" in rdmf("classify", video, "--model", str(tmp_path / "model")).err


@pytest.mark.parametrize("command", ["classify", "affect"])
def test_without_a_model_it_says_how_to_get_one(rdmf: Rdmf, command: str):
    done = rdmf(command, "video.mp4")
    assert (done.code, done.out) == (4, "")
    for part in ("rdmf train recipe.toml", "video,start_s,end_s,label", "--zero-shot", 'kind = "affect"'):
        assert part in done.err
    assert len(done.err.split()) < 260  # a minute's reading
    assert rdmf(command, "video.mp4", "--model", "x", "--zero-shot").code == 2
    assert rdmf(command, str(Path(__file__)), "--model", "nonesuch").code == 4


@pytest.mark.parametrize("command", ["classify", "affect"])
def test_ratings_are_exported_and_drawn(rdmf: Rdmf, fake: FakeEncoder, tmp_path: Path, command: str):
    pytest.importorskip("matplotlib")
    video = str(jerky_and_calm(3)[0][0])
    table, picture = tmp_path / "out.csv", tmp_path / "out.png"
    shown = ["--all"] if command == "classify" else ["--threshold", "-1"]
    wish = ["--zero-shot", *shown, "--export", f"csv={table}", "--plot", str(picture)]
    done = rdmf(command, video, *wish)
    assert done.code in (0, 1), done.err
    rows = list(csv.DictReader(table.read_text(encoding="utf-8-sig").splitlines()))
    expected = {"violence"} if command == "classify" else {"valence", "arousal"}
    assert {row["query"] for row in rows} == expected
    assert picture.read_bytes().startswith(b"\x89PNG")
    again = rdmf(command, video, *wish)
    assert again.code == 6  # said before anything is computed
    assert "already exists" in again.err


def test_zero_shot_is_named_as_such(rdmf: Rdmf, fake: FakeEncoder):
    video = str(jerky_and_calm(1)[0][0])
    done = rdmf("classify", video, "--zero-shot", "--all", "--threshold", "0")
    assert done.code == 0, done.err
    assert "zero-shot, encoder lite" in done.out
    assert "two people fighting" in done.err
    document = json.loads(rdmf("classify", video, "--zero-shot", "--json").out)
    assert document["model"] == {"name": "prompts", "kind": "zero-shot"}
    done = rdmf("affect", video, "--zero-shot")
    assert done.code == 0
    assert "“arousal” in" in done.out


def _inverted(folder: Path) -> Path:
    return classes(folder, ("affect-calm-0-6.mp4", 9, 8, "calm"))


def _overlapping(folder: Path) -> Path:
    return classes(folder, ("affect-calm-0-6.mp4", 3, 4, "jerky"))


def _missing(folder: Path) -> Path:
    return classes(folder, ("gone.mp4", 0, 4, "jerky"))


def _one_class(folder: Path) -> Path:
    recipe = classes(folder)
    labels = folder / "labels.csv"
    labels.write_text(labels.read_text().replace(",jerky", ",calm"))
    return recipe


def _unknown_key(folder: Path) -> Path:
    recipe = classes(folder)
    recipe.write_text(recipe.read_text() + "batchsize = 3\n")
    return recipe


@pytest.mark.parametrize(
    ("make", "code", "told"),
    [
        (_inverted, 2, "line 8: the segment ends before it starts"),
        (_overlapping, 2, "line 8: overlaps another segment"),
        (_missing, 3, "line 8: labels for a video that is not there: gone.mp4"),
        (_one_class, 2, "all labels are of one class, none is 'jerky'"),
        (_unknown_key, 2, "unknown key training.batchsize"),
    ],
)
def test_bad_data_is_one_clear_line_before_anything_is_computed(rdmf: Rdmf, tmp_path: Path, make, code, told):
    done = rdmf("train", str(make(tmp_path / "data")), "--out", str(tmp_path / "model"))
    assert (done.code, done.out) == (code, "")
    assert told in done.err
    assert done.err.count("rdmf: error: ") == 1
    assert not (tmp_path / "model").exists()


def test_a_folder_of_something_else_is_not_touched(rdmf: Rdmf, tmp_path: Path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    done = rdmf("train", str(classes(tmp_path / "data")), "--out", str(tmp_path / "mine"))
    assert done.code == 6
    assert "no model folder" in done.err


def test_training_goes_on_without_a_stream_and_says_so(rdmf: Rdmf, fake: FakeEncoder, tmp_path: Path):
    recipe = classes(tmp_path / "data")
    recipe.write_text(recipe.read_text() + '[streams]\ncaptions = "/nowhere/blip"\n')
    done = rdmf("train", str(recipe), "--out", str(tmp_path / "model"))
    assert done.code == 0, done.err
    assert "training on the streams that exist: motion, image" in done.err
    assert json.loads((tmp_path / "model" / "config.json").read_text())["fusion"]["streams"] == ["motion", "image"]


def test_half_a_training_goes_on(rdmf: Rdmf, fake: FakeEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from rdmf_cli.learn.affect import training

    recipe = classes(tmp_path / "data")
    whole = rdmf("train", str(recipe), "--out", str(tmp_path / "whole"), "--json")
    judged = training._judge
    left = [5]

    def judge(*arguments: Any) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        judged(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(training, "_judge", judge)
        assert rdmf("train", str(recipe), "--out", str(tmp_path / "half")).code == 130
    assert not (tmp_path / "half").exists()
    again = rdmf("train", str(recipe), "--out", str(tmp_path / "half"), "--json")
    first, second = (json.loads(done.out) for done in (whole, again))
    assert {**first, "model": ""} == {**second, "model": ""}
    names = ("model.safetensors", "predictions.csv")
    assert all((tmp_path / "whole" / n).read_bytes() == (tmp_path / "half" / n).read_bytes() for n in names)
