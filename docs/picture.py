"""Draws docs/search.svg and docs/report.png: a real search of the demo video, in the terminal and as a page.

    python docs/picture.py

The command runs for real; its coloured output is taken as it comes. The page needs playwright and chromium and is left
alone where they are missing.
"""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

HERE = Path(__file__).parent
WIDTH = 84
QUERY = "an orange cat looking at the camera"
SIZE = {"width": 1180, "height": 720}


def main() -> None:
    """Run the search and keep what it printed and wrote."""
    with as_file(files("rdmf_cli").joinpath("demo.mp4")) as video, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(video, folder)
        terminal(search(folder, "--top", "3"))
        search(folder, "--top", "3", "--report", "page.html")
        page(folder / "page.html")


def search(folder: Path, *more: str) -> str:
    """What it prints."""
    environment = os.environ | {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH), "TERM": "xterm-256color"}
    command = [sys.executable, "-m", "rdmf_cli", "search", "demo.mp4", QUERY, "--no-cache", *more]
    return subprocess.run(command, env=environment, cwd=folder, stdout=subprocess.PIPE, text=True, check=True).stdout


def terminal(printed: str) -> None:
    """search.svg."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi(f'$ rdmf search demo.mp4 "{QUERY}"'))
    console.print(Text.from_ansi(printed.rstrip()))
    console.save_svg(str(HERE / "search.svg"), title="rdmf")


def page(file: Path) -> None:
    """report.png: the page after a click on the best moment."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None or find_spec("playwright") is None:
        print("no chromium or no playwright: report.png is left as it is")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=["--no-sandbox"])
        shown = browser.new_page(viewport=SIZE)
        shown.goto(file.as_uri())
        shown.locator("tbody tr .time a").first.click()
        shown.wait_for_timeout(1500)
        shown.screenshot(path=HERE / "report.png")
        browser.close()
    with Image.open(HERE / "report.png") as picture:
        picture.convert("RGB").quantize(256).save(HERE / "report.png", optimize=True)


if __name__ == "__main__":
    main()
