"""Readers that are not ours open what we write; each is skipped where it is not installed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.export_readers import READERS, Missing, Reader
from benchmarks.exports import agrees
from rdmf_cli.export.deliver import render
from rdmf_cli.export.formats import NAMES
from tests import videos
from tests.export.documents import answer, answers_of


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: f"{reader.format}-{reader.name.split(',')[0]}")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning")
def test_readers_find_the_moments(reader: Reader, tmp_path: Path) -> None:
    try:
        reader.version()
    except Missing as missing:
        pytest.skip(str(missing))
    times = [(0.2, 0.96, 0.9), (1.0, 2.0, 0.5)]
    length_s = 3.0
    if reader.kind == "youtube":
        times, length_s = [(15.0, 30.0, 0.9), (45.0, 50.0, 0.5)], 70.0
    found = answer(videos.constant_rate(), source_fps="25", duration_s=length_s, moments=times)
    found["video"].pop("timecode")
    answers = answers_of(found)
    (output,) = render(answers, reader.format, show_all=True).outputs  # type: ignore[arg-type]
    file = tmp_path / f"out.{reader.format}"
    file.write_text(output.text, encoding="utf-8", newline="")
    (selection,) = answers.selections(show_all=True)
    assert agrees(reader, reader.read(file, selection), selection)
    wrong = replace(selection, hits=selection.hits[:1])
    assert reader.kind == "youtube" or not agrees(reader, reader.read(file, selection), wrong)


def test_each_format_has_a_reader() -> None:
    assert {reader.format for reader in READERS} == set(NAMES)
