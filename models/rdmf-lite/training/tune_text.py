"""Stage 5b: the text tower, two layers deeper, learns the teachers' space itself, from texts that describe pictures.

The photos' own sentences and those of stage 3b. A part of the loss still asks for the sentence teacher's vectors, so
that words which no caption has keep their neighbours. Resumes.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import torch
from distil import space_loss
from grow_text import chosen_texts
from space import load_space, photo_sentences, read_recipe, training_photos
from torch import Tensor, nn
from towers import config_of, load_text_tower
from train_text import LossOf, TextRecipe, distil_loss, sentence_targets, train

from rdmf_cli.encoders.lite_network import LiteConfig, TextTower

KEEP = 0.3  # weight of the sentence teacher's own vectors


@torch.no_grad()
def deeper(tower: TextTower, config: LiteConfig) -> TextTower:
    """The same tower with as many layers as `config` says; the new ones change nothing yet."""
    grown = TextTower(config)
    grown.load_state_dict(tower.state_dict(), strict=False)
    for layer in grown.layers.layers[len(tower.layers.layers) :]:
        for last in (layer.self_attn.out_proj, layer.linear2):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
    return grown


def space_and_sentence_loss(targets: np.ndarray, sentences: np.ndarray, bank: Tensor) -> LossOf:
    """targets (N, D) of the space, sentences (N, 384) of the teacher, bank (M, D) of photos."""

    def loss_of(tower: TextTower, ids: Tensor, padding: Tensor, rows: np.ndarray) -> Tensor:
        with torch.autocast(ids.device.type, torch.bfloat16):
            sentence = tower.sentence_embedding(ids, padding).float()
            output = tower.projection(nn.functional.normalize(sentence, dim=-1))
        wanted, vectors = (torch.from_numpy(a[rows].astype(np.float32)).to(ids.device) for a in (targets, sentences))
        return space_loss(output, wanted, bank.to(ids.device)) + KEEP * distil_loss(sentence, vectors)

    return loss_of


def texts_of_space(data: Path, work: Path, table: dict[str, Any]) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The texts that the stage learns from, what the sentence teacher says of them (N, 384), and the space (N, D)."""
    grown = table["grow_text"]
    ours, _ = photo_sentences(training_photos(data))
    others = chosen_texts(data, grown["sources"], grown["texts"], table["seed"])
    files = (work / "sentences_photos.npy", work / "sentences_grow.npy")
    sentences = np.concatenate([sentence_targets(t, f) for t, f in zip((ours, others), files, strict=True)])
    space = load_space(work, read_recipe(table))
    return [*ours, *others], sentences, space.texts(torch.from_numpy(sentences)).half().numpy()


def photo_bank(work: Path, table: dict[str, Any]) -> Tensor:
    """(M, D) unit: what the space says of one crop of every training photo."""
    return torch.from_numpy(np.load(work / f"round{table['space']['rounds'][0]}/space.npy")).float()


def main() -> None:
    arguments = command_line.options(__doc__).parse_args()
    data, work = arguments.data, arguments.work
    table = command_line.read(arguments.recipe)
    more, config = table["tune_text"], config_of(table)
    recipe = TextRecipe(config.vocabulary, more["batch_size"], more["learning_rate"], more["epochs"])
    texts, sentences, targets = texts_of_space(data, work, table)
    before = replace(config, text_layers=LiteConfig.text_layers)
    start = deeper(load_text_tower(work, before, "text_grown.pt"), config)
    loss_of = space_and_sentence_loss(targets, sentences, photo_bank(work, table))
    train(texts, loss_of, recipe, work, table["seed"], name="text_tuned", start=start, device=arguments.device)


if __name__ == "__main__":
    main()
