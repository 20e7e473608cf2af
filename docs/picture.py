"""Draws docs/search.svg: a real search of the demo video, as the terminal shows it.

    python docs/picture.py

The command runs for real; its coloured output is taken as it comes.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import as_file, files
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 84
QUERY = "an orange cat looking at the camera"


def main() -> None:
    """Run the search and keep what it printed."""
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    with as_file(files("rdmf_cli").joinpath("demo.mp4")) as video, tempfile.TemporaryDirectory() as folder:
        shutil.copy(video, folder)
        command = [sys.executable, "-m", "rdmf_cli", "search", "demo.mp4", QUERY, "--top", "3", "--no-cache"]
        result = subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True)
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f'$ rdmf search demo.mp4 "{QUERY}"'))
    console.print(Text.from_ansi(result.stdout.rstrip()))
    console.save_svg(str(Path(__file__).with_name("search.svg")), title="rdmf")


if __name__ == "__main__":
    main()
