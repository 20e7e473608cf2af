"""`--report`: one page that works offline from a double-click, with a player, the curves and the moments.

Everything is in the page but the videos, which it links to, or holds as small clips. All texts that come from outside
go through `escaped`; the page's policy forbids any script or style but its own, and any request.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from PIL import Image

from rdmf_cli import __version__
from rdmf_cli.export import report_curve
from rdmf_cli.export.finding import Finding, by_video
from rdmf_cli.export.markup import Markup, attributes, escaped, media_link
from rdmf_cli.export.thumbnails import data_uri, moment_pictures, strip
from rdmf_cli.export.web_clips import small_clip
from rdmf_cli.moments import Moment
from rdmf_cli.progress import SILENT, Progress
from rdmf_cli.timebase import format_time, rate_text, short_time

SUFFIXES = (".html", ".htm")
_PICTURE_PX = (240, 240)
_STRIP_PX = (960, 54)
_POSTER_PX = (480, 360)
_HAIR_S = 1e-3
_CONTENTS_FROM = 4  # answers
_PRELOADED_PLAYERS = 4  # with more videos each is opened only when it is played


@dataclass(frozen=True)
class Page:
    """What the page needs to know besides the findings."""

    folder: Path  # where the page will lie
    encoder: str
    embed: bool  # clips in the page instead of a link to the video
    progress: Progress = SILENT  # told of each clip that is made


def report(findings: list[Finding], page: Page) -> bytes:
    """The page of at least one finding. Raises VideoError if a video can't be read any more."""
    groups = by_video(findings)
    style, script = _asset("report.css"), _asset("report.js")
    parts = {
        "policy": _policy(style, script),
        "version": escaped(__version__),
        "title": escaped(_title(findings, groups)),
        "heading": _heading(findings, groups),
        "facts": escaped(_facts(findings, groups)),
        "contents": _contents(groups),
        "encoder": escaped(page.encoder),
        "style": style,
        "script": script,
        "sections": "\n".join(_section(group, number, len(groups), page) for number, group in enumerate(groups, 1)),
    }
    # One pass over the template: a query that contains {{script}} stays text.
    text = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], _asset("report.html"))
    return text.encode("utf-8")


def _asset(name: str) -> str:
    return files("rdmf_cli.export").joinpath(name).read_text(encoding="utf-8")


def _policy(style: str, script: str) -> str:
    """Nothing but this page's own style and script, pictures in the page, and videos from disk or in the page."""
    style_hash, script_hash = (
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (style, script)
    )
    return (
        f"default-src 'none'; style-src {style_hash}; script-src {script_hash}; img-src data:; "
        "media-src 'self' file: data:; base-uri 'none'; form-action 'none'"
    )


# --- head -------------------------------------------------------------------------------------------------------------


def _queries(findings: list[Finding]) -> list[str]:
    return list(dict.fromkeys(finding.query for finding in findings))


def _title(findings: list[Finding], groups: list[list[Finding]]) -> str:
    queries = _queries(findings)
    asked = f"“{queries[0]}”" if len(queries) == 1 else f"{len(queries)} queries"
    return f"{asked} in {groups[0][0].name if len(groups) == 1 else f'{len(groups)} videos'}"


def _heading(findings: list[Finding], groups: list[list[Finding]]) -> Markup:
    queries = _queries(findings)
    asked = f"“<bdi>{escaped(queries[0])}</bdi>”" if len(queries) == 1 else f"{len(queries)} queries"
    return f"{asked} in {f'<bdi>{escaped(groups[0][0].name)}</bdi>' if len(groups) == 1 else f'{len(groups)} videos'}"


def _facts(findings: list[Finding], groups: list[list[Finding]]) -> str:
    num_moments = sum(len(finding.moments) for finding in findings)
    if not num_moments:
        return findings[0].verdict.capitalize() if len(findings) == 1 else "Nothing matched confidently"
    found = f"{num_moments} moment{'s' if num_moments > 1 else ''}"
    return f"{found} in {short_time(sum(group[0].duration_s for group in groups))} of video"


def _contents(groups: list[list[Finding]]) -> Markup:
    """Links to the answers, where there are so many that one has to look for them."""
    if sum(len(group) for group in groups) < _CONTENTS_FROM:
        return ""
    items = []
    for number, group in enumerate(groups, start=1):
        for place, finding in enumerate(group, start=1):
            count = len(finding.moments)
            found = f"{count} moment{'s' if count > 1 else ''}" if count else "no match"
            where = f"<bdi>{escaped(finding.name)}</bdi> · " if len(groups) > 1 else ""
            link = f'<a href="#v{number}q{place}-query">“<bdi>{escaped(finding.query)}</bdi>”</a>'
            kind = "some" if count else "none"
            items.append(f'<li class="{kind}">{link} <span>{where}{found}</span></li>')
    return f'<nav class="contents" aria-label="Answers"><ol>\n{"".join(items)}\n</ol></nav>'


# --- a video ----------------------------------------------------------------------------------------------------------


def _section(group: list[Finding], number: int, num_videos: int, page: Page) -> Markup:
    """One video: its player, then its answers."""
    first, key = group[0], f"v{number}"
    link = "" if page.embed else media_link(first.info.path, page.folder)
    pictures = strip(first.info, first.duration_s, width_px=_STRIP_PX[0], height_px=_STRIP_PX[1])
    strip_symbol = report_curve.strip_symbol(key, [data_uri(picture) for picture in pictures])
    answers = "\n".join(_answer(finding, f"{key}q{place}", key, link, page) for place, finding in enumerate(group, 1))
    return (
        f'<section class="video{" embedded" if page.embed else ""}" aria-labelledby="{key}-name">\n'
        f'<div class="stage">\n<h2 id="{key}-name"><bdi>{escaped(first.name)}</bdi></h2>\n'
        f'<p class="facts">{escaped(_video_facts(first))}</p>\n'
        f"{'' if page.embed else _player(group, link, preload=num_videos <= _PRELOADED_PLAYERS)}"
        f'</div>\n<div class="answers">\n{strip_symbol}\n{answers}\n</div>\n</section>'
    )


def _video_facts(finding: Finding) -> str:
    info = finding.info
    shape = f"{info.width} × {info.height}"
    rate = rate_text(info.source_fps) if info.source_fps.denominator == 1 else f"{float(info.source_fps):.2f}"
    return f"{short_time(finding.duration_s)} · {shape} · {rate} fps"


def _player(group: list[Finding], link: str, *, preload: bool) -> Markup:
    about = {"src": link, "poster": data_uri(_poster(group)), "preload": "metadata" if preload else "none"}
    name = attributes(**about, aria_label=f"Video {group[0].name}")
    return (
        f"<video controls playsinline{name}></video>\n"
        '<p class="trouble" role="alert" hidden>The browser can’t play this video: it was moved, or its format is not '
        "for browsers. Make the page again with <code>--embed</code> to put playable clips into it.</p>\n"
        '<p class="now js-only" aria-hidden="true"></p>\n'
    )


def _poster(group: list[Finding]) -> Image.Image:
    """The best frame of the most relevant answer."""
    best = max(group, key=lambda finding: (bool(finding.moments), finding.relevance.score))
    if best.moments:
        return moment_pictures(best.info, best.moments[:1], _POSTER_PX)[0]
    [middle] = strip(best.info, best.duration_s, width_px=_POSTER_PX[0], height_px=_POSTER_PX[1])[:1]
    return middle


# --- an answer --------------------------------------------------------------------------------------------------------


def _answer(finding: Finding, key: str, video: str, link: str, page: Page) -> Markup:
    """Query, curve and table."""
    said = (
        f'<p class="verdict">{escaped(finding.verdict[:1].upper() + finding.verdict[1:])}</p>'
        if finding.verdict
        else f'<p class="relevance">relevance {finding.relevance.score:.2f}</p>'
    )
    targets = [_target(finding, moment, link, f"{key}m{rank}") for rank, moment in enumerate(finding.moments, 1)]
    drawn = report_curve.curve(finding, key=key, strip=f"{video}-strip", targets=targets, offset_s=_offset_s(finding))
    return (
        f'<article class="answer" aria-labelledby="{key}-query">\n'
        f'<header><h3 id="{key}-query">“<bdi>{escaped(finding.query)}</bdi>”</h3>{said}</header>\n'
        f"{drawn}\n{_table(finding, key, targets, page)}</article>"
    )


def _target(finding: Finding, moment: Moment, link: str, row: str) -> str:
    """Where a click leads without JavaScript: into the video at that time, or to the row with the clip."""
    return f"{link}#t={_start_in_file_s(finding, moment):.3f}" if link else f"#{row}"


def _start_in_file_s(finding: Finding, moment: Moment) -> float:
    """Where a player goes: a hair late, else rounding could show the frame before, of another shot."""
    return moment.start_s + _offset_s(finding) + _HAIR_S


def _offset_s(finding: Finding) -> float:
    """What a browser's clock shows at the first presented frame: it keeps the container's own times."""
    return max(0.0, finding.info.start_time_s)


_TABLE_HEAD = (
    '<th scope="col" class="rank">#</th><th scope="col">Picture</th><th scope="col">Start</th>'
    '<th scope="col">End</th><th scope="col" class="number length">Length</th>'
    '<th scope="col" class="score">Score</th>'
)


def _table(finding: Finding, key: str, targets: list[str], page: Page) -> Markup:
    """One row a moment, best first."""
    if not finding.moments:
        return ""
    pictures = moment_pictures(finding.info, finding.moments, _PICTURE_PX)
    rows = "\n".join(
        _row(finding, rank, picture, targets[rank - 1], f"{key}m{rank}", page)
        for rank, picture in enumerate(pictures, start=1)
    )
    caption = f"Moments for “{escaped(finding.query)}”, best first"
    return (
        f'<div class="scroll"><table><caption class="hidden">{caption}</caption>\n'
        f"<thead><tr>{_TABLE_HEAD}</tr></thead>\n"
        f"<tbody>\n{rows}\n</tbody></table></div>\n"
    )


def _row(finding: Finding, rank: int, picture: Image.Image, target: str, row: str, page: Page) -> Markup:
    moment = finding.moments[rank - 1]
    start, end = format_time(moment.start_s), format_time(moment.end_s)
    start_in_file = f"{_start_in_file_s(finding, moment):.3f}"
    about = attributes(id=row, data_rank=str(rank), data_start=start_in_file, data_from=start)
    play = attributes(href=target, data_moment=row, aria_label=f"Play moment {rank} from {start}")
    colour = "best" if rank == 1 else "other"
    seen = _clip(finding, rank, picture, page) if page.embed else _shot(moment, rank, picture, target, row)
    return (
        f'<tr{about}><th scope="row" class="rank"><span class="badge {colour}">{rank}</span></th>'
        f'<td class="picture">{seen}</td>'
        f'<td class="time"><a{play}>{start}</a>{_copy_button("start", start)}</td>'
        f'<td class="time">{end}{_copy_button("end", end)}</td>'
        f'<td class="number length">{moment.length_s:.1f} s</td><td class="score">{moment.score:.2f}</td></tr>'
    )


def _clip(finding: Finding, rank: int, picture: Image.Image, page: Page) -> Markup:
    source = small_clip(finding.info, finding.moments[rank - 1])
    page.progress.advance(1)
    about = attributes(src=source, poster=data_uri(picture), aria_label=f"Clip of moment {rank}")
    return f'<video class="clip" controls playsinline preload="metadata"{about}></video>'


def _shot(moment: Moment, rank: int, picture: Image.Image, target: str, row: str) -> Markup:
    """A picture to click; the keyboard has the link beside it."""
    link = attributes(href=target, data_moment=row, tabindex="-1")
    alt = f"Frame of moment {rank}, at {format_time(moment.peak_s)}"
    image = attributes(src=data_uri(picture), alt=alt, width=str(picture.width), height=str(picture.height))
    return f'<a class="shot"{link}><img{image}></a>'


def _copy_button(which: str, time: str) -> Markup:
    label = attributes(data_text=time, aria_label=f"Copy the {which} time {time}")
    return f'<button type="button" class="copy js-only"{label}>Copy</button>'
