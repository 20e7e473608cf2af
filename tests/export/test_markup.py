from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import pytest

from rdmf_cli.export.markup import attributes, escaped, media_link

NAMES = [
    "a.mp4",
    "-x y.mp4",
    "javascript:alert(1).mp4",
    "a#b?c=d&e.mp4",
    "100%25.mp4",
    "犬 'q' \"q\".mp4",
    "..mp4",
    "a\\b.mp4",
]


def test_text_stays_text() -> None:
    assert escaped("</script><b a='\"'>&") == "&lt;/script&gt;&lt;b a=&#x27;&quot;&#x27;&gt;&amp;"
    assert escaped("a\x00\udcff") == "a\\x00\\udcff"


def test_attributes() -> None:
    assert attributes(data_rank="1", href='"><x', poster="") == ' data-rank="1" href="&quot;&gt;&lt;x"'


@pytest.mark.skipif(os.name != "posix", reason="names that other systems forbid")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("folder", ["pages", "videos", "videos/deep/er", "."])
def test_a_link_leads_to_the_file(tmp_path: Path, name: str, folder: str) -> None:
    video = tmp_path / "videos" / name
    link = media_link(video, tmp_path / folder)
    assert not urlsplit(link).scheme
    assert not link.startswith("/")  # page and video can be moved together
    page = (tmp_path / folder / "page.html").absolute().as_uri()
    reached = urlsplit(urljoin(page, link))
    assert (reached.query, reached.fragment) == ("", "")
    assert unquote_to_bytes(reached.path) == os.fsencode(os.path.abspath(video))


@pytest.mark.skipif(os.name != "posix", reason="names of bytes")
def test_a_name_that_is_no_text() -> None:
    assert media_link(Path(os.fsdecode(b"/v/\xff.mp4")), Path("/v")) == "./%FF.mp4"


def test_relative_paths_count_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert media_link(Path("a.mp4"), Path("pages")) == "./../a.mp4"
