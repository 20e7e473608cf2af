"""The page in a real browser, from file://, as after a double-click. Skips where playwright or chromium is missing."""

from __future__ import annotations

import io
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rdmf_cli.export.finding import Finding
from rdmf_cli.export.report import Page, report
from rdmf_cli.moments import Moment, Relevance
from tests import videos
from tests.export.findings import finding_of
from tests.export.test_report import HOSTILE

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE_MS = 60_000
AT = "document.querySelector('.stage video').currentTime"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = next((found for name in _PROGRAMS if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("no chromium on this machine")
    options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=program, args=options)
        yield opened
        opened.close()


class Visit:
    """A page opened from disk, and what it complained of and asked for."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
        self.context.set_default_timeout(_PATIENCE_MS)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.refused: dict[str, str] = {}
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}") or dialog.dismiss())
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("requestfailed", lambda request: self.refused.update({request.url: request.failure}))
        self.page.goto(file.absolute().as_uri())

    def wait(self, condition: str) -> None:
        """Until the JavaScript `condition` is true. (playwright's own way needs eval, which the policy forbids.)"""
        until = time.monotonic() + _PATIENCE_MS / 1000
        while not self.page.evaluate(condition):
            assert time.monotonic() < until, condition
            self.page.wait_for_timeout(20)


@pytest.fixture
def visit(browser: Any, tmp_path: Path) -> Iterator[Any]:
    """Write a page of findings beside a copy of their video, and open it."""
    visits: list[Visit] = []

    def open_page(*findings: Finding, embed: bool = False, **options: Any) -> Visit:
        file = tmp_path / "page.html"
        file.write_bytes(report(list(findings), Page(tmp_path, "lite", embed)))
        visits.append(Visit(browser, file, **options))
        return visits[-1]

    yield open_page
    for one in visits:
        one.context.close()


def copied(folder: Path, name: str, source: Path | None = None) -> Path:
    shutil.copy(source or videos.constant_rate(), folder / name)
    return folder / name


@pytest.mark.parametrize(("name", "make"), [("a.mp4", videos.constant_rate), ("b.webm", videos.odd_size)])
def test_a_click_on_a_moment_seeks(visit: Any, tmp_path: Path, name: str, make: Any) -> None:
    seen = visit(finding_of(copied(tmp_path, name, make())))
    seen.wait("document.querySelector('video').readyState >= 1")
    assert seen.page.evaluate(AT) == 0
    seen.page.locator("svg a.moment").nth(1).click()  # in order of time: the second one starts at 1.2 s
    seen.wait(f"{AT} >= 1.2")
    assert seen.page.locator("tr.chosen").get_attribute("data-rank") == "1"
    seen.page.locator("tbody tr").nth(1).locator(".time a").click()
    seen.wait(f"{AT} >= 0.2 && {AT} < 1.1")
    seen.wait("Number.parseFloat(document.querySelector('.playhead').getAttribute('x1')) > 5")
    assert seen.page.locator(".trouble").is_hidden()
    assert seen.complaints == []
    assert all(url.startswith(("file://", "data:")) for url in seen.requests)


def test_a_video_whose_clock_starts_late(visit: Any, tmp_path: Path) -> None:
    late = videos.remake(videos.odd_size(), "late.webm", after=("-c", "copy", "-output_ts_offset", "5"))
    finding = finding_of(copied(tmp_path, "late.webm", late))
    assert finding.info.start_time_s == pytest.approx(5.0)
    seen = visit(finding)
    seen.page.locator("svg a.moment").nth(1).click()
    seen.wait(f"{AT} >= 6.2 && {AT} < 7.2")


@pytest.mark.skipif(os.name != "posix", reason="names that other systems forbid")
@pytest.mark.parametrize("name", ["<script>alert(1)<.mp4", "javascript:alert(1).mp4", "-犬 \"'&#?%41.mp4"])
def test_hostile_texts_stay_text_and_the_video_plays(visit: Any, tmp_path: Path, name: str) -> None:
    seen = visit(finding_of(copied(tmp_path, name), HOSTILE))
    seen.wait("document.querySelector('video').readyState >= 1")
    seen.page.locator("svg a.moment").first.click()
    seen.wait(f"{AT} >= 0.2")
    assert seen.page.locator("h2").inner_text() == name
    assert "<script>alert(1)</script>" in seen.page.locator("h3").inner_text()
    assert seen.page.locator("script").count() == 1
    assert seen.page.locator("img[onerror]").count() == 0
    assert seen.complaints == []
    assert all(url.startswith(("file://", "data:")) for url in seen.requests)


def test_the_keyboard(visit: Any, tmp_path: Path) -> None:
    seen = visit(finding_of(copied(tmp_path, "a.mp4")), finding_of(tmp_path / "a.mp4", "a cat"))
    press = seen.page.keyboard.press
    chosen = seen.page.locator("tr.chosen")
    press("n")
    seen.wait(f"{AT} >= 1.2")
    assert chosen.get_attribute("id") == "v1q1m1"
    press("n")
    press("n")
    assert chosen.get_attribute("id") == "v1q2m1"
    press("2")
    assert chosen.get_attribute("id") == "v1q2m2"
    press("p")
    assert chosen.get_attribute("id") == "v1q2m1"
    press("9")  # there is none
    assert chosen.get_attribute("id") == "v1q2m1"
    press("k")
    seen.wait("document.querySelector('video').paused")
    press("ArrowLeft")
    seen.wait(f"{AT} === 0")
    press("?")
    assert seen.page.locator("#help").get_attribute("open") is not None
    seen.page.locator("#shortcuts").uncheck()
    seen.page.locator("h1").click()
    press("p")
    assert chosen.get_attribute("id") == "v1q2m1"
    assert seen.complaints == []


def test_tab_goes_through_everything_in_order(visit: Any, tmp_path: Path) -> None:
    seen = visit(finding_of(copied(tmp_path, "a.mp4")))
    names = []
    for _ in range(24):
        seen.page.keyboard.press("Tab")
        names.append(
            seen.page.evaluate(
                "(e => e.closest('video') ? 'video' : e.getAttribute('aria-label') || "
                "(e.querySelector('title') || e).textContent.trim())"
                "(document.activeElement)"
            )
        )
    order = list(dict.fromkeys(names))
    assert order[:4] == [
        "Skip to the results",
        "video",
        "Moment 2: 0:00:00.200 to 0:00:00.600, score 0.42",
        "Moment 1: 0:00:01.200 to 0:00:02.000, score 0.91",
    ]
    rest = ["Play moment 1 from 0:00:01.200", "Copy the start time 0:00:01.200", "Copy the end time 0:00:02.000"]
    assert order[4:7] == rest
    seen.page.locator("svg a.moment").nth(1).focus()
    seen.page.keyboard.press("Enter")
    seen.wait(f"{AT} >= 1.2")


def test_a_time_is_copied(visit: Any, tmp_path: Path) -> None:
    seen = visit(finding_of(copied(tmp_path, "a.mp4")), permissions=["clipboard-read", "clipboard-write"])
    seen.page.locator("tbody tr").first.get_by_role("button", name="Copy the end time").click()
    seen.wait("document.querySelector('#said').textContent === 'Copied 0:00:02.000'")
    assert seen.page.evaluate("navigator.clipboard.readText()") == "0:00:02.000"
    seen.page.keyboard.press("c")
    seen.wait("document.querySelector('#said').textContent === 'Copied 0:00:01.200'")
    assert seen.page.evaluate("navigator.clipboard.readText()") == "0:00:01.200"


def test_without_scripts_it_can_be_read_and_its_links_followed(visit: Any, tmp_path: Path) -> None:
    seen = visit(finding_of(copied(tmp_path, "a.mp4")), java_script_enabled=False)
    assert seen.page.locator("tbody tr").count() == 2
    assert seen.page.locator("tbody tr").first.is_visible()
    assert seen.page.locator("button.copy").first.is_hidden()  # it would do nothing
    assert seen.page.locator("#help").is_hidden()
    seen.page.locator("tbody .time a").first.click()
    seen.page.wait_for_url("**/a.mp4#t=1.201")


def pixels(seen: Visit) -> np.ndarray:
    picture = Image.open(io.BytesIO(seen.page.screenshot(full_page=True)))
    return np.asarray(picture.convert("RGB")).astype(int)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 320])
def test_it_is_drawn_in_both_schemes_and_fits(visit: Any, tmp_path: Path, scheme: str, width: int) -> None:
    seen = visit(finding_of(copied(tmp_path, "a.mp4"), "w" * 300), color_scheme=scheme)
    seen.page.set_viewport_size({"width": width, "height": 900})
    drawn = pixels(seen)
    assert (drawn[2, 2].mean() > 200) == (scheme == "light")
    assert len(np.unique(drawn[::3, ::3] @ (65536, 256, 1))) > 100  # frames, curve, letters
    curve = (0, 114, 178) if scheme == "light" else (86, 180, 233)
    assert (np.abs(drawn - curve).sum(axis=2) < 20).sum() > 50
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


def luminance(rgb: list[float]) -> float:
    parts = [c / 255 / 12.92 if c / 255 <= 0.03928 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in rgb]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_the_contrast_that_wcag_asks_for(visit: Any, tmp_path: Path, scheme: str) -> None:
    nothing = replace(finding_of(copied(tmp_path, "a.mp4"), "b"), moments=(), relevance=Relevance(0.3, 0.5))
    seen = visit(finding_of(tmp_path / "a.mp4"), nothing, color_scheme=scheme)
    seen.page.keyboard.press("n")
    pairs = seen.page.evaluate(
        """() => [...document.querySelectorAll('h1,h2,h3,p,th,td,table a,button,summary,.badge,.key,svg text')]
        .filter(e => e.textContent.trim() && !e.closest('[hidden]') && !e.closest('.hidden')).map(e => {
          const svg = e.closest('svg'), style = getComputedStyle(e);
          let behind = e; const isClear = one => /rgba\\(0, 0, 0, 0\\)/.test(getComputedStyle(one).backgroundColor);
          while (behind.parentElement && isClear(behind)) behind = behind.parentElement;
          const rgb = text => text.match(/[\\d.]+/g).slice(0, 3).map(Number);
          return [e.textContent.trim().slice(0, 30), rgb(svg ? style.fill : style.color),
                  rgb(getComputedStyle(behind).backgroundColor)]; })"""
    )
    assert len(pairs) > 20
    for text, front, back in pairs:
        light, dark = sorted((luminance(front), luminance(back)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, front, back)


def test_embedded_clips_play_without_the_file(visit: Any, tmp_path: Path) -> None:
    video = copied(tmp_path, "a.mp4")
    seen = visit(finding_of(video), embed=True)
    video.unlink()
    seen.page.reload()
    seen.page.locator("svg a.moment").nth(1).click()
    first = "document.querySelector('#v1q1m1 video')"
    seen.wait(f"{first}.currentTime > 0 && !{first}.error")
    assert seen.page.evaluate(f"{first}.duration") == pytest.approx(0.8, abs=0.1)
    assert seen.complaints == []
    assert all(url.startswith(("file://", "data:")) for url in seen.requests)


def test_a_video_that_was_moved_is_explained(visit: Any, tmp_path: Path) -> None:
    video = copied(tmp_path, "a.mp4")
    seen = visit(finding_of(video))
    assert seen.page.locator(".trouble").is_hidden()
    video.unlink()
    seen.page.reload()
    seen.page.locator(".trouble").wait_for(state="visible")
    assert "--embed" in seen.page.locator(".trouble").inner_text()
    assert seen.page.locator("tbody tr").count() == 2


def test_the_policy_holds(visit: Any, tmp_path: Path) -> None:
    seen = visit(finding_of(copied(tmp_path, "a.mp4")))
    seen.page.evaluate(
        """() => { const script = document.createElement('script'); script.textContent = 'window.broken = 1';
        document.body.append(script); const image = new Image(); image.src = 'http://127.0.0.1:9/x.png';
        document.body.append(image); }"""
    )
    while "http://127.0.0.1:9/x.png" not in seen.refused:
        seen.page.wait_for_timeout(20)
    assert seen.refused["http://127.0.0.1:9/x.png"] == "csp"
    assert seen.page.evaluate("window.broken") is None
    assert sum("Content Security Policy" in text for text in seen.complaints) == 2


def test_the_frame_after_a_click_is_the_moments_first(visit: Any, tmp_path: Path) -> None:
    times = ("-vf", "settb=1/30000,setpts=N*1001", "-fps_mode", "passthrough", "-enc_time_base", "1:30000")
    at_frame = videos.make("ntsc.mp4", *times, "-video_track_timescale", "30000")
    start_s = 41 * 1001 / 30000  # 1.3680333…: rounded to milliseconds it lies before its frame
    seen = visit(finding_of(copied(tmp_path, "a.mp4", at_frame), moments=(Moment(start_s, 2.0, 0.9, 1.5),)))
    seen.page.evaluate("HTMLMediaElement.prototype.play = function () { return Promise.resolve(); }")  # stay there
    seen.page.locator("svg a.moment").click()
    seen.wait(f"{AT} > 1 && !document.querySelector('video').seeking")
    box = seen.page.locator(".stage video").bounding_box()
    picture = Image.open(io.BytesIO(seen.page.screenshot(clip=box))).convert("RGB")
    assert videos.number_of(np.asarray(picture)) == 41
