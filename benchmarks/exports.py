"""Is what `rdmf export` writes read by programs that are not ours, and do they find the same moments?

    python -m benchmarks.exports [--videos ../shared/data/videos] [--keep DIR] [--markdown F] [--json F]

Searches every video of the folder for one query of its queries.jsonl, exports the answer in every format, opens each
file with each reader that is installed (benchmarks/export_readers.py says which packages) and compares what comes back:
formats in seconds to the millisecond, timelines to the frame, chapters by their starts, YouTube by its rules. The
encoder is the built-in one, the store a temporary one.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks.export_readers import FRAMES, READERS, Missing, Reader, Unsupported
from benchmarks.report import ROOT, commit, machine, machine_line, table, write
from rdmf_cli.export.deliver import render
from rdmf_cli.export.formats import NAMES
from rdmf_cli.export.model import Answers, Selection
from rdmf_cli.export.reading import read_answers
from rdmf_cli.export.timeline import editing_rate

TOP = 5
TOLERANCE_S = 0.0011  # a millisecond, and what a reader's floats add


@dataclass
class Row:
    """How one reader did over all videos."""

    reader: Reader
    version: str = ""
    opened: int = 0
    agreed: int = 0
    unsupported: int = 0
    refused: int = 0  # not written, with a reason
    problem: str = ""


def agrees(reader: Reader, found: Sequence[tuple[Any, Any]], selection: Selection) -> bool:
    """Whether what a reader found is what was answered; computed here anew, not by the writers' code."""
    moments = sorted((hit.moment.start_s, hit.moment.end_s) for hit in selection.hits)
    if reader.kind in ("frames", "about"):
        rate, early = editing_rate(selection.video), reader.kind == "about"
        wanted = [math.ceil(Fraction(time) * rate - Fraction(1, 4)) for pair in moments for time in pair]
        frames = [frame for pair in found for frame in pair]
        return len(frames) == len(wanted) and all(0 <= b - a <= early for a, b in zip(frames, wanted, strict=True))
    if reader.kind == "chapters":
        starts = sorted({start for start, _ in moments})
        return _close([start for start, _ in found], starts)
    if reader.kind == "youtube":
        starts = [start for start, _ in found]
        gaps = [after - before for before, after in zip(starts, [*starts[1:], selection.video.duration_s], strict=True)]
        return len(starts) >= 3 and starts[0] == 0 and min(gaps) >= 10
    return _close([time for pair in sorted(found) for time in pair], [time for pair in moments for time in pair])


def _close(found: Sequence[float], wanted: Sequence[float]) -> bool:
    return len(found) == len(wanted) and all(abs(a - b) <= TOLERANCE_S for a, b in zip(found, wanted, strict=True))


def measure(answers: Sequence[Answers], folder: Path) -> list[Row]:
    """Every reader on every answer (one video each). Files stay in `folder`."""
    texts: dict[tuple[str, int], Path | None] = {}
    for name in NAMES:
        for number, answer in enumerate(answers):
            rendered = render(answer, name, show_all=True)
            file = folder / f"{number:02d}-{name}.{SUFFIXES.get(name, name)}"
            if rendered.outputs:
                file.write_text(rendered.outputs[0].text, encoding="utf-8", newline="")
            texts[name, number] = file if rendered.outputs else None
    return [_row(reader, answers, texts) for reader in READERS]


SUFFIXES = {"losslesscut": "csv", "ffmetadata": "txt", "youtube": "txt", "matroska": "xml", "audacity": "txt"}


def _row(reader: Reader, answers: Sequence[Answers], files: dict[tuple[str, int], Path | None]) -> Row:
    row = Row(reader)
    try:
        row.version = reader.version()
    except Missing as missing:
        row.problem = str(missing)
        return row
    for number, answer in enumerate(answers):
        file = files[reader.format, number]
        selection = answer.selections(show_all=True)[0]
        if file is None:
            row.refused += 1
            continue
        try:
            found = reader.read(file, selection)
        except Unsupported:
            row.unsupported += 1
            continue
        row.opened += 1
        row.agreed += agrees(reader, found, selection)
    return row


def search_all(videos: Path, store: Path) -> list[Answers]:
    """An answer for each video that has a query, through the command line's own document."""
    from rdmf_cli.commands.results import PATTERN_MODEL, search_document
    from rdmf_cli.encoders import open_encoder
    from rdmf_cli.pipeline.answer import SearchOptions
    from rdmf_cli.pipeline.search import search_videos
    from rdmf_cli.store import Store

    queries: dict[str, str] = {}
    for line in (videos / "queries.jsonl").read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if entry["relevant_windows"]:
            queries.setdefault(entry["vid"], entry["query"])
    encoder = open_encoder("lite", models_folder=store / "models", offline=True)
    answers = []
    with Store.open(store) as opened:
        for name, query in queries.items():
            outcome = search_videos([videos / name], [query], encoder=encoder, store=opened, options=SearchOptions())
            answers.append(read_answers(search_document(outcome, encoder, PATTERN_MODEL, TOP, 0.0), name))
    return answers


def markdown(rows: Sequence[Row], num_videos: int) -> str:
    """The table for people."""
    cells = []
    for row in rows:
        reader = row.reader
        if row.problem:
            cells.append([reader.format, reader.name, "–", "–", row.problem])
            continue
        notes = [f"{row.refused} refused with a reason"] if row.refused else []
        notes += [f"{row.unsupported} at a rate the reader does not know"] if row.unsupported else []
        written = num_videos - row.refused - row.unsupported
        notes += ["may be a frame early: it rounds down"] if reader.kind == "about" else []
        cells.append(
            [
                reader.format,
                f"{reader.name} {row.version}".strip(),
                f"{row.opened}/{written}",
                f"{row.agreed}/{written}",
                "; ".join(notes),
            ]
        )
    return table(["format", "reader", "opened", "same moments", ""], cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--videos", type=Path, default=ROOT.parent / "shared" / "data" / "videos")
    parser.add_argument("--keep", type=Path, help="folder for the exported files")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        answers = search_all(options.videos, Path(temporary) / "store")
        folder = options.keep or Path(temporary) / "files"
        folder.mkdir(parents=True, exist_ok=True)
        rows = measure(answers, folder)
    odd = sorted(
        {str(answer.results[0].video.source_fps) for answer in answers}, key=lambda rate: float(Fraction(rate))
    )
    num_moments = sum(len(result.hits) for answer in answers for result in answer.results)
    text = (
        f"{len(answers)} videos, {num_moments} moments, rates {', '.join(odd)}; {FRAMES}.\n{machine_line()}\n\n"
        f"{markdown(rows, len(answers))}"
    )
    data = {
        "commit": commit(),
        "machine": machine(),
        "rows": [
            {
                "format": row.reader.format,
                "reader": row.reader.name,
                "version": row.version,
                "opened": row.opened,
                "agreed": row.agreed,
                "refused": row.refused,
                "unsupported": row.unsupported,
                "problem": row.problem,
            }
            for row in rows
        ],
    }
    write(text, data, markdown=options.markdown, json_file=options.json)


if __name__ == "__main__":
    main()
