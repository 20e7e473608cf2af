"""What the tests of the pipeline share: a small video of colours, and a search without settings or terminal."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from rdmf_cli.media import ffmpeg_frames
from rdmf_cli.pipeline import calibration
from rdmf_cli.pipeline.answer import Outcome, SearchOptions
from rdmf_cli.pipeline.modes import PATTERN_MODE
from rdmf_cli.pipeline.search import search_videos
from rdmf_cli.store import Store
from tests.fakes import FakeEncoder, plain_pictures
from tests.videos import folder, run_ffmpeg

RED_S = (4.0, 7.0)  # where the video of colours is red


@dataclass
class Ears:
    """A Progress that remembers."""

    warnings: list[str] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)
    running: int = 0

    def start(self, task: str, total: float | None, unit: str) -> None:
        self.tasks.append(task)
        self.running += 1

    def advance(self, amount: float) -> None:
        assert amount >= 0

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def finish(self) -> None:
        self.running -= 1


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture(scope="session")
def colours() -> Path:
    """Grey to 4 s, red to 7 s, blue to 12 s, with cuts between."""
    path = folder() / "pipeline-colours.mp4"
    shots = "color=gray:s=96x54:r=10:d=4[a];color=red:s=96x54:r=10:d=3[b];color=blue:s=96x54:r=10:d=5[c]"
    run_ffmpeg("-f", "lavfi", "-i", f"{shots};[a][b][c]concat=n=3,format=yuv420p", "-c:v", "libx264", path)
    return path


@pytest.fixture(autouse=True)
def quick_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few plain pictures in place of the demo video's frames."""

    monkeypatch.setattr(calibration, "_demo_frames", plain_pictures)


@pytest.fixture
def encoder() -> FakeEncoder:
    return FakeEncoder()


@pytest.fixture
def store(tmp_path: Path, ears: Ears) -> Any:
    with Store.open(tmp_path / "store", ears) as opened:
        yield opened


@pytest.fixture
def search(encoder: FakeEncoder, ears: Ears) -> Any:
    """search(videos, queries, store=...) -> Outcome."""

    def run(videos: list[Path] | Path, queries: list[str] | str = "something red", **changes: Any) -> Outcome:
        options = SearchOptions(**{name: changes.pop(name) for name in list(changes) if name in vars(SearchOptions())})
        arguments = {"encoder": encoder, "store": None, "options": options, "progress": ears} | changes
        arguments.setdefault("mode", PATTERN_MODE)
        return search_videos(
            [videos] if isinstance(videos, Path) else videos,
            [queries] if isinstance(queries, str) else queries,
            **arguments,
        )

    return run


@pytest.fixture
def decoders(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Every ffmpeg that is started from now on."""
    started: list[Any] = []

    class Watched(ffmpeg_frames.Child):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            started.append(self)

    monkeypatch.setattr(ffmpeg_frames, "Child", Watched)
    return started
