"""Which prediction answers which line of the ground truth. Both must ask the same; nothing is left out silently."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TypeVar

from rdmf_cli.errors import UsageError
from rdmf_cli.evaluation.formats import Prediction, Truth
from rdmf_cli.evaluation.lines import Line

T = TypeVar("T")
P = TypeVar("P")

_LONGEST = 80  # characters of a key in a message
Keyed = list[tuple[Hashable, Line, T]]  # what identifies an entry, where it stands, the entry


def pair_queries(
    predictions: Sequence[Prediction], truths: Sequence[Truth], *, common: bool
) -> tuple[list[tuple[Prediction, Truth]], list[str]]:
    """Pairs in the order of the ground truth, and notes.

    By qid; by video and query text where the qids say nothing: in answers of `rdmf search`, which counts the lines of
    each run, and in ground truth without qids. A sentence asked twice of one video pairs in the order of the files.
    """
    by_text = all(one.is_search for one in predictions) or any(truth.key is None for truth in truths)
    if not by_text:
        answers: Keyed[Prediction] = [(f"qid {one.key}", one.line, one) for one in predictions]
        pairs, notes = pair(answers, [(f"qid {one.key}", one.line, one) for one in truths], common=common)
        return pairs, notes + _other_videos(pairs)
    videos = {(_stem(one.video), one.query): one.video for one in truths}
    videos |= {(one.video, one.query): one.video for one in truths}  # a whole name goes before a stem
    answers = []
    for one in predictions:
        video = next((videos[name, one.query] for name in one.videos if (name, one.query) in videos), one.videos[0])
        answers.append((_label(video, one.query), one.line, one))
    wanted: Keyed[Truth] = [(_label(one.video, one.query), one.line, one) for one in truths]
    return pair(_numbered(answers, Counter(key for key, _, _ in wanted)), _numbered(wanted), common=common)


def _other_videos(pairs: Sequence[tuple[Prediction, Truth]]) -> list[str]:
    """A note if equal qids belong to different videos: probably files of different data sets."""
    apart = [one for one, true in pairs if one.videos[0] and true.video and _stem(one.videos[0]) != _stem(true.video)]
    if not apart:
        return []
    return [f"equal qids, but different videos: {len(apart)} of {len(pairs)} (first: line {apart[0].line.number})"]


def pair(answers: Keyed[P], wanted: Keyed[T], *, common: bool) -> tuple[list[tuple[P, T]], list[str]]:
    """Pairs of entries with equal keys, in the order of `wanted`.

    Raises UsageError for a key that one file has twice, or only one file has, unless `common`: then a note says how
    many are left out.
    """
    given, asked = _unique(answers), _unique(wanted)
    extra = [key for key in given if key not in asked]
    missing = [key for key in asked if key not in given]
    pairs = [(given[key][1], asked[key][1]) for key in asked if key in given]
    if not pairs:
        raise UsageError(f"{_file(answers)} and {_file(wanted)} have nothing in common", hint=_example(given, asked))
    if not (extra or missing):
        return pairs, []
    if common:
        return pairs, [f"left out: {len(missing)} without a prediction, {len(extra)} without ground truth"]
    told = []
    if missing:
        line = asked[missing[0]][0]
        told.append(
            f"{len(missing)} of {_file(wanted)} have no prediction (first: {_shown(missing[0])}, line {line.number})"
        )
    if extra:
        line = given[extra[0]][0]
        told.append(
            f"{len(extra)} of {_file(answers)} are not asked for (first: {_shown(extra[0])}, line {line.number})"
        )
    raise UsageError("different query sets: " + "; ".join(told), hint="--common evaluates what both files have")


def _unique(entries: Keyed[T]) -> dict[Hashable, tuple[Line, T]]:
    found: dict[Hashable, tuple[Line, T]] = {}
    for key, line, entry in entries:
        if key in found:
            raise line.error(f"{_shown(key)} is a duplicate of line {found[key][0].number}")
        found[key] = (line, entry)
    return found


def _numbered(entries: Keyed[T], allowed: Counter[Hashable] | None = None) -> Keyed[T]:
    """Keys that come again get a number, at most as often as `allowed` has them: what is left is a duplicate."""
    seen: Counter[Hashable] = Counter()
    result: Keyed[T] = []
    for key, line, entry in entries:
        seen[key] += 1
        place = seen[key] if allowed is None else min(seen[key], max(1, allowed[key]))
        result.append((key if place == 1 else f"{key} ({place})", line, entry))
    return result


def _label(video: str, query: str) -> str:
    return f"“{query}” in {video}"


def _stem(video: str) -> str:
    """A video's name without the suffix of a file; QVHighlights' names end in a time (…_360.0), which stays."""
    stem, dot, suffix = video.rpartition(".")
    return stem if dot and stem and suffix and not suffix[0].isdigit() else video


def _file(entries: Keyed[T]) -> str:
    return entries[0][1].file


def _example(given: dict[Hashable, tuple[Line, P]], asked: dict[Hashable, tuple[Line, T]]) -> str:
    return f"the first of each: {_shown(next(iter(given)))} and {_shown(next(iter(asked)))}"


def _shown(key: Hashable) -> str:
    """A key in a message: one line, and not a whole novel."""
    text = " ".join(str(key).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
