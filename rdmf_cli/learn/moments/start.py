"""The trained model that a training begins with: fine-tuning, for those who have few annotated videos."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from rdmf_cli.errors import UsageError
from rdmf_cli.learn.moments.recipe import MomentRecipe
from rdmf_cli.model_folder import CONFIG
from rdmf_cli.moment_model import MomentConfig, MomentNetwork
from rdmf_cli.moment_weights import find_moment_model, load_moments
from rdmf_cli.records import to_table

Weights = dict[str, Tensor]
_FREE = ("dropout", "num_steps", "dt", "max_overlap", "num_slots", "window", "max_width")  # change no weight


def first_weights(recipe: MomentRecipe, base: Path, models_folder: Path) -> Weights | None:
    """Weights of the model that the recipe's `training.start` names; None if it names none.

    A folder counts from `base`, the recipe's folder; a name is looked for where `rdmf search --model` looks.

    Raises
    ------
    ModelError
        If there is no such model, or it is damaged.
    UsageError
        If it is of another shape than the recipe, or was made for another encoder.
    """
    name = recipe.training.start
    if not name:
        return None
    own = base / Path(name).expanduser()
    network = load_moments(own if (own / CONFIG).is_file() else find_moment_model(name, models_folder))
    _check(network, recipe, name)
    return dict(network.state_dict())


def _check(network: MomentNetwork, recipe: MomentRecipe, name: str) -> None:
    """Raise UsageError if the model's weights are not what the recipe describes."""
    config: MomentConfig = network.config
    for part in ("fusion", "head"):
        wanted, has = to_table(getattr(recipe, part)), to_table(getattr(config, part))
        for key in wanted:
            if key not in _FREE and wanted[key] != has[key]:
                raise UsageError(
                    f"{name}: {part}.{key} is {has[key]} there, the recipe says {wanted[key]}",
                    hint=f"what a training starts from has the same [{part}]; copy that of its recipe.toml",
                )
    if recipe.fusion.input == "features" and config.encoder_fingerprint != recipe.encoder:
        raise UsageError(f"{name}: made for the encoder {config.encoder_fingerprint}, the recipe names another")
