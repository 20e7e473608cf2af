"""What `rdmf doctor` looks at. Each check says what it found and, if that is a problem, what to do. No network."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rdmf_cli import __version__
from rdmf_cli.errors import ModelError, RdmfError, StoreError, VideoError
from rdmf_cli.settings import Settings, settings_file

Status = Literal["ok", "warning", "problem"]

# (first version with the fix, what it is). Distributions carry fixes back to older versions, so this is a warning.
_FFMPEG_FIXES = (
    ((8, 1, 2), "CVE-2026-8461 (a crafted MagicYUV video can run code)"),
    ((8, 1, 3), "CVE-2026-107697 (HLS playlists get around the whitelist; rdmf opens no playlists)"),
)
_LOW_DISK_BYTES = 1 << 30


@dataclass(frozen=True)
class Check:
    """One thing that was looked at."""

    name: str
    value: str
    status: Status = "ok"
    advice: str = ""
    exit_code: int = 0  # what the doctor leaves with, if this is a problem: the main job doesn't work

    def to_json(self) -> dict[str, Any]:
        """As `rdmf doctor --json` prints it."""
        return asdict(self)


def all_checks(settings: Settings) -> Iterator[Check]:
    """Every check, as soon as it is done; none of them raises."""
    yield Check("rdmf", f"{__version__} in {Path(__file__).resolve().parents[1]}")
    yield Check("python", f"{platform.python_version()} on {platform.platform()} ({sys.executable})")
    yield _torch()
    yield _device(settings)
    yield from _ffmpeg()
    yield _pyav()
    yield _decord()
    yield from _encoders(settings)
    yield _store(settings)
    yield _settings_file()


def _torch() -> Check:
    try:
        import torch
    except Exception as error:  # a broken installation raises OSError, ImportError, RuntimeError
        return Check("torch", _line(error), "problem", "reinstall torch: pip install --force-reinstall torch", 4)
    return Check("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")


def _device(settings: Settings) -> Check:
    try:
        from rdmf_cli.encoders.device import pick_device

        return Check("device", f"{pick_device(settings.device)} (asked for: {settings.device})")
    except RdmfError as error:
        return Check("device", str(error), "problem", error.hint, ModelError.exit_code)
    except Exception as error:
        return Check("device", _line(error), "problem", "mend torch first", ModelError.exit_code)


def _ffmpeg() -> Iterator[Check]:
    from rdmf_cli.media.ffmpeg import ffmpeg_path, ffmpeg_version

    try:
        path, version = ffmpeg_path(), ffmpeg_version()
    except RdmfError as error:
        yield Check("ffmpeg", str(error), "problem", error.hint, VideoError.exit_code)
        return
    status, advice = old_ffmpeg(
        version, "install a newer ffmpeg, or remove the old one so that the packaged one is used"
    )
    yield Check("ffmpeg", f"{version} at {path}", status, advice)


def _pyav() -> Check:
    try:
        import av
    except Exception as error:
        return Check("av", _line(error), "problem", "reinstall av: pip install --force-reinstall av", 3)
    version = str(getattr(av, "ffmpeg_version_info", "unknown"))
    status, advice = old_ffmpeg(version, "pip install --upgrade av, once a version with newer libraries is out")
    return Check("av", f"{av.__version__} with the libraries of ffmpeg {version}", status, advice)


def old_ffmpeg(version: str, advice: str) -> tuple[Status, str]:
    """Whether an ffmpeg of this version lacks known fixes, and what to do."""
    match = re.match(r"n?(\d+)\.(\d+)(?:\.(\d+))?", version)
    if not match:
        return "ok", ""  # a development build: its number tells nothing
    number = tuple(int(part or 0) for part in match.groups())
    missing = [what for fixed_in, what in _FFMPEG_FIXES if number < fixed_in]
    if not missing:
        return "ok", ""
    why = " and ".join(missing)
    return "warning", f"older than 8.1.3; unless your distribution mended it: {why}. {advice}"


def _decord() -> Check:
    try:
        import decord
    except Exception as error:  # no wheel for this machine, or one that doesn't load
        found = "not installed" if isinstance(error, ModuleNotFoundError) else _line(error)
        return Check("decord", f"{found}; not needed, --decoder ffmpeg does the work")
    return Check("decord", f"{decord.__version__} (--decoder decord)")


def _encoders(settings: Settings) -> Iterator[Check]:
    """The built-in encoder, the fetched ones, and the one that a search uses here."""
    from rdmf_cli.encoders import available
    from rdmf_cli.encoders.presets import RECOMMENDED

    present = available(settings.models)
    fetched = [name for name in present if name != "lite"]
    built_in = _opened("built-in encoder", "lite", settings)
    used = built_in if settings.encoder in ("lite", "auto") and not fetched else None
    used = used or _opened("", settings.encoder, settings)
    if built_in.status == "problem" and used.status == "ok":  # another one does the work
        built_in = Check(built_in.name, built_in.value, "warning", built_in.advice)
    yield built_in
    more = "" if fetched else f"; for better answers: rdmf models pull {RECOMMENDED}"
    yield Check("fetched encoders", f"{', '.join(fetched) or 'none'} in {settings.models}{more}")
    yield Check("encoder in use", f"{settings.encoder}: {used.value}", used.status, used.advice, used.exit_code)


def _opened(label: str, name: str, settings: Settings) -> Check:
    """Open an encoder and let it read a sentence: its weights are there, whole, and work."""
    try:
        from rdmf_cli.encoders import open_encoder

        encoder = open_encoder(name, models_folder=settings.models, device=settings.device, offline=True)
        vector = encoder.encode_texts(["a dog runs"])
        if vector.shape != (1, encoder.dim) or abs(float((vector**2).sum()) - 1) > 1e-3:
            raise ModelError(f"{name}: its weights give no usable vectors", hint="fetch or install it again")
    except RdmfError as error:
        return Check(label, str(error), "problem", error.hint or "see: rdmf models list", ModelError.exit_code)
    except Exception as error:
        return Check(label, _line(error), "problem", "fetch or install it again", ModelError.exit_code)
    return Check(label, f"{encoder.name}, {encoder.dim} dimensions, works ({encoder.fingerprint[:8]})")


def _store(settings: Settings) -> Check:
    folder = settings.store
    advice = "name another folder with --store or RDMF_STORE; a search works without, but keeps nothing"
    try:
        from rdmf_cli.store import Store

        with Store.open(folder) as store:
            read_only = store.read_only
        size, free = _size_bytes(folder), shutil.disk_usage(folder).free
    except StoreError as error:
        return Check("store", str(error), "problem", error.hint or advice, StoreError.exit_code)
    except Exception as error:
        return Check("store", f"{folder}: {_line(error)}", "problem", advice, StoreError.exit_code)
    value = f"{folder}: {size / 1e6:.1f} MB used, {free / 1e9:.1f} GB free"
    if read_only:
        return Check("store", f"{value}, can't be written", "warning", advice)
    if free < _LOW_DISK_BYTES:
        return Check("store", value, "warning", "the disk is nearly full: make room, or name another folder")
    return Check("store", value)


def _size_bytes(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += Path(parent, name).lstat().st_size
            except OSError:
                continue  # removed by another process just now
    return total


def _settings_file() -> Check:
    file = settings_file()
    return Check("settings", str(file) if file.exists() else f"none (it would be {file})")


def _line(error: BaseException) -> str:
    """An exception in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
