"""`rdmf export` and `rdmf search --export`: files, what is said, exit codes."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdmf_cli.commands.options import ExportFormat
from tests.commands.conftest import Done
from tests.export.documents import answer, document

Rdmf = Callable[..., Done]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to be in."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def saved(folder: Path, *answers: dict[str, Any], **more: Any) -> str:
    file = folder / "r.json"
    file.write_text(json.dumps({**document(*answers), **more}), encoding="utf-8")
    return str(file)


# --- rdmf export ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(ExportFormat))
def test_to_standard_output(rdmf: Rdmf, tmp_path: Path, name: str) -> None:
    if name == "otio":
        pytest.importorskip("opentimelineio")
    done = rdmf("export", saved(tmp_path), name)
    assert done.code == 0
    assert "a dog jumps" in done.out
    missing = "rdmf: warning: /videos/holiday.mp4: not there any more; an editor will ask where it is\n"
    assert done.err == (missing if name in ("edl", "fcpxml", "otio") else "")


def test_from_standard_input(rdmf: Rdmf) -> None:
    done = rdmf("export", "-", "srt", stdin=json.dumps(document(answer())).encode())
    assert done.out.startswith("1\n00:00:15,015 --> 00:00:21,021\na dog jumps (0.91)\n")


def test_to_a_file(rdmf: Rdmf, tmp_path: Path, here: Path) -> None:
    done = rdmf("export", saved(tmp_path), "vtt", "-o", "out.vtt")
    assert (done.code, done.out, done.err) == (0, "", "rdmf: wrote out.vtt\n")
    again = rdmf("export", saved(tmp_path), "csv", "-o", "out.vtt")
    assert (again.code, again.out) == (6, "")
    assert "out.vtt: already exists\n  --force replaces it" in again.err
    assert (here / "out.vtt").read_text(encoding="utf-8").startswith("WEBVTT")
    assert rdmf("export", saved(tmp_path), "csv", "-o", "out.vtt", "--force").code == 0
    assert (here / "out.vtt").read_text(encoding="utf-8").startswith("video,")


def test_to_a_folder(rdmf: Rdmf, tmp_path: Path, here: Path) -> None:
    both = saved(tmp_path, answer(), answer("/videos/beach.mp4"))
    assert rdmf("export", both, "srt", "-o", ".").code == 0
    assert sorted(file.name for file in here.iterdir()) == [
        "beach-a-dog-jumps.srt",
        "holiday-a-dog-jumps.srt",
    ]
    assert rdmf("export", both, "csv", "-o", ".").code == 0
    assert (here / "a-dog-jumps-moments.csv").exists()


def test_several_videos_and_one_output(rdmf: Rdmf, tmp_path: Path) -> None:
    both = saved(tmp_path, answer(), answer("/videos/beach.mp4"))
    done = rdmf("export", both, "srt")
    assert (done.code, done.out) == (2, "")
    assert "2 videos, and srt is a file for each\n  name a folder: -o DIR" in done.err
    assert len(rdmf("export", both, "csv").out.splitlines()) == 5


def test_no_confident_match(rdmf: Rdmf, tmp_path: Path, here: Path) -> None:
    weak = saved(tmp_path, answer(relevance=0.2))
    for target in ([], ["-o", "out.srt"]):
        done = rdmf("export", weak, "srt", *target)
        assert (done.code, done.out) == (1, "")
        assert done.err == "rdmf: srt not written: no confident match; --all exports the moments anyway\n"
    assert list(here.iterdir()) == []
    assert "a dog jumps" in rdmf("export", weak, "srt", "--all").out
    assert rdmf("export", weak, "jsonl").code == 0
    none = rdmf("export", saved(tmp_path, answer(moments=[])), "srt", "--all")
    assert (none.code, none.err) == (1, "rdmf: srt not written: no moments\n")


def test_one_refusal_is_the_last_word(rdmf: Rdmf, tmp_path: Path, here: Path) -> None:
    short = answer("/videos/short.mp4", duration_s=25.0, moments=[(1.0, 9.0, 0.9)])
    done = rdmf("export", saved(tmp_path, short, answer()), "youtube", "-o", "y.txt")
    assert done.code == 6
    assert "wrote y-holiday.txt" in done.err
    assert "error: /videos/short.mp4: YouTube wants at least 3 chapters" in done.err
    assert [file.name for file in here.iterdir()] == ["y-holiday.txt"]
    alone = rdmf("export", saved(tmp_path, short), "youtube")
    assert (alone.code, alone.out) == (6, "")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"{}", "not an answer of rdmf search (no schema rdmf.search/1)"),
        (b'{"schema": "rdmf.search/9"}', "rdmf.search/9, but this rdmf reads rdmf.search/1\n  update rdmf"),
        (b'{"schema": "rdmf.search/1"}', "damaged: the document has no 'results'"),
    ],
)
def test_what_is_no_answer(rdmf: Rdmf, tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "r.json").write_bytes(content)
    done = rdmf("export", str(tmp_path / "r.json"), "srt", "-o", str(tmp_path / "out.srt"))
    assert (done.code, done.out) == (2, "")
    assert words in done.err
    assert not (tmp_path / "out.srt").exists()


def test_what_is_not_there(rdmf: Rdmf, tmp_path: Path) -> None:
    done = rdmf("export", str(tmp_path / "none.json"), "srt")
    assert (done.code, done.out) == (2, "")
    assert "none.json: No such file" in done.err
    done = rdmf("export", saved(tmp_path), "srt", "-o", str(tmp_path / "none" / "out.srt"))
    assert (done.code, "no such folder" in done.err) == (6, True)
    assert rdmf("export", saved(tmp_path), "mp3").code == 2


def test_the_video_has_changed(rdmf: Rdmf, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"other")
    done = rdmf("export", saved(tmp_path, answer("a.mp4")), "srt")
    assert done.code == 0
    assert "a.mp4: another file than the one that was searched" in done.err


def test_variable_rate_is_warned_of(rdmf: Rdmf, tmp_path: Path) -> None:
    done = rdmf("export", saved(tmp_path, answer(variable_rate=True)), "edl")
    assert "warning: /videos/holiday.mp4: variable frame rate" in done.err
    assert rdmf("export", saved(tmp_path, answer(variable_rate=True)), "srt").err == ""


# --- rdmf search --export ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("pipeline")
class TestSearch:
    def test_names_of_its_own(self, rdmf: Rdmf, video: str, here: Path) -> None:
        done = rdmf("search", video, "a dog", "--export", "srt", "--export", "csv=list.csv", "--export", "json")
        assert done.code == 0
        assert "“a dog” in" in done.out
        assert done.err.splitlines() == [
            "rdmf: wrote holiday-a-dog.srt",
            "rdmf: wrote list.csv",
            "rdmf: wrote holiday-a-dog.json",
        ]
        assert (here / "holiday-a-dog.srt").read_text(encoding="utf-8").count("-->") == 2
        rows = list(csv.DictReader(io.StringIO((here / "list.csv").read_text(encoding="utf-8"))))
        assert [row["start"] for row in rows] == ["0:00:15.000", "0:00:37.200"]

    def test_both_ways_are_one(self, rdmf: Rdmf, video: str, here: Path) -> None:
        done = rdmf("search", video, "a dog", "--json", "--export", "edl=a.edl", "--top", "1")
        (here / "r.json").write_text(done.out, encoding="utf-8")
        assert rdmf("export", "r.json", "edl", "-o", "b.edl").code == 0
        assert (here / "a.edl").read_bytes() == (here / "b.edl").read_bytes()
        assert (here / "a.edl").read_text(encoding="utf-8").count("FROM CLIP NAME") == 1

    def test_refused_before_the_search(
        self, rdmf: Rdmf, video: str, here: Path, pipeline: Callable[[Any], None]
    ) -> None:
        def search_videos(*arguments: Any, **options: Any) -> Any:
            raise AssertionError("searched")

        pipeline(search_videos)
        (here / "there.srt").touch()
        for word, code, words in (
            ("srt=there.srt", 6, "there.srt: already exists"),
            ("srt=none/x.srt", 6, "none: no such folder"),
            ("srt=none/", 6, "none/: no such folder"),
            ("srt=" + "x" * 300, 6, "too long"),
            ("fcpxml=" + "x" * 300, 6, "too long"),
            ("srt=", 2, "no file behind the ="),
            ("mp3", 2, "no such format"),
            ("srt=-", 2, "standard output holds the answers already"),
        ):
            done = rdmf("search", video, "a dog", "--export", word)
            assert (done.code, done.out) == (code, "")
            assert words in done.err
        done = rdmf("search", video, "a dog", "--export", "srt=x", "--export", "vtt=x")
        assert (done.code, "two exports go to x" in done.err) == (2, True)

    def test_a_video_is_never_replaced(self, rdmf: Rdmf, video: str, here: Path) -> None:
        done = rdmf("search", video, "a dog", "--export", f"srt={video}", "--force")
        assert (done.code, done.out) == (6, "")
        assert "holiday.mp4: this is the video itself" in done.err
        assert Path(video).stat().st_size == 0

    def test_without_the_library(self, rdmf: Rdmf, video: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("rdmf_cli.export.otio.find_spec", lambda name: None)
        done = rdmf("search", video, "a dog", "--export", "otio")
        assert (done.code, done.out) == (6, "")
        assert done.err == "rdmf: error: otio needs the package OpenTimelineIO\n  pip install 'rdmf-cli[editors]'\n"

    def test_a_confident_answer_of_which_nothing_is_left(self, rdmf: Rdmf, video: str, here: Path) -> None:
        done = rdmf("search", video, "a dog", "--min-score", "0.95", "--export", "srt")
        assert (done.code, done.err) == (1, "rdmf: srt not written: no moments\n")

    def test_jsonl_is_that_of_the_option(self, rdmf: Rdmf, video: str, here: Path) -> None:
        done = rdmf("search", video, "-q", "a dog", "-q", "nothing", "--jsonl", "--export", "jsonl=x.jsonl")
        lines = (here / "x.jsonl").read_text(encoding="utf-8").splitlines()
        assert [json.loads(line) for line in lines] == [json.loads(line) for line in done.out.splitlines()]

    def test_no_match_writes_nothing(self, rdmf: Rdmf, video: str, here: Path) -> None:
        done = rdmf("search", video, "nothing", "--export", "srt", "--export", "jsonl")
        assert done.code == 1
        assert "srt not written: no confident match; --all exports the moments anyway" in done.err
        assert [file.name for file in here.iterdir()] == ["holiday-nothing.jsonl"]
        assert rdmf("search", video, "nothing", "--export", "srt", "--all").code == 1
        assert (here / "holiday-nothing.srt").exists()

    def test_no_video_could_be_searched(self, rdmf: Rdmf, tmp_path: Path, here: Path) -> None:
        broken = [str(tmp_path / name) for name in ("broken1.mp4", "broken2.mp4")]
        for name in broken:
            Path(name).touch()
        done = rdmf("search", *broken, "a dog", "--export", "json", "--export", "srt")
        assert done.code == 3
        assert "written" not in done.err
        assert list(here.iterdir()) == []

    def test_several_videos(self, rdmf: Rdmf, video: str, tmp_path: Path, here: Path) -> None:
        (tmp_path / "broken.mp4").touch()
        (tmp_path / "beach.mp4").touch()
        others = [str(tmp_path / "beach.mp4"), str(tmp_path / "broken.mp4")]
        done = rdmf("search", video, *others, "a dog", "--export", "srt=s.srt", "--export", "csv=s.csv")
        assert done.code == 7
        assert sorted(file.name for file in here.iterdir()) == ["s-beach.srt", "s-holiday.srt", "s.csv"]
