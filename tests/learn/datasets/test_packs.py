"""Packs of examples: what goes in comes out, and what is no pack is refused in one line."""

from __future__ import annotations

import json

import numpy as np
import pytest

from rdmf_cli.errors import ModelError, OutputError
from rdmf_cli.fusion.inputs import INPUT_NAMES, QUERY_NAMES
from rdmf_cli.learn.datasets import packs
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.datasets.packs import load_pack, pack_facts, save_pack


def example(length: int, windows: int, *, features: bool = False) -> Example:
    rng = np.random.default_rng(length)
    return Example(
        name=f"e{length}",
        values=rng.standard_normal((length, len(INPUT_NAMES))).astype(np.float32),
        query=rng.standard_normal(len(QUERY_NAMES)).astype(np.float32),
        distance=rng.random(length - 1).astype(np.float32),
        is_cut=rng.random(length - 1) < 0.3,
        spacing_s=0.1 * length,
        windows=np.sort(rng.random((windows, 2)).astype(np.float32) * length, axis=1),
        saliency=np.where(rng.random(length) < 0.5, np.nan, 1).astype(np.float32),
        features=rng.standard_normal((length, 8)).astype(np.float16) if features else None,
        words=rng.standard_normal(8).astype(np.float16) if features else None,
        text=f"é {length}",
        cut_at=rng.random(length - 1).astype(np.float32) if features else None,
    )


@pytest.mark.parametrize("features", [False, True])
def test_examples_come_back_as_they_were(tmp_path, features):
    wanted = [example(length, windows, features=features) for length, windows in ((5, 1), (1, 0), (12, 3))]
    save_pack(tmp_path / "a.npz", wanted, {"seed": 3})
    found = load_pack(tmp_path / "a.npz")
    assert pack_facts(tmp_path / "a.npz") == {"seed": 3}
    assert len(found) == len(wanted)
    for before, after in zip(wanted, found, strict=True):
        for name, value in vars(before).items():
            other = getattr(after, name)
            if isinstance(value, np.ndarray):
                assert value.dtype == other.dtype
                np.testing.assert_array_equal(value, other)
            else:
                assert value == other
    assert [file.name for file in tmp_path.iterdir()] == ["a.npz"]


def test_a_pack_of_nothing_is_not_written(tmp_path):
    with pytest.raises(OutputError, match="no examples"):
        save_pack(tmp_path / "a.npz", [])
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="can't be written"):
        save_pack(tmp_path / "file" / "a.npz", [example(4, 1)])


def changed(tmp_path, **changes):
    """A pack with other arrays; None takes one away."""
    save_pack(tmp_path / "good.npz", [example(5, 1), example(3, 0)])
    with np.load(tmp_path / "good.npz") as opened:
        arrays = {name: opened[name] for name in opened.files}
    for name, value in changes.items():
        arrays.pop(name)
        if value is not None:
            arrays[name] = value
    np.savez(tmp_path / "bad.npz", **arrays)
    return tmp_path / "bad.npz"


@pytest.mark.parametrize(
    "changes",
    [
        {"query": None},
        {"values_offsets": np.array([0, 9, 8])},
        {"values_offsets": np.array([0, 8])},
        {"windows_offsets": np.array([0, 1, 2])},
        {"spacing_s": np.ones(3)},
        {"text": np.frombuffer(b'["a"]', np.uint8)},
        {"name": np.frombuffer(b"{", np.uint8)},
        {"distance": np.zeros(5, np.float32), "distance_offsets": np.array([0, 3, 5])},
        {"values": np.zeros((8, 2), np.float32)},
        {"values": np.full((8, len(INPUT_NAMES)), np.nan, np.float32)},
    ],
)
def test_a_damaged_pack_is_refused(tmp_path, changes):
    with pytest.raises(ModelError, match=r"bad\.npz: the pack is damaged"):
        load_pack(changed(tmp_path, **changes))


@pytest.mark.parametrize(
    ("meta", "reason"),
    [
        ({"version": 99}, "version 99"),
        ({"inputs": ["cosine"]}, "other inputs"),
        ({"query": []}, "other inputs"),
        ({"facts": 3}, "no pack"),
    ],
)
def test_a_pack_of_another_time_is_refused(tmp_path, meta, reason):
    good = {"version": packs.VERSION, "inputs": list(INPUT_NAMES), "query": list(QUERY_NAMES), "facts": {}}
    line = json.dumps([json.dumps(good | meta)]).encode()
    with pytest.raises(ModelError, match=reason):
        load_pack(changed(tmp_path, meta=np.frombuffer(line, np.uint8)))


def test_what_is_no_pack_is_refused(tmp_path):
    (tmp_path / "text.npz").write_text("hello")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    np.savez(tmp_path / "pickle.npz", meta=np.array([{}], object), allow_pickle=True)
    for name in ("text", "other", "pickle"):
        with pytest.raises(ModelError, match="no pack"):
            load_pack(tmp_path / f"{name}.npz")
    with pytest.raises(ModelError, match="no such pack"):
        load_pack(tmp_path / "missing.npz")
    (tmp_path / "half.npz").write_bytes(changed(tmp_path).read_bytes()[:3000])
    with pytest.raises(ModelError):
        load_pack(tmp_path / "half.npz")
