"""What a caller may rely on: what was saved comes back, and nothing else ever does."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.errors import StoreError
from rdmf_cli.store import Store


def test_saved_features_come_back(tmp_path, spec, make, assert_same):
    features = make(1, 100)
    with Store.open(tmp_path / "a" / "store") as store:
        store.save("video", spec, features, tmp_path / "v.mp4")
        assert_same(store.load("video", spec), features)
    with Store.open(tmp_path / "a" / "store") as store:
        found = store.load("video", spec)
        assert_same(found, features)
    assert (found.features.dtype, found.times_s.dtype) == (np.float32, np.float64)
    assert (found.change.dtype, found.change_time_s.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(np.linalg.norm(found.features, axis=1), 1, atol=1e-6)


def test_unknown_video_is_absent(tmp_path, spec, ears):
    with Store.open(tmp_path, ears) as store:
        assert store.load("video", spec) is None
    assert ears.warnings == []


@pytest.mark.parametrize("change", [{"fingerprint": "0" * 16}, {"dim": 4}, {"sampling": "1 fps/1"}])
def test_other_spec_never_matches(tmp_path, spec, make, change):
    with Store.open(tmp_path) as store:
        store.save("video", spec, make(1), tmp_path / "v.mp4")
        assert store.load("video", replace(spec, **change)) is None
        assert store.load("other", spec) is None


def test_name_for_people_does_not_count(tmp_path, spec, make, assert_same):
    with Store.open(tmp_path) as store:
        store.save("video", spec, make(1), tmp_path / "v.mp4")
        assert_same(store.load("video", replace(spec, encoder="renamed")), make(1))


def test_saving_again_replaces_and_leaves_one_file(tmp_path, spec, make, assert_same, feature_files):
    with Store.open(tmp_path) as store:
        for seed in (1, 2, 2):
            store.save("video", spec, make(seed), tmp_path / "v.mp4")
        assert_same(store.load("video", spec), make(2))
    assert len(feature_files(tmp_path)) == 1


def test_no_rows_and_zero_rows_are_fine(tmp_path, spec, make, assert_same):
    with Store.open(tmp_path) as store:
        store.save("empty", spec, make(1, 0), tmp_path / "v.mp4")
        assert_same(store.load("empty", spec), make(1, 0))
        black = replace(make(1), features=np.zeros((5, 8), np.float32))
        store.save("black", spec, black, tmp_path / "b.mp4")
        assert_same(store.load("black", spec), black)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 3.0])
def test_rows_that_are_not_unit_rows_are_a_bug(tmp_path, spec, make, bad):
    features = make(1).features.copy()
    features[2, 3] = bad
    with Store.open(tmp_path) as store:
        with pytest.raises(ValueError, match="unit length"):
            store.save("video", spec, replace(make(1), features=features), tmp_path / "v.mp4")
        with pytest.raises(ValueError, match="dimensions"):
            store.save("video", replace(spec, dim=9), make(1), tmp_path / "v.mp4")
        assert store.load("video", spec) is None


def test_lengths_must_agree(make):
    with pytest.raises(ValueError, match=r"\(T,\)"):
        replace(make(1), times_s=np.zeros(4))


def test_fingerprint_is_taken_once_while_the_file_stays(tmp_path):
    video, calls = tmp_path / "v.mp4", []
    video.write_bytes(b"abc")

    def compute(path: Path) -> str:
        calls.append(path)
        return path.read_bytes().hex()

    with Store.open(tmp_path / "s") as store:
        assert {store.fingerprint_of(video, compute) for _ in range(3)} == {"616263"}
        assert len(calls) == 1
        video.write_bytes(b"abd")
        os.utime(video, ns=(1, 1))
        assert store.fingerprint_of(video, compute) == "616264"
    with Store.open(tmp_path / "s") as store:
        link = tmp_path / "link.mp4"
        link.symlink_to(video)
        assert store.fingerprint_of(link, compute) == "616264"
    assert len(calls) == 2


def test_file_that_grows_meanwhile_is_not_remembered(tmp_path):
    video = tmp_path / "v.mp4"
    video.write_bytes(b"abc")

    def compute(path: Path) -> str:
        path.write_bytes(path.read_bytes() + b"more")
        return "early"

    with Store.open(tmp_path / "s") as store:
        assert store.fingerprint_of(video, compute) == "early"
        assert store.fingerprint_of(video, lambda path: "late") == "late"


def test_saving_does_not_vouch_for_the_path(tmp_path, spec, make):
    video = tmp_path / "v.mp4"
    video.write_bytes(b"abc")
    with Store.open(tmp_path / "s") as store:
        store.save("old", spec, make(1), video)
        assert store.fingerprint_of(video, lambda path: "now") == "now"


def test_missing_file_is_left_to_compute(tmp_path):
    def compute(path: Path) -> str:
        raise FileNotFoundError(path)

    with Store.open(tmp_path / "s") as store, pytest.raises(FileNotFoundError):
        store.fingerprint_of(tmp_path / "none.mp4", compute)


@pytest.mark.skipif(os.name == "nt", reason="Windows file names are Unicode")
def test_file_name_that_is_not_utf8(tmp_path, spec, make):
    video = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    video.write_bytes(b"abc")
    with Store.open(tmp_path / "s") as store:
        assert store.fingerprint_of(video, lambda path: "x") == "x"
        assert store.fingerprint_of(video, lambda path: "y") == "x"
        store.put_failure(video, f"can't read {video}")
        assert "caf" in (store.failure_of(video) or "")
        store.save("x", spec, make(1), video)
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/st\xf6re"))
    with Store.open(odd) as store:
        store.save("x", spec, make(1), video)


def test_failures_last_until_the_file_changes_or_works(tmp_path, spec, make):
    video = tmp_path / "v.mp4"
    video.write_bytes(b"abc")
    with Store.open(tmp_path / "s") as store:
        assert store.failure_of(video) is None
        store.put_failure(video, "no video stream")
        assert store.failure_of(video) == "no video stream"
        os.utime(video, ns=(1, 1))
        assert store.failure_of(video) is None
        store.put_failure(video, "no video stream")
        store.save("x", spec, make(1), video)
        assert store.failure_of(video) is None


@pytest.mark.parametrize("array", [np.arange(6, dtype=np.float32).reshape(2, 3), np.float64(3), np.zeros((0, 4)), "f"])
def test_arrays_come_back(tmp_path, array):
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3)) if isinstance(array, str) else np.asarray(array)
    with Store.open(tmp_path) as store:
        assert store.load_array("../bank") is None
        store.save_array("../bank", array)
        found = store.load_array("../bank")
        assert found is not None
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(found, array)
        assert found.flags.writeable
        assert store.load_array("bank") is None
    assert len(list((tmp_path / "cache").iterdir())) == 1
    assert not list(tmp_path.parent.glob("bank*"))


def test_arrays_of_objects_are_refused(tmp_path):
    with Store.open(tmp_path) as store, pytest.raises(ValueError):
        store.save_array("x", np.array([object()]))


def test_folder_that_is_a_file(tmp_path):
    (tmp_path / "f").write_text("x")
    for place in (tmp_path / "f", tmp_path / "f" / "below"):
        with pytest.raises(StoreError) as caught:
            Store.open(place)
        assert "\n" not in str(caught.value)
