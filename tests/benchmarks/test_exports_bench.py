"""The table of readers, over one answer; what the readers find is tested in tests/export/test_readers.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.export_readers import READERS, Missing, Reader, Unsupported
from benchmarks.exports import Row, _row, markdown, measure
from tests import videos
from tests.export.documents import answer, answers_of


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_every_reader_has_a_row(tmp_path: Path) -> None:
    pytest.importorskip("opentimelineio")
    answers = [answers_of(answer(videos.constant_rate(), source_fps="25", duration_s=3.0, moments=[(0.2, 0.96, 0.9)]))]
    rows = measure(answers, tmp_path)
    assert [row.reader for row in rows] == list(READERS)
    for row in rows:
        if row.reader.format == "youtube":
            assert row.problem or row.refused == 1  # three seconds are too short for three chapters
        else:
            assert row.problem or (row.opened, row.agreed) == (1, 1), row.reader.name
    assert len(markdown(rows, 1).splitlines()) == len(READERS) + 2


def test_what_is_missing_or_too_odd_is_said() -> None:
    def odd(file: Path, selection: object) -> list[tuple[float, float]]:
        raise Unsupported

    absent = Reader("srt", "none", odd, package="rdmf-no-such-package")
    with pytest.raises(Missing, match="pip install rdmf-no-such-package"):
        absent.version()
    assert _row(absent, [], {}).problem == "pip install rdmf-no-such-package"
    row = _row(Reader("srt", "odd", odd), [answers_of(answer())], {("srt", 0): Path("x")})
    assert (row.unsupported, row.opened) == (1, 0)
    assert "1 at a rate the reader does not know" in markdown([row, Row(absent, problem="pip")], 1)
