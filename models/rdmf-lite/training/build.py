"""One command from ../shared/data to the shipped weights: every stage in order, each resuming where it was killed.

    python -m pip install -e '.[train]'
    python models/rdmf-lite/training/build.py --work work/lite

About 60 GB of disk. The shipped weights took 1 h 46 min and, a few days later, twice 2 h on two shared cores, with
stages started by hand side by side.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import command_line

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = command_line.options(__doc__)
    parser.add_argument("--out", type=Path, default=command_line.FOLDER, help="where the model folder is written")
    parser.add_argument("--seeds", nargs="+", default=["0", "1", "2"])
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    recipe, first, out = (
        command_line.read(arguments.recipe),
        str(arguments.work / "first"),
        str(arguments.out.resolve()),
    )
    rounds = [*range(recipe["teachers"]["rounds"]), *sorted(set(recipe["grow"]["rounds"]))]
    told = [(f"--{name}", str(getattr(arguments, name))) for name in ("work", "data", "recipe", "device")]
    for name, *own in (
        ("teachers.py", "--rounds", *map(str, rounds)),
        ("train_image.py",),
        ("train_text.py",),
        ("finish.py", "--out", first, "--first"),
        ("grow_image.py", "--start", first),
        ("grow_text.py", "--start", first),
        ("space.py",),
        ("tune_image.py",),
        ("tune_text.py",),
        ("finish.py", "--out", out, "--seeds", *arguments.seeds),
    ):
        subprocess.run([sys.executable, str(HERE / name), *sum(told, ()), *own], check=True)
    ordinary = ("--folder", out, "--data", str(arguments.data))
    subprocess.run([sys.executable, str(HERE / "ordinary.py"), *ordinary], check=True)
    card = ["-m", "benchmarks.encoder", "--parts", "retrieval,classes", "--folder", out]
    subprocess.run([sys.executable, *card, "--data", str(arguments.data.resolve())], check=True, cwd=command_line.ROOT)


if __name__ == "__main__":
    main()
