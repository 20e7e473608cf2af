"""The built-in encoder: the contract on a tiny network with random weights, and the shipped weights where they are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers

from rdmf_cli.encoders.lite import LiteEncoder, load_lite
from rdmf_cli.encoders.lite_network import LiteConfig, LiteNetwork, dequantised, num_weights, pad_ids, quantised
from rdmf_cli.errors import ModelError

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "models" / "rdmf-lite"
TINY = LiteConfig(
    dim=12,
    image_size_px=32,
    frame_side_px=32,
    stem_width=4,
    stage_widths=(4, 6),
    stage_blocks=(1, 1),
    border_channels=(4, 16),
    border_grids_px=(8, 4),
    adapter_width=16,
    vocabulary=40,
    text_width=16,
    text_layers=1,
    text_heads=2,
    text_tokens=8,
    sentence_dim=10,
)
WORDS = ["[UNK]", "a", "the", "red", "green", "blue", "dog", "cat", "wall", "runs", "jumps", "over", "in", "snow"]
SENTENCES = ["a red wall", "the dog runs", "snow", "a cat jumps over the dog in the snow"]


def write(folder: Path, config: LiteConfig = TINY, seed: int = 0, words: list[str] = WORDS) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(config.to_json())
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(seed)
    save_file(quantised(LiteNetwork(config).state_dict()), folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("lite") / "model")


@pytest.fixture(scope="module")
def encoder(folder: Path) -> LiteEncoder:
    return load_lite(folder, batch_size=4)


@pytest.fixture
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), dtype=np.uint8)


# --- the contract of an encoder ---------------------------------------------------------------------------------------


def test_rows_have_unit_length(encoder: LiteEncoder, frames: np.ndarray) -> None:
    for rows in (encoder.encode_images(frames), encoder.encode_texts(SENTENCES)):
        assert rows.dtype == np.float32
        assert rows.shape[1] == encoder.dim == 12
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert encoder.frame_size_px(1920, 1080) == (32, 32)
    assert encoder.encode_images(frames[:0]).shape == (0, 12)
    assert encoder.encode_texts([]).shape == (0, 12)


def test_what_else_is_in_the_batch_does_not_matter(encoder: LiteEncoder, frames: np.ndarray) -> None:
    together, turned = encoder.encode_images(frames), encoder.encode_images(frames[::-1])
    alone = np.concatenate([encoder.encode_images(frame[None]) for frame in frames])
    np.testing.assert_array_equal(together, encoder.encode_images(frames))  # deterministic
    # Kernels for other batch sizes round otherwise where the CPU computes in bf16.
    np.testing.assert_allclose(together, alone, atol=0.02)
    np.testing.assert_allclose(together, turned[::-1], atol=0.02)
    assert np.abs(together[0] - together[1]).max() > 0


def test_what_else_is_asked_does_not_matter(encoder: LiteEncoder) -> None:
    together = encoder.encode_texts(SENTENCES)
    np.testing.assert_array_equal(together, encoder.encode_texts(SENTENCES))
    alone = np.concatenate([encoder.encode_texts([sentence]) for sentence in SENTENCES])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_texts(SENTENCES[::-1])[::-1], together, atol=1e-5)
    many = encoder.encode_texts(SENTENCES * 40)  # more than one batch
    np.testing.assert_allclose(many, np.tile(together, (40, 1)), atol=1e-5)


def test_two_openings_agree(folder: Path, encoder: LiteEncoder, frames: np.ndarray) -> None:
    again = load_lite(folder, batch_size=4)
    assert again.fingerprint == encoder.fingerprint
    np.testing.assert_array_equal(again.encode_images(frames), encoder.encode_images(frames))
    np.testing.assert_array_equal(again.encode_texts(SENTENCES), encoder.encode_texts(SENTENCES))


def test_frames_that_do_not_own_their_memory_are_taken(encoder: LiteEncoder, frames: np.ndarray) -> None:
    expected = encoder.encode_images(frames)
    frozen = frames.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(encoder.encode_images(frozen), expected)
    wide = np.zeros((7, 32, 64, 3), np.uint8)
    wide[:, :, ::2] = frames
    np.testing.assert_array_equal(encoder.encode_images(wide[:, :, ::2]), expected)


@pytest.mark.parametrize("shape", [(2, 31, 32, 3), (2, 32, 32, 4), (2, 3, 32, 32), (32, 32, 3)])
def test_frames_of_another_size_are_refused(encoder: LiteEncoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="the encoder wants"):
        encoder.encode_images(np.zeros(shape, np.uint8))


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [
        (1920, 1080, (96, 160)),
        (480, 360, (96, 160)),
        (1080, 1920, (160, 96)),
        (9000, 10, (96, 192)),
        (0, 0, (128, 128)),
    ],
)
def test_frames_keep_their_shape_as_far_as_the_config_allows(tmp_path, width, height, size) -> None:
    wide = load_lite(write(tmp_path, replace(TINY, frame_side_px=128, longest_ratio=2.0)))
    assert wide.frame_size_px(width, height) == size
    assert wide.encode_images(np.zeros((1, *size, 3), np.uint8)).shape == (1, 12)


def test_a_wide_frame_is_seen_to_its_edges(tmp_path) -> None:
    config = replace(TINY, frame_side_px=128, longest_ratio=2.0, stem_width=16, border_channels=(32, 64))
    wide = load_lite(write(tmp_path, replace(config, stage_widths=(32, 32))))
    frame = np.random.default_rng(0).integers(0, 256, (1, 64, 96, 3), dtype=np.uint8)
    other = frame.copy()
    other[:, :, 80:] = 255
    assert np.abs(wide.encode_images(frame) - wide.encode_images(other)).max() > 1e-4


@pytest.mark.parametrize("config", [TINY, LiteConfig(), replace(TINY, stage_blocks=(3, 2), text_layers=2)])
def test_weights_are_counted_without_building_them(config: LiteConfig) -> None:
    state = LiteNetwork(config).state_dict()
    matrices = sum(value.numel() for value in state.values() if value.dim() > 1)
    assert num_weights(config) == matrices


def test_long_texts_are_cut_at_the_limit(encoder: LiteEncoder) -> None:
    assert encoder.max_text_tokens == 8
    assert [encoder.text_length(text) for text in ("", "a dog", " ".join(["dog"] * 30))] == [0, 2, 30]
    start = "the dog runs over the wall in snow"
    assert encoder.text_length(start) == 8
    same, other = encoder.encode_texts([f"{start} a cat", "cat " + start])
    np.testing.assert_allclose(same, encoder.encode_texts([start])[0], atol=1e-6)
    assert np.abs(other - same).max() > 1e-4


@pytest.mark.parametrize("text", ["", " ", "\x00", "дом", "🙂" * 500])
def test_any_text_gives_a_vector(encoder: LiteEncoder, text: str) -> None:
    [row] = encoder.encode_texts([text])
    assert np.linalg.norm(row) == pytest.approx(1, abs=1e-5)


def test_padding_is_true_on_filler_only() -> None:
    ids, padding = pad_ids([[5, 6, 7], [8], []], 2)
    assert ids.tolist() == [[5, 6], [8, 0], [0, 0]]
    assert padding.tolist() == [[False, False], [False, True], [False, True]]  # an empty text keeps one token
    assert pad_ids([[]], 8)[0].shape == (1, 1)


# --- identity ---------------------------------------------------------------------------------------------------------


def test_the_fingerprint_covers_all_that_decides_a_vector(tmp_path: Path, encoder: LiteEncoder) -> None:
    seen = {encoder.fingerprint}

    def fingerprint(folder: Path) -> str:
        return load_lite(folder).fingerprint

    assert fingerprint(write(tmp_path / "same")) in seen
    seen.add(fingerprint(write(tmp_path / "words", words=WORDS[:1] + WORDS[:0:-1])))
    seen.add(fingerprint(write(tmp_path / "config", LiteConfig(**{**vars(TINY), "text_tokens": 7}))))
    one_weight = write(tmp_path / "weight")
    state = load_file(one_weight / "model.safetensors")
    name = next(name for name, value in state.items() if value.dtype == torch.int8)
    state[name].view(-1)[0] ^= 1
    save_file(state, one_weight / "model.safetensors")
    seen.add(fingerprint(one_weight))
    assert len(seen) == 4


# --- what is wrong with a folder is one line --------------------------------------------------------------------------


def break_config(folder: Path, **changes: object) -> None:
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **changes}))


def cut_off(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-100])


def drop_tensor(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    state.pop("text.positions")
    save_file(state, folder / "model.safetensors")


DAMAGES = {
    "unknown key": (lambda f: break_config(f, wings=2), "wings"),
    "another shape": (lambda f: break_config(f, dim=13), "do not fit"),
    "no number": (lambda f: break_config(f, dim="many"), "model"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), "another kind"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{"), "not JSON"),
    "config is no text": (lambda f: (f / "config.json").write_bytes(b"\xff\xfe\x00"), "model"),
    "weights cut off": (lambda f: cut_off(f / "model.safetensors"), "damaged"),
    "weights empty": (lambda f: (f / "model.safetensors").write_bytes(b""), "damaged"),
    "weights are noise": (lambda f: (f / "model.safetensors").write_bytes(os.urandom(500)), "damaged"),
    "a tensor missing": (drop_tensor, "do not fit"),
    "tokenizer cut off": (lambda f: cut_off(f / "tokenizer.json"), "damaged"),
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "no tokenizer.json"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_folder_is_one_line(tmp_path: Path, damage: str) -> None:
    folder = write(tmp_path / "model")
    harm, text = DAMAGES[damage]
    harm(folder)
    with pytest.raises(ModelError, match=text) as caught:
        load_lite(folder)
    assert "\n" not in str(caught.value)


def test_a_tokenizer_of_another_network_is_refused(tmp_path: Path) -> None:
    """An id beyond the network's table would crash the first search that uses the word."""
    folder = write(tmp_path / "model", words=[*WORDS, *(f"w{i}" for i in range(60))])
    with pytest.raises(ModelError, match="tokenizer"):
        load_lite(folder)


# --- 8-bit weights ----------------------------------------------------------------------------------------------------


@given(rows=st.integers(1, 6), columns=st.integers(1, 9), scale=st.floats(1e-6, 1e4), seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None)
def test_quantising_moves_a_weight_by_half_a_step_at_most(rows: int, columns: int, scale: float, seed: int) -> None:
    weights = scale * torch.randn(rows, columns, 3, 3, generator=torch.Generator().manual_seed(seed))
    packed = quantised({"w": weights})
    assert packed["w"].dtype == torch.int8
    assert packed["w"].abs().max() <= 127
    back = dequantised(packed)
    step = weights.abs().flatten(1).amax(dim=1) / 127
    assert set(back) == {"w"}
    bound = torch.maximum(step, torch.tensor(1e-8)).view(-1, 1, 1, 1) * 0.501
    assert ((back["w"] - weights).abs() <= bound).all()


def test_quantising_keeps_zeros_vectors_and_shapes() -> None:
    state = {"zero": torch.zeros(3, 4), "bias": torch.tensor([0.5, -2.0]), "number": torch.tensor(3.0)}
    back = dequantised(quantised(state))
    for name, value in state.items():
        torch.testing.assert_close(back[name], value)
    once = quantised({"w": torch.randn(4, 5, generator=torch.Generator().manual_seed(0))})
    again = quantised(dequantised(once))
    assert torch.equal(once["w"], again["w"])  # packing what was unpacked changes nothing


# --- the shipped weights ----------------------------------------------------------------------------------------------

shipped = pytest.mark.skipif(not (SHIPPED / "model.safetensors").is_file(), reason="models/rdmf-lite has no weights")
LOAD = """
import sys
from dataclasses import replace
from pathlib import Path
from rdmf_cli.encoders.lite import load_lite
encoder = load_lite(Path(sys.argv[1]))
encoder.encode_texts(["a dog"])
heavy = {"open_clip", "timm", "torchvision", "transformers"} & set(sys.modules)
print(sorted(heavy), encoder.dim, encoder.frame_size_px(1920, 1080))
"""


@shipped
def test_the_shipped_encoder_needs_no_other_library() -> None:
    command = [sys.executable, "-c", LOAD, str(SHIPPED)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("[] ")


@shipped
def test_the_shipped_weights_fit_a_package() -> None:
    assert (SHIPPED / "model.safetensors").stat().st_size < 25e6


@shipped
def test_the_shipped_encoder_knows_pictures_from_words() -> None:
    """Unit rows, and pictures of one thing are more alike than pictures of different things."""
    encoder = load_lite(SHIPPED)
    height, width = encoder.frame_size_px(640, 360)
    source = np.random.default_rng(0)
    plain = [np.full((height, width, 3), colour, np.uint8) for colour in ((200, 20, 20), (205, 30, 25), (20, 30, 200))]
    noise = source.integers(0, 256, (height, width, 3), dtype=np.uint8)
    rows = encoder.encode_images(np.stack([*plain, noise]))
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-3)
    cosines = rows @ rows.T
    assert cosines[0, 1] > max(cosines[0, 2], cosines[0, 3])
    red, _, blue, _ = rows @ encoder.encode_texts(["a red wall"])[0]
    assert red > blue + 0.05
    texts = encoder.encode_texts(["a dog runs on the beach", "a dog is running along the shore", "a plate of food"])
    assert texts[0] @ texts[1] > texts[0] @ texts[2]
