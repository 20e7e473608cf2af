"""From a recipe, labels and streams to a model folder: seeds, comparison, card and figures."""

from __future__ import annotations

import csv
import io
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from rdmf_cli.errors import OutputError, UsageError
from rdmf_cli.learn.affect.card import card
from rdmf_cli.learn.affect.comparison import Scores, Seeds, paired_p, train_seeds, variants, with_fusion
from rdmf_cli.learn.affect.data import WindowSet, split_sets, window_set
from rdmf_cli.learn.affect.figures import predict
from rdmf_cli.learn.affect.labels import VideoLabels, read_labels
from rdmf_cli.learn.affect.recipe import AffectRecipe
from rdmf_cli.learn.affect.training import Trained
from rdmf_cli.learn.recipe import recipe_text
from rdmf_cli.model import AffectConfig, Sources
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.weights import CONFIG, Papers, save_affect
from rdmf_cli.windows import VideoStreams


@dataclass(frozen=True)
class TrainingReport:
    """What a training gave, for people and for metrics.json."""

    folder: Path
    figure: str  # name of what the weights are chosen by
    best: Trained
    scores: tuple[Scores, ...]  # the recipe itself first, then what it is compared with
    num_training: int  # windows
    num_validation: int
    epochs: tuple[int, ...] = field(default=())  # of the recipe's seeds

    def to_json(self) -> dict[str, Any]:
        """metrics.json."""
        own = self.scores[0].values
        return {
            "figure": self.figure,
            "windows": {"training": self.num_training, "validation": self.num_validation},
            "seed": self.best.seed,
            "validation": self.best.figures,
            "variants": [
                {
                    "name": row.name,
                    "values": list(row.values),
                    "mean": row.mean,
                    "sd": row.spread,
                    "p_against_recipe": paired_p(own, row.values) if row is not self.scores[0] else None,
                }
                for row in self.scores
            ],
        }


def labels_of(recipe: AffectRecipe, base: Path) -> list[VideoLabels]:
    """The labels that a recipe names; its paths count from `base`. Raises as `read_labels`, and for one class only."""
    videos = base / Path(recipe.data.videos).expanduser() if recipe.data.videos else None
    labels = read_labels(recipe.data.layout, base / Path(recipe.data.labels).expanduser(), videos, recipe.head.outputs)
    if recipe.is_class:  # said before an hour is spent on streams
        seen = sum(label.values.sum(axis=0) > 0 for label in labels)
        absent = [name for name, count in zip(recipe.head.outputs, seen, strict=True) if not count]
        if absent:
            raise UsageError(
                f"{base / recipe.data.labels}: all labels are of one class, none is {absent[0]!r}",
                hint="label both: a model can't learn to tell apart what it has seen one kind of",
            )
    return labels


def check_folder(folder: Path) -> None:
    """Raises OutputError if a model can't be put there: a file, or a folder of something else."""
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).is_file()):
        raise OutputError(f"{folder}: exists and is no model folder", hint="name another one with --out")


def train_affect(
    recipe: AffectRecipe,
    labels: Sequence[VideoLabels],
    videos: Sequence[VideoStreams],
    sources: Sources,
    folder: Path,
    *,
    compare: bool = False,
    device: str = "cpu",
    progress: Progress = SILENT,
) -> TrainingReport:
    """Train all seeds, keep the best one in `folder`; `compare` also trains each stream alone and concatenation.

    Streams that have no source are left out, which is said. Raises UsageError, OutputError, ModelError.
    """
    recipe = _reduced(recipe, sources, progress)
    sources = Sources(**{name: getattr(sources, name) for name in recipe.fusion.streams})
    config = AffectConfig(
        sources=sources, encoder=recipe.encoder, streams=recipe.streams, fusion=recipe.fusion, head=recipe.head
    )
    data = recipe.data
    whole = window_set(labels, videos)
    training, validation = split_sets(labels, whole, data.validation_share, data.split_seed, is_class=recipe.is_class)
    state_folder = folder.with_name(f".{folder.name}.training")
    seeds = _all_seeds(training, validation, config, recipe, state_folder / "recipe", device, progress)
    scores = [seeds.scores()]
    if compare:
        for name, fusion in variants(recipe.fusion).items():
            changed = with_fusion(config, recipe, fusion)
            place = state_folder / name.replace(" ", "-")
            scores.append(_all_seeds(training, validation, *changed, place, device, progress).scores(name))
    figure = "F1" if recipe.is_class else "mean CCC"
    epochs = tuple(run.epochs for run in seeds.runs)
    report = TrainingReport(folder, figure, seeds.best, tuple(scores), len(training), len(validation), epochs)
    papers = Papers(
        card(recipe, report.to_json(), labels), recipe_text(recipe), report.to_json(), _tables(seeds.best, validation)
    )
    save_affect(folder, seeds.best.network, papers)
    shutil.rmtree(state_folder, ignore_errors=True)
    return report


def _all_seeds(
    training: WindowSet,
    validation: WindowSet,
    config: AffectConfig,
    recipe: AffectRecipe,
    place: Path,
    device: str,
    progress: Progress,
) -> Seeds:
    return train_seeds(training, validation, config, recipe, state_folder=place, device=device, progress=progress)


def _reduced(recipe: AffectRecipe, sources: Sources, progress: Progress) -> AffectRecipe:
    """The recipe without the streams that nothing makes."""
    there = tuple(name for name in recipe.fusion.streams if getattr(sources, name) is not None)
    if there == recipe.fusion.streams:
        return recipe
    progress.warn(f"training on the streams that exist: {', '.join(there)}")
    return replace(recipe, fusion=replace(recipe.fusion, streams=there))


def _tables(best: Trained, validation: WindowSet) -> dict[str, str]:
    """predictions.csv and truth.csv, as `rdmf evaluate --protocol classification | regression` reads them."""
    config, keys = best.network.config, validation.keys
    rated = predict(best.network, validation)
    if config.head.task == "classification":
        positive = validation.classes == len(config.head.outputs) - 1
        predicted = _csv(["id", "score"], keys, rated[:, -1:].tolist())
        return {"predictions.csv": predicted, "truth.csv": _csv(["id", "label"], keys, positive[:, None].tolist())}
    head = ["id", *config.head.outputs]
    true = _csv(head, keys, validation.targets.tolist())
    return {"predictions.csv": _csv(head, keys, rated.tolist()), "truth.csv": true}


def _csv(head: list[str], keys: list[str], rows: list[list[float]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(
        [key, *(int(value) if isinstance(value, bool) else value for value in row)]
        for key, row in zip(keys, rows, strict=True)
    )
    return text.getvalue()
