"""Moments as chapters: ffmetadata, Matroska's XML, and what YouTube reads in a video's description.

Chapters can't overlap: one ends where the next one starts, and moments that start together share one.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass

from rdmf_cli.errors import OutputError
from rdmf_cli.export.escape import backslashed, no_markup, one_line
from rdmf_cli.export.model import Selection
from rdmf_cli.timebase import format_time

LEAST_CHAPTERS, LEAST_S = 3, 10  # YouTube's rules, besides a first chapter at 0:00
MOST_LETTERS = 5000  # of a description on YouTube
TITLE_LETTERS = 100
BEFORE, BETWEEN = "Start", "In between"  # names of gaps


@dataclass(frozen=True)
class Chapter:
    """A named stretch in whole milliseconds, end not included."""

    start_ms: int
    end_ms: int
    title: str


def chapters_of(selection: Selection) -> list[Chapter]:
    """Chapters for the moments, in order, without overlaps; between them there may be gaps."""
    groups: dict[int, tuple[int, list[str]]] = {}  # start -> latest end, titles
    for hit in selection.chronological():
        start_ms, end_ms = round(hit.moment.start_s * 1000), round(hit.moment.end_s * 1000)
        latest, titles = groups.get(start_ms, (start_ms + 1, []))
        groups[start_ms] = (max(latest, end_ms), [*titles, hit.query])
    starts = list(groups)
    found = []
    for start_ms, next_ms in zip(starts, [*starts[1:], None], strict=True):
        end_ms, titles = groups[start_ms]
        end_ms = end_ms if next_ms is None else min(end_ms, next_ms)
        found.append(Chapter(start_ms, end_ms, _joined(titles)))
    return found


def ffmetadata_text(selection: Selection) -> str:
    """What `ffmpeg -i VIDEO -i FILE -map_metadata 1 -codec copy OUT` puts into a video."""
    parts = [
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={chapter.start_ms}\nEND={chapter.end_ms}\n"
        f"title={backslashed(chapter.title)}\n"
        for chapter in chapters_of(selection)
    ]
    return ";FFMETADATA1\n" + "".join(parts)


def matroska_text(selection: Selection) -> str:
    """Chapters XML for mkvmerge and mkvpropedit; gaps between moments belong to no chapter."""
    root = ElementTree.Element("Chapters")
    edition = ElementTree.SubElement(root, "EditionEntry")
    for chapter in chapters_of(selection):
        atom = ElementTree.SubElement(edition, "ChapterAtom")
        ElementTree.SubElement(atom, "ChapterTimeStart").text = _nanoseconds(chapter.start_ms)
        ElementTree.SubElement(atom, "ChapterTimeEnd").text = _nanoseconds(chapter.end_ms)
        display = ElementTree.SubElement(atom, "ChapterDisplay")
        ElementTree.SubElement(display, "ChapterString").text = one_line(chapter.title)
        ElementTree.SubElement(display, "ChapterLanguage").text = "und"
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def youtube_text(selection: Selection) -> str:
    """Lines `m:ss title` for a description, as YouTube takes them: first at 0:00, three or more, ten seconds each.

    Moments closer together than ten seconds share a chapter, gaps of ten seconds and more get a name of their own,
    shorter ones belong to the moment before. Raises OutputError, saying why, if the rules can't be kept.
    """
    stamps = youtube_stamps(chapters_of(selection), selection.video.duration_s)
    name = selection.video.path
    if len(stamps) < LEAST_CHAPTERS:
        raise OutputError(
            f"{name}: YouTube wants at least {LEAST_CHAPTERS} chapters of {LEAST_S} s or more; in "
            f"{format_time(selection.video.duration_s)} these moments give {len(stamps)}",
            hint="ask for more moments (--top, --query), or use another format",
        )
    long = stamps[-1][0] >= 3600
    text = "".join(f"{_stamp(second, long)} {title}\n" for second, title in stamps)
    if len(text) > MOST_LETTERS:
        raise OutputError(
            f"{name}: these {len(stamps)} chapters take {len(text)} letters; a description on YouTube holds "
            f"{MOST_LETTERS}",
            hint="ask for fewer moments (--top, --min-score)",
        )
    return text


def youtube_stamps(chapters: Sequence[Chapter], duration_s: float) -> list[tuple[int, str]]:
    """(start in whole seconds, title) from 0 on, at least `LEAST_S` apart and before the end, as far as that goes."""
    last = math.floor(duration_s) - LEAST_S  # where a chapter may start at the latest
    stamps: list[tuple[int, list[str]]] = [(0, [])]  # without titles: a gap
    end = 0  # of the moments so far, in milliseconds
    for chapter in chapters:
        start = min(chapter.start_ms // 1000, max(last, 0))
        gap = max(math.ceil(end / 1000), stamps[-1][0] + LEAST_S)
        if stamps[-1][1] and start - gap >= LEAST_S:
            stamps.append((gap, []))
        if start - stamps[-1][0] >= LEAST_S:
            stamps.append((start, [chapter.title]))
        else:
            stamps[-1][1].append(chapter.title)
        end = max(end, chapter.end_ms)
    gap = max(math.ceil(end / 1000), stamps[-1][0] + LEAST_S)
    if stamps[-1][1] and gap <= last:
        stamps.append((gap, []))
    return [(second, _title(titles) if titles else BETWEEN if second else BEFORE) for second, titles in stamps]


def _title(titles: list[str]) -> str:
    text = no_markup(_joined(titles))
    return text if len(text) <= TITLE_LETTERS else f"{text[: TITLE_LETTERS - 1].rstrip()}…"


def _joined(titles: list[str]) -> str:
    return " / ".join(dict.fromkeys(titles))


def _stamp(second: int, long: bool) -> str:
    minutes, second = divmod(second, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}" if long else f"{minutes}:{second:02d}"


def _nanoseconds(milliseconds: int) -> str:
    return f"{format_time(milliseconds / 1000).rjust(12, '0')}000000"
