"""Our transformers encoder against transformers itself, on a tiny random CLIP and SigLIP."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.encoders import open_encoder
from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import ModelError

KINDS = pytest.mark.parametrize("kind", ["clip", "siglip"])


def opened(folder: Path, *, batch_size: int = 2, name: str | None = None) -> Encoder:
    return open_encoder(name or str(folder), models_folder=folder.parent, device="cpu", batch_size=batch_size)


@KINDS
def test_promises_of_the_protocol(
    kind: str, tiny_huggingface: dict[str, Path], frames: np.ndarray, texts: list[str]
) -> None:
    encoder = opened(tiny_huggingface[kind])
    assert (encoder.image_size_px, encoder.max_text_tokens) == ((32, 32), 8)
    assert encoder.dim == {"clip": 12, "siglip": 16}[kind]
    for rows in (encoder.encode_images(frames), encoder.encode_texts(texts)):
        assert rows.shape == (5, encoder.dim)
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(encoder.encode_images(frames), encoder.encode_images(frames))
    assert encoder.encode_images(frames[:0]).shape == (0, encoder.dim)
    assert encoder.text_length("a red car") == 5
    assert encoder.text_length("dog " * 30) == 32


@KINDS
def test_batch_is_one_by_one_in_order(
    kind: str, tiny_huggingface: dict[str, Path], frames: np.ndarray, texts: list[str]
) -> None:
    whole, single = (opened(tiny_huggingface[kind], batch_size=size) for size in (8, 1))
    np.testing.assert_allclose(whole.encode_images(frames[::-1])[::-1], single.encode_images(frames), atol=1e-6)
    np.testing.assert_allclose(whole.encode_texts(texts[::-1])[::-1], single.encode_texts(texts), atol=1e-6)


@KINDS
def test_equals_the_librarys_own_forward(
    kind: str, tiny_huggingface: dict[str, Path], frames: np.ndarray, texts: list[str]
) -> None:
    """CLIP with the shortest padding, as its documentation shows it; SigLIP with the full one, as its does."""
    import torch
    import transformers

    folder = tiny_huggingface[kind]
    network = transformers.AutoModel.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    padding = "max_length" if kind == "siglip" else "longest"
    rows = tokenizer(texts, padding=padding, truncation=True, max_length=8, return_tensors="pt")
    inputs = {"input_ids": rows["input_ids"]}
    if kind == "clip":
        inputs["attention_mask"] = rows["attention_mask"]
    with torch.inference_mode():
        pixels = processor(images=list(frames), return_tensors="pt")["pixel_values"]
        whole = network(pixel_values=pixels, **inputs)  # its own forward normalises
    encoder = opened(folder)
    np.testing.assert_allclose(encoder.encode_images(frames), whole.image_embeds.numpy(), atol=2e-6)
    np.testing.assert_allclose(encoder.encode_texts(texts), whole.text_embeds.numpy(), atol=2e-6)


def test_fingerprint_follows_the_weights(tiny_huggingface: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "copy"
    shutil.copytree(tiny_huggingface["clip"], folder)
    before = opened(tiny_huggingface["clip"]).fingerprint
    assert opened(folder).fingerprint == before
    assert opened(folder, name=f"hf:{folder}").fingerprint == before
    state = load_file(folder / "model.safetensors")
    state["visual_projection.weight"][0, 0] += 1e-3
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    assert opened(folder).fingerprint != before


def _cut(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])


def _drop_a_tensor(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    del state["text_projection.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def _another_shape(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    state["text_projection.weight"] = state["text_projection.weight"][:5].contiguous()
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def _only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _another_type(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "bert"}')


def _broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def _no_image_settings(folder: Path) -> None:
    for file in ("preprocessor_config.json", "processor_config.json"):
        (folder / file).unlink(missing_ok=True)


def _other_frames(folder: Path) -> None:
    _no_image_settings(folder)
    values = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "size": {"height": 48, "width": 48}}
    (folder / "preprocessor_config.json").write_text(json.dumps(values))


def _no_tokenizer(folder: Path) -> None:
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (folder / file).unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (_cut, "can't be opened"),
        (_drop_a_tensor, "missing or of another shape: text_projection.weight"),
        (_another_shape, "can't be opened|another shape"),
        (_only_a_pickle, "pickled weights are not loaded"),
        (_no_weights, "no model.safetensors"),
        (_another_type, "type 'bert' can't be used"),
        (_broken_config, "not readable as JSON"),
        (_no_image_settings, "is missing"),
        (_other_frames, "but config.json says 32 px"),
        (_no_tokenizer, "tokenizer"),
    ],
)
def test_folders_that_cant_be_used_are_one_clear_line(
    damage, cause: str, tiny_huggingface: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "damaged"
    shutil.copytree(tiny_huggingface["clip"], folder)
    damage(folder)
    with pytest.raises(ModelError, match=cause) as caught:
        opened(folder)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")  # no bars and remarks of the library either


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"size": 32}, (1 / 255, (0.5, 0.5, 0.5))),
        ({"size": {"shortest_edge": 32}, "crop_size": 32, "do_center_crop": True}, (1 / 255, (0.5, 0.5, 0.5))),
        ({"rescale_factor": 1 / 127.5, "do_normalize": False}, (1 / 127.5, (0.0, 0.0, 0.0))),
        ({"do_rescale": False}, (1.0, (0.5, 0.5, 0.5))),
    ],
)
def test_image_settings_in_all_their_spellings(settings: dict, expected: tuple, tmp_path: Path) -> None:
    from rdmf_cli.encoders.huggingface import read_preprocessing

    values = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, **settings}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(values))
    found = read_preprocessing(tmp_path, 32)
    assert (found.scale, found.mean) == expected
    (tmp_path / "preprocessor_config.json").rename(tmp_path / "other.json")
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": values}))  # as transformers 5 does
    assert read_preprocessing(tmp_path, 32) == found


def test_a_hub_id_is_looked_up_in_the_cache_only(
    tiny_huggingface: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: np.ndarray
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ModelError, match="not here") as caught:
        opened(tmp_path, name="hf:someone/clip")
    assert caught.value.hint == "rdmf models pull hf:someone/clip"
    repo = tmp_path / "models--someone--clip"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc")
    shutil.copytree(tiny_huggingface["clip"], repo / "snapshots" / "abc")
    assert opened(tmp_path, name="hf:someone/clip").encode_images(frames).shape == (5, 12)
