"""Stages 4 and 5: cache what the frozen towers give, join them (join.py), write the model folder and its metrics."""

from __future__ import annotations

import argparse
import json
import tomllib
from pathlib import Path

import numpy as np
import torch
from join import JoinData, JoinRecipe, class_names, retrieval, texts_of, train_join
from photos import Photo, PhotoReader, crop_of, read_manifest
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor, nn
from train_image import Student

from rdmf_cli.encoders.lite import Conv, ImageTower, LiteConfig, LiteNetwork, TextTower, pad_ids, quantised


def fold_norms(network: nn.Module) -> None:
    """Batch norm becomes part of the convolution before it, in place."""
    for module in network.modules():
        if isinstance(module, Conv) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv = nn.utils.fuse_conv_bn_eval(module.conv.eval(), module.norm.eval())
            module.norm = nn.Identity()


def load_image_tower(work: Path, name: str = "image_end_to_end.pt") -> ImageTower:
    """The averaged weights of stage 2, norms folded."""
    student = Student(LiteConfig())
    student.load_state_dict(torch.load(work / name, weights_only=True, map_location="cpu")["ema"])
    student.eval()
    fold_norms(student.tower)
    return student.tower.to(memory_format=torch.channels_last)


def load_text_tower(work: Path, vocabulary: int) -> TextTower:
    """The weights of stage 3."""
    tower = TextTower(LiteConfig(vocabulary=vocabulary))
    tower.load_state_dict(torch.load(work / "text.pt", weights_only=True, map_location="cpu")["tower"])
    return tower.eval()


@torch.no_grad()  # not inference mode: the results are trained on
def image_features(tower: ImageTower, crops: np.ndarray, batch: int = 64) -> np.ndarray:
    """crops (N, 224, 224, 3) uint8 -> (N, 1280) float16 pooled features, bf16 as at inference."""
    half = tower.to(torch.bfloat16)
    rows = []
    for start in range(0, len(crops), batch):
        x = torch.from_numpy(np.ascontiguousarray(crops[start : start + batch])).permute(0, 3, 1, 2)
        rows.append(half.features(x.bfloat16() / 127.5 - 1).half().numpy())
    return np.concatenate(rows)


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


def cached_views(tower: ImageTower, photos: list[Photo], data: Path, work: Path, views: int, limit: int) -> Tensor:
    """(1 + views, P, 1280) float16: the whole squashed photo and `views` of the augmented crops."""
    path = work / f"features_{views}_{limit}.npy"
    if not path.exists():
        reader = PhotoReader(data / "photos")
        table = np.zeros((1 + views, len(photos), 1280), np.float16)
        position = {photo.index: i for i, photo in enumerate(photos)}
        for start in range(0, len(photos), 256):
            part = photos[start : start + 256]
            table[0, start : start + len(part)] = image_features(tower, np.stack([whole_of(reader, p) for p in part]))
        for view in range(views):
            crops = np.load(work / f"round{view}/crops.npy", mmap_mode="r")
            index = np.load(work / f"round{view}/photo_index.npy")
            rows = np.array([i for i, photo in enumerate(index) if photo in position])
            for start in range(0, len(rows), 256):
                part_rows = rows[start : start + 256]
                places = [position[index[i]] for i in part_rows]
                table[1 + view, places] = image_features(tower, crops[part_rows])
        np.save(path, table)
    return torch.from_numpy(np.load(path))


def whole_of(reader: PhotoReader, photo: Photo) -> np.ndarray:
    from photos import whole

    return whole(reader.open(photo))


def class_probabilities(photos: list[Photo], work: Path, rounds: int) -> Tensor:
    """(P, 1001) mean of what both classifiers saw in the crops of each photo."""
    position = {photo.index: i for i, photo in enumerate(photos)}
    total = np.zeros((len(photos), 1001), np.float32)
    for round_index in range(rounds):
        folder = work / f"round{round_index}"
        index = np.load(folder / "photo_index.npy")
        rows = np.array([i for i, photo in enumerate(index) if photo in position])
        places = np.array([position[index[i]] for i in rows])
        for name in ("probs1", "probs2"):
            total[places] += np.load(folder / f"{name}.npy")[rows].astype(np.float32)
    probabilities = torch.from_numpy(total)
    return probabilities / probabilities.sum(dim=1, keepdim=True).clamp(min=1e-6)


def join_data(
    towers: tuple[ImageTower, TextTower, Tokenizer], data: Path, work: Path, recipe: JoinRecipe, limit: int
) -> JoinData:
    """Everything that stage 4 reads."""
    image, text, tokenizer = towers
    photos = [p for p in read_manifest(data / "photos") if p.split == "train" and texts_of(p)][:limit]
    numbers: dict[str, int] = {}
    choices = [[numbers.setdefault(t, len(numbers)) for t in texts_of(p)] for p in photos]
    classes = class_names(data / "teacher/imagenet_labels.txt")
    return JoinData(
        views=cached_views(image, photos, data, work, recipe.views, limit),
        sentences=sentence_features(text, tokenizer, list(numbers)),
        choices=choices,
        captioned=torch.tensor([bool(p.captions) for p in photos]),
        class_sentences=sentence_features(text, tokenizer, classes),
        class_probs=class_probabilities(photos, work, recipe.views),
    )


@torch.no_grad()  # not inference mode: the results are trained on
def evaluate(network: LiteNetwork, data: Path, tokenizer: Tokenizer) -> dict[str, float]:
    """Text -> image recall on the captioned test photos, squashed to a square."""
    reader = PhotoReader(data / "photos")
    photos = [p for p in read_manifest(data / "photos") if p.split == "test" and p.captions]
    features = image_features(network.image, np.stack([crop_of(reader, p, 0) for p in photos]))
    network.image.float()
    images = nn.functional.normalize(network.image.adapter(torch.from_numpy(features).float()), dim=-1)
    captions = [(i, caption) for i, photo in enumerate(photos) for caption in photo.captions]
    sentences = sentence_features(network.text, tokenizer, [caption for _, caption in captions])
    texts = nn.functional.normalize(network.text.projection(sentences), dim=-1)
    return retrieval(images, texts, torch.tensor([i for i, _ in captions]))


def export(network: LiteNetwork, config: LiteConfig, work: Path, folder: Path) -> None:
    """model.safetensors, config.json, tokenizer.json."""
    folder.mkdir(parents=True, exist_ok=True)
    partial = folder / "model.safetensors.partial"
    save_file(quantised(network.state_dict()), partial)
    partial.chmod(0o644)
    partial.replace(folder / "model.safetensors")
    (folder / "config.json").write_text(config.to_json())
    (folder / "tokenizer.json").write_text(Tokenizer.from_file(str(work / "tokenizer.json")).to_str())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(__file__).resolve().parents[4] / "shared/data")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--recipe", type=Path, default=Path(__file__).parents[1] / "recipe.toml")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="the first one is exported")
    parser.add_argument("--limit", type=int, default=1_000_000, help="photos to join with; for trying things out")
    arguments = parser.parse_args()
    table = tomllib.loads(arguments.recipe.read_text())
    recipe = JoinRecipe(**table["join"])
    config = LiteConfig(vocabulary=table["text"]["vocabulary"])
    image, text = load_image_tower(arguments.work), load_text_tower(arguments.work, config.vocabulary)
    tokenizer = Tokenizer.from_file(str(arguments.work / "tokenizer.json"))
    data = join_data((image, text, tokenizer), arguments.data, arguments.work, recipe, arguments.limit)
    results = {}
    for seed in arguments.seeds:
        torch.manual_seed(seed)
        network = LiteNetwork(config)
        network.image.stages = image.stages.float()
        projection = network.text.projection
        network.text = text
        network.text.projection = projection
        network.image.adapter.train()
        train_join(data, recipe, network.image.adapter, projection, seed)
        network.eval()
        results[seed] = evaluate(network, arguments.data, tokenizer)
        print(json.dumps({"phase": "join", "seed": seed} | results[seed]), flush=True)
        if seed == arguments.seeds[0]:
            export(network.float(), config, arguments.work, arguments.out)
    (arguments.out / "metrics.json").write_text(
        json.dumps({"text_to_image_1000_test_photos": {str(seed): r for seed, r in results.items()}}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
