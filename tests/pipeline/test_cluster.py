"""`--engine ray` on a real local cluster of two workers: the same library, also if a worker is killed."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.pipeline import upkeep
from rdmf_cli.pipeline.answer import SearchOptions
from rdmf_cli.pipeline.cluster import RayEngine
from rdmf_cli.store import Store
from tests.fakes import FakeEncoder
from tests.pipeline.cluster_source import FakeSource
from tests.pipeline.library_fixtures import COLOURS, ROOT, contents, index, small_videos

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed")
pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Workers must find the tests' own modules."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def source(**changes: Any) -> FakeSource:
    values = {"name": "fake", "models": Path("/nowhere"), "device": "cpu", "batch_size": 32}
    return FakeSource(**{**values, "fingerprint": FakeEncoder().fingerprint, **changes})


def index_with_ray(folder: Path, **changes: Any) -> tuple[Any, Any]:
    with Store.open(folder) as store:
        engine = RayEngine(source(**changes), store, SearchOptions(), 2)
        try:
            return index(store, small_videos(), engine=engine)
        finally:
            engine.close()


@needs_ray
def test_the_same_as_here_bit_for_bit(tmp_path: Path, cluster: None) -> None:
    with Store.open(tmp_path / "here") as store:
        index(store, small_videos())
    summary, _ = index_with_ray(tmp_path / "ray")
    assert (summary.count("indexed"), len(summary.failed)) == (8, 1)
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    for file in (tmp_path / "here" / "features").rglob("*.faiss"):
        assert (tmp_path / "ray" / file.relative_to(tmp_path / "here")).read_bytes() == file.read_bytes()
    summary, _ = index_with_ray(tmp_path / "ray")
    assert (summary.count("unchanged"), summary.count("indexed")) == (8, 0)


@needs_ray
def test_the_video_of_a_killed_worker_is_tried_again(tmp_path: Path, cluster: None) -> None:
    """The red video kills two workers and spares the third; nothing is lost."""
    (tmp_path / "flag.3").touch()
    summary, _ = index_with_ray(tmp_path / "ray", fatal=str(tmp_path / "flag"))
    assert (tmp_path / "flag.1").exists()
    assert (tmp_path / "flag.2").exists()
    assert summary.count("indexed") == len(COLOURS)
    with Store.open(tmp_path / "here") as store:
        index(store, small_videos())
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")
    with Store.open(tmp_path / "ray") as store:
        assert upkeep.verify(store, lambda name: FakeEncoder()).findings == []


@needs_ray
def test_a_video_that_ends_every_worker_fails_alone(tmp_path: Path, cluster: None) -> None:
    summary, _ = index_with_ray(tmp_path / "ray", fatal=str(tmp_path / "flag"))
    assert summary.count("indexed") == len(COLOURS) - 1
    assert sorted(event.path.name for event in summary.failed) == ["cut.mp4", "red.mp4"]


@needs_ray
def test_a_worker_with_other_weights_adds_nothing(tmp_path: Path, cluster: None) -> None:
    with pytest.raises(ModelError, match="other weights"):
        index_with_ray(tmp_path / "ray", fingerprint="0" * 32)
    assert contents(tmp_path / "ray")["sets"] == []


@needs_ray
def test_a_cluster_that_is_not_there(tmp_path: Path) -> None:
    with Store.open(tmp_path) as store, pytest.raises(UsageError, match="no Ray cluster"):
        RayEngine(source(), store, SearchOptions(), 2, address="127.0.0.1:1")
