"""Encoders of the open_clip library: its built-in architectures with pulled, cached or local weights."""

from __future__ import annotations

import difflib
import json
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rdmf_cli.encoders.torchvision_ops import mend_torchvision
from rdmf_cli.encoders.towers import (
    Preprocessing,
    TowerEncoder,
    fingerprint_of,
    has_tokenizer,
    hub_is_offline,
    one_line,
)
from rdmf_cli.errors import ModelError

mend_torchvision()  # open_clip's own import needs it
import open_clip  # noqa: E402

# The names open_clip gives to whole models, safetensors first.
_WEIGHTS_NAMES = ("open_clip_model.safetensors", "model.safetensors", "open_clip_pytorch_model.bin")
_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin")
_CONFIG = "open_clip_config.json"
_PREPROCESS_KEYS: tuple[str, ...] = ("mean", "std", "interpolation", "resize_mode")


@dataclass(frozen=True)
class Architecture:
    """Which network to build, and how it wants its pixels."""

    name: str  # what open_clip.create_model takes
    config: dict[str, Any]  # open_clip's model config: embed_dim, vision_cfg, text_cfg
    preprocess: dict[str, Any]  # mean, std and so on where they are known; else open_clip's defaults count


class OpenClipEncoder(TowerEncoder):
    """The `Encoder` protocol over an open_clip model."""

    def __init__(self, name: str, network: Any, tokenizer: Any, fingerprint: str, device: str, batch: int) -> None:
        tokens = int(getattr(tokenizer, "context_length", None) or network.context_length)
        super().__init__(name, _preprocessing(network), tokens, fingerprint, device, batch)
        self._network, self._tokenizer = network, tokenizer
        self._measure()

    def _image_features(self, pixels: Tensor) -> Tensor:
        features: Tensor = self._network.encode_image(pixels)
        return features

    def _text_features(self, texts: list[str]) -> Tensor:
        ids = self._tokenizer(texts, context_length=self.max_text_tokens)
        features: Tensor = self._network.encode_text(ids.to(self._device))
        return features

    def text_length(self, text: str) -> int:
        """Tokens that `text` would need, start and end included."""
        if hasattr(self._tokenizer, "encode"):  # open_clip's own tokenizer
            return len(self._tokenizer.encode(text)) + 2
        inner = self._tokenizer
        return len(inner.tokenizer(inner.clean_fn(text), verbose=False).input_ids)


def load_openclip(
    path: Path | None, device: str, batch_size: int, *, name: str, model: str = "", tag: str = ""
) -> OpenClipEncoder:
    """Open an open_clip model without any network use.

    Parameters: `path` is a weights file, a folder with one, or None (look into the Hugging Face cache for the weights
    of `tag`); `model` is open_clip's name of the architecture, "" for a folder that has its own open_clip_config.json.

    Raises ModelError: unknown architecture or tag, weights missing, damaged or of another shape.
    """
    architecture = _named(name, model, tag) if model else _described(path or Path())
    file = _find_weights(name, path, model, tag)
    _check_file(file)
    folder = file.parent
    try:
        with warnings.catch_warnings(), hub_is_offline():
            warnings.simplefilter("ignore")  # remarks on how the weights were trained; nothing a user could act on
            network = open_clip.create_model(
                architecture.name,
                pretrained=str(file) if model else None,
                pretrained_text=False,
                device=device,
                force_preprocess_cfg=architecture.preprocess,
            )
            tokenizer = _tokenizer(architecture, folder)
    except Exception as error:  # whatever torch, timm, safetensors or open_clip raise: the weights can't be used
        raise ModelError(
            f"{name}: {file.name} can't be opened as {model or 'an open_clip model'}: {one_line(error)}"
        ) from error
    network.eval().requires_grad_(False)
    facts = ("openclip", json.dumps(architecture.config, sort_keys=True), str(_preprocessing(network)))
    return OpenClipEncoder(name, network, tokenizer, fingerprint_of([file], *facts), device, batch_size)


def hub_repo(model: str, tag: str) -> str:
    """Where open_clip keeps the weights of (model, tag) on huggingface.co. Raises ModelError for unknown ones."""
    repo = str(_tag_config(f"openclip:{model}/{tag}", model, tag).get("hf_hub", ""))
    repo = "/".join(repo.split("/")[:2]).rstrip("/")
    if not repo:
        raise ModelError(f"openclip:{model}/{tag} is not on the Hugging Face hub")
    return repo


def _named(name: str, model: str, tag: str) -> Architecture:
    """One of open_clip's own architectures."""
    if model not in open_clip.list_models():
        close = difflib.get_close_matches(model, open_clip.list_models(), n=1)
        hint = f"did you mean openclip:{close[0]}{'/' + tag if tag else '@FILE'}?" if close else ""
        raise ModelError(f"{name}: open_clip has no model '{model}'", hint=hint)
    settings = _tag_config(name, model, tag) if tag else _common_tag_config(model)
    known: dict[str, Any] = {key: settings[key] for key in _PREPROCESS_KEYS if key in settings}
    return Architecture(model, open_clip.get_model_config(model), known)


def _described(folder: Path) -> Architecture:
    """The architecture that a folder's own open_clip_config.json describes."""
    file = folder / _CONFIG
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        return Architecture(f"local-dir:{folder}", values["model_cfg"], values.get("preprocess_cfg", {}))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{file}: not a model description of open_clip: {one_line(error)}") from error


def _tag_config(name: str, model: str, tag: str) -> dict[str, Any]:
    settings: dict[str, Any] = open_clip.get_pretrained_cfg(model, tag)
    if settings:
        return settings
    tags = open_clip.list_pretrained_tags_by_model(model)
    close = difflib.get_close_matches(tag, tags, n=1)
    hint = f"did you mean openclip:{model}/{close[0]}?" if close else f"known: {', '.join(tags[:8]) or 'none'}"
    raise ModelError(f"{name}: open_clip knows no weights '{tag}' for {model}", hint=hint)


def _common_tag_config(model: str) -> dict[str, Any]:
    """For a weights file without a tag: what all known weights of the architecture agree on, {} if they don't."""
    known = [open_clip.get_pretrained_cfg(model, tag) for tag in open_clip.list_pretrained_tags_by_model(model)]
    agreed = {(tuple(settings["mean"]), tuple(settings["std"])) for settings in known}
    return dict(known[0]) if len(agreed) == 1 else {}


def _find_weights(name: str, path: Path | None, model: str, tag: str) -> Path:
    """The one weights file that will be loaded."""
    if path is None:
        from huggingface_hub import try_to_load_from_cache

        found = (try_to_load_from_cache(hub_repo(model, tag), file) for file in _WEIGHTS_NAMES)
        cached = next((Path(file) for file in found if isinstance(file, str)), None)
        if cached is None:
            raise ModelError(f"{name}: its weights are not here", hint=f"rdmf models pull {name}")
        return cached
    if path.is_file():
        return path
    named = [path / file for file in _WEIGHTS_NAMES if (path / file).is_file()]
    if not named:
        raise ModelError(f"{name}: no weights in {path}", hint=f"looked for {', '.join(_WEIGHTS_NAMES)}")
    if not model:  # open_clip picks the file of a described folder itself: leave it no choice
        others = [file.name for file in path.iterdir() if file.suffix in _SUFFIXES and file != named[0]]
        if others:
            raise ModelError(f"{name}: several weights files in {path}", hint=f"keep one: remove {others[0]}")
    return named[0]


def _check_file(file: Path) -> None:
    """Refuse what could run code. safetensors can't; the others are pickles, read only as plain tensors."""
    if file.suffix not in _SUFFIXES:
        raise ModelError(f"{file}: not a weights file", hint=f"one of {', '.join(_SUFFIXES)}")
    if file.suffix == ".safetensors":
        return
    major, minor = (int(part) for part in torch.__version__.split(".")[:2])
    if (major, minor) < (2, 6):  # CVE-2025-32434: before, weights_only could be broken out of
        raise ModelError(f"{file.name}: reading it safely needs torch 2.6 or newer", hint="or use .safetensors")
    try:
        # open_clip reads the file again, but falls back to another mode on some errors; here nothing falls back.
        torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ModelError(
            f"{file}: damaged, or holds more than plain weights, which is not loaded", hint="use a .safetensors file"
        ) from error


def _tokenizer(architecture: Architecture, folder: Path) -> Any:
    """The model's tokenizer; those of Hugging Face come from the folder of the weights or the cache."""
    text = architecture.config.get("text_cfg", {})
    source = text.get("hf_tokenizer_name", "")
    if not source:
        return open_clip.get_tokenizer(architecture.name)
    return open_clip.tokenizer.HFTokenizer(
        str(folder) if has_tokenizer(folder) else source,
        context_length=text.get("context_length", open_clip.tokenizer.DEFAULT_CONTEXT_LENGTH),
        tokenizer_mode=text.get("tokenizer_mode"),
        local_files_only=True,
        **text.get("tokenizer_kwargs", {}),
    )


def _preprocessing(network: Any) -> Preprocessing:
    settings = network.visual.preprocess_cfg
    size = settings["size"]
    height, width = (size, size) if isinstance(size, int) else size
    mean, std = (tuple(float(x) for x in settings[key]) for key in ("mean", "std"))
    return Preprocessing((int(height), int(width)), mean, std)
