"""A spec, features made from a seed, and a way to run store code in another process."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.encoders.base import FeatureSpec
from rdmf_cli.store import VideoFeatures

ROOT = Path(__file__).resolve().parents[2]
Make = Callable[..., VideoFeatures]

PRELUDE = """
import os, signal, sys
from pathlib import Path
import faiss, numpy as np
from rdmf_cli.encoders.base import FeatureSpec
from rdmf_cli.errors import StoreError
from rdmf_cli.store import Store, VideoFeatures, catalogue, files, folder

SPEC = FeatureSpec("fake", "f" * 16, 8, "2 fps/1")

def make(seed, rows=5):
    x = np.random.default_rng(seed).standard_normal((rows, 8)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    times_s = np.arange(rows) / 2
    return VideoFeatures(x, times_s, np.linspace(0, 1, rows, dtype=np.float32), times_s + 0.1, rows / 2, (f"w{seed}",))

make(0)  # numpy loads its random module only now; a process that gives up its rights could not any more
"""


@pytest.fixture
def spec() -> FeatureSpec:
    return FeatureSpec("fake", "f" * 16, 8, "2 fps/1")


@pytest.fixture
def make() -> Make:
    space: dict[str, Make] = {}
    exec(PRELUDE, space)  # the very function that other processes use
    return space["make"]


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Start:
    """Start PRELUDE + code in a new process; `before` is put in front of the command."""

    def begin(code: str, *arguments: object, before: tuple[str, ...] = ()) -> subprocess.Popen[str]:
        command = [*before, sys.executable, "-c", PRELUDE + code, *map(str, arguments)]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)

    return begin


@dataclass(frozen=True)
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def python(start: Start) -> Callable[..., Done]:
    """Run PRELUDE + code in a new process to its end."""

    def run(code: str, *arguments: object, before: tuple[str, ...] = ()) -> Done:
        with start(code, *arguments, before=before) as process:
            output, errors = process.communicate(timeout=60)
        return Done(process.returncode, output, errors)

    return run


@dataclass
class Ears:
    """A Progress that remembers its warnings."""

    warnings: list[str] = field(default_factory=list)

    def start(self, task: str, total: float | None, unit: str) -> None: ...

    def advance(self, amount: float) -> None: ...

    def warn(self, message: str) -> None:
        self.warnings.append(message)

    def finish(self) -> None: ...


@pytest.fixture
def ears() -> Ears:
    return Ears()


@pytest.fixture
def feature_files() -> Callable[[Path], list[Path]]:
    """Everything that lies under features/ of a store."""
    return lambda folder: sorted(file for file in (folder / "features").rglob("*") if file.is_file())


@pytest.fixture
def assert_same() -> Callable[[VideoFeatures | None, VideoFeatures], None]:
    """Equal, but for the half precision of the rows."""

    def check(found: VideoFeatures | None, expected: VideoFeatures) -> None:
        assert found is not None
        np.testing.assert_allclose(found.features, expected.features, atol=1e-3)
        np.testing.assert_array_equal(found.times_s, expected.times_s)
        np.testing.assert_array_equal(found.change, expected.change)
        np.testing.assert_array_equal(found.change_time_s, expected.change_time_s)
        assert (found.duration_s, found.warnings) == (expected.duration_s, expected.warnings)

    return check
