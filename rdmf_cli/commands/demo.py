"""`rdmf demo`: the first minute, with a short video that comes with the program."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import typer

from rdmf_cli.commands import options
from rdmf_cli.commands.report import View
from rdmf_cli.commands.search import answer_all
from rdmf_cli.errors import VideoError
from rdmf_cli.settings import load_settings

VIDEO = Path(__file__).resolve().parents[1] / "demo.mp4"
QUERIES = (
    "the face of a cat",
    "a woman in an orange space suit",
    "a man with a camera",
    "a dog running on the beach",  # nothing of the kind is in it
)


def demo(encoder: options.Encoder = None, device: options.DeviceChoice = None) -> None:
    """Search a short video that comes with rdmf, before your eyes."""
    from rdmf_cli.commands import console

    if not VIDEO.is_file():
        raise VideoError(f"{VIDEO}: the demo video is missing from this installation", hint="reinstall rdmf-cli")
    settings = load_settings(encoder=encoder, device=device)
    console.line("26 seconds of video, six shots: coffee, a cat, a rocket, a photographer, an astronaut, galaxies.")
    console.line("Each answer below is what its command prints; the last one has nothing to find.\n")
    view = View(before=_print_command)
    try:
        answer_all([VIDEO], QUERIES, settings, view, {"sample_fps": None, "batch_size": 32, "backend": "ffmpeg"})
    except typer.Exit as leave:
        if leave.exit_code != 1:
            raise
    console.line("\nNow with a video of yours:  rdmf search VIDEO 'what to look for'")


def _print_command(answer: Any) -> None:
    from rdmf_cli.commands import console

    console.line(f"$ rdmf search {shlex.quote(str(answer.info.path))} {shlex.quote(answer.query)}")
