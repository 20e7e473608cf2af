"""Is the video still where the search found it, and still the same one?"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rdmf_cli.errors import VideoError
from rdmf_cli.export.model import Answers, Video
from rdmf_cli.media.probe import fingerprint


def located(answers: Answers, beside: Path | None) -> tuple[Answers, list[Path], list[str]]:
    """(answers with the paths of today, videos that are not there, lines about those that have changed).

    Paths of a document count from the folder in which was searched; if nothing is there, `beside` is tried, the folder
    of the document.
    """
    found = {result.video.path: _find(result.video.path, beside) for result in answers.results}
    missing = [path for path, now in found.items() if now is None]
    results, present = [], {}
    for result in answers.results:
        now = found[result.video.path]
        video = result.video if now is None else replace(result.video, path=now)
        results.append(replace(result, video=video))
        if now is not None:
            present[now] = video
    changed = [line for video in present.values() if (line := _change(video))]
    return replace(answers, results=tuple(results)), missing, changed


def _find(path: Path, beside: Path | None) -> Path | None:
    places = [path] if beside is None or path.is_absolute() else [path, beside / path]
    for place in places:
        try:
            if place.is_file():
                return place
        except (OSError, ValueError):
            continue  # a name that is too long here
    return None


def _change(video: Video) -> str | None:
    try:
        if fingerprint(video.path) != video.id:
            return f"{video.path}: another file than the one that was searched; its moments may lie elsewhere"
    except VideoError as error:
        return str(error)
    return None
