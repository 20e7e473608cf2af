"""`rdmf --help` answers at once: nothing heavy is imported before a command does its work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ["numpy", "torch", "transformers", "open_clip", "faiss", "av", "PIL", "matplotlib", "decord"]

# Through run() in this very process, as the console script does it; what was imported is asked at its end.
CODE = """
import json, sys
sys.argv = ["rdmf", *sys.argv[1:]]
from rdmf_cli.main import run
code = None
try:
    run()
except SystemExit as leave:
    code = leave.code
sys.stderr.write("\\n" + json.dumps([code or 0, sorted(sys.modules)]))
"""


HELPS = [["--help"], ["search", "--help"], ["highlights", "--help"], ["evaluate", "--help"]]


@pytest.mark.parametrize("arguments", HELPS, ids=" ".join)
def test_help_imports_nothing_heavy(arguments):
    done = subprocess.run(
        [sys.executable, "-c", CODE, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"},
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    code, imported = json.loads(done.stderr.splitlines()[-1])
    assert code == 0
    assert "Usage" in done.stdout
    assert [name for name in HEAVY if name in imported] == []


def test_module_is_the_program():
    done = subprocess.run(
        [sys.executable, "-m", "rdmf_cli", "--help"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "search" in done.stdout
