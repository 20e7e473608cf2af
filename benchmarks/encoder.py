"""How fast the built-in encoder is against CLIP-class ones, and what it knows.

    python -m benchmarks.encoder [--parts speed,retrieval,classes] [--data ../shared/data] [--json F] [--markdown F]

- speed: uint8 frames in memory to unit vectors, preprocessing included, batches of 32, in every precision that is
  used on this CPU (int8, bf16; the first row is what `rdmf search` uses), in turns with open_clip's ViT-B-32 and
  MobileCLIP-S1 (random weights: the work is the same); one query at a time; loading after torch is there.
- retrieval: text -> image over the captioned test photos, each at the size that the encoder asks for.
  Also by what the caption is about: a caption counts for every group one of whose words it holds.
- classes: top-1 and top-5 among the 1,000 ImageNet names ("a photo of a …") for the ImageNet sample photos; of the
  test split, and of the train split for comparison, which the encoder has seen.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import re
import statistics
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import ROOT, commit, machine, machine_line, table, write

Floats = NDArray[np.float32]
BATCH = 32
RIVALS = ("ViT-B-32", "MobileCLIP-S1")
LOAD = """
import sys, time, torch
from pathlib import Path
begin = time.perf_counter()
from rdmf_cli.encoders.lite import load_lite
load_lite(Path(sys.argv[1]))
print(time.perf_counter() - begin)
"""
# Whole words of captions, by what they are about.
GROUPS: dict[str, str] = {
    "animals": "dog dogs puppy cat horse horses bird birds animal animals cow sheep",
    "people": "man woman boy girl child children people person men women kids baby",
    "sports": "soccer football basketball baseball tennis hockey skateboard skateboarder surfer surfing snowboarder "
    "skier race racing climbing climber wrestling player players",
    "vehicles": "car bike bicycle motorcycle truck bus train boat motorbike atv",
    "food": "eating eats food drink drinking cake restaurant meal cooking",
    "indoor": "room kitchen bed couch table floor indoor inside chair wall",
    "outdoor": "grass beach mountain mountains street park field forest ocean lake river trees woods hill",
    "weather": "snow snowy rain rainy sunny cloudy fog wind windy",
    "text on screen": "sign signs words letters writing poster banner",
    "colours": "red blue green yellow black white orange pink purple brown",
    "light": "night dark sunset sun bright shadow lights silhouette",
    "motion": "running runs jumping jumps jump walking walks riding rides flying swimming climbs falling throws",
}


@dataclass(frozen=True)
class Photo:
    """A row of the photos' manifest."""

    shard: str
    name: str
    repo: str
    label: str | None
    captions: tuple[str, ...]
    split: str


def read_photos(folder: Path) -> list[Photo]:
    with gzip.open(folder / "manifest.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [Photo(r["shard"], r["name"], r["repo"], r["label"], tuple(r["captions"] or ()), r["split"]) for r in rows]


def embed_photos(encoder: Any, folder: Path, photos: list[Photo]) -> Floats:
    """(N, D) unit rows, each photo squashed to the size that the encoder asks for."""
    from PIL import Image

    shards = {shard: zipfile.ZipFile(folder / shard) for shard in {photo.shard for photo in photos}}
    rows = []
    for photo in photos:
        image = Image.open(io.BytesIO(shards[photo.shard].read(photo.name))).convert("RGB")
        height, width = encoder.frame_size_px(*image.size)
        pixels = np.asarray(image.resize((width, height), Image.Resampling.BILINEAR))
        rows.append(encoder.encode_images(pixels[None])[0])
    return np.stack(rows)


def ranks_of(texts: Floats, images: Floats, right: NDArray[np.int64]) -> NDArray[np.int64]:
    """Texts (S, D), images (P, D), the right image of each (S,) -> (S,) how many images fit better than that."""
    cosines = texts @ images.T
    own = cosines[np.arange(len(texts)), right][:, None]
    return np.asarray((cosines > own).sum(axis=1))


def recall(ranks: NDArray[np.int64]) -> dict[str, float]:
    return {f"R@{k}": float((ranks < k).mean()) for k in (1, 5, 10)}


def retrieval(encoder: Any, data: Path) -> dict[str, Any]:
    photos = [p for p in read_photos(data / "photos") if p.split == "test" and p.captions]
    images = embed_photos(encoder, data / "photos", photos)
    captions = [(row, caption) for row, photo in enumerate(photos) for caption in photo.captions]
    texts = encoder.encode_texts([caption for _, caption in captions])
    ranks = ranks_of(texts, images, np.array([row for row, _ in captions]))
    return {"photos": len(photos), "captions": len(captions), **recall(ranks)} | {
        "groups": by_group([caption for _, caption in captions], ranks)
    }


def by_group(captions: list[str], ranks: NDArray[np.int64]) -> dict[str, dict[str, float]]:
    """{group: {"captions", "R@1" …}}, and what belongs to none."""
    words = [set(re.findall(r"\w+", caption.lower())) for caption in captions]
    member = {name: np.array([bool(w & set(listed.split())) for w in words]) for name, listed in GROUPS.items()}
    member["none of these"] = ~np.any(list(member.values()), axis=0)
    return {name: {"captions": int(rows.sum()), **recall(ranks[rows])} for name, rows in member.items() if rows.any()}


def classes(encoder: Any, data: Path) -> dict[str, Any]:
    """Top-1 and top-5 by class-name text on the ImageNet sample photos, per split."""
    names = [line.split(",")[0].strip() for line in (data / "teacher/imagenet_labels.txt").read_text().splitlines()[1:]]
    photos = [p for p in read_photos(data / "photos") if p.repo.startswith("EliSchwartz/") and p.label]
    places = {name.lower(): row for row, name in reversed(list(enumerate(names)))}
    photos = [p for p in photos if str(p.label).split(",")[0].strip().lower() in places]
    right = np.array([places[str(p.label).split(",")[0].strip().lower()] for p in photos])
    texts = encoder.encode_texts([f"a photo of a {name}" for name in names])
    ranks = ranks_of(embed_photos(encoder, data / "photos", photos), texts, right)
    result = {}
    for split in ("test", "dev", "train"):
        rows = np.array([p.split == split for p in photos])
        figures = {"top-1": float((ranks[rows] < 1).mean()), "top-5": float((ranks[rows] < 5).mean())}
        result[split] = {"photos": int(rows.sum()), **figures}
    return result


def speed(encoder: Any, folder: Path, repeats: int) -> dict[str, Any]:
    """Frames a second of every tower, measured in turns; text, size on disk and load of ours."""
    height, width = encoder.frame_size_px(1920, 1080)
    frames = np.random.default_rng(0).integers(0, 256, (2 * BATCH, height, width, 3), dtype=np.uint8)
    jobs: dict[str, Callable[[], int]] = {
        f"lite, {width}x{height}, {precision}": encoding(one, frames)
        for precision, one in precisions(encoder, folder).items()
    }
    square = encoder.frame_size_px(100, 100)
    if square != (height, width):
        plain = np.ascontiguousarray(np.resize(frames, (2 * BATCH, *square, 3)))
        jobs[f"lite, {square[1]}x{square[0]}, {encoder.precision}"] = encoding(encoder, plain)
    jobs |= {f"{name}, random weights": rival(name) for name in RIVALS}
    took: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()  # threads and kernels
    for _ in range(repeats):
        for name, job in jobs.items():
            begin = time.perf_counter()
            took[name].append(job() / (time.perf_counter() - begin))
    encoder.encode_texts(["a dog"])
    per_text = [timed(lambda: encoder.encode_texts(["a dog playing in the snow"])) for _ in range(30)]
    loads = [float(python(LOAD, folder)) for _ in range(repeats)]
    return {
        "frames_per_s": {name: statistics.median(values) for name, values in took.items()},
        "text_ms": 1e3 * statistics.median(per_text),
        "load_s": statistics.median(loads),
        "weights_mb": (folder / "model.safetensors").stat().st_size / 1e6,
    }


def precisions(encoder: Any, folder: Path) -> dict[str, Any]:
    """The encoder as it comes, then as it runs on CPUs that can't do that: {"int8": …, "bf16": …}."""
    from rdmf_cli.encoders.lite import fastest_precision, load_lite

    slower = fastest_precision("cpu", has_ranges=False)
    found = {encoder.precision: encoder}
    return found if slower in found else found | {slower: load_lite(folder, precision=slower)}


def encoding(encoder: Any, frames: NDArray[np.uint8]) -> Callable[[], int]:
    return lambda: len(encoder.encode_images(frames))


def rival(name: str) -> Callable[[], int]:
    """A job that encodes a batch with an open_clip network of random weights, as the encoder of that name would."""
    import torch

    from rdmf_cli.encoders.torchvision_ops import mend_torchvision

    mend_torchvision()
    import open_clip

    network = open_clip.create_model(name, pretrained=None).eval()
    size = network.visual.image_size
    side = size[0] if isinstance(size, tuple) else size
    frames = torch.randint(0, 256, (BATCH, side, side, 3), dtype=torch.uint8)

    def job() -> int:
        with torch.inference_mode():
            pixels = frames.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
            torch.nn.functional.normalize(network.encode_image(pixels), dim=-1).numpy()
        return len(frames)

    return job


def timed(job: Callable[[], object]) -> float:
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin


def python(code: str, *arguments: object) -> str:
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, cwd=ROOT)
    done.check_returncode()
    return done.stdout


def as_markdown(result: dict[str, Any]) -> str:
    lines = [
        f"Encoder lite ({result['fingerprint'][:12]}), image tower in {result['precision']}, "
        f"commit {(result['commit'] or 'none')[:12]}"
    ]
    lines += [f"Machine: {result['machine_line']}"]
    if part := result.get("speed"):
        ours = next(iter(part["frames_per_s"].values()))
        rows = [[name, f"{fps:.0f}", f"{ours / fps:.1f}"] for name, fps in part["frames_per_s"].items()]
        lines += ["", table(["image tower", "frames / s", "first row / this"], rows), ""]
        lines += [
            f"One query {part['text_ms']:.1f} ms; load {part['load_s']:.2f} s after torch is imported; "
            f"weights {part['weights_mb']:.1f} MB"
        ]
    if part := result.get("retrieval"):
        head = f"Text → image, {part['photos']} test photos, {part['captions']} captions"
        rows = [["all", str(part["captions"]), *percent(part)]]
        rows += [[name, str(g["captions"]), *percent(g)] for name, g in part["groups"].items()]
        lines += ["", head, "", table(["captions about", "captions", "R@1", "R@5", "R@10"], rows)]
    if part := result.get("classes"):
        rows = [
            [split, str(g["photos"]), f"{100 * g['top-1']:.1f}", f"{100 * g['top-5']:.1f}"] for split, g in part.items()
        ]
        lines += ["", "ImageNet samples by class-name text, percent", ""]
        lines += [table(["split", "photos", "top-1", "top-5"], rows)]
    return "\n".join(lines)


def percent(part: dict[str, float]) -> list[str]:
    return [f"{100 * part[f'R@{k}']:.1f}" for k in (1, 5, 10)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default="speed,retrieval,classes")
    parser.add_argument("--folder", type=Path, default=ROOT / "models/rdmf-lite")
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared/data")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    arguments = parser.parse_args()
    from rdmf_cli.encoders.lite import load_lite

    encoder = load_lite(arguments.folder)
    result: dict[str, Any] = {
        "fingerprint": encoder.fingerprint,
        "precision": encoder.precision,
        "commit": commit(),
        "machine": machine(),
    }
    result["machine_line"] = machine_line()
    parts = arguments.parts.split(",")
    if "speed" in parts:
        result["speed"] = speed(encoder, arguments.folder, arguments.repeats)
    if "retrieval" in parts:
        result["retrieval"] = retrieval(encoder, arguments.data)
    if "classes" in parts:
        result["classes"] = classes(encoder, arguments.data)
    write(as_markdown(result), result, markdown=arguments.markdown, json_file=arguments.json)


if __name__ == "__main__":
    main()
