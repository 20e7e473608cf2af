"""Names of clips from a template, safe on every file system."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from rdmf_cli.errors import UsageError
from rdmf_cli.export.names import plain
from rdmf_cli.moments import Moment
from rdmf_cli.timebase import format_time

DEFAULT = "{video}-{rank}-{start}-{query}"
FIELDS = ("video", "rank", "start", "end", "query", "score")
CONTAINERS = (".mp4", ".mkv")
NAME_BYTES = 120  # without the suffix; file systems take 255, and people copy clips into deep folders
_OTHER_SUFFIXES = (".mov", ".webm", ".avi", ".ts", ".m4v", ".gif", ".mpg", ".wmv", ".flv")
_FIELD = re.compile(r"\{([^{}]*)\}")
_FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f\x7f-\x9f]')
_DEVICES = {"con", "prn", "aux", "nul", "conin$", "conout$"} | {
    f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³"
}
_HINT = f"a name such as {DEFAULT}; fields: {' '.join(f'{{{name}}}' for name in FIELDS)}"


@dataclass(frozen=True)
class Template:
    """A checked template; `container` is "" unless its suffix asks for one, `warnings` say what was made safe."""

    text: str
    container: str = ""
    warnings: tuple[str, ...] = ()


def parse(text: str) -> Template:
    """Check a template. Raises UsageError for one that leaves the folder, is empty, too long or knows no such field."""
    _refuse_paths(text)
    stem, container = _split(text)
    unknown = [name for name in _FIELD.findall(stem) if name not in FIELDS]
    if unknown:
        raise UsageError(f"--name: no field is called {{{unknown[0]}}}", hint=_HINT)
    literal = _FIELD.sub("", stem)
    if "{" in literal or "}" in literal:
        raise UsageError(f"--name: a brace is open in {text!r}", hint=_HINT)
    if len(literal.encode()) > NAME_BYTES // 2:
        raise UsageError(f"--name: more than {NAME_BYTES // 2} bytes besides its fields", hint=_HINT)
    safe = _FORBIDDEN.sub("-", stem)
    warnings = [] if safe == stem else ["some systems forbid signs of --name; '-' is in their place"]
    if not _FIELD.search(safe) and not safe.strip(" .-_"):
        raise UsageError("--name: nothing is left of it that may be a name", hint=_HINT)
    if _is_device(safe):
        safe = f"clip-{safe}"
        warnings.append(f"--name: {stem} is a device on Windows; clips are called {safe}")
    return Template(safe, container, tuple(warnings))


def clip_name(template: Template, video: Path, rank: int, moment: Moment, query: str) -> str:
    """A clip's name without suffix: `dog-01-0h00m12.500s-a-dog-runs`, at most NAME_BYTES bytes, never empty."""
    values = {
        "video": plain(video.stem, NAME_BYTES // 3) or "video",
        "rank": f"{rank:02d}",
        "start": _clock(moment.start_s),
        "end": _clock(moment.end_s),
        "score": f"{moment.score:.2f}",
        "query": "",
    }
    without = _filled(template.text, values)
    values["query"] = plain(query, NAME_BYTES - len(without.encode()))
    name = _filled(template.text, values).encode()[:NAME_BYTES].decode("utf-8", "ignore")
    name = name.strip(" -_.") or values["rank"]
    return f"clip-{name}" if _is_device(name) else name


def _refuse_paths(text: str) -> None:
    if not text.strip():
        raise UsageError("--name: the template is empty", hint=_HINT)
    if re.search(r"[/\\]", text) or re.match(r"[A-Za-z]:", text) or text.startswith(("~", "..")):
        raise UsageError(f"--name: {text!r} leads out of the folder", hint="--clips names the folder, --name the files")


def _split(text: str) -> tuple[str, str]:
    """(stem, ".mp4", ".mkv" or "")."""
    suffix = Path(text).suffix.lower()
    if suffix in CONTAINERS:
        return text[: -len(suffix)], suffix
    if suffix in _OTHER_SUFFIXES:
        raise UsageError(f"--name: clips are .mp4 or .mkv files, not {suffix}", hint="leave the suffix out")
    return text, ""


def _filled(template: str, values: dict[str, str]) -> str:
    return _FIELD.sub(lambda field: values[field[1]], template)


def _clock(seconds: float) -> str:
    hours, minutes, rest = format_time(seconds).split(":")
    return f"{hours}h{minutes}m{rest}s"


def _is_device(name: str) -> bool:
    return name.partition(".")[0].strip().casefold() in _DEVICES
