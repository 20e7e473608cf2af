"""Which words are videos and which is the query; and which files are meant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from rdmf_cli.commands import inputs
from rdmf_cli.errors import UsageError, VideoError
from tests import videos
from tests.commands.conftest import Done


def test_the_last_word_is_the_query() -> None:
    assert inputs.understand(["a.mp4", "b.mp4", " a dog "], []) == inputs.Asked(("a.mp4", "b.mp4"), ("a dog",))
    assert inputs.understand(["a.mp4", "b.mp4"], ["x", "y"]) == inputs.Asked(("a.mp4", "b.mp4"), ("x", "y"))


@pytest.mark.parametrize(
    ("words", "queries", "text"),
    [
        (["a.mp4"], [], "no query"),
        ([], ["a dog"], "no video"),
        ([], [], "no query"),
        (["a.mp4", "  "], [], "empty"),
        (["a.mp4", ""], [], "empty"),
        (["a.mp4"], ["a dog", ""], "empty"),
        (["a.mp4", str(Path(__file__))], [], "is a file or folder"),
        (["a.mp4"], ["-", "-"], "only once"),
    ],
)
def test_what_makes_no_sense(words: list[str], queries: list[str], text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        inputs.understand(words, queries)
    assert caught.value.hint


def test_no_queries_on_stdin(rdmf: Callable[..., Done], video: str) -> None:
    done = rdmf("search", video, "-", stdin=b"\n \n")
    assert done.code == 2
    assert "no queries on stdin" in done.err


def test_missing_files_are_told_at_once() -> None:
    with pytest.raises(VideoError, match="no such file"):
        inputs.find(("nowhere.mp4",))
    with pytest.raises(VideoError, match="nor 1 more"):
        inputs.find(("nowhere.mp4", "nor-here.mp4"))
    with pytest.raises(VideoError, match="an address"):
        inputs.find(("https://example.org/a.mp4",))


def test_folders(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no videos in this folder"):
        inputs.find((str(tmp_path),))
    source = videos.constant_rate()
    for name in ("b10.mp4", "b2.mp4"):
        (tmp_path / name).write_bytes(source.read_bytes())
    (tmp_path / "notes.txt").write_text("not a video")
    found = inputs.find((str(tmp_path), str(tmp_path / "b2.mp4"), "missing.mp4"))
    assert found == [tmp_path / "b2.mp4", tmp_path / "b10.mp4", Path("missing.mp4")]
