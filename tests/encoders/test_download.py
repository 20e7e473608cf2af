"""Pulling weights: nothing half-written is ever taken for complete, and every failure is one line."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from rdmf_cli.encoders import download
from rdmf_cli.encoders.download import HuggingFaceHub, RemoteFile, RemoteRepo, plan_pull, pull
from rdmf_cli.encoders.presets import MARKER, PRESETS, find_folder, preset_for
from rdmf_cli.errors import ModelError, UsageError
from tests.encoders.hub_server import FakeRepo, serving

PRESET = PRESETS["vit-b-32-256"]
WEIGHTS = "open_clip_model.safetensors"
DATA = {
    WEIGHTS: bytes(range(256)) * 400,
    "open_clip_config.json": b'{"model_cfg": {}}',
    "README.md": b"card",
    "open_clip_pytorch_model.bin": b"the same weights again",
    "training/log.txt": b"not needed",
}


class Listener:
    """A Progress that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []
        self.done = 0.0

    def start(self, task: str, total: float | None, unit: str) -> None:
        self.calls.append((task, total, unit))

    def advance(self, amount: float) -> None:
        self.done += amount

    def warn(self, message: str) -> None:
        self.calls.append(("warn", message))

    def finish(self) -> None:
        self.calls.append(("finish",))


class FakeHub:
    """A Hub without a network. `send` decides what arrives for a file."""

    def __init__(
        self, files: dict[str, bytes] | None = None, send: Callable[[str, bytes], bytes] | None = None
    ) -> None:
        self.files = files or DATA
        self.send = send or (lambda name, data: data)
        self.fetched: list[str] = []

    def describe(self, repo: str) -> RemoteRepo:
        files = (RemoteFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in self.files.items())
        return RemoteRepo(repo, "rev1", "mit", tuple(files))

    def fetch(self, repo: RemoteRepo, file: RemoteFile, target: Path, advance: Callable[[float], None]) -> None:
        self.fetched.append(file.name)
        have = target.stat().st_size if target.exists() else 0
        data = self.send(file.name, self.files[file.name])[have:]
        with target.open("ab") as stream:
            stream.write(data)
        advance(len(data))


def test_what_is_needed_is_fetched_checked_and_marked(tmp_path: Path) -> None:
    hub, listener = FakeHub(), Listener()
    folder = pull(PRESET, tmp_path, listener, hub=hub)
    assert folder == tmp_path / "vit-b-32-256" == find_folder(PRESET, tmp_path)
    assert sorted(hub.fetched) == sorted([WEIGHTS, "open_clip_config.json", "README.md"])  # one set of weights
    assert (folder / WEIGHTS).read_bytes() == DATA[WEIGHTS]
    assert [path.name for path in tmp_path.iterdir()] == ["vit-b-32-256"]
    marker = json.loads((folder / MARKER).read_text())
    assert (marker["repo"], marker["revision"]) == (PRESET.repo, "rev1")
    size = sum(len(DATA[name]) for name in hub.fetched) / 1e6
    assert listener.calls == [("fetching vit-b-32-256", pytest.approx(size), "MB"), ("finish",)]
    assert listener.done == pytest.approx(size)


def test_what_is_here_is_not_fetched_again(tmp_path: Path) -> None:
    pull(PRESET, tmp_path, hub=FakeHub())
    again = FakeHub()
    pull(PRESET, tmp_path, hub=again, offline=True)
    assert again.fetched == []


def test_size_and_licence_are_known_before_anything_is_fetched() -> None:
    plan = plan_pull(PRESET, hub=FakeHub())
    assert plan.licence == "MIT"
    assert plan.size_mb == pytest.approx(0.102, abs=1e-3)
    other = replace(plan, repo=replace(plan.repo, licence="apache-2.0"))
    assert other.licence == "MIT; the hub's page says apache-2.0"
    made = preset_for("hf:someone/clip")
    assert made is not None
    assert replace(plan, preset=made).licence == "mit"
    assert replace(other, preset=made, repo=replace(plan.repo, licence="")).licence == "not stated"


def test_a_wrong_hash_leaves_nothing_and_is_one_line(tmp_path: Path) -> None:
    def tampered(name: str, data: bytes) -> bytes:
        return b"X" + data[1:] if name == WEIGHTS else data

    with pytest.raises(ModelError, match="arrived damaged") as caught:
        pull(PRESET, tmp_path, hub=FakeHub(send=tampered))
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert find_folder(PRESET, tmp_path) is None
    assert not list(tmp_path.rglob(f"{WEIGHTS}*"))
    pull(PRESET, tmp_path, hub=FakeHub())  # and the next one is good


def test_a_pinned_hash_counts_more_than_the_hubs(tmp_path: Path) -> None:
    pinned = replace(PRESET, sha256="0" * 64)
    with pytest.raises(ModelError, match="arrived damaged"):
        pull(pinned, tmp_path, hub=FakeHub())


def test_an_interrupted_pull_goes_on_where_it_stopped(tmp_path: Path) -> None:
    def interrupted(name: str, data: bytes) -> bytes:
        return data[:1000] if name == WEIGHTS else data

    class Stopping(FakeHub):
        def fetch(self, repo: RemoteRepo, file: RemoteFile, target: Path, advance: Callable[[float], None]) -> None:
            super().fetch(repo, file, target, advance)
            if file.name == WEIGHTS:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(PRESET, tmp_path, hub=Stopping(send=interrupted))
    assert find_folder(PRESET, tmp_path) is None
    listener = Listener()
    pull(PRESET, tmp_path, listener, hub=FakeHub())
    assert (tmp_path / "vit-b-32-256" / WEIGHTS).read_bytes() == DATA[WEIGHTS]
    assert listener.done == pytest.approx(listener.calls[0][1])
    assert not list(tmp_path.rglob("*.part"))


def test_a_part_of_another_revision_is_not_continued(tmp_path: Path) -> None:
    staging = tmp_path / ".pulling-vit-b-32-256"
    staging.mkdir()
    (staging / f"{WEIGHTS}.0123456789ab.part").write_bytes(b"old old old")
    (staging / WEIGHTS).write_bytes(b"of the revision before")
    folder = pull(PRESET, tmp_path, hub=FakeHub())
    assert (folder / WEIGHTS).read_bytes() == DATA[WEIGHTS]
    assert not list(folder.glob("*.part"))


def test_what_is_refused_before_it_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="can't be pulled offline"):
        pull(PRESET, tmp_path, offline=True)
    with pytest.raises(UsageError, match="built in"):
        pull(PRESETS["lite"], tmp_path, hub=FakeHub())
    with pytest.raises(ModelError, match="no weights that can be used"):
        pull(PRESET, tmp_path, hub=FakeHub({"README.md": b"x", "weights.ckpt": b"y"}))
    (tmp_path / PRESET.name).mkdir()
    with pytest.raises(ModelError, match="in the way"):
        pull(PRESET, tmp_path, hub=FakeHub())
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="can't write"):
        pull(PRESET, tmp_path / "file" / "models", hub=FakeHub())
    monkeypatch.setattr(download.shutil, "disk_usage", lambda folder: type("Usage", (), {"free": 1000})())
    with pytest.raises(ModelError, match="0 MB free"):
        pull(PRESET, tmp_path / "full", hub=FakeHub())


def test_without_a_hash_nothing_is_fetched() -> None:
    class Careless(FakeHub):
        def describe(self, repo: str) -> RemoteRepo:
            return RemoteRepo(repo, "rev1", "mit", (RemoteFile(WEIGHTS, 3),))

    with pytest.raises(ModelError, match="states no hash"):
        plan_pull(PRESET, hub=Careless())


def test_pickled_weights_only_where_nothing_else_is_there() -> None:
    only = {"open_clip_pytorch_model.bin": b"1", "open_clip_config.json": b"{}"}
    assert {file.name for file in plan_pull(PRESET, hub=FakeHub(only)).repo.files} == set(only)
    made = preset_for("hf:someone/clip")
    assert made is not None
    with pytest.raises(ModelError, match="no weights"):
        plan_pull(made, hub=FakeHub({"config.json": b"{}", "pytorch_model.bin": b"1"}))
    shards = {f"model-0000{i}-of-00002.safetensors": b"1" for i in (1, 2)}
    rest = {"model.safetensors.index.json": b"{}", "config.json": b"{}", "tokenizer.json": b"{}"}
    found = plan_pull(made, hub=FakeHub({**shards, **rest, "tf_model.h5": b"1", "../evil.json": b"1"}))
    assert {file.name for file in found.repo.files} == {*shards, *rest}


# The real hub adapter against a server on this machine.


@pytest.fixture
def online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 10_000)  # what it writes at once; truly 10 MB


@pytest.fixture
def repo() -> FakeRepo:
    return FakeRepo(PRESET.repo, dict(DATA), large=(WEIGHTS,))


@pytest.fixture
def hub(online: None, repo: FakeRepo) -> Iterator[HuggingFaceHub]:
    with serving(repo) as address:
        yield HuggingFaceHub(address)


def test_over_http(hub: HuggingFaceHub, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    listener = Listener()
    folder = pull(PRESET, tmp_path, listener, hub=hub)
    for name in (WEIGHTS, "README.md", "open_clip_config.json"):
        assert (folder / name).read_bytes() == DATA[name]
    assert listener.done == pytest.approx(listener.calls[0][1])
    assert capfd.readouterr() == ("", "")


def test_over_http_a_dropped_line_is_taken_up_again(hub: HuggingFaceHub, repo: FakeRepo, tmp_path: Path) -> None:
    repo.break_after[WEIGHTS] = 30_000
    assert (pull(PRESET, tmp_path, hub=hub) / WEIGHTS).read_bytes() == DATA[WEIGHTS]
    assert (WEIGHTS, "bytes=30000-") in repo.ranges


def test_over_http_the_next_pull_asks_for_the_rest_only(hub: HuggingFaceHub, repo: FakeRepo, tmp_path: Path) -> None:
    plan = plan_pull(PRESET, hub=hub)
    weights = next(file for file in plan.repo.files if file.name == WEIGHTS)
    staging = tmp_path / ".pulling-vit-b-32-256"
    staging.mkdir()
    (staging / f"{WEIGHTS}.{weights.sha256[:12]}.part").write_bytes(DATA[WEIGHTS][:50_000])
    listener = Listener()
    assert (pull(PRESET, tmp_path, listener, hub=hub, plan=plan) / WEIGHTS).read_bytes() == DATA[WEIGHTS]
    assert [asked for name, asked in repo.ranges if name == WEIGHTS] == ["bytes=50000-"]
    assert listener.done == pytest.approx(plan.size_mb)


@pytest.mark.parametrize("name", [WEIGHTS, "open_clip_config.json"])  # checked by sha256 and by git's hash
def test_over_http_a_changed_file(name: str, hub: HuggingFaceHub, repo: FakeRepo, tmp_path: Path) -> None:
    repo.wrong[name] = b"Y" + DATA[name][1:]
    with pytest.raises(ModelError, match=f"{name}.*arrived damaged"):
        pull(PRESET, tmp_path, hub=hub)
    assert find_folder(PRESET, tmp_path) is None


def test_over_http_an_unknown_model(hub: HuggingFaceHub, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model nobody/nothing on the hub"):
        pull(replace(PRESET, repo="nobody/nothing"), tmp_path, hub=hub)


def test_no_network_is_one_line(online: None, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as unused:  # bound, but nobody listens
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ModelError, match=f"can't fetch {PRESET.repo}") as caught:
            pull(PRESET, tmp_path, hub=HuggingFaceHub(f"http://127.0.0.1:{unused.getsockname()[1]}"))
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_the_librarys_own_offline_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="can't fetch"):
        pull(PRESET, tmp_path)


@pytest.mark.network
def test_the_true_hub_has_what_the_presets_name(online: None) -> None:
    for preset in PRESETS.values():
        if preset.repo:
            plan = plan_pull(preset)
            assert preset.file in {file.name for file in plan.repo.files}, preset.name
            assert plan.size_mb == pytest.approx(preset.download_mb, rel=0.15), preset.name
