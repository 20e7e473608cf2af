"""Our open_clip encoder against open_clip itself, on a tiny random model."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.encoders import open_encoder
from rdmf_cli.encoders.base import Encoder
from rdmf_cli.errors import ModelError

TINY = "rdmf-tiny"
Opener = Callable[..., Encoder]


@pytest.fixture
def open_tiny(tiny_openclip: Path, tmp_path: Path) -> Opener:
    def opener(file: Path | None = None, *, batch_size: int = 2) -> Encoder:
        name = f"openclip:{TINY}@{file or tiny_openclip / f'{TINY}.safetensors'}"
        return open_encoder(name, models_folder=tmp_path, device="cpu", batch_size=batch_size)

    return opener


def test_promises_of_the_protocol(open_tiny: Opener, frames: np.ndarray, texts: list[str]) -> None:
    encoder = open_tiny()
    assert (encoder.dim, encoder.image_size_px, encoder.max_text_tokens) == (16, (32, 32), 12)
    for rows in (encoder.encode_images(frames), encoder.encode_texts(texts)):
        assert rows.shape == (5, 16)
        assert rows.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(encoder.encode_images(frames), encoder.encode_images(frames))
    assert encoder.encode_images(frames[:0]).shape == encoder.encode_texts([]).shape == (0, 16)


def test_batch_is_one_by_one_in_order(open_tiny: Opener, frames: np.ndarray, texts: list[str]) -> None:
    whole, single = open_tiny(batch_size=4), open_tiny(batch_size=1)
    np.testing.assert_allclose(whole.encode_images(frames), single.encode_images(frames), atol=1e-6)
    np.testing.assert_allclose(whole.encode_images(frames[::-1])[::-1], single.encode_images(frames), atol=1e-6)
    np.testing.assert_allclose(whole.encode_texts(texts), single.encode_texts(texts), atol=1e-6)


def test_equals_the_librarys_own_forward(
    open_tiny: Opener, tiny_openclip: Path, frames: np.ndarray, texts: list[str]
) -> None:
    import open_clip
    import torch
    from PIL import Image

    weights = str(tiny_openclip / f"{TINY}.safetensors")
    network, _, preprocess = open_clip.create_model_and_transforms(TINY, pretrained=weights)
    network.eval()
    with torch.inference_mode():
        pixels = torch.stack([preprocess(Image.fromarray(frame)) for frame in frames])
        pictures = network.encode_image(pixels, normalize=True).numpy()
        sentences = network.encode_text(open_clip.get_tokenizer(TINY)(texts), normalize=True).numpy()
    np.testing.assert_allclose(open_tiny().encode_images(frames), pictures, atol=2e-6)
    np.testing.assert_allclose(open_tiny().encode_texts(texts), sentences, atol=2e-6)


def test_text_length_counts_what_the_tokenizer_makes(open_tiny: Opener) -> None:
    import open_clip

    encoder = open_tiny()
    for text in ("", "a red car", "unbelievably 12 dogs!"):
        used = int((open_clip.get_tokenizer(TINY)([text], context_length=50) != 0).sum())
        assert encoder.text_length(text) == used
    assert encoder.text_length("dog " * 40) == 42  # more than max_text_tokens: told, not cut
    long = encoder.encode_texts(["dog " * 40, "dog " * 39])
    np.testing.assert_allclose(long[0], long[1], atol=1e-6)


def test_pt_and_safetensors_give_the_same_vectors(open_tiny: Opener, tiny_openclip: Path, frames: np.ndarray) -> None:
    np.testing.assert_array_equal(
        open_tiny(tiny_openclip / f"{TINY}.pt").encode_images(frames), open_tiny().encode_images(frames)
    )


def test_fingerprint_follows_weights_and_nothing_else(open_tiny: Opener, tiny_openclip: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    original = tiny_openclip / f"{TINY}.safetensors"
    before = open_tiny(batch_size=1).fingerprint
    copy = tmp_path / "renamed.safetensors"
    shutil.copy(original, copy)
    assert open_tiny(copy).fingerprint == before
    state = load_file(original)
    state["visual.proj"][0, 0] += 1e-3
    save_file(state, copy)
    assert open_tiny(copy).fingerprint != before


def test_a_folder_that_describes_itself(
    tiny_openclip: Path, tiny_config: dict, open_tiny: Opener, frames: np.ndarray, tmp_path: Path
) -> None:
    folder = tmp_path / "own"
    folder.mkdir()
    shutil.copy(tiny_openclip / f"{TINY}.safetensors", folder / "open_clip_model.safetensors")
    described = {"model_cfg": tiny_config, "preprocess_cfg": {"mean": [0.5] * 3, "std": [0.25] * 3}}
    (folder / "open_clip_config.json").write_text(json.dumps(described))
    encoder = open_encoder(str(folder), models_folder=tmp_path, device="cpu")
    assert encoder.dim == 16
    assert encoder.fingerprint != open_tiny().fingerprint  # other mean and std: other vectors
    assert np.abs(encoder.encode_images(frames) - open_tiny().encode_images(frames)).max() > 1e-3
    shutil.copy(tiny_openclip / f"{TINY}.pt", folder)
    with pytest.raises(ModelError, match="several weights files"):
        open_encoder(str(folder), models_folder=tmp_path, device="cpu")
    (folder / "open_clip_config.json").write_text("{}")
    with pytest.raises(ModelError, match="not a model description"):
        open_encoder(str(folder), models_folder=tmp_path, device="cpu")


def test_a_tokenizer_of_hugging_face_lies_beside_the_weights(
    tmp_path: Path, tiny_config: dict, save_tokenizer: Callable[[Path], int], texts: list[str]
) -> None:
    import open_clip
    from safetensors.torch import save_file

    folder = tmp_path / "siglip2-like"
    vocabulary = save_tokenizer(folder)
    text = {**tiny_config["text_cfg"], "vocab_size": vocabulary, "hf_tokenizer_name": "nobody/nothing"}
    text |= {"tokenizer_kwargs": {"clean": "canonicalize"}, "pool_type": "last"}
    config = {**tiny_config, "custom_text": True, "text_cfg": text}
    (folder / "rdmf-tiny-hf.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / "rdmf-tiny-hf.json")
    weights = folder / "open_clip_model.safetensors"
    save_file({k: v.contiguous() for k, v in open_clip.create_model("rdmf-tiny-hf").state_dict().items()}, weights)
    encoder = open_encoder(f"openclip:rdmf-tiny-hf@{weights}", models_folder=tmp_path, device="cpu")
    assert encoder.encode_texts(texts).shape == (5, 16)
    assert encoder.text_length("A red, car!") == 5  # cleaned as the model's training did: lower case, no commas
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"can't be opened as rdmf-tiny-hf"):  # and no network was asked
        open_encoder(f"openclip:rdmf-tiny-hf@{weights}", models_folder=tmp_path, device="cpu")


def test_frames_of_another_size_are_the_callers_mistake(open_tiny: Opener, frames: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"\(N, 32, 32, 3\) uint8"):
        open_tiny().encode_images(frames[:, :16])
    with pytest.raises(ValueError, match="float32"):
        open_tiny().encode_images(frames.astype(np.float32))


class Dangerous:
    def __reduce__(self) -> tuple:
        return (print, ("this must never run",))


def test_files_that_cant_be_used_are_one_clear_line(
    open_tiny: Opener, tiny_openclip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from safetensors.torch import load_file, save_file

    good = tiny_openclip / f"{TINY}.safetensors"
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(good.read_bytes()[:100_000])
    state = load_file(good)
    wrong = tmp_path / "wrong.safetensors"
    save_file({**state, "visual.proj": state["visual.proj"][:, :8].contiguous()}, wrong)
    less = tmp_path / "less.safetensors"
    save_file({key: value for key, value in state.items() if key != "visual.proj"}, less)
    evil = tmp_path / "evil.pt"
    evil.write_bytes(pickle.dumps({"state_dict": Dangerous()}))
    torn = tmp_path / "torn.bin"
    torn.write_bytes((tiny_openclip / f"{TINY}.pt").read_bytes()[:5000])
    other = tmp_path / "weights.npz"
    other.write_bytes(b"x")
    for file, cause in (
        (cut, "can't be opened"),
        (wrong, "size mismatch"),
        (less, "Missing key"),
        (evil, "more than plain weights"),
        (torn, "damaged"),
        (other, "not a weights file"),
    ):
        with pytest.raises(ModelError, match=cause) as caught:
            open_tiny(file)
        assert "\n" not in str(caught.value)
    assert "this must never run" not in capsys.readouterr().out


def test_damaged_numbers_are_not_stored(open_tiny: Opener, tiny_openclip: Path, tmp_path: Path, frames) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(tiny_openclip / f"{TINY}.safetensors")
    for value in (float("nan"), 0.0):
        state["visual.proj"].fill_(value)
        save_file(state, tmp_path / "bad.safetensors")
        with pytest.raises(ModelError, match="damaged"):
            open_tiny(tmp_path / "bad.safetensors").encode_images(frames)


def test_unknown_architectures_and_tags_suggest_the_closest(tiny_openclip: Path, tmp_path: Path) -> None:
    file = tiny_openclip / f"{TINY}.safetensors"
    with pytest.raises(ModelError, match="no model 'ViT-B-33'") as caught:
        open_encoder(f"openclip:ViT-B-33@{file}", models_folder=tmp_path, device="cpu")
    assert "openclip:ViT-B-32@FILE" in caught.value.hint
    with pytest.raises(ModelError, match="knows no weights 'opnai'") as caught:
        open_encoder("openclip:ViT-B-32/opnai", models_folder=tmp_path, device="cpu")
    assert "openclip:ViT-B-32/openai" in caught.value.hint


def test_weights_that_are_nowhere_name_the_command(
    tiny_openclip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    name = "openclip:ViT-B-32/laion2b_s34b_b79k"
    with pytest.raises(ModelError, match="not here") as caught:
        open_encoder(name, models_folder=tmp_path, device="cpu")
    assert caught.value.hint == f"rdmf models pull {name}"


def test_presets_are_what_the_installed_open_clip_knows(tiny_openclip: Path) -> None:
    import open_clip

    from rdmf_cli.encoders.openclip import hub_repo
    from rdmf_cli.encoders.presets import PRESETS

    for preset in PRESETS.values():
        if preset.backend != "openclip":
            continue
        model, tag = preset.open_clip_names
        assert (model, tag) in open_clip.list_pretrained()
        config = open_clip.get_model_config(model)
        assert preset.dim == config["embed_dim"]
        assert preset.image_size_px == config["vision_cfg"]["image_size"]
        assert preset.repo == hub_repo(model, tag)
        trained_with = open_clip.get_pretrained_cfg(model, tag).get("quick_gelu", False)
        assert config.get("quick_gelu", False) == trained_with  # else the vectors are subtly wrong


def test_a_pulled_preset_opens_with_its_own_mean_and_std(
    tmp_path: Path, tiny_openclip: Path, tiny_config: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way of `pull`: folder, marker, preset; with the architecture made tiny."""
    import open_clip

    folder = tmp_path / "pe-core-b-16"
    folder.mkdir()
    shutil.copy(tiny_openclip / f"{TINY}.safetensors", folder / "open_clip_model.safetensors")
    size = (folder / "open_clip_model.safetensors").stat().st_size
    listed = {"files": [{"name": "open_clip_model.safetensors", "size": size}]}
    (folder / "download.json").write_text(json.dumps(listed))
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "PE-Core-B-16", tiny_config)
    for name in ("pe-core-b-16", "auto"):
        encoder = open_encoder(name, models_folder=tmp_path, device="cpu")
        assert encoder.name == "pe-core-b-16"
        assert encoder._preprocessing.mean == (0.5, 0.5, 0.5)  # type: ignore[attr-defined]
