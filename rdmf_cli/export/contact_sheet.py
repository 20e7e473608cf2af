"""`--contact-sheet`: one row a moment, with frames from its first to its last and their times."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageDraw

from rdmf_cli.export import palette
from rdmf_cli.export.finding import Finding
from rdmf_cli.export.lettering import draw_text, shortened
from rdmf_cli.export.thumbnails import frames_of
from rdmf_cli.moments import Moment
from rdmf_cli.timebase import format_time, short_time

_FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG", ".webp": "WEBP"}
SUFFIXES = tuple(_FORMATS)
MOST_ROWS = 70  # WebP pictures end at 16383 px

_WIDTH = 1440  # px, as everything here
_MARGIN = 40
_FACTS = 190  # column with rank, times and score
_FRAMES = 6
_GAP = 10
_HEADER, _NO_MATCH, _TIME_LINE, _BETWEEN, _FOOT = 92, 44, 24, 18, 16
_TALLEST = 200  # a frame; portrait videos would take much room else
_BADGE = 15  # radius


@dataclass(frozen=True)
class _Row:
    moment: Moment
    rank: int
    frames: list[tuple[float, Image.Image]]

    @property
    def height(self) -> int:
        return max(picture.height for _, picture in self.frames) + _TIME_LINE + _BETWEEN


def contact_sheet(findings: list[Finding], suffix: str) -> bytes:
    """The picture file, `suffix` one of SUFFIXES; at most MOST_ROWS moments. Raises VideoError."""
    drawn = sheet(findings)
    file = io.BytesIO()
    drawn.save(file, _FORMATS[suffix], quality=88)
    return file.getvalue()


def sheet(findings: list[Finding]) -> Image.Image:
    """The picture of at least one finding."""
    left = MOST_ROWS
    parts: list[tuple[Finding, list[_Row]]] = []
    for finding in findings:
        if left <= 0:
            break
        rows = [_row(finding, moment, rank) for rank, moment in enumerate(finding.moments[:left], start=1)]
        left -= max(1, len(rows))
        parts.append((finding, rows))
    heights = [_HEADER + (sum(row.height for row in rows) or _NO_MATCH) + _FOOT for _, rows in parts]
    image = Image.new("RGB", (_WIDTH, sum(heights) + _FOOT), palette.PAPER)
    top = 0
    for (finding, rows), height in zip(parts, heights, strict=True):
        _draw_part(image, finding, rows, top)
        top += height
    return image


def _row(finding: Finding, moment: Moment, rank: int) -> _Row:
    width = (_WIDTH - 2 * _MARGIN - _FACTS - (_FRAMES - 1) * _GAP) // _FRAMES
    return _Row(moment, rank, frames_of(finding.info, moment, _FRAMES, (width, _TALLEST)))


def _draw_part(image: Image.Image, finding: Finding, rows: list[_Row], top: int) -> None:
    """Header and rows of one answer."""
    pen = ImageDraw.Draw(image)
    if top:
        pen.line((_MARGIN, top, _WIDTH - _MARGIN, top), fill=palette.HAIRLINE, width=1)
    inner = _WIDTH - 2 * _MARGIN
    query = shortened(f"“{finding.query}”", 26, inner, bold=True)
    draw_text(image, (_MARGIN, top + 46), query, 26, palette.INK, bold=True)
    said = (finding.verdict if rows else "") or f"relevance {finding.relevance.score:.2f}"
    facts = f"{finding.name}  ·  {short_time(finding.duration_s)}  ·  {said}"
    draw_text(image, (_MARGIN, top + 72), shortened(facts, 16, inner), 16, palette.MUTED)
    top += _HEADER
    if not rows:
        draw_text(image, (_MARGIN, top + 20), finding.verdict, 18, palette.BEST)
    for row in rows:
        _draw_row(image, row, top)
        top += row.height


def _draw_row(image: Image.Image, row: _Row, top: int) -> None:
    pen = ImageDraw.Draw(image)
    middle = (_MARGIN + _BADGE, top + _BADGE)
    pen.ellipse((middle[0] - _BADGE, top, middle[0] + _BADGE, top + 2 * _BADGE), fill=palette.of_rank(row.rank))
    on_badge = palette.PAPER if row.rank == 1 else palette.INK
    draw_text(image, middle, str(row.rank), 16, on_badge, bold=True, anchor="mm")
    beside = _MARGIN + 2 * _BADGE + 12
    moment = row.moment
    draw_text(image, (beside, top + 20), format_time(moment.start_s), 17, palette.INK, bold=True)
    draw_text(image, (beside, top + 43), f"– {format_time(moment.end_s)}", 15, palette.MUTED)
    draw_text(image, (beside, top + 67), f"{moment.length_s:.1f} s", 15, palette.MUTED)
    draw_text(image, (beside, top + 90), f"score {moment.score:.2f}", 15, palette.MUTED)
    step = (_WIDTH - 2 * _MARGIN - _FACTS + _GAP) / _FRAMES
    for place, (time_s, picture) in enumerate(row.frames):
        at = round(_MARGIN + _FACTS + place * step)
        image.paste(picture, (at, top))
        draw_text(image, (at, top + picture.height + 17), format_time(time_s), 13, palette.MUTED)
