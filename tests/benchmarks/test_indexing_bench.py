"""The benchmark of indexing runs, and what it counts is what happened."""

from __future__ import annotations

from pathlib import Path

from benchmarks.indexing import PARTS, Plan, as_markdown, measure
from benchmarks.workloads import StubEncoder

TINY = Plan(num_files=30, size="96x54", clip_s=2, num_short=2, short_s=1, long_s=2, repeats=1)


def test_every_part_gives_figures(tmp_path: Path) -> None:
    result = measure(list(PARTS), plan=TINY, encoder=StubEncoder(64), folder=tmp_path, videos=None)
    rows = {row["what"]: row for part in result["parts"].values() for row in part}
    assert rows["index again, 30 unchanged files"]["value"] > 0
    assert rows["slides, one every 10 s: share of 4 frames not encoded"]["value"] == 0.75
    assert rows["everything moves: share of 4 frames not encoded"]["value"] == 0
    assert rows["snippets per hour of video at 2 fps"]["value"] == 7200
    text = as_markdown(result)
    assert all(f"**{part}**" in text for part in PARTS)
