"""What belongs to the user's machine: where things are, which encoder. Defaults < file < environment < flags."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from rdmf_cli.errors import UsageError

Value = str | bool | Path

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off"})
_PATHS = ("store", "models")
_TEXTS = ("encoder", "model", "device", "ffmpeg")
_SWITCHES = ("offline",)
KEYS = (*_PATHS, *_TEXTS, *_SWITCHES)


@dataclass(frozen=True)
class Settings:
    """What belongs to the machine and the user, never to a model or a video."""

    store: Path  # folder with the catalogue and the features
    models: Path  # the user's own model folder
    encoder: str = "auto"  # preset name, path, or "auto": the best one that is here
    model: str = "auto"  # fusion and head: "pattern", "learned" (rdmf-base), a name, a path; "auto": rdmf-base if here
    device: str = "auto"  # "cpu", "cuda", ... or "auto"
    offline: bool = False  # True: no network use at all
    ffmpeg: str | None = None  # program to use instead of the one that is found


def load_settings(
    *,
    store: Path | str | None = None,
    models: Path | str | None = None,
    encoder: str | None = None,
    model: str | None = None,
    device: str | None = None,
    offline: bool | None = None,
    ffmpeg: str | None = None,
) -> Settings:
    """Settings from all four sources; a flag that is None was not given.

    Raises UsageError, in one line that names the file or variable and the key.
    """
    flags = {
        "store": Path(store).expanduser() if store else None,
        "models": Path(models).expanduser() if models else None,
        "encoder": encoder,
        "model": model,
        "device": device,
        "offline": offline,
        "ffmpeg": ffmpeg,
    }
    values = _defaults() | _from_file() | _from_environment()
    values |= {key: value for key, value in flags.items() if value is not None}
    return Settings(**values)  # type: ignore[arg-type]  # every source has checked its values


def settings_file() -> Path:
    """Where the settings file is looked for: RDMF_SETTINGS, else the platform's place."""
    named = os.environ.get("RDMF_SETTINGS")
    if named:
        return Path(named).expanduser()
    from platformdirs import user_config_path

    return user_config_path("rdmf", appauthor=False) / "settings.toml"


def _defaults() -> dict[str, Value]:
    from platformdirs import user_cache_path, user_data_path

    # appauthor=False: on Windows platformdirs would otherwise repeat the name (rdmf\rdmf).
    return {
        "store": user_cache_path("rdmf", appauthor=False) / "store",
        "models": user_data_path("rdmf", appauthor=False) / "models",
    }


def _from_environment() -> dict[str, Value]:
    """RDMF_STORE and so on; an empty variable counts as not set, as it does elsewhere."""
    values: dict[str, Value] = {}
    for key in KEYS:
        name = f"RDMF_{key.upper()}"
        text = os.environ.get(name, "")
        if not text:
            continue
        if key in _SWITCHES:
            values[key] = _switch(text, name)
        elif key in _PATHS:
            values[key] = Path(text).expanduser()
        else:
            values[key] = text
    return values


def _switch(text: str, name: str) -> bool:
    word = text.strip().lower()
    if word not in _TRUE | _FALSE:
        raise UsageError(f"{name}: not a switch: {text!r}", hint="write 1 or 0")
    return word in _TRUE


def _from_file() -> dict[str, Value]:
    file = settings_file()
    table = _read_toml(file)
    return {key: _file_value(file, key, value) for key, value in table.items()}


def _read_toml(file: Path) -> dict[str, object]:
    """The settings file as a table; {} if nobody wrote one."""
    try:
        # Notepad puts a byte order mark in front, which TOML forbids: -sig drops it.
        text = file.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        if os.environ.get("RDMF_SETTINGS"):
            raise UsageError(f"{file}: no such settings file", hint="RDMF_SETTINGS names it") from None
        return {}
    except NotADirectoryError:
        return {}
    except OSError as error:
        raise UsageError(f"{file}: can't read the settings: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file}: the settings are not UTF-8 text") from error
    import tomllib

    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{file}: not a TOML file: {reason}") from error


def _file_value(file: Path, key: str, value: object) -> Value:
    """One checked value; relative folders count from the settings file, so that it means the same everywhere."""
    if key not in KEYS:
        raise UsageError(f"{file}: unknown key {key!r}", hint=f"known keys: {', '.join(KEYS)}")
    if key in _SWITCHES:
        if not isinstance(value, bool):
            raise UsageError(f"{file}: {key}: must be true or false, not {value!r}")
        return value
    if not isinstance(value, str) or not value:
        raise UsageError(f"{file}: {key}: must be a text, not {value!r}")
    if key in _PATHS:
        return file.parent / Path(value).expanduser()
    return str(Path(value).expanduser()) if value.startswith("~") else value


def share_cores() -> None:
    """Make torch's idle threads sleep and not spin; must be called before torch is imported.

    Spinning threads take the cores from ffmpeg, which decodes meanwhile: measured on two cores, a first search of a
    1080p video takes 12 % longer with them (docs/experiments.md). A choice of the user's stays.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
