"""Stage 6: write the model folder and its metrics; fit the last layers anew with other seeds: what does chance do?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import torch
from distil import DistilRecipe, fit
from join import retrieval
from photos import Photo, PhotoReader, read_manifest
from PIL import Image
from ranges import with_ranges
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from towers import config_of, load_image_tower, load_text_tower
from tune_image import features_of_round, fit_adapter
from tune_text import photo_bank, texts_of_space

from rdmf_cli.encoders.lite_network import (
    ImageTower,
    LiteConfig,
    LiteNetwork,
    TextTower,
    frame_size_px,
    pad_ids,
    quantised,
)


@torch.no_grad()  # not inference mode: the results are trained on
def image_features(tower: ImageTower, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures (H, W, 3) uint8 of any shapes -> (N, F) float16 pooled features, bf16 as at inference."""
    half = deepcopy(tower).to(torch.bfloat16)  # the caller's stays exact
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for i, picture in enumerate(pictures):
        by_shape.setdefault(picture.shape, []).append(i)
    rows: dict[int, np.ndarray] = {}
    for places in by_shape.values():
        for start in range(0, len(places), 64):
            part = places[start : start + 64]
            x = torch.from_numpy(np.stack([pictures[i] for i in part])).permute(0, 3, 1, 2)
            rows |= zip(part, half.features(x.bfloat16() / 127.5 - 1).half().numpy(), strict=True)
    return np.stack([rows[i] for i in range(len(pictures))])


def framed(image: Image.Image, config: LiteConfig) -> np.ndarray:
    """The whole picture at the size that an encoder of this config asks for: (H, W, 3) uint8."""
    height, width = frame_size_px(config, image.width, image.height)
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))


@torch.no_grad()  # not inference mode: the results are trained on
def sentence_features(tower: TextTower, tokenizer: Tokenizer, texts: list[str]) -> Tensor:
    """(N, 384) unit sentence embeddings of the text tower."""
    order = np.argsort([len(t) for t in texts], kind="stable")
    rows = torch.zeros(len(texts), 384)
    for start in range(0, len(texts), 256):
        chosen = order[start : start + 256]
        ids, padding = pad_ids([e.ids for e in tokenizer.encode_batch([texts[i] for i in chosen])], 48)
        rows[torch.from_numpy(chosen.copy())] = nn.functional.normalize(tower.sentence_embedding(ids, padding), dim=-1)
    return rows


def whole_features(tower: ImageTower, config: LiteConfig, reader: PhotoReader, photos: list[Photo]) -> np.ndarray:
    """(P, F) float16."""
    return image_features(tower, [framed(reader.open(photo), config) for photo in photos])


@dataclass(frozen=True)
class TestSet:
    """Frozen features of the held-out captioned photos."""

    images: Tensor  # (P, F)
    sentences: Tensor  # (S, E)
    photo_of_sentence: Tensor  # (S,)


def read_test_set(
    towers: tuple[ImageTower, TextTower, Tokenizer], config: LiteConfig, data: Path, split: str
) -> TestSet:
    """The captioned photos of a split, framed as it is searched."""
    image, text, tokenizer = towers
    photos = [p for p in read_manifest(data / "photos") if p.split == split and p.captions]
    captions = [(i, caption) for i, photo in enumerate(photos) for caption in photo.captions]
    return TestSet(
        torch.from_numpy(whole_features(image, config, PhotoReader(data / "photos"), photos)).float(),
        sentence_features(text, tokenizer, [caption for _, caption in captions]),
        torch.tensor([i for i, _ in captions]),
    )


@torch.no_grad()
def evaluate(adapter: nn.Module, projection: nn.Module, held_out: TestSet) -> dict[str, float]:
    """Text -> image recall on held-out photos."""
    images = nn.functional.normalize(adapter(held_out.images), dim=-1)
    texts = nn.functional.normalize(projection(held_out.sentences), dim=-1)
    return retrieval(images, texts, held_out.photo_of_sentence)


def export(network: LiteNetwork, config: LiteConfig, work: Path, folder: Path, data: Path | None = None) -> None:
    """model.safetensors (with ranges for int8, measured on the photos of `data`), config.json, tokenizer.json."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "model.safetensors.partial"
    packed = quantised(network.state_dict())
    save_file(packed if data is None else with_ranges(packed, network.image, config, data), partial)
    partial.chmod(0o644)
    partial.replace(folder / "model.safetensors")
    (folder / "config.json").write_text(config.to_json())
    (folder / "tokenizer.json").write_text(Tokenizer.from_file(str(work / "tokenizer.json")).to_str())


def export_first(table: dict[str, Any], work: Path, folder: Path) -> None:
    """A model folder of the towers as stages 2 and 3 left them, not joined: what stages 2b and 3b start from."""
    config = LiteConfig(vocabulary=table["text"]["vocabulary"])
    network = LiteNetwork(config)
    network.image.stages = load_image_tower(work, config, "image_end_to_end.pt").stages
    network.text.load_state_dict(load_text_tower(work, config, "text.pt").state_dict())
    export(network.float(), config, work, folder)


@dataclass(frozen=True)
class Frozen:
    """What the towers give, and the space wants, for fitting the last layers."""

    crops: Tensor  # (N, F)
    crop_targets: Tensor  # (N, D)
    sentences: Tensor  # (S, E)
    sentence_targets: Tensor  # (S, D)
    photo_bank: Tensor  # (M, D)


def fitted(frozen: Frozen, config: LiteConfig, recipe: DistilRecipe, seed: int) -> tuple[nn.Sequential, nn.Linear]:
    """Image adapter and text projection from random weights."""
    torch.manual_seed(seed)
    network = LiteNetwork(config)
    texts = frozen.sentence_targets.float()
    fit_adapter(network.image.adapter, frozen.crops, frozen.crop_targets, texts, recipe, seed)
    fit(network.text.projection, frozen.sentences, frozen.sentence_targets, frozen.photo_bank, recipe, seed)
    return network.image.adapter, network.text.projection


def read_frozen(
    towers: tuple[ImageTower, TextTower, Tokenizer], data: Path, work: Path, table: dict[str, Any]
) -> Frozen:
    """Features and targets of every crop and text that the tuning stages saw."""
    image, text, tokenizer = towers
    folders = [work / f"round{r}" for r in table["tune_image"]["rounds"]]
    texts, _, targets = texts_of_space(data, work, table)
    return Frozen(
        torch.cat([features_of_round(image, folder) for folder in folders]),
        torch.cat([torch.from_numpy(np.load(folder / "space.npy")) for folder in folders]),
        sentence_features(text, tokenizer, texts),
        torch.from_numpy(targets),
        photo_bank(work, table),
    )


def main() -> None:
    parser = command_line.options(__doc__)
    parser.add_argument("--out", type=Path, default=command_line.FOLDER)
    parser.add_argument("--seeds", type=int, nargs="*", default=[], help="fit the last layers anew with each of these")
    parser.add_argument("--first", action="store_true", help="write what stages 2b and 3b start from, and no more")
    arguments = parser.parse_args()
    table = command_line.read(arguments.recipe)
    data, work = arguments.data, arguments.work
    if arguments.first:
        export_first(table, work, arguments.out)
        return
    config = config_of(table)
    image, text = load_image_tower(work, config, "image_tuned.pt"), load_text_tower(work, config, "text_tuned.pt")
    towers = (image, text, Tokenizer.from_file(str(work / "tokenizer.json")))
    held_out = read_test_set(towers, config, data, "test")
    results = {"shipped": evaluate(image.adapter, text.projection, held_out)}
    print(json.dumps({"phase": "finish"} | results["shipped"]), flush=True)
    network = LiteNetwork(config)
    network.image, network.text = image, text
    export(network.float(), config, work, arguments.out, data)
    if arguments.seeds:
        frozen = read_frozen(towers, data, work, table)
        for seed in arguments.seeds:
            layers = fitted(frozen, config, DistilRecipe(**table["distil"]), seed)
            results[f"seed {seed}"] = evaluate(*layers, held_out)
            print(json.dumps({"phase": "finish", "seed": seed} | results[f"seed {seed}"]), flush=True)
    report = {"text_to_image_1000_test_photos": results}
    (arguments.out / "metrics.json").write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
