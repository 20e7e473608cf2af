"""The file format: plain FAISS in front, and nothing but our own content is accepted."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import replace

import faiss
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdmf_cli.encoders.base import FeatureSpec
from rdmf_cli.store import Store, VideoFeatures
from rdmf_cli.store.features import _TRAILER, DamagedFile, pack, unpack

SPEC = FeatureSpec("fake", "f" * 16, 8, "2 fps/1")
UNIT = VideoFeatures(
    features=np.eye(3, 8, dtype=np.float32),
    times_s=np.arange(3.0),
    change=np.zeros(3, np.float32),
    change_time_s=np.arange(3.0),
    duration_s=3.0,
)


def test_faiss_itself_reads_the_file(tmp_path, make, feature_files):
    with Store.open(tmp_path) as store:
        store.save("video", SPEC, make(1, 50), tmp_path / "v.mp4")
    (file,) = feature_files(tmp_path)
    index = faiss.read_index(str(file))
    assert (index.ntotal, index.d, index.metric_type) == (50, 8, faiss.METRIC_INNER_PRODUCT)
    np.testing.assert_allclose(index.reconstruct_n(0, 50), make(1, 50).features, atol=1e-3)
    assert file.name == f"{hashlib.sha256(file.read_bytes()).hexdigest()}.faiss"
    assert file.parent.name == file.name[:2]


@given(st.data())
def test_any_change_of_bytes_is_noticed_or_harmless(data):
    content = bytearray(b"".join(pack("video", SPEC, UNIT)))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, 40))
    try:
        found = unpack(bytes(content[: len(content) - cut]), "video", SPEC)
    except DamagedFile:
        return
    assert found.features.shape == (3, 8)


def test_every_kind_of_number_in_a_row_is_noticed():
    """All 65,536 of half precision in the place of one that is 0; only what leaves the length at 1 passes."""
    index, *rest = pack("video", SPEC, UNIT)
    for bits in range(2**16):
        changed = index[:-2] + bits.to_bytes(2, "little")
        with np.errstate(invalid="ignore", over="ignore"):
            value = np.frombuffer(changed[-2:], "<f2").astype(np.float32)[0]
        if abs(value) < 0.15:  # the length is still 1 to a hundredth
            continue
        with pytest.raises(DamagedFile):
            unpack(b"".join([changed, *rest]), "video", SPEC)


def forged(index: bytes, **changes: object) -> bytes:
    """A file with another index and our valid rest: what somebody who knows the format could make."""
    _, rows, text, _ = pack("video", SPEC, UNIT)
    notes = json.dumps(json.loads(text) | changes).encode()
    return b"".join([index, rows, notes, _TRAILER.pack(len(index), len(notes), b"rdmf\x00fs1")])


def serialized(index: faiss.Index, dim: int = 8) -> bytes:
    index.add(np.eye(3, dim, dtype=np.float32))
    content: bytes = faiss.serialize_index(index).tobytes()
    return content


def test_other_kinds_of_index_are_not_opened():
    qt = faiss.ScalarQuantizer
    good = serialized(faiss.IndexScalarQuantizer(8, qt.QT_fp16, faiss.METRIC_INNER_PRODUCT))
    assert unpack(forged(good), "video", SPEC).features.shape == (3, 8)
    for index, dim in [
        (faiss.IndexFlatIP(8), 8),
        (faiss.IndexScalarQuantizer(16, qt.QT_8bit_direct), 16),
        (faiss.IndexScalarQuantizer(8, qt.QT_bf16), 8),
        (faiss.IndexScalarQuantizer(4, qt.QT_fp16), 4),
    ]:
        with pytest.raises(DamagedFile):
            unpack(forged(serialized(index, dim)), "video", SPEC)


@pytest.mark.parametrize("lie", [4, 2**40, -1, 2**62])
def test_lengths_that_lie_are_noticed(lie):
    good = pack("video", SPEC, UNIT)
    index = bytearray(good[0])
    index[-56:-48] = lie.to_bytes(8, "little", signed=True)  # bytes of codes, just before the 48 of them
    with pytest.raises(DamagedFile):
        unpack(forged(bytes(index)), "video", SPEC)
    with pytest.raises(DamagedFile):
        unpack(b"".join(good[:3]) + _TRAILER.pack(lie % 2**64, len(good[2]), b"rdmf\x00fs1"), "video", SPEC)
    with pytest.raises(DamagedFile):
        unpack(b"".join(good[:3]) + _TRAILER.pack(len(good[0]), lie % 2**64, b"rdmf\x00fs1"), "video", SPEC)


@pytest.mark.parametrize(
    "changes", [{"fingerprint": "other"}, {"spec_key": "other"}, {"duration_s": None}, {"warnings": 3}]
)
def test_other_identity_or_nonsense_is_not_used(changes):
    with pytest.raises(DamagedFile):
        unpack(forged(pack("video", SPEC, UNIT)[0], **changes), "video", SPEC)


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "empty", "folder", "link", "pipe"])
def test_damaged_file_is_a_warning_and_made_again(tmp_path, make, assert_same, feature_files, ears, damage):
    folder = tmp_path / "s"
    with Store.open(folder, ears) as store:
        store.save("other", SPEC, make(2), tmp_path / "o.mp4")
        (other,) = feature_files(folder)
        store.save("video", SPEC, make(1), tmp_path / "v.mp4")
        (file,) = set(feature_files(folder)) - {other}
        hurt(file, damage, tmp_path)
        assert store.load("video", SPEC) is None
        assert len(ears.warnings) == 1
        assert "made again" in ears.warnings[0]
        assert_same(store.load("other", SPEC), make(2))
        if damage == "folder":
            file.rmdir()
        store.save("video", SPEC, make(1), tmp_path / "v.mp4")
        assert_same(store.load("video", SPEC), make(1))


def hurt(file, damage, tmp_path):
    import os

    content = file.read_bytes()
    if damage in ("flip", "cut"):
        middle = len(content) // 2
        file.write_bytes(content[:middle] + (bytes([content[middle] ^ 1]) + content[middle + 1 :]) * (damage == "flip"))
        return
    file.unlink()
    if damage == "empty":
        file.write_bytes(b"")
    elif damage == "folder":
        file.mkdir()
    elif damage == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        file.symlink_to(tmp_path / "elsewhere")
    elif damage == "pipe":
        os.mkfifo(file)


@pytest.mark.parametrize("checksum", ["../../../secret", "A" * 64, "", 7, None, b"\xff", "/etc/passwd", "a" * 63])
def test_catalogue_is_not_trusted_with_file_names(tmp_path, make, ears, checksum):
    with Store.open(tmp_path / "s", ears) as store:
        store.save("video", SPEC, make(1), tmp_path / "v.mp4")
    connection = sqlite3.connect(tmp_path / "s" / "catalogue.sqlite")
    connection.execute("PRAGMA ignore_check_constraints = ON")
    connection.execute("UPDATE OR IGNORE feature_set SET checksum = ?", (checksum,))
    connection.commit()
    connection.close()
    with Store.open(tmp_path / "s", ears) as store:
        if checksum is not None:  # NOT NULL keeps the old value
            assert store.load("video", SPEC) is None
        store.save("video", SPEC, make(2), tmp_path / "v.mp4")
        assert store.load("video", SPEC) is not None


@pytest.mark.parametrize("part", ["features", "features/ab", "cache"])
def test_links_inside_the_store_are_not_followed(tmp_path, make, ears, part):
    (tmp_path / "outside").mkdir()
    link = tmp_path / "s" / part
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "outside")
    with Store.open(tmp_path / "s", ears) as store:
        for seed in range(600 if part == "features/ab" else 1):  # till one falls into ab/
            video = replace(make(seed, 1))
            checksum = hashlib.sha256(b"".join(pack("video", SPEC, video))).hexdigest()
            if part != "features/ab" or checksum.startswith("ab"):
                break
        if part == "cache":
            store.save_array("x", np.zeros(3))
            assert store.load_array("x") is None
            assert "link" in ears.warnings[0]
        else:
            with pytest.raises(Exception, match="link"):
                store.save("video", SPEC, video, tmp_path / "v.mp4")
    assert list((tmp_path / "outside").iterdir()) == []


def test_damaged_array_is_absent(tmp_path, ears):
    with Store.open(tmp_path, ears) as store:
        store.save_array("x", np.arange(3.0))
        (file,) = (tmp_path / "cache").iterdir()
        content = bytearray(file.read_bytes())
        content[-40] ^= 1
        file.write_bytes(content)
        assert store.load_array("x") is None
        assert "damaged" in ears.warnings[0]
        store.save_array("x", np.arange(3.0))
        assert store.load_array("x") is not None


def test_forged_array_headers_are_refused():
    from rdmf_cli.store.arrays import _digest, unpack_array

    def signed(header: str) -> bytes:
        text = header.ljust(117).encode() + b"\n"
        content = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"\x00" * 8
        return content + _digest("x", content)

    assert unpack_array("x", signed("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }")) is not None
    assert unpack_array("y", signed("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }")) is None
    for descr, shape in [("|O", "(1,)"), ("<f8", f"({2**50},)"), ("<f8", "(-1,)"), ("<f8", "('a',)"), ("<f4", "(1,)")]:
        assert unpack_array("x", signed(f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}")) is None
    assert unpack_array("x", signed("__import__('os')")) is None
