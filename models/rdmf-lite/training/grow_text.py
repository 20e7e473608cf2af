"""Stage 3b: more passes for the text tower, from a model folder, over the sources that describe pictures and videos."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import command_line
import numpy as np
from safetensors.torch import load_file
from train_text import TextRecipe, agreement, read_texts, sentence_loss, sentence_targets, train

from rdmf_cli.encoders.lite_network import LiteConfig, TextTower, dequantised


def folded_text_tower(folder: Path) -> TextTower:
    """The text tower of a model folder."""
    tower = TextTower(LiteConfig.from_json((folder / "config.json").read_text()))
    state = dequantised(load_file(folder / "model.safetensors"))
    tower.load_state_dict({name.removeprefix("text."): v for name, v in state.items() if name.startswith("text.")})
    return tower


def chosen_texts(data: Path, sources: list[str], most: int, seed: int) -> list[str]:
    """At most `most` training texts of the sources whose names begin with one of `sources`, in a shuffled order."""
    with gzip.open(data / "texts/texts.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    texts = [r["text"] for r in rows if r["split"] == "train" and r["source"].startswith(tuple(sources))]
    order = np.random.default_rng(seed).permutation(len(texts))[:most]
    return [texts[i] for i in order]


def main() -> None:
    parser = command_line.options(__doc__)
    parser.add_argument("--start", type=Path, default=command_line.FOLDER, help="model folder to start from")
    arguments = parser.parse_args()
    table = command_line.read(arguments.recipe)
    more = table["grow_text"]
    recipe = TextRecipe(table["text"]["vocabulary"], more["batch_size"], more["learning_rate"], more["epochs"])
    texts = chosen_texts(arguments.data, more["sources"], more["texts"], table["seed"])
    targets = sentence_targets(texts, arguments.work / "sentences_grow.npy")
    dev = read_texts(arguments.data, "dev")[:2000]
    dev_targets = sentence_targets(dev, arguments.work / "sentences_dev.npy")
    start = folded_text_tower(arguments.start)
    before = agreement(start.eval(), dev, dev_targets, arguments.work)
    tower = train(
        texts,
        sentence_loss(targets),
        recipe,
        arguments.work,
        table["seed"],
        name="text_grown",
        start=start,
        device=arguments.device,
    )
    after = agreement(tower, dev, dev_targets, arguments.work)
    print(json.dumps({"phase": "text", "dev_cosine_before": round(before, 4), "dev_cosine": round(after, 4)}))


if __name__ == "__main__":
    main()
