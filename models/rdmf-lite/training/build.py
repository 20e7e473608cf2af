"""One command from ../shared/data to the shipped weights: every stage in order, each resuming where it was killed.

    python -m pip install -e '.[train]'
    python models/rdmf-lite/training/build.py --work work/lite

About 60 GB of disk. The shipped weights took 1 h 46 min and, a few days later, twice 2 h on two shared cores, with
stages started by hand side by side.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=HERE.parents[3] / "shared/data")
    parser.add_argument("--work", type=Path, required=True, help="cached targets, checkpoints")
    parser.add_argument("--out", type=Path, default=HERE.parent, help="where the model folder is written")
    parser.add_argument("--seeds", nargs="+", default=["0", "1", "2"])
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    recipe = tomllib.loads((HERE.parent / "recipe.toml").read_text())
    rounds = [*range(recipe["teachers"]["rounds"]), *sorted(set(recipe["grow"]["rounds"]))]
    work, data = ["--work", str(arguments.work)], ["--data", str(arguments.data.resolve())]
    first = str(arguments.work / "first")
    stages = [
        ["teachers.py", *work, *data, "--rounds", *map(str, rounds)],
        ["train_image.py", *work],
        ["train_text.py", *work, *data],
        ["finish.py", *work, "--out", first, "--first"],
        ["grow_image.py", *work, "--start", first],
        ["grow_text.py", *work, *data, "--start", first],
        ["space.py", *work, *data],
        ["tune_image.py", *work],
        ["tune_text.py", *work, *data],
        ["finish.py", *work, *data, "--out", str(arguments.out), "--seeds", *arguments.seeds],
    ]
    for name, *options in stages:
        subprocess.run([sys.executable, str(HERE / name), *options], check=True)
    card = ["-m", "benchmarks.encoder", "--parts", "retrieval,classes", "--folder", str(arguments.out.resolve()), *data]
    subprocess.run([sys.executable, *card], check=True, cwd=HERE.parents[2])


if __name__ == "__main__":
    main()
