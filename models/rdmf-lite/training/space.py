"""Stage 4: the space that both towers shall share, made by the teachers alone.

Several small networks, each from what the teachers see in a photo and from the sentence teacher's vectors, are joined
by contrast over captions and label names (join.py). Each overfits in its own way to the captions of 6,751 photos, so
the mean of their cosines retrieves better than any of them (docs/experiments.md); a rotation brings the mean into as
many dimensions as the encoder has. What the space says of every crop and every text is what the towers then learn:
they see all photos, not only those with captions.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import command_line
import numpy as np
import torch
from join import JoinData, JoinRecipe, class_names, retrieval, texts_of, train_join
from photos import Photo, PhotoReader, read_manifest, whole
from teachers import HINTS, Classifier, Detector
from torch import Tensor, nn
from train_text import SENTENCE_DIM, sentence_targets

from rdmf_cli.encoders.lite_network import LiteConfig

PARTS = {"pooled": 1280, "probs1": 1001, "probs2": 1001, "objects": 80}  # what the teachers say of a crop
Seen = dict[str, Tensor]  # part -> (N, its width)
BASIS = "space_basis.pt"  # and the spreads of the parts


@dataclass(frozen=True)
class SpaceRecipe:
    """The [space] table of recipe.toml."""

    members: tuple[tuple[str, ...], ...]  # the parts that each member reads
    bent: tuple[bool, ...]  # whether its text side has a hidden layer
    width: int
    join: JoinRecipe  # how each is trained
    dim: int = LiteConfig.dim

    def member(self, number: int, spreads: dict[str, float]) -> Member:
        """Both sides of a member, untrained."""
        photo = PhotoSide(self.members[number], self.width, self.dim, spreads)
        return photo, SentenceSide(self.width, self.dim, bent=self.bent[number])


class PhotoSide(nn.Module):
    """Teachers' parts, side by side, each over its own spread -> member's space (N, dim)."""

    def __init__(self, parts: tuple[str, ...], width: int, dim: int, spreads: dict[str, float]) -> None:
        super().__init__()
        self.parts, self.spreads = parts, spreads
        inputs = sum(PARTS[name] for name in parts)
        self.layers = nn.Sequential(nn.Linear(inputs, width), nn.GELU(), nn.Linear(width, dim))

    def features(self, seen: Seen) -> Tensor:
        """What the layers read: (N, sum of the parts' widths)."""
        return torch.cat([seen[name].float() / self.spreads[name] for name in self.parts], dim=-1)

    def forward(self, features: Tensor) -> Tensor:
        """(N, sum of widths) -> (N, dim)."""
        return self.layers(features)  # type: ignore[no-any-return]


class SentenceSide(nn.Module):
    """Sentence teacher's vectors (N, 384) -> member's space (N, dim)."""

    def __init__(self, width: int, dim: int, *, bent: bool) -> None:
        super().__init__()
        self.straight = nn.Linear(SENTENCE_DIM, dim)
        self.bend: nn.Module | None = None
        if bent:
            last = nn.Linear(width, dim)
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
            self.bend = nn.Sequential(nn.Dropout(0.2), nn.Linear(SENTENCE_DIM, width), nn.GELU(), last)

    def forward(self, sentences: Tensor) -> Tensor:
        """(N, 384) unit -> (N, dim)."""
        straight: Tensor = self.straight(sentences)
        return straight if self.bend is None else straight + self.bend(sentences)


Member = tuple[PhotoSide, SentenceSide]


class TeacherSpace:
    """The members and the rotation of their mean."""

    def __init__(self, members: list[Member], basis: Tensor) -> None:
        self.members, self.basis = members, basis

    @torch.inference_mode()
    def photos(self, seen: Seen) -> Tensor:
        """Teachers' parts of N crops -> (N, dim) unit."""
        sides = [nn.functional.normalize(photo(photo.features(seen)), dim=-1) for photo, _ in self.members]
        return nn.functional.normalize(torch.cat(sides, dim=-1) @ self.basis, dim=-1)

    @torch.inference_mode()
    def texts(self, sentences: Tensor) -> Tensor:
        """Sentence vectors (N, 384) -> (N, dim) unit."""
        unit = nn.functional.normalize(sentences.float(), dim=-1)
        sides = [nn.functional.normalize(text(unit), dim=-1) for _, text in self.members]
        return nn.functional.normalize(torch.cat(sides, dim=-1) @ self.basis, dim=-1)


def read_recipe(table: dict[str, dict[str, object]]) -> SpaceRecipe:
    """The [space] table of a recipe."""
    values = dict(table["space"])
    members = tuple(tuple(parts) for parts in values.pop("members"))  # type: ignore[attr-defined]
    bent, width = tuple(values.pop("bent")), int(values.pop("width"))  # type: ignore[call-overload]
    return SpaceRecipe(members, bent, width, JoinRecipe(**values))  # type: ignore[arg-type]


def as_seen(arrays: dict[str, np.ndarray]) -> Seen:
    """Probabilities as square roots of shares, everything float32."""
    seen = {name: torch.from_numpy(np.asarray(arrays[name], dtype=np.float32)) for name in PARTS}
    for name in ("probs1", "probs2"):
        seen[name] = (seen[name] / seen[name].sum(dim=1, keepdim=True).clamp(min=1e-6)).sqrt()
    return seen


def pooled_of(folder: Path) -> np.ndarray:
    """(N, 1280) float16: the first classifier's pooled feature of a round, cached beside its grid."""
    path = folder / "pooled.npy"
    if not path.exists():
        grid, (scale, zero) = np.load(folder / "hint5.npy", mmap_mode="r"), HINTS["hint5"][2]
        starts = range(0, len(grid), 500)
        rows = [(grid[i : i + 500].astype(np.float32) - zero).mean(axis=(1, 2)) * scale for i in starts]
        np.save(path, np.concatenate(rows).astype(np.float16))
    return np.asarray(np.load(path))


def seen_in_round(folder: Path) -> tuple[np.ndarray, Seen]:
    """Photo index of every row, and what the teachers said of its crop."""
    arrays = {name: np.load(folder / f"{name}.npy") for name in PARTS if name != "pooled"}
    return np.load(folder / "photo_index.npy"), as_seen(arrays | {"pooled": pooled_of(folder)})


def seen_whole(photos: list[Photo], data: Path) -> Seen:
    """What the teachers say of whole photos, squashed."""
    first = Classifier(data / "teacher/mobilenet_v2_1.0_224_quant.tflite", keep=(HINTS["hint5"][0],))
    second = Classifier(data / "teacher/tf2_mobilenet_v2_1.0_224_ptq.tflite")
    detector = Detector(data / "teacher/fastestdet_coco/FastestDet.onnx")
    reader, (scale, zero) = PhotoReader(data / "photos"), HINTS["hint5"][2]
    rows: dict[str, list[np.ndarray]] = {name: [] for name in PARTS}
    for photo in photos:
        crop = whole(reader.open(photo))
        rows["probs1"].append(first(crop))
        rows["pooled"].append((first.tensor(HINTS["hint5"][0]).astype(np.float32) - zero).mean(axis=(0, 1)) * scale)
        rows["probs2"].append(second(crop))
        rows["objects"].append(detector(crop))
    return as_seen({name: np.stack(values) for name, values in rows.items()})


def photo_sentences(photos: list[Photo]) -> tuple[list[str], list[list[int]]]:
    """All distinct sentences of the training photos, and for each photo its rows."""
    numbers: dict[str, int] = {}
    choices = [[numbers.setdefault(text, len(numbers)) for text in texts_of(photo)] for photo in photos]
    return list(numbers), choices


def training_photos(data: Path) -> list[Photo]:
    """Those of the training split that have a sentence."""
    return [p for p in read_manifest(data / "photos") if p.split == "train" and texts_of(p)]


def join_data(data: Path, rounds: list[Seen], photos: list[Photo], work: Path) -> JoinData:
    """All that a member learns from, but for its views. rounds: what the teachers say of `photos`, round by round."""
    texts, choices = photo_sentences(photos)
    names = class_names(data / "teacher/imagenet_labels.txt")
    files = (work / "sentences_photos.npy", work / "sentences_classes.npy")
    sentences, classes = (
        nn.functional.normalize(torch.from_numpy(sentence_targets(said, file)).float(), dim=-1)
        for said, file in zip((texts, names), files, strict=True)
    )
    seen = [part[name].float().square() for part in rounds for name in ("probs1", "probs2")]
    shares = torch.stack(seen).sum(dim=0)
    return JoinData(
        views=torch.zeros(0),
        sentences=sentences,
        choices=choices,
        captioned=torch.tensor([bool(photo.captions) for photo in photos]),
        class_sentences=classes,
        class_probs=shares / shares.sum(dim=1, keepdim=True).clamp(min=1e-6),
    )


def build_space(data: Path, work: Path, recipe: SpaceRecipe, seed: int) -> TeacherSpace:
    """Train the members, one after another, and find the rotation; what is in `work` already is not made again."""
    photos = training_photos(data)
    position = {photo.index: i for i, photo in enumerate(photos)}
    rounds = [seen_of_photos(work / f"round{r}", position) for r in recipe.join.rounds]
    spreads = {name: float(rounds[0][name].float().std()) for name in PARTS}
    join, members = join_data(data, rounds, photos, work), []
    for number in range(len(recipe.members)):
        torch.manual_seed(seed + number)
        member = recipe.member(number, spreads)
        path = work / f"space_member{number}.pt"
        if not path.exists():
            join.views = torch.stack([member[0].features(seen).half() for seen in rounds])
            train_join(join, recipe.join, *member, seed + number)
            torch.save({"photo": member[0].state_dict(), "text": member[1].state_dict()}, path)
        members.append(loaded(member, path))
        print(json.dumps({"phase": "space", "member": number, "parts": recipe.members[number]}), flush=True)
    if not (work / BASIS).exists():
        unrotated = TeacherSpace(members, torch.eye(recipe.dim * len(members)))
        basis = common_basis(unrotated.photos(rounds[0]), unrotated.texts(join.sentences), recipe.dim)
        torch.save({"basis": basis, "spreads": spreads}, work / BASIS)
    return load_space(work, recipe)


def load_space(work: Path, recipe: SpaceRecipe) -> TeacherSpace:
    """The space that `build_space` has left: one basis for both towers, since eigenvectors may come out turned."""
    state = torch.load(work / BASIS, weights_only=True)
    members = [
        loaded(recipe.member(number, state["spreads"]), work / f"space_member{number}.pt")
        for number in range(len(recipe.members))
    ]
    return TeacherSpace(members, state["basis"])


def loaded(member: Member, path: Path) -> Member:
    """The member with the weights of a file."""
    state = torch.load(path, weights_only=True)
    for side, name in zip(member, ("photo", "text"), strict=True):
        side.load_state_dict(state[name])
        side.eval()
    return member


def seen_of_photos(folder: Path, position: dict[int, int]) -> Seen:
    """A round's rows in the order of `position` {photo index: row}; other photos are left out."""
    index, seen = seen_in_round(folder)
    rows = np.array([i for i, photo in enumerate(index) if photo in position])
    places = torch.from_numpy(np.argsort([position[index[i]] for i in rows]))
    return {name: part[torch.from_numpy(rows)][places].half() for name, part in seen.items()}


def common_basis(photos: Tensor, texts: Tensor, dim: int) -> Tensor:
    """(N, E) and (S, E) unit -> (E, dim): the directions that hold most of both, each kind weighing the same."""
    spread = photos.T @ photos / len(photos) + texts.T @ texts / len(texts)
    return torch.linalg.eigh(spread).eigenvectors.flip(1)[:, :dim].clone()


def write_sentences(space: TeacherSpace, work: Path) -> None:
    """space_sentences.npy (S, dim) float16 unit: what the space says of the photos' sentences."""
    vectors = torch.from_numpy(np.load(work / "sentences_photos.npy"))
    np.save(work / "space_sentences.npy", space.texts(vectors).half().numpy())


def write_targets(space: TeacherSpace, folder: Path) -> None:
    """space.npy (N, dim) float16 unit: what the space says of every crop of a round."""
    if (folder / "space.npy").exists():
        return
    _, seen = seen_in_round(folder)
    starts = range(0, len(seen["pooled"]), 2048)
    rows = [space.photos({name: part[i : i + 2048] for name, part in seen.items()}) for i in starts]
    np.save(folder / "space.npy", torch.cat(rows).half().numpy())


def main() -> None:
    arguments = command_line.options(__doc__).parse_args()
    table = command_line.read(arguments.recipe)
    recipe = read_recipe(table)
    space = build_space(arguments.data, arguments.work, recipe, table["seed"])
    write_sentences(space, arguments.work)
    for round_index in recipe.join.rounds:
        write_targets(space, arguments.work / f"round{round_index}")
    for split in ("dev", "test"):
        photos = [p for p in read_manifest(arguments.data / "photos") if p.split == split and p.captions]
        captions = [caption for photo in photos for caption in photo.captions]
        rows = torch.tensor([i for i, photo in enumerate(photos) for _ in photo.captions])
        vectors = torch.from_numpy(sentence_targets(captions, arguments.work / f"sentences_{split}_captions.npy"))
        found = retrieval(space.photos(seen_whole(photos, arguments.data)), space.texts(vectors), rows)
        print(json.dumps({"phase": "space", "split": split} | found), flush=True)


if __name__ == "__main__":
    main()
