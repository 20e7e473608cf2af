"""From a name to an encoder. Nothing is imported for a backend until one of its encoders is opened.

Names that are understood:

    lite, vit-b-32, ...                 a preset (presets.py)
    auto                                the best preset whose weights are here, else lite
    openclip:MODEL/TAG                  a model of open_clip, from the model folder or the Hugging Face cache
    openclip:MODEL@/path/weights        the same with a weights file of one's own (.safetensors, .pt, .pth, .bin)
    hf:ID                               a CLIP or SigLIP of the hub, from the model folder or the cache
    hf:/folder  or just  /folder        a local folder (config.json or open_clip_config.json in it)

Opening never downloads and never waits for a network: `rdmf models pull NAME` does that.
"""

from __future__ import annotations

import difflib
import importlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rdmf_cli.encoders.presets import AUTO_ORDER, PRESETS, RECOMMENDED, Backend, Preset, find_folder, preset_for
from rdmf_cli.errors import ModelError, UsageError

if TYPE_CHECKING:
    from rdmf_cli.encoders.base import Encoder

# Each loader: (path, device, batch_size, **options) -> Encoder.
_LOADERS: dict[Backend, str] = {
    "lite": "rdmf_cli.encoders.lite:load_lite",
    "openclip": "rdmf_cli.encoders.openclip:load_openclip",
    "huggingface": "rdmf_cli.encoders.huggingface:load_huggingface",
}


@dataclass(frozen=True)
class Located:
    """What a name stands for: which backend opens it, from where."""

    backend: Backend
    path: Path | None  # folder or weights file; None: the backend looks into the Hugging Face cache
    options: dict[str, str] = field(default_factory=dict)  # what the backend's loader takes besides


def open_encoder(
    name: str,
    *,
    models_folder: Path,
    device: str = "auto",
    batch_size: int = 32,
    offline: bool = False,
    warn: Callable[[str], None] | None = None,
) -> Encoder:
    """Open the encoder `name` (see the module's docstring). Never downloads.

    Parameters: `models_folder` holds what `pull` fetched; `device` is "auto", "cpu", "cuda" or "mps"; `batch_size`
    is the number of frames in one forward pass; `offline` only changes what the hint of an error says; `warn` gets
    one line if "auto" had to fall back to the built-in encoder, or the work to the CPU.

    Raises
    ------
    ModelError: unknown name, weights missing or damaged. UsageError: the device does not exist here.
    """
    if batch_size < 1:
        raise UsageError(f"a batch of {batch_size} frames makes no sense", hint="--batch-size 1 or more")
    found = locate(name, models_folder=models_folder, offline=offline, warn=warn)
    module, _, function = _LOADERS[found.backend].partition(":")
    try:
        pick_device = importlib.import_module("rdmf_cli.encoders.device").pick_device
        load = getattr(importlib.import_module(module), function)
        fallback = importlib.import_module("rdmf_cli.encoders.fallback").FallbackEncoder
    except (ImportError, OSError, RuntimeError) as error:  # a library that is missing or doesn't fit torch
        line = str(error).strip().splitlines()[-1:] or [repr(error)]
        raise ModelError(f"{name}: its libraries can't be loaded: {line[0]}", hint="rdmf doctor") from error
    chosen = pick_device(device)

    def on(place: str) -> Encoder:
        opened: Encoder = load(found.path, place, batch_size, **found.options)
        return opened

    if chosen == "cpu":
        return on("cpu")
    try:
        first = on(chosen)
    except Exception as error:  # the device is full, lost or too old; if the weights are to blame, the CPU says so too
        opened = on("cpu")
        if warn is not None:
            warn(f"{chosen} can't be used, going on with the CPU: {' '.join(str(error).split())[:200]}")
        return opened
    wrapped: Encoder = fallback(first, chosen, lambda: on("cpu"), warn)
    return wrapped


def locate(
    name: str, *, models_folder: Path, offline: bool = False, warn: Callable[[str], None] | None = None
) -> Located:
    """What `name` stands for on this machine, without importing any backend. Raises ModelError as `open_encoder`."""
    if name == "auto":
        return _locate_auto(models_folder, warn)
    if name in PRESETS:
        return _locate_preset(PRESETS[name], models_folder, offline)
    kind, colon, source = name.partition(":")
    if colon and kind == "openclip":
        return _locate_openclip(name, source, models_folder)
    if colon and kind == "hf":
        preset = preset_for(name)
        if os.path.isdir(Path(source).expanduser()) or preset is None:
            return _locate_folder(name, Path(source).expanduser())
        return Located("huggingface", find_folder(preset, models_folder), {"name": name, "hub_id": source})
    if os.path.isdir(Path(name).expanduser()):
        return _locate_folder(name, Path(name).expanduser())
    raise unknown_encoder(name)


def available(models_folder: Path) -> list[str]:
    """Names of the presets whose weights are here, best first."""
    return [name for name in AUTO_ORDER if find_folder(PRESETS[name], models_folder)]


def _locate_auto(models_folder: Path, warn: Callable[[str], None] | None) -> Located:
    best = next(iter(available(models_folder)), "lite")
    if best == "lite" and warn is not None:
        warn(f"using the small built-in encoder; for better answers: rdmf models pull {RECOMMENDED}")
    return _locate_preset(PRESETS[best], models_folder, offline=False)


def _locate_preset(preset: Preset, models_folder: Path, offline: bool) -> Located:
    folder = find_folder(preset, models_folder)
    if folder is None and preset.backend == "lite":
        raise ModelError(
            "the built-in encoder is missing from this installation",
            hint="reinstall rdmf-cli, or name another encoder with --encoder",
        )
    if folder is None:
        hint = f"rdmf models pull {preset.name}" + (" (needs a network, so without --offline)" if offline else "")
        raise ModelError(f"{preset.name}: its weights are not here ({models_folder})", hint=hint)
    if preset.backend == "lite":
        return Located("lite", folder)
    if preset.backend == "huggingface":
        return Located("huggingface", folder, {"name": preset.name})
    model, tag = preset.open_clip_names
    return Located("openclip", folder, {"name": preset.name, "model": model, "tag": tag})


def _locate_openclip(name: str, source: str, models_folder: Path) -> Located:
    """`source` is MODEL/TAG or MODEL@/path/weights."""
    model, at, file = source.partition("@")
    if at:
        path = Path(file).expanduser()
        if not path.is_file():
            raise ModelError(f"{name}: no such file: {path}")
        return Located("openclip", path, {"name": name, "model": model})
    preset = preset_for(name)
    if preset is None:
        raise ModelError(f"{name}: not of the form openclip:MODEL/TAG or openclip:MODEL@/path/weights.safetensors")
    model, tag = preset.open_clip_names
    return Located("openclip", find_folder(preset, models_folder), {"name": name, "model": model, "tag": tag})


def _locate_folder(name: str, folder: Path) -> Located:
    """A local folder; which backend it is for, its config file says."""
    if (folder / "open_clip_config.json").is_file():
        return Located("openclip", folder, {"name": name})
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(f"{name}: no config.json in {folder}", hint="'rdmf models list' shows the known names")
    try:
        values = json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{config}: not readable as JSON: {error}") from error
    if isinstance(values, dict) and "model_type" in values:  # every transformers model says what it is
        return Located("huggingface", folder, {"name": name})
    return Located("lite", folder)


def unknown_encoder(name: str) -> ModelError:
    """The error for a name that means nothing, with the closest one that does."""
    close = difflib.get_close_matches(name.lower(), [*PRESETS, "auto"], n=1, cutoff=0.4)
    guess = f"did you mean '{close[0]}'? " if close else ""
    return ModelError(f"unknown encoder '{name}'", hint=f"{guess}'rdmf models list' shows all names")
