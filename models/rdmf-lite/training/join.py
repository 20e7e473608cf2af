"""How pictures and sentences come into one space: by captions and label names (space.py, for each member).

Everything below the trained layers is cached, so this takes minutes. Three losses: contrast between captioned photos
and their sentences, the same among all photos of the batch (soft targets where two sentences mean nearly the same), and
the pull of every photo toward the class names that the teachers saw in it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from photos import Photo
from torch import Tensor, nn

WORDINGS = ("{}", "{}", "a {}", "the {}", "a photo of a {}", "there is a {}", "a picture with a {}", "{} in the scene")


@dataclass(frozen=True)
class JoinRecipe:
    """How one member of the teachers' space is trained: the rest of the [space] table of recipe.toml."""

    rounds: tuple[int, ...]  # of augmented crops
    batch_size: int
    learning_rate: float
    steps: int
    temperature: float
    dropout: float  # of image features; without it the captions of 6,751 photos are learnt by heart


def label_texts(label: str) -> list[str]:
    """Sentences for one class name: each synonym in each wording."""
    names = [name.strip().replace("_", " ").lower() for name in label.split(",") if name.strip()]
    return [wording.format(name) for name in names[:3] for wording in dict.fromkeys(WORDINGS)]


def texts_of(photo: Photo) -> list[str]:
    """What a photo may be called in training: its captions, or its label in varied wording."""
    return list(photo.captions) or (label_texts(photo.label) if photo.label else [])


def class_names(path: Path) -> list[str]:
    """The 1,001 names of the classifiers' outputs, first synonym each; row 0 is "background"."""
    return [line.strip().split(",")[0] for line in path.read_text().splitlines()]


@dataclass
class JoinData:
    """What a member learns from. P training photos with at least one sentence."""

    views: Tensor  # (V, P, F) float16: what its photo side reads, round by round
    sentences: Tensor  # (S, E) unit sentence embeddings of all distinct sentences
    choices: list[list[int]]  # P lists of rows of `sentences`
    captioned: Tensor  # (P,) bool
    class_sentences: Tensor  # (1001, E)
    class_probs: Tensor  # (P, 1001), mean of both teachers over the views


def soft_targets(sentences: Tensor) -> Tensor:
    """(B, E) unit -> (B, B) target distribution: itself, and what says nearly the same (cosine above about 0.8)."""
    similarity = sentences @ sentences.T
    return ((similarity - 1) / 0.05).softmax(dim=-1)


def contrast(images: Tensor, texts: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Symmetric cross-entropy between unit rows (B, D) under soft targets (B, B)."""
    logits = images @ texts.T / temperature
    forth = -(targets * logits.log_softmax(dim=-1)).sum(-1).mean()
    back = -(targets.T * logits.T.log_softmax(dim=-1)).sum(-1).mean()
    return (forth + back) / 2


def train_join(data: JoinData, recipe: JoinRecipe, adapter: nn.Module, projection: nn.Module, seed: int) -> None:
    """Train `adapter` (F -> D) and `projection` (E -> D) in place."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    parameters = [*adapter.parameters(), *projection.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=0.1)
    with_captions = np.flatnonzero(data.captioned.numpy())
    with_labels = np.flatnonzero(~data.captioned.numpy())
    half = recipe.batch_size // 2
    for step in range(recipe.steps):
        rate = recipe.learning_rate * min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / recipe.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        rows = np.concatenate([rng.choice(with_captions, half, False), rng.choice(with_labels, half, False)])
        view = torch.from_numpy(rng.integers(len(data.views), size=len(rows)))
        features = data.views[view, torch.from_numpy(rows)].float()
        features = nn.functional.dropout(features, recipe.dropout)
        sentences = data.sentences[[data.choices[i][rng.integers(len(data.choices[i]))] for i in rows]]
        images = nn.functional.normalize(adapter(features), dim=-1)
        texts = nn.functional.normalize(projection(sentences), dim=-1)
        loss = contrast(images[:half], texts[:half], soft_targets(sentences[:half]), recipe.temperature)
        loss = loss + 0.5 * contrast(images, texts, soft_targets(sentences), recipe.temperature)
        classes = nn.functional.normalize(projection(data.class_sentences), dim=-1)
        seen = (images @ classes.T / recipe.temperature).log_softmax(dim=-1)
        loss = loss - 0.2 * (data.class_probs[torch.from_numpy(rows)] * seen).sum(-1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()


@torch.inference_mode()
def retrieval(images: Tensor, texts: Tensor, photo_of_text: Tensor) -> dict[str, float]:
    """Text -> image recall. images (P, D), texts (S, D) unit; photo_of_text (S,) the right row."""
    similarity = texts @ images.T
    right = similarity.gather(1, photo_of_text.unsqueeze(1))
    rank = (similarity > right).sum(dim=1)
    return {f"R@{k}": round(float((rank < k).float().mean()), 4) for k in (1, 5, 10)}
