"""Fetching weights into the user's model folder: the only place that uses a network, and only when asked to.

What is being fetched lies in `.pulling-NAME` beside its final place. Each file is checked against the hash that the hub
states for it, then the whole folder is renamed: an interrupted pull leaves nothing that looks complete, and the next
pull goes on where it stopped.
"""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from rdmf_cli.encoders.presets import MARKER, Preset, folder_name, is_complete
from rdmf_cli.errors import ModelError, UsageError
from rdmf_cli.progress import SILENT, Progress

_TEXTS = ("README.md", "LICENSE*", "tokenizer*", "special_tokens_map.json", "vocab.*", "merges.txt", "spiece.model")
_CONFIGS = ("open_clip_config.json", "config.json", "preprocessor_config.json", "processor_config.json")
# The first pattern that matches anything is the weights.
_WEIGHTS = {
    "openclip": ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"),
    "huggingface": ("model.safetensors", "model-?????-of-?????.safetensors"),
}
_ANSWER_S = 10.0  # how long the hub may take to answer a question
_MB = 1e6
_READ_BYTES = 1 << 22


@dataclass(frozen=True)
class RemoteFile:
    """A file of a hub repository and what the hub states about it."""

    name: str
    size: int  # bytes
    sha256: str = ""  # stated for files in large-file storage
    git_sha1: str = ""  # stated for the others


@dataclass(frozen=True)
class RemoteRepo:
    """A hub repository at one revision."""

    repo: str
    revision: str  # commit
    licence: str  # as its card says, "" if it doesn't
    files: tuple[RemoteFile, ...]


@dataclass(frozen=True)
class Plan:
    """What a pull would fetch; to be shown before it starts."""

    preset: Preset
    repo: RemoteRepo  # only the files that are needed

    @property
    def size_mb(self) -> float:
        """Size of all files, in 10^6 bytes."""
        return sum(file.size for file in self.repo.files) / _MB

    @property
    def licence(self) -> str:
        """The licence of the weights, and the hub's word for it where the two differ."""
        stated, ours = self.repo.licence, self.preset.licence
        if not ours:
            return stated or "not stated"
        return ours if not stated or stated.lower() in ours.lower() else f"{ours}; the hub's page says {stated}"


class Hub(Protocol):
    """Where weights come from. Raises ModelError, in one line, for everything that goes wrong on the way."""

    def describe(self, repo: str) -> RemoteRepo:
        """All files of the newest revision."""
        ...

    def fetch(self, repo: RemoteRepo, file: RemoteFile, target: Path, advance: Callable[[float], None]) -> None:
        """Append to `target` what it lacks of `file`; `advance` gets the number of bytes as they come."""
        ...


class HuggingFaceHub:
    """huggingface.co, or the mirror that HF_ENDPOINT names."""

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint

    def describe(self, repo: str) -> RemoteRepo:
        """See `Hub`."""
        from huggingface_hub import HfApi

        with _explained(repo):
            info = HfApi(endpoint=self._endpoint).model_info(repo, files_metadata=True, timeout=_ANSWER_S)
            card = info.card_data.to_dict() if info.card_data else {}
            files = tuple(_remote_file(sibling) for sibling in info.siblings or ())
        licence = card.get("license_name") or card.get("license") or ""
        return RemoteRepo(repo, info.sha or "main", str(licence), files)

    def fetch(self, repo: RemoteRepo, file: RemoteFile, target: Path, advance: Callable[[float], None]) -> None:
        """See `Hub`.

        Uses huggingface_hub's transfer (retries, redirects, mirrors, tokens), not its `hf_hub_download`: since 2.x
        that one forgets what it already has when it is interrupted.
        """
        from huggingface_hub import hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers

        url = hf_hub_url(repo.repo, file.name, revision=repo.revision, endpoint=self._endpoint)
        with _explained(repo.repo), _Counting(target, advance) as stream:
            here = stream.tell()
            if here < file.size:
                http_get(url, stream, resume_size=here, headers=build_hf_headers(), expected_size=file.size)


def plan_pull(preset: Preset, *, offline: bool = False, hub: Hub | None = None) -> Plan:
    """Ask the hub what `pull` would fetch. Raises UsageError for the built-in encoder, ModelError otherwise."""
    if preset.backend == "lite":
        raise UsageError(f"'{preset.name}' is built in: there is nothing to pull")
    if offline:
        raise ModelError(f"{preset.name} can't be pulled offline", hint="without --offline (and RDMF_OFFLINE)")
    repo = (hub or HuggingFaceHub()).describe(_repo_of(preset))
    names = _wanted(preset, [file.name for file in repo.files])
    return Plan(preset, replace(repo, files=tuple(_pinned(preset, file) for file in repo.files if file.name in names)))


def pull(
    preset: Preset,
    models_folder: Path,
    progress: Progress = SILENT,
    *,
    offline: bool = False,
    hub: Hub | None = None,
    plan: Plan | None = None,
) -> Path:
    """Fetch the weights of `preset` into `models_folder` and return their folder; at once if they are there.

    `plan` is what `plan_pull` gave, so that exactly what was shown is fetched. Raises ModelError: no network, another
    hash than the hub states, no space. What was fetched up to then is kept for the next call.
    """
    target = models_folder / folder_name(preset.name)
    if is_complete(target):
        return target
    hub = hub or HuggingFaceHub()
    plan = plan or plan_pull(preset, offline=offline, hub=hub)
    if target.exists():
        raise ModelError(f"{target} is in the way: rdmf did not put it there, or it was damaged", hint="remove it")
    staging = models_folder / f".pulling-{folder_name(preset.name)}"
    try:
        staging.mkdir(parents=True, exist_ok=True)
        _check_space(plan, staging)
        progress.start(f"fetching {preset.name}", plan.size_mb, "MB")
        for file in plan.repo.files:
            _fetch(hub, plan.repo, file, staging, progress)
        progress.finish()
        _finish(plan, staging, target)
    except OSError as error:
        raise ModelError(f"can't write to {models_folder}: {error.strerror or error}") from error
    return target


def _fetch(hub: Hub, repo: RemoteRepo, file: RemoteFile, staging: Path, progress: Progress) -> None:
    """One file into the staging folder, under its name only once its hash is right."""
    done = staging / file.name
    if done.is_file() and _is_right(done, file):
        progress.advance(file.size / _MB)
        return
    # The hash in the name: a part of another revision is never continued.
    part = staging / f"{file.name}.{(file.sha256 or file.git_sha1)[:12]}.part"
    if not file.sha256 or (part.is_file() and part.stat().st_size > file.size):
        part.unlink(missing_ok=True)  # small texts come compressed, which can't be continued
    progress.advance((part.stat().st_size if part.is_file() else 0) / _MB)
    hub.fetch(repo, file, part, lambda count: progress.advance(count / _MB))
    if not _is_right(part, file):
        part.unlink(missing_ok=True)
        raise ModelError(
            f"{file.name} of {repo.repo} arrived damaged: its hash is not the one it should have",
            hint="try again; if it happens again, don't trust the connection",
        )
    with part.open("r+b") as stream:
        os.fsync(stream.fileno())  # the marker must not reach the disk before the weights
    os.replace(part, done)


def _finish(plan: Plan, staging: Path, target: Path) -> None:
    """Marker last, rename after it: the one moment at which the folder becomes complete."""
    names = {file.name for file in plan.repo.files}
    for stray in staging.iterdir():
        if stray.name not in names:
            stray.unlink()
    record = {
        "preset": plan.preset.name,
        "repo": plan.repo.repo,
        "revision": plan.repo.revision,
        "licence": plan.licence,
        "files": [{"name": file.name, "size": file.size, "sha256": file.sha256} for file in plan.repo.files],
    }
    with (staging / MARKER).open("w", encoding="utf-8") as stream:
        json.dump(record, stream, indent=1)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(staging, target)


def _is_right(path: Path, file: RemoteFile) -> bool:
    """True if size and hash are what the hub states; for small texts the hash is git's."""
    if path.stat().st_size != file.size:
        return False
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(f"blob {file.size}\0".encode(), usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest() == (file.sha256 or file.git_sha1)


def _wanted(preset: Preset, names: list[str]) -> set[str]:
    """Which files of a repository are needed: one set of weights, configs, tokenizer, licence. Top level only."""
    top = [name for name in names if "/" not in name and "\\" not in name]
    patterns = (preset.file, *_WEIGHTS[preset.backend]) if preset.file else _WEIGHTS[preset.backend]
    weights = next((found for pattern in patterns if (found := fnmatch.filter(top, pattern))), None)
    if weights is None:
        raise ModelError(f"{preset.name}: its repository holds no weights that can be used ({', '.join(patterns)})")
    index = [f"{name}.index.json" for name in ("model.safetensors",) if len(weights) > 1]
    rest = [name for pattern in (*_TEXTS, *_CONFIGS, *index) for name in fnmatch.filter(top, pattern)]
    return {*weights, *rest}


def _pinned(preset: Preset, file: RemoteFile) -> RemoteFile:
    """The hash to check against: ours if the table pins one, else the hub's. Raises ModelError if there is none."""
    if preset.sha256 and file.name == preset.file:
        return replace(file, sha256=preset.sha256)
    if not file.sha256 and not file.git_sha1:
        raise ModelError(f"the hub states no hash for {file.name}: it can't be checked, so it is not fetched")
    return file


def _repo_of(preset: Preset) -> str:
    if preset.repo:
        return preset.repo
    from rdmf_cli.encoders.openclip import hub_repo  # open_clip's table knows it

    return hub_repo(*preset.open_clip_names)


def _check_space(plan: Plan, folder: Path) -> None:
    present = sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) / _MB
    free, needed = shutil.disk_usage(folder).free / _MB, plan.size_mb - present
    if needed > free:
        raise ModelError(f"{folder.parent} has {free:.0f} MB free, {plan.preset.name} needs {needed:.0f} MB")


def _remote_file(sibling: Any) -> RemoteFile:
    sha256 = str(sibling.lfs.sha256) if sibling.lfs else ""
    return RemoteFile(str(sibling.rfilename), int(sibling.size or 0), sha256, str(sibling.blob_id or ""))


class _Counting(io.BufferedRandom):
    """A file that is appended to and tells how much; what http_get writes into."""

    def __init__(self, path: Path, advance: Callable[[float], None]) -> None:
        super().__init__(io.FileIO(path, "a+"))
        self.seek(0, io.SEEK_END)
        self._advance = advance

    def write(self, data: Any, /) -> int:
        """Append and report."""
        count = super().write(data)
        self._advance(count)
        return count


@contextmanager
def _explained(repo: str) -> Iterator[None]:
    """Silence huggingface_hub and turn what it raises into one line. Only calls of the library belong inside."""
    from huggingface_hub import errors
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars, logging

    verbosity, had_bars = logging.get_verbosity(), not are_progress_bars_disabled()
    logging.set_verbosity_error()
    disable_progress_bars()
    try:
        yield
    except errors.GatedRepoError as error:
        raise ModelError(f"{repo} is only for accounts that accepted its terms", hint="hf auth login") from error
    except errors.RepositoryNotFoundError as error:
        raise ModelError(f"there is no model {repo} on the hub") from error
    except Exception as error:  # requests, httpx, httpx2 or OSError, depending on the library's version
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise ModelError(f"can't fetch {repo}: {reason}", hint="is there a network? try again to go on") from error
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            enable_progress_bars()
