"""`rdmf search`: what it prints, where, and its exit code. The search itself is tested in tests/pipeline."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdmf_cli.errors import ModelError, OutputError, StoreError, VideoError
from rdmf_cli.export.clips import CutReport
from rdmf_cli.media.tracks import Colour, Tracks
from rdmf_cli.pipeline.answer import Outcome
from tests.commands.conftest import Done, answer_of, fake_search

Rdmf = Callable[..., Done]
pytestmark = pytest.mark.usefixtures("pipeline")


def raising(error: BaseException) -> Callable[..., Outcome]:
    def search_videos(*arguments: Any, **options: Any) -> Outcome:
        raise error

    return search_videos


def test_found(rdmf: Rdmf, video: str) -> None:
    done = rdmf("search", video, "a dog [red]jumps[/red]")
    assert (done.code, done.err) == (0, "")
    assert "“a dog [red]jumps[/red]” in " in done.out
    assert "encoder fake" in done.out
    lines = done.out.splitlines()
    best = next(line for line in lines if line.strip().startswith("1 "))
    assert "0:00:15.000 – 0:00:21.000" in best
    assert "6.0 s" in best
    assert "0.91" in best
    assert "█████████" in best
    assert any("━1━" in line and "━2━" in line for line in lines)
    assert any("╵0:00" in line and "╵0:50" in line for line in lines)


def test_nothing_found_is_said_honestly(rdmf: Rdmf, video: str) -> None:
    done = rdmf("search", video, "nothing of the kind")
    assert done.code == 1
    assert "no confident match (relevance 0.31 < 0.50)" in done.out
    assert "nearest to it: 0:00:15.000 – 0:00:21.000; --all shows the best moments anyway" in done.out
    assert "0:00:37.200" not in done.out
    assert "━" not in done.out
    shown = rdmf("search", video, "nothing of the kind", "--all")
    assert shown.code == 1
    assert "0:00:15.000" in shown.out
    assert "no confident match" in shown.out
    assert "nearest" not in shown.out
    none = rdmf("search", video, "nothing of the kind", "--min-score", "0.95")
    assert "nearest" not in none.out


def test_one_match_among_several_queries_is_a_match(rdmf: Rdmf, video: str) -> None:
    assert rdmf("search", video, "-q", "nothing", "-q", "a dog").code == 0


def test_top_and_min_score(rdmf: Rdmf, video: str) -> None:
    one = rdmf("search", video, "a dog", "--top", "1")
    assert "0:00:15.000" in one.out
    assert "0:00:37.200" not in one.out
    high = json.loads(rdmf("search", video, "a dog", "--min-score", "0.5", "--json").out)
    assert [moment["rank"] for moment in high["results"][0]["moments"]] == [1]
    none = rdmf("search", video, "a dog", "--min-score", "0.95")
    assert none.code == 1
    assert "no moment scores 0.95 or more" in none.out


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VideoError("v: broken", hint="convert it"), 3),
        (ModelError("no weights"), 4),
        (StoreError("store is locked"), 5),
        (OutputError("disk full"), 6),
        (ZeroDivisionError("division by zero"), 70),
        (KeyboardInterrupt(), 130),
    ],
)
@pytest.mark.parametrize("form", [[], ["--json"], ["--jsonl"]])
def test_errors_become_one_line_and_a_code(
    rdmf: Rdmf, video: str, pipeline: Callable[[Any], None], error: BaseException, code: int, form: list[str]
) -> None:
    pipeline(raising(error))
    done = rdmf("search", video, "a dog", *form)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("rdmf: ")
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) <= 2


def test_some_videos_failed(rdmf: Rdmf, video: str, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").touch()
    done = rdmf("search", str(tmp_path / "broken.mp4"), video, "a dog", "--json")
    assert done.code == 7
    document = json.loads(done.out)
    assert len(document["results"]) == 1
    assert document["failures"][0]["path"].endswith("broken.mp4")
    assert document["failures"][0]["exit_code"] == 3
    assert "broken.mp4: not a video" in done.err
    assert "1 of 2 videos could not be searched" in done.err
    (tmp_path / "broken2.mp4").touch()
    none = rdmf("search", str(tmp_path / "broken.mp4"), str(tmp_path / "broken2.mp4"), "a dog")
    assert none.code == 3
    assert rdmf("search", str(tmp_path / "broken.mp4"), "a dog").code == 3


def check(value: Any, schema: dict[str, Any], root: dict[str, Any], where: str = "$") -> None:
    """What docs/search.schema.json uses of JSON Schema."""
    if "$ref" in schema:
        schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
    if value is None and "null" in schema.get("type", []):
        return
    kinds = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}
    if "type" in schema:
        kind = schema["type"] if isinstance(schema["type"], str) else schema["type"][0]  # the other one is null
        assert isinstance(value, kinds[kind]), where
    assert value == schema.get("const", value), where
    assert value in schema.get("enum", [value]), where
    if "minimum" in schema:
        assert value >= schema["minimum"], where
    if "maximum" in schema:
        assert value <= schema["maximum"], where
    for key in schema.get("required", []):
        assert key in value, f"{where}.{key}"
    if isinstance(value, dict) and "properties" in schema:
        assert set(value) <= set(schema["properties"]) or "additionalProperties" in schema, where
        for key, inner in schema["properties"].items():
            if key in value:
                check(value[key], inner, root, f"{where}.{key}")
    for place, item in enumerate(value if isinstance(value, list) else []):
        check(item, schema["items"], root, f"{where}[{place}]")


def test_json_is_one_document_as_the_schema_says(rdmf: Rdmf, video: str, tmp_path: Path) -> None:
    schema = json.loads((Path(__file__).parents[2] / "docs" / "search.schema.json").read_text(encoding="utf-8"))
    (tmp_path / "broken.mp4").touch()
    done = rdmf("search", video, str(tmp_path / "broken.mp4"), "-q", "ein Hund fährt", "-q", "nothing", "--json")
    document = json.loads(done.out)
    assert done.out.count("\n") == 1
    check(document, schema, schema)
    assert list(document) == ["schema", "encoder", "model", "results", "timings_s", "failures"]
    assert [result["query"]["text"] for result in document["results"]] == ["ein Hund fährt", "nothing"]
    assert document["results"][1]["moments"]  # listed whether confident or not
    assert document["timings_s"]["total"] == 1.25


def test_json_lines_are_predictions(rdmf: Rdmf, video: str) -> None:
    done = rdmf("search", video, "-", "--jsonl", stdin=b"a dog\r\n\n  ein Hund \n")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [(line["qid"], line["query"], line["vid"]) for line in lines] == [
        (1, "a dog", "holiday"),
        (2, "ein Hund", "holiday"),
    ]
    assert lines[0]["pred_relevant_windows"] == [[15.0, 21.0, 0.91], [37.2, 46.8, 0.47]]
    assert len(lines[0]["pred_saliency_scores"]) == 30  # one per two seconds
    assert lines[0]["relevance"]["confident"]


def test_only_answers_on_stdout(rdmf: Rdmf, video: str, pipeline: Callable[[Any], None]) -> None:
    def warning(videos: list[Path], queries: list[str], **options: Any) -> Outcome:
        options["progress"].warn("the end is missing")
        options["progress"].warn("the end is missing")
        return fake_search(videos, queries, **options)

    pipeline(warning)
    done = rdmf("search", video, "a dog", "--json", "--verbose")
    json.loads(done.out)
    assert done.err.count("rdmf: warning: the end is missing") == 1
    assert "time: probe 0.00 s" in done.err
    assert "total 1.25 s" in done.err


def test_long_queries_are_cut_with_a_warning(rdmf: Rdmf, video: str) -> None:
    done = rdmf("search", video, "dog " * 20)
    assert done.code == 0
    assert "warning: the query is longer than fake reads; its end was cut: dog dog" in done.err


def test_a_store_that_cannot_be_used_only_warns(rdmf: Rdmf, video: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = rdmf("search", video, "a dog", "--store", str(tmp_path / "file"))
    assert done.code == 0
    assert done.err.count("warning") == 1
    assert "nothing is kept for the next search" in done.err
    assert rdmf("search", video, "a dog", "--store", str(tmp_path / "file"), "--no-cache").err == ""


def test_what_the_pipeline_gets(rdmf: Rdmf, video: str, pipeline: Callable[[Any], None], tmp_path: Path) -> None:
    seen: dict[str, Any] = {}

    def search_videos(videos: list[Path], queries: list[str], **options: Any) -> Outcome:
        seen.update(options, videos=videos, queries=queries)
        return fake_search(videos, queries, **options)

    pipeline(search_videos)
    options = ["--fps", "0.5", "--batch-size", "8", "--decoder", "decord", "--store", str(tmp_path / "kept")]
    assert rdmf("search", video, " a dog ", *options).code == 0
    chosen = seen["options"]
    assert (chosen.sample_fps, chosen.batch_size, chosen.backend) == (0.5, 8, "decord")
    assert (seen["videos"], seen["queries"]) == ([Path(video)], ["a dog"])
    assert seen["store"].folder == tmp_path / "kept"


def test_clips(rdmf: Rdmf, video: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[Path] = []

    def fake(info: Any, tracks: Any, moment: Any, out: Path, **options: Any) -> CutReport:
        cut.append(out)
        return CutReport()

    monkeypatch.setattr("rdmf_cli.export.clips.cut_clip", fake)
    monkeypatch.setattr("rdmf_cli.export.clips.check_source", lambda info, video_id: None)
    monkeypatch.setattr("rdmf_cli.media.tracks.tracks_of", lambda info: Tracks((), (), Colour(), "h264"))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "holiday.mp4").touch()
    folder = tmp_path / "new" / "clips"
    done = rdmf("search", video, str(tmp_path / "other" / "holiday.mp4"), "a dog", "--clips", str(folder), "--json")
    assert done.code == 0
    json.loads(done.out)
    assert folder.is_dir()
    assert len({file.name for file in cut}) == 4  # the videos are called alike
    assert all(f"wrote {file}" in done.err for file in cut)
    cut.clear()
    rdmf("search", video, "nothing", "--clips", str(folder))
    assert cut == []
    (tmp_path / "file").touch()
    assert rdmf("search", video, "a dog", "--clips", str(tmp_path / "file")).code == 6


@pytest.mark.parametrize("width", [40, 50, 80, 200])
def test_fits_the_terminal(rdmf: Rdmf, video: str, monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out = rdmf("search", video, "a dog").out
    assert max(map(len, out.splitlines())) <= width
    assert "0:00:15.000 – 0:00:21.000" in out
    assert "0.91" in out


def test_no_colour_where_nobody_wants_it(rdmf: Rdmf, video: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "\x1b" not in rdmf("search", video, "a dog").out  # not a terminal
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert "\x1b[" in rdmf("search", video, "a dog").out
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("FORCE_COLOR")
    assert "\x1b" not in rdmf("search", video, "a dog").out


def test_names_cannot_drive_the_terminal(rdmf: Rdmf, tmp_path: Path) -> None:
    file = tmp_path / "a\x1b[2Jb.mp4"
    file.touch()
    done = rdmf("search", str(file), "c\x07d")
    assert "\x1b" not in done.out
    assert "\x07" not in done.out
    assert "c\\x07d" in done.out


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_names_that_are_no_text(rdmf: Rdmf, tmp_path: Path) -> None:
    name = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4")
    Path(name).touch()
    assert rdmf("search", name, "a dog").code == 0
    assert json.loads(rdmf("search", name, "a dog", "--json").out)["results"][0]["video"]["path"] == name


def test_answers_without_snippets(rdmf: Rdmf, video: str, pipeline: Callable[[Any], None]) -> None:
    def search_videos(videos: list[Path], queries: list[str], **options: Any) -> Outcome:
        answer = answer_of(videos[0], queries[0], duration_s=0.5)
        options["on_answer"](answer)
        return Outcome([answer])

    pipeline(search_videos)
    assert rdmf("search", video, "a dog").code == 0
