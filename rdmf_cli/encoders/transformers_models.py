"""Models of the transformers library other than encoders of pictures and sentences: found, opened, identified.

Nothing is downloaded: a name is a local folder, or hf:ID of what `rdmf models pull hf:ID` fetched or the hub's cache
has.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdmf_cli.encoders.huggingface import cached_folder, quietly, read_json, read_preprocessing, weights_in
from rdmf_cli.encoders.presets import find_folder, preset_for
from rdmf_cli.encoders.towers import Preprocessing, fingerprint_of, one_line
from rdmf_cli.errors import ModelError


@dataclass(frozen=True, eq=False)
class Opened:
    """A model, ready to be asked."""

    network: Any
    config: dict[str, Any]
    preprocessing: Preprocessing
    fingerprint: str
    folder: Path


def find_model(name: str, models_folder: Path) -> Path:
    """The folder of a local path or an hf:ID. Raises ModelError that says how to get it."""
    plain = name.removeprefix("hf:")
    if os.path.isdir(Path(plain).expanduser()):
        return Path(plain).expanduser()
    preset = preset_for(name) if name.startswith("hf:") else None
    if preset is None:
        raise ModelError(f"{name}: no such folder", hint="a folder, or hf:ID of a model of the Hugging Face hub")
    return find_folder(preset, models_folder) or cached_folder(name, preset.source)


def open_model(
    name: str, models_folder: Path, device: str, kinds: tuple[str, ...], auto_class: str, *facts: str
) -> Opened:
    """Open a model of one of the `kinds` (config.json's model_type) with a transformers class. Raises ModelError.

    `facts` are what else decides its vectors; they go into the fingerprint.
    """
    import transformers  # mended on the import of encoders/huggingface.py

    folder = find_model(name, models_folder)
    config = read_json(folder / "config.json")
    if config.get("model_type") not in kinds:
        raise ModelError(
            f"{name}: a model of type '{config.get('model_type')}' can't be used", hint=f"known: {', '.join(kinds)}"
        )
    files = weights_in(name, folder)
    side = config.get("image_size", config.get("vision_config", {}).get("image_size", 224))
    if not isinstance(side, int):
        raise ModelError(f"{name}: config.json: image_size is no number: {side!r}")
    preprocessing = read_preprocessing(folder, side)
    with quietly():
        network = _open(name, folder, getattr(transformers, auto_class))
    fingerprint = fingerprint_of(files, json.dumps(config, sort_keys=True), str(preprocessing), *facts)
    return Opened(network.to(device), config, preprocessing, fingerprint, folder)


def _open(name: str, folder: Path, kind: Any) -> Any:
    try:
        network, report = kind.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False, output_loading_info=True
        )
    except Exception as error:  # OSError, ValueError, SafetensorError, RuntimeError: the weights can't be used
        raise ModelError(f"{name}: the weights in {folder} can't be opened: {one_line(error)}") from error
    missing = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
    if missing:
        raise ModelError(f"{name}: {len(missing)} of its weights are missing or of another shape: {missing[0]}")
    return network.float().eval().requires_grad_(False)
