"""Encoders of motion and captioners through transformers, on tiny random models that the test saves."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rdmf_cli.encoders.captions import CaptionEncoder, open_captioner
from rdmf_cli.encoders.video import open_video_encoder
from rdmf_cli.errors import ModelError
from tests.fakes import FakeEncoder

SIDE_PX = 32


@pytest.fixture(scope="session")
def tiny_videomae(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rdmf_cli.encoders.torchvision_ops import mend_torchvision

    mend_torchvision()
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("videomae")
    torch.manual_seed(0)
    config = transformers.VideoMAEConfig(
        image_size=SIDE_PX,
        patch_size=16,
        num_frames=4,
        tubelet_size=2,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
    )
    transformers.VideoMAEModel(config).save_pretrained(folder)
    save_preprocessing(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_videoprism(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from rdmf_cli.encoders.torchvision_ops import mend_torchvision

    mend_torchvision()
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("videoprism")
    torch.manual_seed(0)
    config = transformers.VideoPrismVisionConfig(
        image_size=SIDE_PX,
        num_frames=4,
        tubelet_size=[1, 16, 16],
        hidden_size=16,
        intermediate_size=32,
        num_attention_heads=2,
        num_spatial_layers=1,
        num_temporal_layers=1,
        num_auxiliary_layers=0,
    )
    transformers.VideoPrismVisionModel(config).save_pretrained(folder)
    save_preprocessing(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_blip(tmp_path_factory: pytest.TempPathFactory, save_tokenizer: Callable[[Path], int]) -> Path:
    from rdmf_cli.encoders.torchvision_ops import mend_torchvision

    mend_torchvision()
    import torch
    import transformers

    folder = tmp_path_factory.mktemp("blip")
    vocabulary = save_tokenizer(folder)
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    special = {"bos_token_id": 2, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    text = {**tower, **special, "vocab_size": vocabulary, "max_position_embeddings": 40, "encoder_hidden_size": 16}
    vision = {**tower, "image_size": SIDE_PX, "patch_size": 16}
    torch.manual_seed(1)
    config = transformers.BlipConfig(
        text_config={**text, "projection_dim": 16}, vision_config=vision, projection_dim=16
    )
    transformers.BlipForConditionalGeneration(config).save_pretrained(folder)
    save_preprocessing(folder)
    return folder


def save_preprocessing(folder: Path) -> None:
    size = f'{{"height": {SIDE_PX}, "width": {SIDE_PX}}}'
    text = f'{{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "size": {size}}}'
    (folder / "preprocessor_config.json").write_text(text)


def clip(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


def test_segments_become_unit_rows_step_by_step(tiny_videomae: Path, tmp_path: Path):
    import torch
    import transformers

    encoder = open_video_encoder(str(tiny_videomae), tmp_path, "cpu")
    assert (encoder.num_frames, encoder.num_steps, encoder.dim) == (4, 2, 16)
    assert encoder.frame_size_px(640, 360) == (SIDE_PX, SIDE_PX)
    frames = clip(4)
    rows = encoder.encode_segment(frames)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    network = transformers.VideoMAEModel.from_pretrained(tiny_videomae).eval()
    pixels = torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    with torch.inference_mode():
        expected = network(pixel_values=pixels).last_hidden_state.reshape(2, 4, 16).mean(dim=1)
    np.testing.assert_allclose(rows, torch.nn.functional.normalize(expected, dim=-1).numpy(), atol=1e-5)
    with pytest.raises(ValueError, match="4 frames, not 3"):
        encoder.encode_segment(frames[:3])


def test_videoprism_answers_frame_by_frame(tiny_videoprism: Path, tmp_path: Path):
    encoder = open_video_encoder(str(tiny_videoprism), tmp_path, "cpu")
    assert (encoder.num_frames, encoder.num_steps, encoder.dim) == (4, 4, 16)
    rows = encoder.encode_segment(clip(4))
    assert rows.shape == (4, 16)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(encoder.encode_segment(clip(4)), rows)


def test_captions_are_sentences_and_then_text_vectors(tiny_blip: Path, tmp_path: Path):
    captioner = open_captioner(str(tiny_blip), tmp_path, "cpu")
    sentences = captioner.caption(clip(5))
    assert len(sentences) == 5
    assert all(sentences)
    assert captioner.caption(clip(5)) == sentences
    text = FakeEncoder()
    encoder = CaptionEncoder(captioner, text)
    np.testing.assert_array_equal(encoder.encode_images(clip(5)), text.encode_texts(sentences))
    assert encoder.encode_images(clip(0)).shape == (0, text.dim)
    assert encoder.fingerprint != CaptionEncoder(captioner, FakeEncoder(seed=1)).fingerprint


@pytest.mark.parametrize("opener", [open_video_encoder, open_captioner], ids=["video", "captions"])
def test_what_is_wrong_is_one_clear_line(opener, tiny_videomae: Path, tiny_blip: Path, tmp_path: Path):
    right, other = (tiny_videomae, tiny_blip) if opener is open_video_encoder else (tiny_blip, tiny_videomae)
    with pytest.raises(ModelError, match="no such folder"):
        opener(str(tmp_path / "none"), tmp_path, "cpu")
    with pytest.raises(ModelError, match=r"its weights are not here") as raised:
        opener("hf:nobody/nothing", tmp_path, "cpu")
    assert "rdmf models pull hf:nobody/nothing" in raised.value.hint
    with pytest.raises(ModelError, match="can't be used"):
        opener(str(other), tmp_path, "cpu")
    pickled = tmp_path / "pickled"
    shutil.copytree(right, pickled)
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    with pytest.raises(ModelError, match="pickled weights are not loaded"):
        opener(str(pickled), tmp_path, "cpu")
    cut = tmp_path / "cut"
    shutil.copytree(right, cut)
    (cut / "model.safetensors").write_bytes((right / "model.safetensors").read_bytes()[:500])
    with pytest.raises(ModelError, match="can't be opened"):
        opener(str(cut), tmp_path, "cpu")
