"""--fusion, --model and --explain: which mode answers, what is said of it, and one line for what can't be used."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdmf_cli.commands import session
from rdmf_cli.pipeline import calibration, learned
from tests import moment_folders
from tests.commands.conftest import Done
from tests.commands.test_library_search import check_schema
from tests.commands.test_pictures import HAS_MATPLOTLIB, needs_matplotlib
from tests.export.test_explain import check_document
from tests.fakes import FakeEncoder, plain_pictures
from tests.videos import folder, run_ffmpeg

Rdmf = Callable[..., Done]
PATTERN = {"name": "pattern", "kind": "pattern"}
SHIPPED = {"name": "rdmf-shipped", "kind": "learned"}


@pytest.fixture(scope="module")
def colours() -> Path:
    """Grey to 4 s, red to 7 s, blue to 12 s."""
    path = folder() / "three-colours.mp4"
    shots = "color=gray:s=96x54:r=10:d=4[a];color=red:s=96x54:r=10:d=3[b];color=blue:s=96x54:r=10:d=5[c]"
    run_ffmpeg("-f", "lavfi", "-i", f"{shots};[a][b][c]concat=n=3,format=yuv420p", "-c:v", "libx264", path)
    return path


@pytest.fixture(autouse=True)
def no_shipped_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what a test puts into RDMF_MODELS is there, whatever comes with this rdmf."""
    monkeypatch.delenv("RDMF_MODEL")
    monkeypatch.setattr(learned, "DEFAULT_MODEL", "rdmf-shipped")
    monkeypatch.setattr(calibration, "_demo_frames", plain_pictures)
    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: FakeEncoder())


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    return moment_folders.saved(tmp_path / "models" / "rdmf-shipped")


@pytest.fixture
def mine(tmp_path: Path) -> str:
    return str(moment_folders.saved(tmp_path / "mine"))


def model_of(done: Done) -> Any:
    document = json.loads(done.out)
    if document["schema"] == "rdmf.search/1":
        check_schema(document)
    return document["model"]


def test_without_a_model_pattern_mode_answers_and_nothing_is_said(rdmf: Rdmf, colours: Path) -> None:
    done = rdmf("search", str(colours), "something red", "--json")
    assert (done.code, done.err) == (0, "")
    assert model_of(done) == PATTERN


@pytest.mark.usefixtures("shipped")
def test_the_model_that_comes_with_rdmf_answers_unless_another_is_asked_for(
    rdmf: Rdmf, colours: Path, mine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(*options: str) -> Any:
        done = rdmf("search", str(colours), "something red", "--json", *options)
        assert (done.code, done.err) == (0, "")
        return model_of(done)

    assert asked() == asked("--fusion", "learned") == asked("--model", "rdmf-shipped") == SHIPPED
    assert asked("--fusion", "pattern") == PATTERN
    assert (
        asked("--model", mine) == asked("--fusion", "learned", "--model", mine) == {"name": "mine", "kind": "learned"}
    )
    monkeypatch.setenv("RDMF_MODEL", "pattern")
    assert asked() == PATTERN
    assert asked("--fusion", "learned") == SHIPPED
    monkeypatch.setenv("RDMF_MODEL", "auto")
    assert asked() == asked("--fusion", "learned") == SHIPPED
    monkeypatch.setenv("RDMF_MODEL", mine)
    assert asked()["name"] == asked("--fusion", "learned")["name"] == "mine"
    assert asked("--fusion", "pattern") == PATTERN


def test_a_folder_that_happens_to_have_the_models_name_is_not_the_default(
    rdmf: Rdmf, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "rdmf-shipped").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert model_of(rdmf("search", str(colours), "something red", "--json")) == PATTERN


def test_a_damaged_default_is_one_line(rdmf: Rdmf, colours: Path, tmp_path: Path) -> None:
    moment_folders.cut_off(tmp_path / "models" / "rdmf-shipped")
    done = rdmf("search", str(colours), "red", "--json")
    assert (done.code, done.out) == (4, "")
    assert "damaged or cut off" in done.err
    assert rdmf("search", str(colours), "red", "--fusion", "pattern").code == 0


def test_the_heading_names_a_model_that_is_not_the_default(rdmf: Rdmf, colours: Path, shipped: Path, mine: str) -> None:
    def heading(*options: str) -> str:
        return " ".join(rdmf("search", str(colours), "red", *options).out.split())

    assert "model mine, encoder fake" in heading("--model", mine)
    for options in ([], ["--fusion", "learned"], ["--model", str(shipped)], ["--fusion", "pattern"]):
        assert "model" not in heading(*options)


def test_every_search_takes_the_model(rdmf: Rdmf, colours: Path, mine: str) -> None:
    named = {"name": "mine", "kind": "learned"}
    rdmf("search", str(colours), "red", "--model", mine)
    library = rdmf("search", "--library", "red", "--json", "--model", mine)
    assert (library.code, model_of(library)) == (0, named)
    highlights = rdmf("highlights", str(colours), "--query", "red", "--json", "--model", mine)
    assert (highlights.code, model_of(highlights)) == (0, named)
    for places in ([], [str(colours)]):
        shell = rdmf("shell", *places, "--model", mine, stdin=b"red\nblue\n")
        assert shell.code == 0
        assert " ".join(shell.out.split()).count("model mine") == 2


@pytest.mark.usefixtures("shipped")
def test_every_search_uses_the_default(rdmf: Rdmf, colours: Path) -> None:
    for arguments in (
        ["search", str(colours), "red"],
        ["search", "--library", "red"],
        ["highlights", str(colours), "--query", "red"],
    ):
        assert model_of(rdmf(*arguments, "--json")) == SHIPPED
    for places in ([], [str(colours)]):
        shell = rdmf("shell", *places, stdin=b"red\n")
        assert (shell.code, "model" in shell.out) == (0, False)


def test_a_second_search_gives_the_same_answer(rdmf: Rdmf, colours: Path, mine: str) -> None:
    one, two = (json.loads(rdmf("search", str(colours), "red", "--json", "--model", mine).out) for _ in range(2))
    assert two.pop("timings_s")["decode"] == 0 < one.pop("timings_s")["decode"]
    assert one == two


# --- bad input --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", moment_folders.BAD)
def test_a_model_that_cannot_be_used_is_one_line(rdmf: Rdmf, colours: Path, tmp_path: Path, case: str) -> None:
    make, text = moment_folders.BAD[case]
    done = rdmf("search", str(colours), "red", "--model", str(make(tmp_path / "model")), "--json")
    assert (done.code, done.out) == (4, "")
    [line] = [line for line in done.err.splitlines() if line.startswith("rdmf: error: ")]
    assert text in line
    assert len(done.err.splitlines()) <= 2
    assert not (tmp_path / "store" / "features").exists()  # said before anything was decoded


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--model", "nobody-knows-it"], 4, "nobody-knows-it: no such model"),
        (["--model", "no/such/folder"], 4, "no model here"),
        (["--fusion", "learned"], 4, "rdmf-shipped: no such model"),
        (["--fusion", "pattern", "--model", "x"], 2, "exclude each other"),
        (["--fusion", "magic"], 2, "--fusion"),
        (["--model", " "], 2, "the name is empty"),
    ],
)
def test_what_makes_no_sense(rdmf: Rdmf, colours: Path, arguments: list[str], code: int, text: str) -> None:
    done = rdmf("search", str(colours), "red", *arguments)
    assert (done.code, done.out) == (code, "")
    assert text in done.err
    assert len(done.err.splitlines()) <= 2


def test_a_wrong_model_stops_every_command(rdmf: Rdmf, colours: Path) -> None:
    rdmf("search", str(colours), "red")
    for arguments in (["search", "--library", "red"], ["highlights", str(colours), "-q", "red"], ["shell"]):
        done = rdmf(*arguments, "--model", "nobody-knows-it")
        assert (done.code, done.out) == (4, "")
        assert "no such model" in done.err


def test_highlights_without_a_query_need_no_model(rdmf: Rdmf, colours: Path, mine: str) -> None:
    for option in (["--model", mine], ["--fusion", "pattern"]):
        done = rdmf("highlights", str(colours), *option)
        assert (done.code, done.out) == (2, "")
        assert "need --query" in done.err


# --- --explain --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_learned", [False, True])
def test_the_curves_as_json(rdmf: Rdmf, colours: Path, tmp_path: Path, mine: str, is_learned: bool) -> None:
    out = tmp_path / "out.json"
    options = ["--model", mine] if is_learned else ["--fusion", "pattern"]
    done = rdmf(
        "search", str(colours), "-q", "red", "-q", "blue", *options, "--top", "1", "--json", "--explain", str(out)
    )
    assert done.code == 0
    assert done.err == f"rdmf: wrote {out}\n"
    answers, document = json.loads(done.out), json.loads(out.read_text())
    check_document(document)
    assert document["model"] == answers["model"]
    for answer, result in zip(answers["results"], document["results"], strict=True):
        assert result["query"] == answer["query"]["text"]
        assert result["saliency"] == answer["saliency"]["values"]
        assert result["times_s"] == answer["saliency"]["times_s"]
        assert [m["start_s"] for m in result["moments"]] == [m["start_s"] for m in answer["moments"]]
        assert result["cuts_s"] == pytest.approx([4.0, 7.0], abs=0.06)
        assert len(result["channels"]) == (moment_folders.SMALL.fusion.channels if is_learned else 1)


@needs_matplotlib
def test_the_curves_as_a_picture(rdmf: Rdmf, colours: Path, tmp_path: Path, mine: str) -> None:
    for name, options in (("a.png", ["--model", mine]), ("b.svg", ["--fusion", "pattern"])):
        done = rdmf("search", str(colours), "red", *options, "--explain", str(tmp_path / name))
        assert done.code == 0
        assert (tmp_path / name).read_bytes().startswith((b"\x89PNG", b"<?xml"))


def test_the_curves_behind_a_library_search(rdmf: Rdmf, colours: Path, tmp_path: Path) -> None:
    rdmf("search", str(colours), "red")
    out = tmp_path / "out.json"
    assert rdmf("search", "--library", "red", "--explain", str(out)).code == 0
    document = json.loads(out.read_text())
    check_document(document)
    assert len(document["results"]) == 1


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("out.gif", 2, "the name must end in .png, .svg or .json"),
        ("no/out.json", 6, "no such folder"),
        ("taken.json", 6, "already exists"),
    ],
)
def test_a_file_that_cannot_be(
    rdmf: Rdmf, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int, text: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken.json").write_text("mine")
    done = rdmf("search", str(colours), "red", "--explain", name)
    assert (done.code, done.out) == (code, "")
    assert text in done.err
    assert Path("taken.json").read_text() == "mine"


@pytest.mark.skipif(not HAS_MATPLOTLIB, reason="the same without")
def test_json_needs_no_matplotlib(rdmf: Rdmf, colours: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rdmf_cli.export import figures

    monkeypatch.setattr(figures, "find_spec", lambda name: None)
    assert rdmf("search", str(colours), "red", "--explain", str(tmp_path / "out.json")).code == 0
    done = rdmf("search", str(colours), "red", "--explain", str(tmp_path / "out.png"))
    assert (done.code, done.out) == (6, "")
    assert "needs matplotlib" in done.err


def test_a_search_that_finds_nothing_is_explained_too(rdmf: Rdmf, colours: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    assert rdmf("search", str(colours), "nothing in particular", "--explain", str(out)).code == 1
    [result] = json.loads(out.read_text())["results"]
    assert result["moments"] == []
    assert max(result["channels"][0]["u"]) > 0
