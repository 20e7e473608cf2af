"""What the tests of the commands share: a pipeline that answers at once, and a home of their own."""

from __future__ import annotations

import io
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rdmf_cli.errors import VideoError
from rdmf_cli.media.probe import VideoInfo
from rdmf_cli.moments import Moment, Relevance
from rdmf_cli.pipeline.answer import Answer, Failure, Outcome
from tests.fakes import FakeEncoder


def info_of(path: Path, duration_s: float = 60.0) -> VideoInfo:
    return VideoInfo(
        path=path,
        stream_index=0,
        width=640,
        height=360,
        coded_width=640,
        coded_height=360,
        rotation=0,
        sample_aspect=Fraction(1),
        source_fps=Fraction(30000, 1001),
        time_base=Fraction(1, 30000),
        duration_s=duration_s,
        start_time_s=0.0,
        is_variable_rate=False,
        codec="h264",
        pixel_format="yuv420p",
        container="mov,mp4",
        has_audio=False,
        num_frames_claimed=0,
    )


def answer_of(path: Path, query: str, *, relevance: float = 0.8, duration_s: float = 60.0) -> Answer:
    """Two bumps of saliency, the first one higher, and their moments."""
    times = np.arange(0, duration_s, 0.5)
    share = times / duration_s
    saliency = 0.9 * np.exp(-(((share - 0.3) / 0.05) ** 2)) + 0.5 * np.exp(-(((share - 0.7) / 0.08) ** 2))
    moments = (
        Moment(0.25 * duration_s, 0.35 * duration_s, 0.91, 0.3 * duration_s),
        Moment(0.62 * duration_s, 0.78 * duration_s, 0.47, 0.7 * duration_s),
    )
    return Answer(
        info=info_of(path, duration_s),
        video_id="ab" * 16,
        duration_s=duration_s,
        query=query,
        relevance=Relevance(relevance, 0.5),
        moments=moments,
        times_s=times,
        saliency=saliency.astype(np.float32),
    )


def fake_search(videos: list[Path], queries: list[str], **options: Any) -> Outcome:
    """The contract of pipeline/search.py without decoding: `broken` in a file's name fails, `nothing` doesn't match."""
    outcome = Outcome()
    for video in videos:
        if "broken" in video.name or not video.exists():
            if len(videos) == 1:
                raise VideoError(f"{video}: not a video that ffmpeg understands", hint="convert it")
            outcome.failures.append(Failure(str(video), f"{video}: not a video that ffmpeg understands", "convert it"))
            continue
        options["progress"].start(f"searching {video.name}", 60.0, "s")
        for query in queries:
            answer = answer_of(video, query, relevance=0.31 if "nothing" in query else 0.8)
            outcome.answers.append(answer)
            options["on_answer"](answer)
        options["progress"].finish()
    outcome.timings.total_s = 1.25
    return outcome


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No setting of the person who runs the tests, nor her terminal, reaches them."""
    for name in ("STORE", "MODELS", "ENCODER", "DEVICE", "OFFLINE", "FFMPEG"):
        monkeypatch.delenv(f"RDMF_{name}", raising=False)
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "settings.toml").touch()
    monkeypatch.setenv("RDMF_SETTINGS", str(tmp_path / "settings.toml"))
    monkeypatch.setenv("RDMF_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("RDMF_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("RDMF_MODEL", "pattern")  # what answers here is pinned to the mode that no training changes
    return tmp_path


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """`fake_search` instead of the search, a fake encoder; call it to put in another search."""
    import rdmf_cli.pipeline
    from rdmf_cli.commands import session

    def use(search_videos: Any) -> None:
        module = ModuleType("rdmf_cli.pipeline.search")
        module.search_videos = search_videos  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "rdmf_cli.pipeline.search", module)
        monkeypatch.setattr(rdmf_cli.pipeline, "search", module, raising=False)

    monkeypatch.setattr(session, "encoder", lambda settings, batch_size, progress: FakeEncoder())
    use(fake_search)
    return use


@dataclass(frozen=True)
class Done:
    """What a run of the program left behind."""

    code: int
    out: str
    err: str


@pytest.fixture
def rdmf(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., Done]]:
    """The whole program in this process: rdmf("search", ...) -> Done."""
    from rdmf_cli.main import run

    def runner(*arguments: str, stdin: bytes = b"") -> Done:
        monkeypatch.setattr(sys, "argv", ["rdmf", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin), "utf-8"))
        with pytest.raises(SystemExit) as leave:
            run()
        captured = capsys.readouterr()
        return Done(int(leave.value.code or 0), captured.out, captured.err)

    handler = signal.getsignal(signal.SIGINT)
    yield runner
    signal.signal(signal.SIGINT, handler)  # an interrupted run gives it back to the system


@pytest.fixture
def video(tmp_path: Path) -> str:
    """A file that `fake_search` takes for a video."""
    (tmp_path / "holiday.mp4").touch()
    return str(tmp_path / "holiday.mp4")
