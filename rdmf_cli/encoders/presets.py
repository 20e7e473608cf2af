"""The encoders that have a short name: what they are, what they cost, where they come from, where they lie.

A table and a few questions about folders; standard library only, because help texts and `rdmf models list` read it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Backend = Literal["lite", "openclip", "huggingface"]

MARKER = "download.json"  # written last by `pull`: a folder without it is never taken for complete
_LITE_FILES = ("config.json", "tokenizer.json", "model.safetensors")


@dataclass(frozen=True)
class Preset:
    """One encoder that `--encoder NAME` and `rdmf models pull NAME` know."""

    name: str
    backend: Backend
    source: str  # openclip: "MODEL/TAG" as open_clip spells them; huggingface: the hub id; lite: its folder's name
    dim: int
    image_size_px: int  # frames arrive as squares of this side
    licence: str  # of the weights
    download_mb: int  # approximate: number of parameters x 4 bytes; `pull` shows the hub's exact figure
    description: str
    repo: str = ""  # on huggingface.co; "" for what is built in or looked up in open_clip's table
    file: str = ""  # the weights file in it
    sha256: str = ""  # "": not pinned, the file is checked against what the hub states for its revision

    @property
    def open_clip_names(self) -> tuple[str, str]:
        """(model, tag) as open_clip knows them; only for backend "openclip"."""
        model, _, tag = self.source.partition("/")
        return model, tag


# No hash is pinned: the files could not be fetched where this was written, and none is made up. `file` is open_clip's
# name for safetensors; where a repository has the .bin only, `pull` takes that (download.py).
_PRESETS = (
    Preset(
        name="lite",
        backend="lite",
        source="rdmf-lite",
        dim=256,
        image_size_px=224,
        licence="MIT",
        download_mb=0,
        description="built in: small, fast, works at once and offline",
    ),
    Preset(
        name="vit-b-32",
        backend="openclip",
        # Not "ViT-B-32": OpenAI's weights were trained with QuickGELU, and the plain name builds another activation.
        source="ViT-B-32-quickgelu/openai",
        dim=512,
        image_size_px=224,
        licence="MIT",
        download_mb=605,
        description="OpenAI's CLIP ViT-B/32 of 2021, the encoder of most published moment models",
        repo="timm/vit_base_patch32_clip_224.openai",
        file="open_clip_model.safetensors",
    ),
    Preset(
        name="vit-b-32-256",
        backend="openclip",
        source="ViT-B-32-256/datacomp_s34b_b86k",
        dim=512,
        image_size_px=256,
        licence="MIT",
        download_mb=605,
        description="recommended: as fast as vit-b-32 and clearly better (LAION, DataComp-1B)",
        repo="laion/CLIP-ViT-B-32-256x256-DataComp-s34B-b86K",
        file="open_clip_model.safetensors",
    ),
    Preset(
        name="siglip2-b-16",
        backend="openclip",
        source="ViT-B-16-SigLIP2/webli",
        dim=768,
        image_size_px=224,
        licence="Apache-2.0",
        download_mb=1501,
        description="Google's SigLIP 2 ViT-B/16: many languages, about four times the work of a B/32",
        repo="timm/ViT-B-16-SigLIP2",
        file="open_clip_model.safetensors",
    ),
    Preset(
        name="pe-core-b-16",
        backend="openclip",
        source="PE-Core-B-16/meta",
        dim=1024,
        image_size_px=224,
        licence="Apache-2.0",
        download_mb=1791,
        description="Meta's Perception Encoder B/16, trained on videos too; sentences of up to 32 tokens",
        repo="timm/PE-Core-B-16",
        file="open_clip_model.safetensors",
    ),
    Preset(
        name="mobileclip-s1",
        backend="openclip",
        source="MobileCLIP-S1/datacompdr",
        dim=512,
        image_size_px=256,
        licence="Apple (apple-amlr: read it before any use beyond research)",
        download_mb=340,
        description="Apple's MobileCLIP-S1: the smallest download",
        repo="apple/MobileCLIP-S1-OpenCLIP",
        file="open_clip_model.safetensors",
    ),
)

PRESETS: dict[str, Preset] = {preset.name: preset for preset in _PRESETS}
RECOMMENDED = "vit-b-32-256"

# Best first, by published retrieval figures (video retrieval where there are any), not by measurements of ours.
AUTO_ORDER = ("pe-core-b-16", "siglip2-b-16", "vit-b-32-256", "mobileclip-s1", "vit-b-32", "lite")


def preset_for(name: str) -> Preset | None:
    """The preset of a name that `pull` can fetch: one of the table, or made up for "openclip:MODEL/TAG", "hf:ID".

    Made-up ones know no size, licence or dimension: the hub states them when it is asked.
    """
    if name in PRESETS:
        return PRESETS[name]
    kind, _, source = name.partition(":")
    if "@" in source or source.count("/") != 1 or source.startswith(("/", ".", "~")) or source.endswith("/"):
        return None
    if kind == "openclip":
        known = (p for p in _PRESETS if p.backend == "openclip" and p.source == source)
        return next(known, Preset(name, "openclip", source, 0, 0, "", 0, "an open_clip model"))
    if kind == "hf":
        return Preset(name, "huggingface", source, 0, 0, "", 0, "a model of the Hugging Face hub", repo=source)
    return None


def folder_name(name: str) -> str:
    """The name of a preset's folder in the user's model folder: "hf:google/x" lies in hf--google--x."""
    return name.replace(":", "--").replace("/", "--")


def find_folder(preset: Preset, models_folder: Path) -> Path | None:
    """Where the preset's complete weights lie, or None. Looks at names and sizes only."""
    if preset.backend == "lite":
        return next((folder for folder in _lite_folders(models_folder) if _has_lite(folder)), None)
    folder = models_folder / folder_name(preset.name)
    return folder if is_complete(folder) else None


def is_complete(folder: Path) -> bool:
    """True where `pull` finished: its marker is there, and every file it lists has the size it lists."""
    try:
        files = json.loads((folder / MARKER).read_text(encoding="utf-8"))["files"]
        return bool(files) and all((folder / f["name"]).stat().st_size == f["size"] for f in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _lite_folders(models_folder: Path) -> tuple[Path, ...]:
    """The user's copy, the packaged one, the checkout's."""
    package = Path(__file__).resolve().parent.parent
    name = PRESETS["lite"].source
    return models_folder / name, package / "_models" / name, package.parent / "models" / name


def _has_lite(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _LITE_FILES)
