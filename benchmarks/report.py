"""What every benchmark says besides its numbers: on which machine, at which commit, as which table."""

from __future__ import annotations

import json
import os
import platform
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def machine() -> dict[str, Any]:
    """Size of this machine: cores that this process may use, processor, memory in GiB, system and Python."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "cores": cores,
        "cpu": _first_match(Path("/proc/cpuinfo"), r"model name\s*:\s*(.+)") or platform.processor() or "unknown",
        "memory_gib": round(int(_first_match(Path("/proc/meminfo"), r"MemTotal:\s*(\d+)") or 0) / 2**20, 1),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
    }


def machine_line() -> str:
    """`machine()` as one line for people, with the load: on a busy machine only ratios of one run mean something."""
    size = machine()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return f"{size['cores']} cores ({size['cpu']}), {size['memory_gib']} GiB, Python {size['python']}{load}"


def commit() -> str | None:
    """Hash of the checked-out commit, read from the files of .git; None outside a checkout or before the first."""
    folder = ROOT / ".git"
    try:
        if folder.is_file():  # a second working tree: its own HEAD, the refs of the first
            own = Path(folder.read_text().removeprefix("gitdir:").strip())
            head = (own / "HEAD").read_text().strip()
            folder = (own / (own / "commondir").read_text().strip()).resolve()
            return _commit_of(folder, head)
        return _commit_of(folder, (folder / "HEAD").read_text().strip())
    except OSError:
        return None


def _commit_of(folder: Path, head: str) -> str | None:
    """What HEAD points to, in the git folder that has the refs. Raises OSError."""
    if not head.startswith("ref: "):
        return head
    name = head.removeprefix("ref: ")
    if (folder / name).exists():
        return (folder / name).read_text().strip()
    return _first_match(folder / "packed-refs", rf"(?m)^([0-9a-f]{{40,64}}) {re.escape(name)}$")


def table(header: list[str], rows: list[list[str]]) -> str:
    """A Markdown table whose columns are padded, so that it reads well in a terminal, too."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells: list[str]) -> str:
        padded = [cells[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(cells[1:], widths[1:], strict=True))]
        return f"| {' | '.join(padded)} |"

    rule = "|" + "|".join(["-" * (widths[0] + 2), *("-" * (w + 1) + ":" for w in widths[1:])]) + "|"
    return "\n".join([line(header), rule, *(line(row) for row in rows)])


def write(text: str, data: dict[str, Any], *, markdown: Path | None, json_file: Path | None) -> None:
    """Print `text`, and keep it and `data` where asked."""
    print(text)
    if markdown is not None:
        markdown.write_text(text + "\n", encoding="utf-8")
    if json_file is not None:
        json_file.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")


def _first_match(path: Path, pattern: str) -> str | None:
    try:
        found = re.search(pattern, path.read_text())
    except OSError:
        return None
    return found.group(1) if found else None
