"""`rdmf search --library` and `rdmf shell`: what they print, where, and their exit codes. Only the encoder is fake."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rdmf_cli.commands import asking, session
from rdmf_cli.errors import UsageError
from rdmf_cli.pipeline import calibration
from tests.commands.conftest import Done
from tests.commands.test_search import check
from tests.fakes import COLOURS, FakeEncoder, plain_pictures
from tests.videos import folder, run_ffmpeg

Rdmf = Callable[..., Done]


@pytest.fixture(scope="module")
def videos() -> Path:
    """A folder of two videos of colours."""
    place = folder() / "library-commands"
    place.mkdir(exist_ok=True)
    for name, shots in (("one", ("gray", "red", "blue")), ("two", ("green", "yellow"))):
        parts = ";".join(f"color={c}:s=96x54:r=10:d=4[{n}]" for n, c in enumerate(shots))
        joined = "".join(f"[{n}]" for n in range(len(shots)))
        graph = f"{parts};{joined}concat=n={len(shots)},format=yuv420p"
        run_ffmpeg("-f", "lavfi", "-i", graph, "-c:v", "libx264", place / f"{name}.mp4")
    return place


@pytest.fixture(autouse=True)
def encoder(monkeypatch: pytest.MonkeyPatch) -> FakeEncoder:
    fake = FakeEncoder()
    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: fake)

    monkeypatch.setattr(calibration, "_demo_frames", plain_pictures)
    return fake


@pytest.fixture
def filled(rdmf: Rdmf, videos: Path) -> Path:
    rdmf("search", str(videos), "red", "--jsonl")
    return videos


def check_schema(document: Any) -> None:
    schema = json.loads((Path(__file__).resolve().parents[2] / "docs" / "search.schema.json").read_text("utf-8"))
    check(document, schema, schema)


def test_a_table_over_all_videos(rdmf: Rdmf, filled: Path) -> None:
    done = rdmf("search", "--library", "something yellow")
    assert (done.code, done.err) == (0, "")
    assert "“something yellow”" in done.out
    assert "2 videos" in done.out
    best = next(line for line in done.out.splitlines() if line.strip().startswith("1 "))
    assert "two.mp4" in best
    assert "0:00:04.000 – 0:00:08.000" in best


def test_nothing_found(rdmf: Rdmf, filled: Path) -> None:
    done = rdmf("search", "--library", "nothing in particular")
    assert done.code == 1
    assert "no confident match" in done.out
    shown = rdmf("search", "--library", "nothing in particular", "--all")
    assert shown.code == 1
    assert ".mp4" in shown.out


def test_json(rdmf: Rdmf, filled: Path) -> None:
    done = rdmf("search", "--library", "-q", "something yellow", "-q", "nothing in particular", "--json")
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    check_schema(document)
    assert document["library"]["videos"] == 2
    first, second = document["library"]["rankings"]
    assert (first["query"], first["relevance"]["confident"]) == ({"text": "something yellow"}, True)
    assert not second["relevance"]["confident"]
    for ranking in (first, second):
        assert [hit["rank"] for hit in ranking["hits"]] == list(range(1, len(ranking["hits"]) + 1))
        for hit in ranking["hits"]:
            result = document["results"][hit["result"]]
            assert result["query"] == ranking["query"]
            assert result["moments"][hit["moment"] - 1]["rank"] == hit["moment"]
    best = document["results"][first["hits"][0]["result"]]
    assert best["video"]["path"].endswith("two.mp4")
    assert best["video"]["width"] == 96


def test_jsonl_and_several_queries_from_stdin(rdmf: Rdmf, filled: Path) -> None:
    done = rdmf("search", "--library", "-", "--jsonl", "--top", "1", stdin=b"yellow\n\nblue\n")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [(line["query"], line["vid"]) for line in lines] == [("yellow", "two"), ("blue", "one")]


def test_queries_from_a_csv_file(rdmf: Rdmf, filled: Path, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_bytes("\ufeffname;Query\nx;yellow\ny;\nz;blue\n".encode())
    done = rdmf("search", "--library", "--queries", str(tmp_path / "q.csv"), "--jsonl", "--top", "1")
    assert [json.loads(line)["query"] for line in done.out.splitlines()] == ["yellow", "blue"]
    one = rdmf("search", str(filled / "one.mp4"), "--queries", str(tmp_path / "q.csv"), "--jsonl")
    assert [json.loads(line)["query"] for line in one.out.splitlines()] == ["yellow", "blue"]


def test_filters_and_limits(rdmf: Rdmf, filled: Path) -> None:
    one = rdmf("search", "--library", "something red", "--path-glob", "two*")
    assert one.code == 1
    assert "1 video," in one.out
    none = rdmf("search", "--library", "something red", "--path-glob", "nowhere")
    assert (none.code, "no video passes the filters" in none.out) == (1, True)
    long = rdmf("search", "--library", "something red", "--min-length", "0:10", "--since", "1h")
    assert (long.code, "1 video," in long.out) == (0, True)
    past = rdmf("search", "--library", "something red", "--since", "2100-01-01")
    assert (past.code, "no video passes the filters" in past.out) == (1, True)


def test_pictures_for_a_video_and_for_the_library(rdmf: Rdmf, filled: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (40, 40), COLOURS["yellow"]).save(tmp_path / "yellow.png")
    found = rdmf("search", "--library", "--image", str(tmp_path / "yellow.png"), "--json", "--top", "1")
    document = json.loads(found.out)
    assert document["results"][0]["video"]["path"].endswith("two.mp4")
    assert document["results"][0]["query"]["image"] == {"path": str(tmp_path / "yellow.png"), "at_s": None}
    single = rdmf("search", str(filled / "two.mp4"), "--at", f"{filled / 'two.mp4'}@0:00:06", "--json")
    [result] = json.loads(single.out)["results"]
    assert result["query"]["image"]["at_s"] == 6.0
    assert result["query"]["weights"] == {"text": 0.0, "image": 1.0, "negative": 0.0}
    assert result["moments"][0]["start_s"] == pytest.approx(4.0, abs=0.3)
    both = rdmf(
        "search", str(filled / "one.mp4"), "red", "--image", str(tmp_path / "yellow.png"), "--not", "blue",
        "--image-weight", "0.2", "--json",
    )  # fmt: skip
    check_schema(json.loads(both.out))
    query = json.loads(both.out)["results"][0]["query"]
    assert (query["text"], query["negatives"]) == ("red", ["blue"])
    assert query["weights"] == {"text": 0.8, "image": 0.2, "negative": 0.5}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--library"], "no query"),
        (["--library", "video.mp4", "red"], "searches all that is indexed"),
        (["--library", "red", "-q", "blue"], "searches all that is indexed"),
        (["--library", "red", "--fps", "1"], "exclude each other"),
        (["--library", "red", "--no-cache"], "exclude each other"),
        (["--library", "red", "--since", "yesterday"], "not a date"),
        (["--library", "red", "--since", ""], "not a date"),
        (["--library", "red", "--min-length", "long"], "not a time"),
        (["--library", "red", "--image-weight", "0.5"], "without a picture"),
        (["--library", "red", "--not-weight", "0.5"], "without --not"),
        (["--library", "red", "--not", " "], "empty"),
        (["--library", "--not", "red"], "no query"),
        (["--library", "--image", "a.png", "--at", "v.mp4@1"], "exclude each other"),
        (["--library", "--at", "v.mp4"], "not a video and a time"),
        (["--library", "--at", "v.mp4@noon"], "not a time"),
        (["--library", "--image", "nothing.png"], "no such image"),
        (["--library", "red", "--image-weight", "2", "--image", "a.png"], "--image-weight"),
        (["--library", "--queries", "nothing.csv"], "no such file"),
        (["one.mp4", "red", "--since", "7d"], "goes with --library only"),
        (["one.mp4", "red", "--per-video", "1"], "goes with --library only"),
        (["one.mp4", "red", "--copies"], "goes with --library only"),
        (["--library", "red", "--json", "--jsonl"], "exclude each other"),
    ],
)
def test_what_makes_no_sense(rdmf: Rdmf, filled: Path, arguments: list[str], text: str) -> None:
    done = rdmf("search", *arguments)
    assert (done.code, done.out) == (2, "")
    assert text in done.err
    assert "Traceback" not in done.err


def test_beyond_the_end_and_not_an_image(rdmf: Rdmf, filled: Path, tmp_path: Path) -> None:
    late = rdmf("search", "--library", "--at", f"{filled / 'one.mp4'}@99")
    assert late.code == 2
    assert "no frame at 0:01:39.000" in late.err
    assert "0:00:12.000" in late.err
    (tmp_path / "photo.jpg").write_text("no picture")
    wrong = rdmf("search", "--library", "--image", str(tmp_path / "photo.jpg"))
    assert (wrong.code, "not an image" in wrong.err) == (2, True)
    gone = rdmf("search", "--library", "--at", f"{tmp_path / 'none.mp4'}@1")
    assert gone.code == 3


def test_an_empty_library(rdmf: Rdmf, tmp_path: Path) -> None:
    done = rdmf("search", "--library", "red", "--store", str(tmp_path / "nowhere"))
    assert (done.code, done.out) == (5, "")
    assert "the library is empty" in done.err
    assert "rdmf index" in done.err
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize(
    ("content", "text"),
    [(b"", "no column"), (b"text\nred\n", "no column 'query' (there is: text)"), (b"query\n\n", "no queries")],
)
def test_csv_files_without_queries(tmp_path: Path, content: bytes, text: str) -> None:
    (tmp_path / "q.csv").write_bytes(content)
    with pytest.raises(UsageError) as caught:
        asking.queries_of(tmp_path / "q.csv")
    assert text in str(caught.value)


def test_shell_from_a_pipe(rdmf: Rdmf, filled: Path) -> None:
    script = b"something yellow\n:top 1\n:nope\n:top x\nnothing in particular\n:all on\nred\n:help\n:quit\nblue\n"
    done = rdmf("shell", stdin=script)
    assert done.code == 0
    assert "“something yellow”" in done.out
    assert "no confident match" in done.out
    assert "two.mp4" in done.out
    assert ":top N" in done.out
    assert "now 1" in done.out
    assert "“blue”" not in done.out
    assert ":nope is not a command" in done.err
    assert ":top takes a number" in done.err


def test_shell_with_videos_pictures_and_negatives(rdmf: Rdmf, filled: Path) -> None:
    video = filled / "one.mp4"
    script = f":not blue\nred\n:not\n:at {video}@5\n\n:at\n:image nothing.png\n\n:at nonsense\n".encode()
    done = rdmf("shell", str(video), stdin=script)
    assert done.code == 0
    assert "“red − blue”" in done.out
    assert "“[one.mp4 at 0:00:05.000]”" in done.out
    assert "no such image" in done.err
    assert "not a video and a time" in done.err


def test_shell_encodes_nothing_twice_and_loads_once(rdmf: Rdmf, filled: Path, encoder: FakeEncoder) -> None:
    rdmf("shell", stdin=b"red\n")  # the first library search measures what pictures are to the encoder
    before = encoder.num_images
    rdmf("shell", stdin=b"red\nblue\nyellow\n")
    assert encoder.num_images == before


def test_shell_on_a_terminal(tmp_path: Path, filled: Path) -> None:
    """Ctrl-C cancels the line, Ctrl-D leaves; the history is kept."""
    code = (
        "import sys; sys.path.insert(0, '.')\n"
        "from rdmf_cli.commands import prompt\n"
        "for line in prompt.lines():\n    print('got', line, flush=True)\nprint('left', flush=True)"
    )
    environment = {**os.environ, "RDMF_SETTINGS": str(tmp_path / "new" / "settings.toml"), "TERM": "dumb"}
    parent, child = pty.openpty()
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=child, stdout=child, stderr=child, cwd=root, env=environment,
        start_new_session=True, preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(child)
    terminal = _Terminal(parent)
    try:
        terminal.wait_for("rdmf> ")
        os.write(parent, b"half a line")
        terminal.wait_for("half a line")  # Python may miss a Ctrl-C that comes before it waits for keys
        time.sleep(0.3)
        os.write(parent, b"\x03")
        terminal.wait_for("rdmf> ")
        os.write(parent, b"a dog\n")
        terminal.wait_for("got a dog")
        terminal.wait_for("rdmf> ")
        os.write(parent, b"\x04")
        terminal.wait_for("left")
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(parent)
    assert "got half" not in terminal.seen
    assert "a dog" in (tmp_path / "new" / "history").read_text()


class _Terminal:
    """What a program has written to a terminal, and how far it was waited for."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._at = 0
        self.seen = ""

    def wait_for(self, text: str) -> None:
        while text not in self.seen[self._at :]:
            ready = select.select([self._descriptor], [], [], 60)[0]
            piece = os.read(self._descriptor, 1000) if ready else b""
            assert piece, self.seen
            self.seen += piece.decode("utf-8", "replace")
        self._at = self.seen.index(text, self._at) + len(text)
