"""Model folders by somebody else: each either opens, or is one ModelError; none runs code or fills the memory."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rdmf_cli.encoders import open_encoder
from rdmf_cli.encoders.lite import LiteEncoder, load_lite
from rdmf_cli.encoders.lite_network import LiteConfig
from rdmf_cli.errors import ModelError
from tests.encoders.test_lite import TINY, write
from tests.memory import peak_kib

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), dtype=np.uint8)
CALM = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("hostile") / "model")


def try_folder(folder: Path) -> None:
    """Open it and use it; ModelError is all that may come."""
    said = ""
    try:
        encoder = load_lite(folder)
        if encoder.frame_size_px(1, 1) == (32, 32):  # else it takes other frames than ours
            rows = [encoder.encode_images(FRAMES), encoder.encode_texts(["a red wall", ""])]
            assert all(np.isfinite(row).all() for row in rows)
    except ModelError as error:
        said = str(error)
    assert "\n" not in said


def with_bytes(whole: Path, folder: Path, name: str, data: bytes) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    (folder / name).write_bytes(data)
    return folder


@CALM
@given(data=st.data())
@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_mutated_files(whole: Path, tmp_path: Path, name: str, data: st.DataObject) -> None:
    content = bytearray((whole / name).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        kind = data.draw(st.sampled_from(["byte", "cut", "digit", "remove"]))
        if kind == "byte":
            content[place] = data.draw(st.integers(0, 255))
        elif kind == "cut":
            content = content[: place + 1]
        elif kind == "digit":
            content[place : place + 1] = data.draw(st.sampled_from([b"9", b"99999999", b"-1", b"null", b"0"]))
        else:
            del content[place : place + data.draw(st.integers(1, 40))]
        content = content or bytearray(b"\0")
    try_folder(with_bytes(whole, tmp_path / "m", name, bytes(content)))


VALUES = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.none(), st.booleans(), st.text(max_size=5),
    st.lists(st.integers(-1, 2**40), max_size=6), st.just(2**31), st.just(10**9),
)  # fmt: skip


@CALM
@given(name=st.sampled_from(sorted(json.loads(TINY.to_json()))), value=VALUES)
def test_configs_that_claim_anything(whole: Path, tmp_path: Path, name: str, value: Any) -> None:
    values = json.loads(TINY.to_json()) | {name: value}
    before = peak_kib()
    try_folder(with_bytes(whole, tmp_path / "m", "config.json", json.dumps(values).encode()))
    assert peak_kib() - before < 400_000  # KiB


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
@CALM
def test_any_bytes_as_config(data: bytes) -> None:
    try:
        LiteConfig.from_json(data.decode("utf-8", "replace"))
    except ModelError:
        return


@pytest.mark.parametrize("size", [0, 2**63 - 1, 2**64 - 1, 10**9])
def test_a_header_that_promises_too_much(whole: Path, tmp_path: Path, size: int) -> None:
    data = struct.pack("<Q", size) + b'{"x":{"dtype":"F32","shape":[1000000000],"data_offsets":[0,4000000000]}}'
    folder = with_bytes(whole, tmp_path / "m", "model.safetensors", data)
    with pytest.raises(ModelError):
        load_lite(folder)


class Bomb:
    """What a pickle does to whoever opens it."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (Path("/tmp/rdmf-was-here"),)  # type: ignore[return-value]


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_pickle_is_not_opened_under_any_name(
    whole: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    monkeypatch.setattr(pickle, "Unpickler", lambda *a, **k: opened.append(a))
    folder = with_bytes(whole, tmp_path / "m", name, pickle.dumps(Bomb()))
    with pytest.raises(ModelError):
        load_lite(folder)
    assert opened == []
    assert not Path("/tmp/rdmf-was-here").exists()


def test_a_pt_file_with_more_than_weights_runs_nothing(tmp_path: Path) -> None:
    import torch

    file = tmp_path / "weights.pt"
    torch.save({"state_dict": Bomb()}, file)
    with pytest.raises(ModelError, match="more than plain weights"):
        open_encoder(f"openclip:ViT-B-32@{file}", models_folder=tmp_path, device="cpu")
    assert not Path("/tmp/rdmf-was-here").exists()


def test_weights_that_are_no_numbers_are_noticed(whole: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = with_bytes(whole, tmp_path / "m", "config.json", (whole / "config.json").read_bytes())
    state = load_file(folder / "model.safetensors")
    name = next(name for name in state if name.endswith(".scale"))
    state[name][:] = float("nan")
    save_file(state, folder / "model.safetensors")
    encoder = LiteEncoder(folder)
    encode = encoder.encode_images if name.startswith("image") else lambda frames: encoder.encode_texts(["a"])
    with pytest.raises(ModelError, match="no numbers"):
        encode(FRAMES)
