"""The page as text: what is in it, and that nothing from outside becomes markup. In a browser: test_report_browser."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path

import pytest

from rdmf_cli.errors import VideoError
from rdmf_cli.export.finding import Finding
from rdmf_cli.export.report import Page, report
from rdmf_cli.moments import Relevance
from tests import videos
from tests.export.findings import finding_of

HOSTILE = (
    "</script><script>alert(1)</script> \"'> <img src=x onerror=alert(2)> {{script}} javascript:alert(3) 犬 \udcff\x00"
)
_VOID = {"meta", "img", "input", "line", "rect", "image", "use", "path", "br", "source"}


class Tree(HTMLParser):
    """Start tags in order; complains about markup that does not nest."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, names)
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] not in ("script", "style"):
            self.text.append(data)


def parsed(text: str) -> Tree:
    tree = Tree()
    tree.feed(text)
    tree.close()
    assert tree.open == []
    return tree


def page_of(*findings: Finding, embed: bool = False, folder: Path | None = None) -> str:
    return report(list(findings), Page(folder or videos.folder(), "lite", embed)).decode("utf-8")


def test_what_a_reader_finds_without_scripts() -> None:
    tree = parsed(page_of(finding_of()))
    text = " ".join(" ".join(tree.text).split())
    for said in ("“ a dog ”", "constant.mp4", "0:00:01.200", "0:00:02.000", "0.8 s", "0.91", "relevance 0.80", "lite"):
        assert said in text, said
    links = [about["href"] for tag, about in tree.tags if tag == "a"]
    assert "./constant.mp4#t=1.201" in links
    assert sum(tag == "img" for tag, _ in tree.tags) == 2
    assert all(about["alt"] for tag, about in tree.tags if tag == "img")


def test_ids_are_unique_and_links_lead_to_them() -> None:
    tree = parsed(page_of(finding_of(), finding_of(query="b"), finding_of(videos.odd_size())))
    ids = [about["id"] for _, about in tree.tags if "id" in about]
    assert len(ids) == len(set(ids))
    for _, about in tree.tags:
        for name in ("data-moment", "aria-labelledby"):
            assert about.get(name, ids[0]) in ids
        if about.get("href", "").startswith("#"):
            assert about["href"][1:] in ids


@pytest.mark.parametrize("embed", [False, True])
def test_nothing_leads_out_of_the_page(embed: bool) -> None:
    text = page_of(finding_of(), embed=embed)
    assert "http://" not in text.replace("http://www.w3.org", "")
    assert "https://" not in text
    for tag, about in parsed(text).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        assert not [name for name in about if name.startswith("on") or name == "style"], (tag, about)
        for name in ("src", "href", "poster"):
            assert about.get(name, "#").startswith(("#", "data:image/jpeg", "data:video/mp4", "./")), about[name]


def test_the_policy_allows_this_style_and_script_only() -> None:
    text = page_of(finding_of())
    [policy] = [about["content"] for tag, about in parsed(text).tags if about.get("http-equiv")]
    for tag in ("script", "style"):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    assert "*" not in policy


def test_no_text_from_outside_becomes_markup() -> None:
    plain, hostile = parsed(page_of(finding_of())), parsed(page_of(finding_of(query=HOSTILE)))
    assert [tag for tag, _ in hostile.tags] == [tag for tag, _ in plain.tags]
    assert "<script>alert(1)</script>" in "".join(hostile.text)
    assert "{{script}}" in "".join(hostile.text)
    assert "\\udcff\\x00" in "".join(hostile.text)


def test_assets_cannot_end_their_element() -> None:
    for name in ("report.css", "report.js"):
        text = files("rdmf_cli.export").joinpath(name).read_text(encoding="utf-8")
        assert "</" not in text
        assert "{{" not in text


def test_no_moment_is_said() -> None:
    nothing = replace(finding_of(), moments=(), relevance=Relevance(0.3, 0.5))
    tree = parsed(page_of(nothing))
    assert "No confident match (relevance 0.30 < 0.50)" in "".join(tree.text)
    assert "table" not in [tag for tag, _ in tree.tags]
    assert "svg" in [tag for tag, _ in tree.tags]


def test_several_videos_and_queries_are_one_page() -> None:
    other = videos.odd_size()
    text = page_of(finding_of(query="a"), finding_of(query="b"), finding_of(other, "a"), finding_of(other, "b"))
    tree = parsed(text)
    assert [tag for tag, _ in tree.tags].count("video") == 2
    assert [tag for tag, _ in tree.tags].count("table") == 4
    assert "2 queries in 2 videos" in "".join(tree.text)
    links = [about["href"] for tag, about in tree.tags if tag == "a" and about["href"].endswith("-query")]
    assert links == ["#v1q1-query", "#v1q2-query", "#v2q1-query", "#v2q2-query"]


def test_times_in_the_file_count_from_the_containers_clock() -> None:
    finding = finding_of(videos.transport_stream())
    text = page_of(finding)
    in_file_s = finding.info.start_time_s + 1.201
    assert in_file_s > 3691
    assert f'data-start="{in_file_s:.3f}"' in text
    assert f"#t={in_file_s:.3f}" in text
    assert "0:00:01.200" in text


def test_embedded_clips_need_no_file() -> None:
    tree = parsed(page_of(finding_of(), embed=True))
    clips = [about for tag, about in tree.tags if tag == "video"]
    assert len(clips) == 2
    for clip in clips:
        kind, _, data = clip["src"].partition(",")
        assert kind == "data:video/mp4;base64"
        assert base64.b64decode(data)[4:8] == b"ftyp"


def test_a_video_that_is_gone(tmp_path: Path) -> None:
    finding = finding_of()
    with pytest.raises(VideoError, match="not there any more"):
        page_of(replace(finding, info=replace(finding.info, path=tmp_path / "gone.mp4")))


def test_the_same_answer_gives_the_same_page() -> None:
    assert page_of(finding_of()) == page_of(finding_of())
