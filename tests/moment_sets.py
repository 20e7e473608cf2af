"""Small made-up sets for moment retrieval in the public layout: features per video and query, annotated lines of JSON.

What answers a query has its direction, all else a direction of its own, both with noise: learnable, and quickly so.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROWS, SPACING_S, DIM = 20, 2.0, 32
NUM_LABELS = 3  # annotators


def write_lines(file: Path, rows: Sequence[dict[str, Any]]) -> Path:
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def annotation(query_id: int, video: str, windows: Sequence[Sequence[float]], **changes: Any) -> dict[str, Any]:
    """A line; `changes` replace keys, None removes one."""
    row = {"qid": query_id, "vid": video, "query": f"thing {query_id}", "duration": ROWS * SPACING_S}
    row |= {"relevant_windows": [list(window) for window in windows], **changes}
    return {key: value for key, value in row.items() if value is not None}


def write_set(folder: Path, *, num_train: int = 4, num_validation: int = 2, seed: int = 0) -> Path:
    """features/ with pictures, text and motion, train.jsonl and val.jsonl: two queries a video, the second one without
    a match in every other video."""
    rng = np.random.default_rng(seed)
    for name in ("clip_features", "clip_text_features", "slowfast_features"):
        (folder / "features" / name).mkdir(parents=True)
    sides: dict[str, list[dict[str, Any]]] = {"train": [], "val": []}
    for number in range(num_train + num_validation):
        side = "train" if number < num_train else "val"
        sides[side] += _video(folder / "features", number, rng)
    for name, rows in sides.items():
        write_lines(folder / f"{name}.jsonl", rows)
    return folder


def _video(features: Path, number: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    name = f"video{number}_60.0_100.0"
    rows = rng.normal(size=DIM) + 0.6 * rng.normal(size=(ROWS, DIM))
    lines = []
    for place in range(2):
        query_id = 10 * number + place
        first = int(rng.integers(0, 6)) + 10 * place
        last = first + int(rng.integers(2, 5))
        direction = 2.0 * rng.normal(size=DIM)
        is_there = place == 0 or number % 2 == 0
        clips = list(range(first, last)) if is_there else []
        rows[clips] += direction
        tokens = rng.normal(size=(4, DIM)).astype(np.float16)
        words = {"pooler_output": (direction + 0.5 * rng.normal(size=DIM)).astype(np.float16)}
        np.savez(features / "clip_text_features" / f"qid{query_id}.npz", last_hidden_state=tokens, **words)
        labels = {"relevant_clip_ids": clips, "saliency_scores": [[4, 3, 2]] * len(clips)}
        windows = [[first * SPACING_S, last * SPACING_S]] if is_there else []
        lines.append(annotation(query_id, name, windows, **labels))
    np.savez(features / "clip_features" / f"{name}.npz", features=(5 * rows).astype(np.float32))
    np.savez(features / "slowfast_features" / f"{name}.npz", features=rng.normal(size=(ROWS + 1, 6)))
    return lines
