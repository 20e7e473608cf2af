"""The examples that a recipe of moment search names: for training, for validation, and to measure the result on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rdmf_cli.errors import UsageError
from rdmf_cli.learn.datasets.annotated import LayoutConfig, load_layout
from rdmf_cli.learn.datasets.examples import Example
from rdmf_cli.learn.datasets.packs import load_pack
from rdmf_cli.learn.moments.recipe import MomentRecipe
from rdmf_cli.progress import SILENT, Progress


@dataclass(frozen=True, eq=False)
class MomentSets:
    """No video is in two of them; who made a pack has seen to that."""

    training: list[Example]
    validation: list[Example]
    tests: dict[str, list[Example]]  # by the names of their files

    @property
    def feature_dim(self) -> int:
        """E of the features that examples carry; 0 if they carry none."""
        features = self.training[0].features
        return 0 if features is None else features.shape[1]


def load_sets(recipe: MomentRecipe, base: Path, progress: Progress = SILENT) -> MomentSets:
    """Read them; paths count from `base`. Raises UsageError, ModelError: what is missing, damaged or does not fit."""
    data = recipe.data
    sides = _packs(recipe, base) if data.layout == "packs" else _layout(recipe, base, progress)
    tests = {Path(name).stem: load_pack(_path(base, name)) for name in data.tests}
    sets = MomentSets(*sides, tests)
    for name, side in {"training": sets.training, "validation": sets.validation}.items():
        if not any(len(example.windows) for example in side):
            raise UsageError(f"no example for {name} has a moment in it: there is nothing to learn")
    check_features(recipe, sets)
    return sets


def check_features(recipe: MomentRecipe, sets: MomentSets) -> None:
    """Raises UsageError if the network is to look at features that the examples lack, or at others than they carry."""
    if recipe.fusion.input != "features":
        return
    if not sets.feature_dim:
        raise UsageError('fusion.input = "features", but the examples carry none', hint='input = "affinity" needs none')
    if recipe.fusion.feature_dim != sets.feature_dim:
        raise UsageError(
            f"the features have {sets.feature_dim} dimensions, fusion.feature_dim says {recipe.fusion.feature_dim}"
        )


def _packs(recipe: MomentRecipe, base: Path) -> tuple[list[Example], list[Example]]:
    return load_pack(_path(base, recipe.data.training)), load_pack(_path(base, recipe.data.validation))


def _layout(recipe: MomentRecipe, base: Path, progress: Progress) -> tuple[list[Example], list[Example]]:
    data = recipe.data
    training = _path(base, data.training)
    config = LayoutConfig(
        features=_path(base, data.features) if data.features else training.parent,
        train=training,
        validation=_path(base, data.validation) if data.validation else None,
        validation_share=data.validation_share,
        split_seed=data.split_seed,
        folders=recipe.folders,
        allow_no_match=data.no_match,
        with_features=recipe.fusion.input == "features",
    )
    loaded = load_layout(config, encoder=recipe.encoder, progress=progress)
    return loaded.train, loaded.validation


def _path(base: Path, name: str) -> Path:
    return base / Path(name).expanduser()
