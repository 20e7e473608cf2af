from __future__ import annotations

from pathlib import Path

from benchmarks import cut
from rdmf_cli.media.probe import probe
from rdmf_cli.moments import Moment
from tests import sync_videos


def test_what_it_measures_is_there(tmp_path: Path) -> None:
    info = probe(sync_videos.b_frames())
    rows = cut.measure(info, [Moment(3.4, 7.0, 1, 4)], tmp_path, repeats=1)
    assert list(rows) == list(cut.MODES)
    assert all(row["seconds"] > 0 and row["bytes"] > 0 and not row["notes"] for row in rows.values())
    assert (rows["exact"]["frames_off"], rows["smart"]["frames_off"]) == ([0], [0])
    assert rows["copy"]["frames_off"] == [-round(rows["copy"]["early_s"] * 25)] != [0]
    assert len(cut.report_rows(rows)) == 3
