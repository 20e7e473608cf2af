"""The parts of the built-in encoder's recipe that need neither teachers nor data (models/rdmf-lite/training)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rdmf_cli.encoders.lite_network import LiteConfig, TextTower, pad_ids

TRAINING = Path(__file__).resolve().parents[2] / "models/rdmf-lite/training"
SMALL = LiteConfig(dim=8, vocabulary=400, text_width=16, text_layers=2, text_heads=2, text_tokens=12)
TEXTS = [f"a {colour} {thing} in the {place}" for colour in ("red", "blue") for thing in ("dog", "car", "kite")
         for place in ("snow", "park", "street")]  # fmt: skip


@pytest.fixture(autouse=True)
def _on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Python does for a script that is run there."""
    monkeypatch.syspath_prepend(str(TRAINING))


def module(name: str) -> Any:
    return importlib.import_module(name)


def unit(*shape: int, seed: int) -> torch.Tensor:
    rows = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(rows, dim=-1)


def test_what_is_at_its_target_loses_nothing() -> None:
    distil, target, bank = module("distil"), unit(6, 8, seed=0), unit(30, 8, seed=1)
    assert float(distil.space_loss(3 * target, target, bank)) == pytest.approx(0, abs=1e-5)
    assert float(distil.space_loss(-target, target, bank)) > 4


def test_last_layers_are_fitted_and_take_inputs_as_they_are() -> None:
    distil, features, bank = module("distil"), 0.01 * torch.randn(200, 12), unit(50, 8, seed=1)
    target = torch.nn.functional.normalize(features @ torch.randn(12, 8), dim=-1)
    layers = torch.nn.Sequential(torch.nn.Linear(12, 32), torch.nn.GELU(), torch.nn.Linear(32, 8))
    recipe = distil.DistilRecipe(batch_size=64, learning_rate=1e-2, weight_decay=0.0, steps=200)
    module("tune_image").fit_adapter(layers, features, target, bank, recipe, 0)
    with torch.no_grad():
        assert float(torch.nn.functional.cosine_similarity(layers(features), target).mean()) > 0.9


def test_the_basis_keeps_what_both_kinds_hold() -> None:
    turn = torch.linalg.qr(torch.randn(20, 20, generator=torch.Generator().manual_seed(2))).Q[:5]
    photos, texts = unit(40, 5, seed=0) @ turn, unit(30, 5, seed=1) @ turn
    basis = module("space").common_basis(photos, texts, 5)
    assert torch.allclose((photos @ basis) @ (texts @ basis).T, photos @ texts.T, atol=1e-5)


def test_a_space_is_read_as_it_was_left(tmp_path: Path) -> None:
    """The towers are trained in other processes; each must meet the same directions."""
    space = module("space")
    join = module("join").JoinRecipe((0,), 8, 1e-3, 1, 0.05, 0.5)
    recipe = space.SpaceRecipe((("objects",), ("pooled", "objects")), (False, True), 8, join, dim=4)
    spreads = dict.fromkeys(space.PARTS, 2.0)
    members = [recipe.member(number, spreads) for number in range(2)]
    for number, (photo, text) in enumerate(members):
        torch.save({"photo": photo.state_dict(), "text": text.state_dict()}, tmp_path / f"space_member{number}.pt")
        photo.eval(), text.eval()
    basis = torch.linalg.qr(torch.randn(8, 4)).Q
    torch.save({"basis": basis, "spreads": spreads}, tmp_path / space.BASIS)
    seen = {name: torch.rand(3, width) for name, width in space.PARTS.items()}
    sentences = unit(5, space.SENTENCE_DIM, seed=0)
    before, after = space.TeacherSpace(members, basis), space.load_space(tmp_path, recipe)
    assert torch.equal(before.photos(seen), after.photos(seen))
    assert torch.equal(before.texts(sentences), after.texts(sentences))
    assert torch.allclose(after.texts(sentences).norm(dim=-1), torch.ones(5))


def test_new_layers_of_text_change_nothing_yet() -> None:
    torch.manual_seed(0)
    tower = TextTower(SMALL).eval()
    deeper = module("tune_text").deeper(tower, LiteConfig(**{**vars(SMALL), "text_layers": 4})).eval()
    ids, padding = pad_ids([[3, 4, 5], [6]], 12)
    assert len(deeper.layers.layers) == 4
    assert torch.allclose(deeper(ids, padding), tower(ids, padding), atol=1e-6)


def test_a_text_stage_goes_on_where_it_was(tmp_path: Path) -> None:
    texts, train_text = module("tune_text"), module("train_text")
    train_text.train_tokenizer(TEXTS, SMALL.vocabulary, tmp_path / "tokenizer.json")
    targets, sentences = unit(len(TEXTS), 8, seed=0).numpy(), unit(len(TEXTS), 384, seed=1).numpy()
    loss_of = texts.space_and_sentence_loss(targets, sentences, unit(20, 8, seed=2))

    def run(work: Path, epochs: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        recipe = train_text.TextRecipe(SMALL.vocabulary, 2, 1e-3, epochs)
        tower = train_text.train(TEXTS, loss_of, recipe, work, 0, name="x", start=TextTower(SMALL))
        return dict(tower.state_dict())

    first = run(tmp_path, 1)
    assert all(torch.equal(a, b) for a, b in zip(first.values(), run(tmp_path, 1).values(), strict=True))
    assert torch.load(tmp_path / "x.pt", weights_only=True)["step"] == len(TEXTS) // 2
    further = run(tmp_path, 2)
    assert torch.load(tmp_path / "x.pt", weights_only=True)["step"] == len(TEXTS)
    assert not np.allclose(first["projection.weight"], further["projection.weight"])
