"""Tiny models with random weights, saved as the libraries save theirs. Built once: importing the libraries is slow."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

os.environ["HF_HUB_OFFLINE"] = "1"  # a test that forgets to stay local fails at once instead of waiting

TINY = "rdmf-tiny"  # name of the tiny architecture, registered with open_clip
SIDE_PX = 32
WORDS = ("a", "red", "green", "blue", "car", "dog", "runs", "on", "the", "grass", "snow", "night")


@pytest.fixture(scope="session")
def frames() -> np.ndarray:
    """(5, 32, 32, 3) uint8, all different."""
    return np.random.default_rng(7).integers(0, 256, (5, SIDE_PX, SIDE_PX, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def texts() -> list[str]:
    return ["a red car", "the dog runs on the grass", "night", "", "snow on the green car"]


@pytest.fixture(scope="session")
def tiny_config() -> dict:
    """An open_clip model config: one layer each."""
    return {
        "embed_dim": 16,
        "vision_cfg": {"image_size": SIDE_PX, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
    }


@pytest.fixture(scope="session")
def tiny_openclip(tmp_path_factory: pytest.TempPathFactory, tiny_config: dict) -> Path:
    """A folder with rdmf-tiny.safetensors and .pt of one random model; registers the architecture with open_clip."""
    from rdmf_cli.encoders.torchvision_ops import mend_torchvision

    mend_torchvision()
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("openclip")
    (folder / f"{TINY}.json").write_text(json.dumps(tiny_config))
    open_clip.add_model_config(folder / f"{TINY}.json")
    torch.manual_seed(0)
    network = open_clip.create_model(TINY)
    state = {key: value.contiguous() for key, value in network.state_dict().items()}
    save_file(state, folder / f"{TINY}.safetensors")
    torch.save({"state_dict": state}, folder / f"{TINY}.pt")
    return folder


@pytest.fixture(scope="session")
def save_tokenizer() -> Callable[[Path], int]:
    """Writes a word-level tokenizer that a folder of transformers can hold; returns the size of its vocabulary."""

    def save(folder: Path) -> int:
        import tokenizers
        from transformers import PreTrainedTokenizerFast

        vocabulary = {word: i for i, word in enumerate(("<pad>", "<unk>", "<s>", "</s>", *WORDS))}
        inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
        inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
        inner.post_processor = tokenizers.processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 2), ("</s>", 3)]
        )
        PreTrainedTokenizerFast(
            tokenizer_object=inner, pad_token="<pad>", unk_token="<unk>", bos_token="<s>", eos_token="</s>"
        ).save_pretrained(folder)
        return len(vocabulary)

    return save


@pytest.fixture(scope="session")
def tiny_huggingface(
    tmp_path_factory: pytest.TempPathFactory, save_tokenizer: Callable[[Path], int]
) -> dict[str, Path]:
    """Folders of a random CLIP and a random SigLIP as transformers saves them, with tokenizer and image settings."""
    from rdmf_cli.encoders.torchvision_ops import mend_torchvision

    mend_torchvision()
    import torch
    import transformers

    folders = {kind: tmp_path_factory.mktemp("huggingface") / kind for kind in ("clip", "siglip")}
    vocabulary = save_tokenizer(folders["clip"])
    save_tokenizer(folders["siglip"])
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {**tower, "vocab_size": vocabulary, "max_position_embeddings": 8}
    text |= {"bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    vision = {**tower, "image_size": SIDE_PX, "patch_size": 16}
    torch.manual_seed(0)
    clip = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=12)
    transformers.CLIPModel(clip).save_pretrained(folders["clip"])
    siglip = transformers.SiglipConfig(text_config=text, vision_config=vision)
    transformers.SiglipModel(siglip).save_pretrained(folders["siglip"])
    size = {"height": SIDE_PX, "width": SIDE_PX}
    transformers.CLIPImageProcessor(size={"shortest_edge": SIDE_PX}, crop_size=size).save_pretrained(folders["clip"])
    transformers.SiglipImageProcessor(size=size).save_pretrained(folders["siglip"])
    return folders
