"""A store by somebody else: whatever its bytes are, nothing runs, nothing is read or written outside, memory stays."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdmf_cli.encoders.base import FeatureSpec
from rdmf_cli.errors import StoreError
from rdmf_cli.pipeline import calibration
from rdmf_cli.store import Store, VideoFeatures, arrays, features
from tests.fakes import FakeEncoder
from tests.memory import peak_kib

SPEC = FeatureSpec("fake", "f" * 16, 8, "2 fps/1")
CALM = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def some(rows: int = 5) -> VideoFeatures:
    x = np.random.default_rng(0).standard_normal((rows, 8)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    times_s = np.arange(rows) / 2
    return VideoFeatures(x, times_s, np.linspace(0, 1, rows, dtype=np.float32), times_s + 0.1, rows / 2, ("w",))


PACKED = b"".join(features.pack("video", SPEC, some()))


@st.composite
def mutated(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with a few changes of the kinds that parsers stumble over."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["byte", "number", "cut", "remove", "repeat", "end"]))
        if kind == "byte" and data:
            data[place] = draw(st.integers(0, 255))
        elif kind == "number":
            data[place : place + 8] = draw(st.sampled_from([0, 1, 2**31, 2**40, 2**63, 2**64 - 1])).to_bytes(
                8, "little"
            )
        elif kind == "cut":
            data = data[:place]
        elif kind == "remove":
            del data[place : place + draw(st.integers(1, 64))]
        elif kind == "repeat":
            data[place:place] = data[place : place + draw(st.integers(1, 64))]
        else:
            data += draw(st.binary(max_size=64))
    return bytes(data)


def assert_sane(video: VideoFeatures) -> None:
    assert np.isfinite(video.features).all()
    assert np.isfinite(video.times_s).all()
    assert len(video.features) == len(video.times_s) == len(video.change)
    assert video.duration_s >= 0


@CALM
@given(data=mutated(PACKED))
def test_feature_files(data: bytes) -> None:
    """As if the name fitted the content: the checksum protects against accidents, not against people."""
    try:
        found = features.unpack(data, "video", SPEC)
    except features.DamagedFile:
        return
    assert_sane(found)


@CALM
@given(data=mutated(arrays.pack_array("x", np.arange(12, dtype=np.float32).reshape(3, 4))) | st.binary(max_size=300))
def test_arrays(data: bytes) -> None:
    signed = data[:-32] + arrays._digest("x", data[:-32])
    before = peak_kib()
    for content in (data, signed):
        found = arrays.unpack_array("x", content)
        assert found is None or not found.dtype.hasobject
    assert peak_kib() - before < 200_000  # KiB


HEADERS = [
    "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (100000000000,)}",
    "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -1)}",
    "{'descr': '<V1000000000', 'fortran_order': False, 'shape': (4,)}",
    "{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,)}",
    "__import__('os').system('touch /tmp/rdmf-was-here')",
    "(" * 3000,
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.filterwarnings("ignore")
def test_headers_that_ask_for_too_much(header: str) -> None:
    text = header.encode() + b"\n"
    content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(16)
    signed = content + arrays._digest("x", content)
    assert arrays.unpack_array("x", signed) is None
    assert not Path("/tmp/rdmf-was-here").exists()


@pytest.mark.parametrize(
    "array",
    [np.zeros(4, np.float32), np.zeros((3, 3), np.float32), np.zeros((0, 32)), np.array([["a"]]), np.zeros((2, 2, 2))],
)
def test_a_cache_of_another_shape_is_made_again(
    tmp_path: Path, array: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibration, "_demo_frames", lambda height, width: np.zeros((2, height, width, 3), np.uint8))
    encoder = FakeEncoder()
    with Store.open(tmp_path) as store:
        name = f"calibration-{calibration.VERSION}-{encoder.fingerprint}"
        store.save_array(name, array)
        found = calibration.calibrate(encoder, store)
        assert found.bank.shape == (len(calibration.background_queries()), encoder.dim)


@pytest.fixture(scope="module")
def whole_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile") / "store"
    with Store.open(folder) as store:
        store.save("video", SPEC, some(), Path("/somewhere/video.mp4"))
    return folder


def use(folder: Path) -> None:
    """Everything that a search does with a store; StoreError is all that may come."""
    with contextlib.suppress(StoreError), Store.open(folder) as store:
        found = store.load("video", SPEC)
        if found is not None:
            assert_sane(found)
        store.fingerprint_of(folder / "catalogue.sqlite", lambda path: "x" * 32)
        store.load_array("x")
        if not store.read_only:
            store.save("other", SPEC, some(3), Path("/somewhere/other.mp4"))


@settings(CALM, max_examples=40)
@given(data=st.data())
def test_catalogues(whole_store: Path, tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "store"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole_store, folder)
    file = folder / "catalogue.sqlite"
    file.write_bytes(data.draw(mutated(file.read_bytes())))
    use(folder)


NAMES = ["../../../../etc/passwd", "/etc/passwd", "..", "a/b", "\x00", "A" * 64, "é" * 64, "", "0" * 63 + "/"]


@pytest.mark.parametrize("name", NAMES)
def test_names_in_the_catalogue_lead_nowhere(whole_store: Path, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "store"
    shutil.copytree(whole_store, folder)
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as catalogue, catalogue:
        catalogue.execute("UPDATE feature_set SET checksum = ?", (name,))
    with Store.open(folder) as store:
        assert store.load("video", SPEC) is None
        store.save("video", SPEC, some(), Path("/x.mp4"))
        assert store.load("video", SPEC) is not None


def test_triggers_and_views_of_a_strange_catalogue_run_nothing_dangerous(whole_store: Path, tmp_path: Path) -> None:
    """SQL that runs when a row is written: it can spoil the store, but neither load code nor write elsewhere."""
    folder = tmp_path / "store"
    shutil.copytree(whole_store, folder)
    stolen = tmp_path / "stolen"
    with closing(sqlite3.connect(folder / "catalogue.sqlite")) as catalogue, catalogue:
        catalogue.execute("CREATE TRIGGER t AFTER INSERT ON video BEGIN SELECT load_extension('/tmp/x.so'); END")
        catalogue.execute(f"CREATE TRIGGER u AFTER INSERT ON path BEGIN SELECT writefile('{stolen}', 'x'); END")
    use(folder)
    assert not stolen.exists()


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
@pytest.mark.parametrize("place", ["features", "cache", "catalogue.sqlite", "catalogue.sqlite-wal"])
def test_links_lead_nowhere(whole_store: Path, tmp_path: Path, place: str) -> None:
    folder = tmp_path / "store"
    shutil.copytree(whole_store, folder)
    outside = tmp_path / "outside"
    is_file = "sqlite" in place
    outside.write_bytes(b"mine") if is_file else outside.mkdir()
    target = folder / place
    shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)
    target.symlink_to(outside)
    use(folder)
    with contextlib.suppress(StoreError), Store.open(folder) as store:
        store.save_array("x", np.zeros(3))
    assert outside.read_bytes() == b"mine" if is_file else list(outside.iterdir()) == []
