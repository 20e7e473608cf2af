"""Where the published and reference files lie, for tests that need them and skip where they are absent."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("RDMF_DATA") or CHECKOUT.parent / "shared" / "data")
PUBLISHED = SHARED / "published"


def need(*names: str) -> Path:
    """A published file; skips the test if there is none."""
    file = PUBLISHED.joinpath(*names)
    if not file.exists():
        pytest.skip(f"no {file}")
    return file


def need_json(*names: str) -> Any:
    """The figures of a published file."""
    return json.loads(need(*names).read_text(encoding="utf-8"))


def num_figures(document: Any) -> int:
    """How many numbers a document holds."""
    if isinstance(document, dict):
        return sum(num_figures(part) for part in document.values())
    return 1
