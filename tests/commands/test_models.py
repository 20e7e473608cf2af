"""`rdmf models`: what it prints, asks and refuses. What it does is tested in tests/encoders."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest
from typer.testing import CliRunner, Result

from rdmf_cli.commands.models import app
from rdmf_cli.encoders import download
from rdmf_cli.encoders.download import RemoteFile, RemoteRepo
from rdmf_cli.encoders.presets import MARKER, PRESETS
from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.progress import SILENT, Progress

Runner = Callable[..., Result]
WEIGHTS = b"weights of an encoder"


@pytest.fixture(autouse=True)
def console(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What commands use of console.py, in plain text."""
    import rdmf_cli.commands as commands

    module = ModuleType("rdmf_cli.commands.console")

    def print_table(title: str, columns: list[str], rows: list[list[str]]) -> None:
        print(title, *columns, *(" | ".join(row) for row in rows), sep="\n")

    @contextmanager
    def rich_progress() -> Iterator[Progress]:
        yield SILENT

    module.print_table = print_table  # type: ignore[attr-defined]
    module.line = print  # type: ignore[attr-defined]
    module.hint = lambda text: print(text, file=sys.stderr)  # type: ignore[attr-defined]
    module.rich_progress = rich_progress  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rdmf_cli.commands.console", module)
    monkeypatch.setattr(commands, "console", module, raising=False)
    return module


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Runner:
    for name in ("STORE", "ENCODER", "DEVICE", "OFFLINE", "FFMPEG"):
        monkeypatch.delenv(f"RDMF_{name}", raising=False)
    (tmp_path / "settings.toml").touch()
    monkeypatch.setenv("RDMF_SETTINGS", str(tmp_path / "settings.toml"))
    monkeypatch.setenv("RDMF_MODELS", str(tmp_path / "models"))

    def runner(*arguments: str, answer: str | None = None) -> Result:
        if answer is not None:
            monkeypatch.setattr("rdmf_cli.commands.models._can_ask", lambda: True)
        return CliRunner().invoke(app, list(arguments), input=answer)

    return runner


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No network: a hub with one file per repository. The list holds what was fetched."""
    fetched: list[str] = []

    class Hub:
        def describe(self, repo: str) -> RemoteRepo:
            file = RemoteFile("open_clip_model.safetensors", len(WEIGHTS), hashlib.sha256(WEIGHTS).hexdigest())
            return RemoteRepo(repo, "rev1", "apple-amlr", (file,))

        def fetch(self, repo: RemoteRepo, file: RemoteFile, target: Path, advance: Callable[[float], None]) -> None:
            fetched.append(repo.repo)
            target.write_bytes(WEIGHTS)

    monkeypatch.setattr(download, "HuggingFaceHub", Hub)
    return fetched


def put(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "models" / name
    folder.mkdir(parents=True)
    (folder / "w").write_bytes(b"1")
    (folder / MARKER).write_text(json.dumps({"files": [{"name": "w", "size": 1}]}))


def test_list_marks_what_is_here_and_what_is_used(run: Runner, tmp_path: Path) -> None:
    put(tmp_path, "vit-b-32")
    result = run("list")
    assert result.exit_code == 0
    rows = {row.split(" | ")[1]: row.split(" | ") for row in result.stdout.splitlines() if " | " in row}
    assert list(rows) == list(PRESETS)
    assert rows["vit-b-32"][:6] == ["*", "vit-b-32", "512", "about 605 MB", "MIT", "yes"]
    assert rows["siglip2-b-16"][5] == "no"
    assert rows["lite"][3] == "built in"


def test_list_says_how_to_get_a_better_one(run: Runner) -> None:
    assert "rdmf models pull vit-b-32-256" in run("list").stderr


def test_json_is_one_document_and_nothing_else(run: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "siglip2-b-16")
    monkeypatch.setenv("RDMF_ENCODER", "vit-b-32")
    listed = json.loads(run("list", "--json").stdout)
    assert listed["schema"] == "rdmf.models/1"
    facts = {row["name"]: row for row in listed["models"]}
    assert facts["siglip2-b-16"]["present"]
    assert facts["siglip2-b-16"]["folder"] == str(tmp_path / "models" / "siglip2-b-16")
    assert [name for name, row in facts.items() if row["default"]] == ["vit-b-32"]
    shown = json.loads(run("show", "siglip2-b-16", "--json").stdout)
    assert shown == {"schema": "rdmf.model/1", **facts["siglip2-b-16"]}


def test_show(run: Runner) -> None:
    result = run("show", "mobileclip-s1")
    assert "apple/MobileCLIP-S1-OpenCLIP" in result.stdout
    assert "Apple" in result.stdout
    failed = run("show", "vit-b-23")
    assert isinstance(failed.exception, ModelError)
    assert "'vit-b-32'" in failed.exception.hint


def test_pull_shows_size_and_licence_and_asks(run: Runner, hub: list[str], tmp_path: Path) -> None:
    asked = run("pull", "mobileclip-s1", answer="n\n")
    assert asked.exit_code == 0
    assert "nothing was fetched" in asked.stderr
    assert "Fetch it? [y/N]" in asked.stderr
    assert hub == []
    assert "0 MB" in asked.stderr
    assert "apple-amlr" in asked.stderr
    agreed = run("pull", "mobileclip-s1", answer="y\n")
    assert agreed.exit_code == 0
    here = f"mobileclip-s1 is here: {tmp_path / 'models' / 'mobileclip-s1'}\n"
    assert agreed.stdout.endswith(here)  # after the answer, which the runner echoes
    assert hub == ["apple/MobileCLIP-S1-OpenCLIP"]
    assert run("pull", "mobileclip-s1").stdout == here  # here already: neither asks nor fetches
    assert len(hub) == 1


def test_pull_without_a_terminal_wants_a_yes(run: Runner, hub: list[str]) -> None:
    refused = run("pull", "vit-b-32")
    assert isinstance(refused.exception, UsageError)
    assert "--yes" in refused.exception.hint
    assert run("pull", "vit-b-32", "--yes").exit_code == 0
    assert hub == [PRESETS["vit-b-32"].repo]


def test_pull_offline_and_of_unknown_names(
    run: Runner, hub: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(run("pull", "vit-b-32", "--offline", "--yes").exception, ModelError)
    monkeypatch.setenv("RDMF_OFFLINE", "1")
    assert isinstance(run("pull", "vit-b-32", "--yes").exception, ModelError)
    assert isinstance(run("pull", "vit-b-33", "--yes").exception, ModelError)
    assert hub == []


def test_another_folder(run: Runner, hub: list[str], tmp_path: Path) -> None:
    result = run("pull", "pe-core-b-16", "--yes", "--models", str(tmp_path / "elsewhere"))
    assert result.stdout == f"pe-core-b-16 is here: {tmp_path / 'elsewhere' / 'pe-core-b-16'}\n"
