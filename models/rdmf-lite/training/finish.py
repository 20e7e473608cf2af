"""Stages 4 and 5: cache what the frozen towers give, join them (join.py), write the model folder and its metrics."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from join import JoinData, JoinRecipe, class_names, retrieval, texts_of, train_join
from photos import Photo, PhotoReader, read_manifest
from PIL import Image
from ranges import with_ranges
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from train_image import Student

from rdmf_cli.encoders.lite_network import (
    Conv,
    ImageTower,
    LiteConfig,
    LiteNetwork,
    TextTower,
    frame_size_px,
    pad_ids,
    quantised,
)


def fold_norms(network: nn.Module) -> None:
    """Batch norm becomes part of the convolution before it, in place."""
    for module in network.modules():
        if isinstance(module, Conv) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv = nn.utils.fuse_conv_bn_eval(module.conv.eval(), module.norm.eval())
            module.norm = nn.Identity()


def config_of(table: dict[str, Any]) -> LiteConfig:
    """Shapes of the towers that recipe.toml describes."""
    return LiteConfig(
        vocabulary=table["text"]["vocabulary"],
        stage_blocks=tuple(table["grow"]["stage_blocks"]),
        **table["frames"],
    )


def load_image_tower(work: Path, config: LiteConfig, name: str = "image_grown.pt") -> ImageTower:
    """The averaged weights of stage 2b, norms folded; its adapter is untrained."""
    student = Student(config)
    student.load_state_dict(torch.load(work / name, weights_only=True, map_location="cpu")["ema"])
    student.eval()
    fold_norms(student.tower)
    tower = ImageTower(config)
    tower.stages = student.tower.stages
    return tower.to(memory_format=torch.channels_last)


def load_text_tower(work: Path, config: LiteConfig, name: str = "text_grown.pt") -> TextTower:
    """The weights of stage 3b."""
    tower = TextTower(config)
    tower.load_state_dict(torch.load(work / name, weights_only=True, map_location="cpu")["tower"])
    return tower.eval()


@torch.no_grad()  # not inference mode: the results are trained on
def image_features(tower: ImageTower, pictures: Sequence[np.ndarray]) -> np.ndarray:
    """Pictures (H, W, 3) uint8 of any shapes -> (N, F) float16 pooled features, bf16 as at inference."""
    half = tower.to(torch.bfloat16)
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


def cached_views(
    tower: ImageTower, config: LiteConfig, photos: list[Photo], data: Path, work: Path, rounds: list[int]
) -> Tensor:
    """(1 + R, P, F) float16: the whole photo, framed as `config` says, and its augmented crop of each round."""
    shape = f"{config.frame_side_px}_{config.longest_ratio:g}"
    path = work / f"features_{shape}_{'-'.join(map(str, rounds))}.npy"
    if path.exists():
        return torch.from_numpy(np.load(path))
    reader = PhotoReader(data / "photos")
    views = [
        np.concatenate([whole_features(tower, config, reader, photos[i : i + 256]) for i in range(0, len(photos), 256)])
    ]
    position = {photo.index: i for i, photo in enumerate(photos)}
    for round_index in rounds:
        crops = np.load(work / f"round{round_index}/crops.npy", mmap_mode="r")
        index = np.load(work / f"round{round_index}/photo_index.npy")
        rows = np.array([i for i, photo in enumerate(index) if photo in position])
        view = np.zeros_like(views[0])
        for start in range(0, len(rows), 256):
            part = rows[start : start + 256]
            view[[position[index[i]] for i in part]] = image_features(tower, crops[part])
        views.append(view)
    np.save(path, np.stack(views))
    return torch.from_numpy(np.stack(views))


def whole_features(tower: ImageTower, config: LiteConfig, reader: PhotoReader, photos: list[Photo]) -> np.ndarray:
    """(P, F) float16."""
    return image_features(tower, [framed(reader.open(photo), config) for photo in photos])


def class_probabilities(photos: list[Photo], work: Path, rounds: list[int]) -> Tensor:
    """(P, 1001) mean of what both classifiers saw in the crops of each photo."""
    position = {photo.index: i for i, photo in enumerate(photos)}
    total = np.zeros((len(photos), 1001), np.float32)
    for round_index in rounds:
        folder = work / f"round{round_index}"
        index = np.load(folder / "photo_index.npy")
        rows = np.array([i for i, photo in enumerate(index) if photo in position])
        places = np.array([position[index[i]] for i in rows])
        for name in ("probs1", "probs2"):
            total[places] += np.load(folder / f"{name}.npy")[rows].astype(np.float32)
    probabilities = torch.from_numpy(total)
    return probabilities / probabilities.sum(dim=1, keepdim=True).clamp(min=1e-6)


def join_data(
    towers: tuple[ImageTower, TextTower, Tokenizer], config: LiteConfig, data: Path, work: Path, recipe: JoinRecipe
) -> JoinData:
    """Everything that stage 4 reads."""
    image, text, tokenizer = towers
    photos = [p for p in read_manifest(data / "photos") if p.split == "train" and texts_of(p)]
    numbers: dict[str, int] = {}
    choices = [[numbers.setdefault(t, len(numbers)) for t in texts_of(p)] for p in photos]
    classes = class_names(data / "teacher/imagenet_labels.txt")
    return JoinData(
        views=cached_views(image, config, photos, data, work, recipe.rounds),
        sentences=sentence_features(text, tokenizer, list(numbers)),
        choices=choices,
        captioned=torch.tensor([bool(p.captions) for p in photos]),
        class_sentences=sentence_features(text, tokenizer, classes),
        class_probs=class_probabilities(photos, work, recipe.rounds),
    )


@dataclass(frozen=True)
class TestSet:
    """Frozen features of the held-out captioned photos."""

    images: Tensor  # (P, F)
    sentences: Tensor  # (S, E)
    photo_of_sentence: Tensor  # (S,)


def read_test_set(
    towers: tuple[ImageTower, TextTower, Tokenizer], config: LiteConfig, data: Path, split: str
) -> TestSet:
    """The captioned photos of a split, each as it is searched."""
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[4] / "shared/data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path(__file__).parents[1] / "recipe.toml")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="the first one is exported")
    parser.add_argument("--first", action="store_true", help="write what stages 2b and 3b start from, and no more")
    arguments = parser.parse_args()
    table = tomllib.loads(arguments.recipe.read_text())
    if arguments.first:
        export_first(table, arguments.work, arguments.out)
        return
    recipe, config = JoinRecipe(**table["join"]), config_of(table)
    image, text = load_image_tower(arguments.work, config), load_text_tower(arguments.work, config)
    towers = (image, text, Tokenizer.from_file(str(arguments.work / "tokenizer.json")))
    seen = replace(config, frame_side_px=recipe.frame_side_px, longest_ratio=recipe.longest_ratio)
    data = join_data(towers, seen, arguments.data, arguments.work, recipe)
    held_out = read_test_set(towers, config, arguments.data, "test")
    results = {}
    for seed in arguments.seeds:
        torch.manual_seed(seed)
        network = LiteNetwork(config)
        train_join(data, recipe, network.image.adapter, network.text.projection, seed)
        network.eval()
        results[seed] = evaluate(network.image.adapter, network.text.projection, held_out)
        print(json.dumps({"phase": "join", "seed": seed} | results[seed]), flush=True)
        if seed == arguments.seeds[0]:
            network.image.stages = image.stages
            network.text.load_state_dict(text.state_dict() | _projection(network.text))
            export(network.float(), config, arguments.work, arguments.out, arguments.data)
    (arguments.out / "metrics.json").write_text(
        json.dumps({"text_to_image_1000_test_photos": {str(seed): r for seed, r in results.items()}}, indent=1) + "\n"
    )


def _projection(tower: TextTower) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tower.state_dict().items() if name.startswith("projection.")}


if __name__ == "__main__":
    main()
