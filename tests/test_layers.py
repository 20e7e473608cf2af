"""The import rules of docs (style: one direction, one lazy border), read from the syntax tree."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "rdmf_cli"
NAME = "rdmf_cli"

# Module or package -> row; the longest name that fits counts. A row may import only rows above it.
ROWS = {
    **dict.fromkeys(["", "errors", "timebase", "moments", "progress", "records", "settings", "interrupts"], 0),
    **dict.fromkeys(["encoders.__init__", "encoders.presets"], 0),
    **dict.fromkeys(["intervals", "windows", "media", "store", "encoders.base"], 1),
    **dict.fromkeys(["fusion", "heads", "encoders"], 2),
    **dict.fromkeys(["model", "moment_model", "model_folder", "weights", "moment_weights"], 3),
    **dict.fromkeys(["feature_folder", "evaluation", "export"], 3),
    **dict.fromkeys(["learn", "pipeline"], 4),
    "commands": 5,
    **dict.fromkeys(["main", "__main__"], 6),
}
SAME_ROW = {
    ("weights", "model"),
    ("weights", "model_folder"),
    ("moment_weights", "model_folder"),
    ("moment_weights", "moment_model"),
    ("__main__", "main"),
}  # besides: within one package, and among the single files of row 0

# What may be imported from outside; None: anything that is installed (but never what NOWHERE_ELSE keeps for one room).
MEDIA = {"numpy", "av", "ffmpeg", "imageio_ffmpeg", "decord"}
TENSORS = {"numpy", "torch"}
OUTSIDE: dict[str, set[str] | None] = {
    **{name: set() for name in ("", "errors", "timebase", "moments", "progress", "records")},
    **{name: set() for name in ("encoders.__init__", "encoders.presets", "__main__")},
    "settings": {"platformdirs"},
    "intervals": {"numpy"},
    "windows": {"numpy"},
    "encoders.base": {"numpy"},
    "media": MEDIA,
    "store": {"numpy", "faiss"},
    "fusion": TENSORS,
    "heads": TENSORS,
    "encoders": None,
    "model": TENSORS | {"safetensors"},
    "moment_model": TENSORS,
    "weights": TENSORS | {"safetensors"},
    "model_folder": TENSORS | {"safetensors"},
    "moment_weights": TENSORS | {"safetensors"},
    "feature_folder": {"numpy"},
    "evaluation": {"numpy"},
    "learn.datasets.annotations": {"numpy"},
    "export": {"numpy", "matplotlib", "opentimelineio", "PIL"},
    "learn": None,
    "pipeline": None,
    "commands": None,
    "main": {"typer", "click"},
}
ONLY_IN_FUNCTIONS = {"faiss", "platformdirs", "matplotlib"}
NOWHERE_ELSE = {
    "rich": ("commands.console", "commands.console_board", "commands.console_library"),
    "typer": ("commands", "main"),
    "click": ("commands", "main"),
}
FILE_MODULES = {"os", "io", "pathlib", "shutil", "tempfile", "glob", "json", "tomllib", "pickle", "safetensors"}
FILE_CALLS = {"open", "read_text", "read_bytes", "write_text", "write_bytes"}


@dataclass(frozen=True)
class Import:
    """One imported module, as seen from a file."""

    target: str  # full dotted name
    line: int
    in_function: bool
    for_types_only: bool


def modules() -> dict[str, Path]:
    """Every module of the package by its name without `rdmf_cli.`; a package's own file is `x.__init__`."""
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = file.relative_to(PACKAGE).with_suffix("").parts
        found["" if parts == ("__init__",) else ".".join(parts)] = file
    return found


MODULES = modules()


def fitting(table: dict[str, object], module: str) -> str | None:
    """The longest key of `table` that is `module` or a package around it."""
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)] if module else [""]
    return next((name for name in names if name in table), None)


def imports(tree: ast.AST, module: str) -> Iterator[Import]:
    """All imports of a module, wherever they stand."""

    def walk(node: ast.AST, in_function: bool, for_types: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            inside = in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            types = for_types or (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test))
            for target in targets(child, module):
                yield Import(target, getattr(child, "lineno", 0), in_function, for_types)
            yield from walk(child, inside, types)

    yield from walk(tree, False, False)


def targets(node: ast.AST, module: str) -> list[str]:
    """Full names of the modules that an import statement names."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        parts = [NAME, *module.split(".")]
        base = ".".join([*parts[: len(parts) - node.level], *([base] if base else [])])
    below = [f"{base}.{alias.name}" for alias in node.names]
    return [name if own(name) in MODULES or f"{own(name)}.__init__" in MODULES else base for name in below]


def own(target: str) -> str | None:
    """`rdmf_cli.x.y` -> `x.y`; None for what is not ours."""
    if target == NAME:
        return ""
    return target.removeprefix(f"{NAME}.") if target.startswith(f"{NAME}.") else None


def problems(module: str, text: str) -> list[str]:
    """Every rule that the source `text` of `module` breaks."""
    tree = ast.parse(text)
    row = fitting(ROWS, module)
    if row is None:
        return [f"{module}: has no row yet: give it one in tests/test_layers.py"]
    found = []
    for item in imports(tree, module):
        inside = own(item.target)
        reason = outside_problem(module, item) if inside is None else inside_problem(module, inside, item)
        if reason:
            found.append(f"{module}:{item.line}: {reason}: {item.target}")
    if module.split(".")[0] in ("fusion", "heads"):
        found += [f"{module}:{line}: opens files" for line in file_lines(tree, module)]
    return found


def inside_problem(module: str, target: str, item: Import) -> str | None:
    """What is wrong with importing our own `target`."""
    if f"{target}.__init__" in MODULES:
        target = f"{target}.__init__"
    here, there = fitting(ROWS, module), fitting(ROWS, target)
    if here is None or there is None:
        return None if here is None else "no such room"
    mine, other = ROWS[here], ROWS[there]
    room, other_room = module.split(".")[0], target.split(".")[0]
    if other_room == "commands" and room not in ("commands", "main"):
        return "only main imports commands"
    if room == "commands" and item.for_types_only:
        return "typer evaluates annotations when it runs"
    if room in ("commands", "main") and not item.in_function and other not in (0, 5):
        return "the top sees rows 0 and 5 and typer only"
    if item.for_types_only and (mine == other or room == other_room):
        return None  # known as a type, never imported
    if other < mine or (other == mine and (room == other_room or mine == 0 or (room, other_room) in SAME_ROW)):
        return None
    return f"row {mine} imports row {other}"


def outside_problem(module: str, item: Import) -> str | None:
    """What is wrong with importing somebody else's package."""
    package = item.target.split(".")[0]
    if package in sys.stdlib_module_names:
        return None
    if package in NOWHERE_ELSE and fitting(dict.fromkeys(NOWHERE_ELSE[package]), module) is None:
        return f"only {' and '.join(NOWHERE_ELSE[package])} may import it"
    if package in ONLY_IN_FUNCTIONS and not item.in_function:
        return "only inside functions"
    room = module.split(".")[0]
    if room in ("commands", "main") and not item.in_function:
        allowed = {"typer", "click"} | ({"rich"} if module in NOWHERE_ELSE["rich"] else set())
        return None if package in allowed else "the top sees rows 0 and 5 and typer only"
    key = fitting(dict(OUTSIDE), module)
    permitted = OUTSIDE[key] if key is not None else set()
    return None if permitted is None or package in permitted else "not in this room"


def file_lines(tree: ast.AST, module: str) -> Iterator[int]:
    """Lines that import what opens files, or call it."""
    for item in imports(tree, module):
        if item.target.split(".")[0] in FILE_MODULES:
            yield item.line
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id == "open":
            yield node.lineno
        if isinstance(called, ast.Attribute) and (
            called.attr in FILE_CALLS or ast.unparse(called) in ("torch.load", "torch.save", "np.load", "np.save")
        ):
            yield node.lineno


@pytest.mark.parametrize("module", MODULES, ids=lambda name: name or NAME)
def test_imports_go_in_one_direction(module):
    assert problems(module, MODULES[module].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("errors", "import numpy"),
        ("settings", "import platformdirs"),
        ("timebase", "from rdmf_cli.store import Store"),
        ("intervals", "import torch"),
        ("store.folder", "import faiss"),
        ("store.folder", "def f():\n    import torch"),
        ("store.folder", "from rdmf_cli.media import probe"),
        ("store.folder", "from rdmf_cli.encoders.base import FeatureSpec"),
        ("media.frames", "from ..store import Store"),
        ("media.frames", "import rich"),
        ("encoders.presets", "import torch"),
        ("encoders.__init__", "from rdmf_cli.encoders.lite import LiteEncoder"),
        ("fusion.affinity", "from rdmf_cli import heads"),
        ("fusion.affinity", "from pathlib import Path"),
        ("fusion.affinity", "open('x')"),
        ("heads.detr", "import torch\ntorch.load('x')"),
        ("evaluation.retrieval", "def f():\n    import torch"),
        ("evaluation.retrieval", "from rdmf_cli.export import tables"),
        ("learn.datasets.annotations", "import torch"),
        ("pipeline.search", "import typer"),
        ("pipeline.search", "from rdmf_cli.commands import console"),
        ("commands.search", "from rdmf_cli.pipeline import search"),
        ("commands.search", "from rdmf_cli.encoders.base import FeatureSpec"),
        ("commands.search", "import numpy"),
        ("commands.search", "import rich"),
        ("commands.search", "def f():\n    from rich.table import Table"),
        ("commands.search", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rdmf_cli import moments"),
        ("main", "import rich"),
        ("main", "from rdmf_cli.pipeline import search"),
        ("newroom", ""),
    ],
)
def test_broken_rules_are_noticed(module, text):
    assert problems(module, text)


@pytest.mark.parametrize(
    ("module", "text"),
    [
        ("timebase", "from rdmf_cli.errors import UsageError"),
        ("settings", "def f():\n    from platformdirs import user_cache_path"),
        ("store.folder", "from . import files"),
        ("store.folder", "def f():\n    import faiss"),
        (
            "store.folder",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from rdmf_cli.encoders.base import FeatureSpec",
        ),
        ("encoders.lite", "import torch\nfrom rdmf_cli.encoders.base import FeatureSpec"),
        ("weights", "from rdmf_cli.model import ModelConfig"),
        ("evaluation.retrieval", "from rdmf_cli.intervals import tiou"),
        ("pipeline.search", "from rdmf_cli import errors, store"),
        ("commands.search", "import typer\nfrom rdmf_cli.commands import console"),
        ("commands.search", "def f():\n    from rdmf_cli.pipeline import search\n    import numpy"),
        ("commands.console", "from rich.table import Table"),
        ("main", "import typer\nfrom rdmf_cli.commands import console\nfrom rdmf_cli import __version__"),
        ("__main__", "from rdmf_cli.main import run"),
    ],
)
def test_kept_rules_are_not_reported(module, text):
    assert problems(module, text) == []
