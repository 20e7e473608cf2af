"""What `classify` and `affect` share: options, the model and its streams, and what to do without a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.settings import Settings

Videos = Annotated[list[str], typer.Argument(metavar="VIDEO...", help="Videos or folders of videos.")]
ModelName = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="A model that 'rdmf train' made: its name or folder."),
]
ZeroShot = Annotated[
    bool,
    typer.Option("--zero-shot", help="Rate by text prompts instead of a model: nothing is trained, so it is rough."),
]

HOW_TO_TRAIN = """\
No model comes with rdmf: one that is worth its name must be trained on labelled videos, and nobody may ship those.
With videos of your own it takes three steps.

1. Label stretches of some videos, a row each; both classes, at least four videos, dozens are better:

     video,start_s,end_s,label
     yard.mp4,0,20,other
     yard.mp4,20,31.5,violence

2. Write a recipe, recipe.toml. Everything else has a default (docs/affect.md):

     kind = "affect"
     [data]
     labels = "labels.csv"
     videos = "videos"

3. Train, then use it. Streams are computed once and kept; training itself takes a few minutes on two cores:

     rdmf train recipe.toml --out mymodel
     rdmf classify video.mp4 --model mymodel

For valence and arousal the columns are video,start_s,end_s,valence,arousal, each in [-1, 1], and the recipe has
[head] with task = "regression" and outputs = ["valence", "arousal"]. Folders of RWF-2000, DVD and Aff-Wild2 are read
as they are (data.layout).

To see something at once, without any training: --zero-shot rates by text prompts.
"""


PROMPTS_ARE_ROUGH = (
    "zero-shot: pictures are compared with sentences, such as 'two people fighting' against everyday ones; "
    "nothing was trained on labels, so take it as a hint"
)


def check(model: str | None, zero_shot: bool, command: str) -> None:
    """Raises UsageError for both, ModelError, after the explanation, for neither."""
    from rdmf_cli.commands import console

    if model is not None and zero_shot:
        raise UsageError("--model and --zero-shot exclude each other")
    if model is None and not zero_shot:
        console.hint(HOW_TO_TRAIN)
        raise ModelError("no --model given, and none is shipped", hint=f"rdmf {command} VIDEO --zero-shot needs none")


@dataclass(frozen=True)
class Job:
    """What is to be rated, and by what."""

    videos: list[Path]
    settings: Settings
    chosen: dict[str, Any]  # fields of SearchOptions
    threshold: float  # on [0, 1]
    model: str | None = None
    network: Any = None  # of the model; None: by text prompts
    scales: tuple[Any, ...] = ()  # of the prompts
    use_store: bool = True

    @property
    def said(self) -> dict[str, str]:
        """`model` of the JSON."""
        if self.network is None:
            return {"name": "prompts", "kind": "zero-shot"}
        return {"name": str(self.model), "kind": "learned"}

    @property
    def facts(self) -> tuple[str, ...]:
        """What answers, for the heading."""
        return ("zero-shot",) if self.network is None else (f"model {self.model}",)


@dataclass(frozen=True)
class Rates:
    """What a command rates: the task of its models, the command for the others, the prompts without a model."""

    task: str
    instead: str
    scales: tuple[Any, ...]


def job(
    videos: list[Path],
    rates: Rates,
    model: str | None,
    threshold: float | None,
    settings: Settings,
    encoder: str | None,
    chosen: dict[str, Any],
    *,
    use_store: bool,
) -> Job:
    """The job, its network opened; without a threshold the model's own counts. Raises ModelError."""
    network = open_network(model, settings, rates.task, rates.instead) if model else None
    usual = network.config.threshold if network is not None else 0.5
    return Job(
        videos=videos,
        settings=encoder_settings(settings, encoder, network),
        chosen=chosen,
        threshold=usual if threshold is None else threshold,
        model=model,
        network=network,
        scales=rates.scales,
        use_store=use_store,
    )


@contextmanager
def opened(job: Job) -> Iterator[tuple[Any, Any]]:
    """The encoder of a job, and the progress that its work is shown on."""
    from rdmf_cli.commands import console, session

    session.use_ffmpeg(job.settings)
    with console.rich_progress() as progress:
        yield session.encoder(job.settings, job.chosen["batch_size"], progress), progress


def open_network(model: str, settings: Settings, task: str, command: str) -> Any:
    """The trained network, which must be one for this command. Raises ModelError."""
    from rdmf_cli.weights import find_model, load_affect

    network = load_affect(find_model(model, settings.models))
    head = network.config.head
    if head.task != task:
        raise ModelError(f"{model} rates {', '.join(head.outputs)}", hint=f"rdmf {command} VIDEO --model {model}")
    return network


def encoder_settings(settings: Settings, wanted: str | None, network: Any) -> Settings:
    """The model says which encoder it needs; only --encoder overrules it, not the user's usual one."""
    return settings if wanted or network is None else replace(settings, encoder=network.config.encoder)


def run(job: Job, encoder: Any, progress: Any, on_answer: Any) -> Any:
    """Rate all videos of a job; the Outcome."""
    from rdmf_cli.commands import session
    from rdmf_cli.pipeline.affect import rate_videos
    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.streams import open_tools
    from rdmf_cli.pipeline.zero_shot import rate_by_prompts

    with session.store(job.settings, progress, wanted=job.use_store) as store:
        common = {
            "store": store,
            "options": SearchOptions(**job.chosen),
            "threshold": job.threshold,
            "progress": progress,
            "on_answer": on_answer,
        }
        if job.network is None:
            progress.warn(PROMPTS_ARE_ROUGH)
            return rate_by_prompts(job.videos, job.scales, encoder=encoder, **common)
        config = job.network.config
        tools = open_tools(
            config.streams,
            encoder,
            config.fusion.streams,
            store=store,
            models_folder=job.settings.models,
            device="cpu" if job.settings.device == "auto" else job.settings.device,
            progress=progress,
        )
        return rate_videos(job.videos, job.network, tools, **common)
