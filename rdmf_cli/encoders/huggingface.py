"""Encoders of the transformers library: CLIP and SigLIP in all their sizes, from a local folder or the hub's cache."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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

mend_torchvision()  # transformers imports torchvision wherever it is installed
import transformers  # noqa: E402

# model_type -> does the text tower want to know which tokens are filler? SigLIP was trained without being told, and
# gives other vectors if it is. Fixed-size SigLIP 2 calls itself "siglip"; "siglip2" is the one of any size (NaFlex),
# which takes patches, not pictures.
_WANTS_TEXT_MASK = {"clip": True, "metaclip_2": True, "siglip": False}


class HuggingFaceEncoder(TowerEncoder):
    """The `Encoder` protocol over a transformers model with `get_image_features` and `get_text_features`."""

    def __init__(
        self,
        name: str,
        network: Any,
        tokenizer: Any,
        preprocessing: Preprocessing,
        fingerprint: str,
        device: str,
        batch: int,
    ) -> None:
        tokens = int(network.config.text_config.max_position_embeddings)
        super().__init__(name, preprocessing, tokens, fingerprint, device, batch)
        self._network, self._tokenizer = network.to(self._device), tokenizer
        self._wants_mask = _WANTS_TEXT_MASK[network.config.model_type]
        self._measure()

    def _image_features(self, pixels: Tensor) -> Tensor:
        return _features(self._network.get_image_features(pixel_values=pixels))

    def _text_features(self, texts: list[str]) -> Tensor:
        # Always filled up to the full length: SigLIP needs it, and no vector depends on its neighbours in the batch.
        rows = self._tokenizer(
            texts, padding="max_length", truncation=True, max_length=self.max_text_tokens, return_tensors="pt"
        )
        inputs = {"input_ids": rows["input_ids"].to(self._device)}
        if self._wants_mask:
            inputs["attention_mask"] = rows["attention_mask"].to(self._device)
        return _features(self._network.get_text_features(**inputs))

    def text_length(self, text: str) -> int:
        """Tokens that `text` would need, special ones included."""
        return len(self._tokenizer(text, verbose=False)["input_ids"])


def load_huggingface(
    path: Path | None, device: str, batch_size: int, *, name: str, hub_id: str = ""
) -> HuggingFaceEncoder:
    """Open a CLIP or SigLIP folder (config.json, *.safetensors, tokenizer and preprocessor files), with no network.

    Parameters: `path` is the folder, or None to look for `hub_id` in the Hugging Face cache.

    Raises ModelError: not a supported kind of model, files missing or damaged, only pickled weights.
    """
    folder = path or cached_folder(name, hub_id)
    config = read_json(folder / "config.json")
    if config.get("model_type") not in _WANTS_TEXT_MASK:
        known = ", ".join(_WANTS_TEXT_MASK)
        raise ModelError(f"{name}: a model of type '{config.get('model_type')}' can't be used", hint=f"known: {known}")
    files = weights_in(name, folder)
    preprocessing = read_preprocessing(folder, _image_side(name, config))
    with quietly():
        network = _open_network(name, folder)
        tokenizer = open_tokenizer(name, folder)
    facts = ("huggingface", json.dumps(config, sort_keys=True), str(preprocessing))
    fingerprint = fingerprint_of(files, *facts)
    return HuggingFaceEncoder(name, network, tokenizer, preprocessing, fingerprint, device, batch_size)


def read_preprocessing(folder: Path, side_px: int) -> Preprocessing:
    """Mean, std and scale from preprocessor_config.json, or from processor_config.json as transformers 5 writes it.

    Read here and not by the library's image processors, which want torchvision. Raises ModelError.
    """
    file = folder / "preprocessor_config.json"
    values = read_json(file if file.is_file() else folder / "processor_config.json")
    values = values.get("image_processor", values)
    try:
        normalise = values.get("do_normalize", True)
        mean = tuple(float(x) for x in values["image_mean"]) if normalise else (0.0, 0.0, 0.0)
        std = tuple(float(x) for x in values["image_std"]) if normalise else (1.0, 1.0, 1.0)
        scale = float(values.get("rescale_factor", 1 / 255)) if values.get("do_rescale", True) else 1.0
        sides = _sides(values.get("crop_size") if values.get("do_center_crop") else values.get("size"))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{file}: image_mean, image_std or size is missing or wrong: {one_line(error)}") from error
    if sides not in ((), (side_px, side_px)):
        raise ModelError(f"{file}: frames of {sides} px, but config.json says {side_px} px")
    return Preprocessing((side_px, side_px), mean, std, scale)


def _sides(size: Any) -> tuple[int, ...]:
    """224, {"height": 224, "width": 224} or {"shortest_edge": 224} -> (224, 224); () if nothing is said."""
    if size is None:
        return ()
    if isinstance(size, dict):
        return tuple(int(size[side] if side in size else size["shortest_edge"]) for side in ("height", "width"))
    return int(size), int(size)


def _image_side(name: str, config: dict[str, Any]) -> int:
    """The side of the square frames. transformers leaves values that are its defaults out of config.json."""
    side = config.get("vision_config", {}).get("image_size", 224)
    if not isinstance(side, int):
        raise ModelError(f"{name}: config.json: vision_config.image_size is no number: {side!r}")
    return side


def _open_network(name: str, folder: Path) -> Any:
    """The model in float32, with every weight from the files. Raises ModelError."""
    try:
        network, report = transformers.AutoModel.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:  # OSError, ValueError, SafetensorError, RuntimeError: the weights can't be used
        raise ModelError(f"{name}: the weights in {folder} can't be opened: {one_line(error)}") from error
    # transformers fills missing weights with random numbers and only logs it.
    missing = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if missing:
        raise ModelError(f"{name}: {len(missing)} of its weights are missing or of another shape: {missing[0]}")
    return network.float().eval().requires_grad_(False)


def open_tokenizer(name: str, folder: Path) -> Any:
    """The tokenizer of a folder, which must have a vocabulary and a filler token. Raises ModelError."""
    if not has_tokenizer(folder):
        raise ModelError(f"{name}: no tokenizer in {folder}")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise ModelError(f"{name}: the tokenizer in {folder} can't be opened: {one_line(error)}") from error
    if tokenizer.pad_token is None:
        raise ModelError(f"{name}: the tokenizer in {folder} has no filler token")
    return tokenizer


def weights_in(name: str, folder: Path) -> list[Path]:
    """The safetensors files of a folder. Raises ModelError, which says so if there are only pickles."""
    files = sorted(folder.glob("model*.safetensors"))
    if files:
        return files
    pickled = next(folder.glob("*.bin"), None)
    if pickled is not None:
        raise ModelError(f"{name}: only {pickled.name} in {folder}: pickled weights are not loaded, safetensors are")
    raise ModelError(f"{name}: no model.safetensors in {folder}")


def cached_folder(name: str, hub_id: str) -> Path:
    """Where the Hugging Face cache keeps a model. Raises ModelError if it does not."""
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(hub_id, "config.json")
    if not isinstance(config, str):
        raise ModelError(f"{name}: its weights are not here", hint=f"rdmf models pull {name}")
    return Path(config).parent


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object from a file. Raises ModelError."""
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ModelError(f"{file} is missing") from error
    except (OSError, ValueError) as error:
        raise ModelError(f"{file}: not readable as JSON: {one_line(error)}") from error
    if not isinstance(values, dict):
        raise ModelError(f"{file}: not a JSON object")
    return values


def _features(output: Any) -> Tensor:
    """transformers 4 returns the vectors, transformers 5 a record in which they are the pooled output."""
    features: Tensor = output if isinstance(output, Tensor) else output.pooler_output
    return features


@contextmanager
def quietly() -> Iterator[None]:
    """No network, no progress bars, no remarks on stderr while transformers loads."""
    log = transformers.utils.logging
    verbosity, has_bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        with hub_is_offline():
            yield
    finally:
        log.set_verbosity(verbosity)
        if has_bars:
            log.enable_progress_bar()
