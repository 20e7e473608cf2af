from __future__ import annotations

from pathlib import Path

import pytest

from rdmf_cli.commands.options_cut import DEFAULT_NAME
from rdmf_cli.errors import UsageError
from rdmf_cli.export.templates import DEFAULT, NAME_BYTES, clip_name, parse
from rdmf_cli.moments import Moment


def moment(start_s: float, end_s: float) -> Moment:
    return Moment(start_s, end_s, 0.876, start_s)


def test_the_default_is_the_one_that_help_shows() -> None:
    assert DEFAULT == DEFAULT_NAME


@pytest.mark.parametrize(
    ("video", "query", "expected"),
    [
        ("dog.mp4", "a dog runs", "dog-03-0h00m12.500s-a-dog-runs"),
        ("my film (1).mkv", 'what/is: "this"?', "my-film-1-03-0h00m12.500s-what-is-this"),
        ("..", "", "video-03-0h00m12.500s"),
        ("日本.mp4", "犬が走る", "日本-03-0h00m12.500s-犬が走る"),
        ("CON.mp4", "x\u202e\n\0y", "CON-03-0h00m12.500s-x-y"),
    ],
)
def test_names_are_safe(video: str, query: str, expected: str) -> None:
    assert clip_name(parse(DEFAULT), Path(video), 3, moment(12.5, 14), query) == expected


def test_names_are_short() -> None:
    name = clip_name(parse(DEFAULT), Path("日本" * 80 + ".mp4"), 1, moment(0, 1), "犬" * 200)
    assert 60 < len(name.encode()) <= NAME_BYTES
    assert "00-0h00m00.000s" not in name
    assert "-01-0h00m00.000s-犬" in name


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{rank}_{start}_{end}_{score}", "03_0h00m12.500s_0h00m14.000s_0.88"),
        ("clip {rank}.mp4", "clip 03"),
        ("{query}", "what-is-this"),
        ("best of: {video}?", "best of- dog"),
        ("{video}...", "dog"),
        ("plain", "plain"),
    ],
)
def test_templates(template: str, expected: str) -> None:
    assert clip_name(parse(template), Path("dog.mp4"), 3, moment(12.5, 14), "what is this?") == expected


def test_a_suffix_asks_for_a_container() -> None:
    assert (parse("a.mp4").container, parse("a.MKV").container, parse("a.b").container) == (".mp4", ".mkv", "")


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("../{rank}", "leads out of the folder"),
        ("..", "leads out of the folder"),
        ("a/b", "leads out of the folder"),
        ("a\\b", "leads out of the folder"),
        ("/etc/passwd", "leads out of the folder"),
        ("C:{rank}", "leads out of the folder"),
        ("~/x", "leads out of the folder"),
        ("{nothing}", "no field is called {nothing}"),
        ("{video", "a brace is open"),
        ("{rank:>3}", "no field is called {rank:>3}"),
        ("{}", "no field is called {}"),
        ("x" * 300, "more than 60 bytes"),
        ("???", "nothing is left"),
        ("...", "leads out"),
        ("{rank}.webm", "clips are .mp4 or .mkv files, not .webm"),
    ],
)
def test_templates_that_are_refused(template: str, words: str) -> None:
    with pytest.raises(UsageError, match="--name: ") as caught:
        parse(template)
    assert words in str(caught.value)


@pytest.mark.parametrize("device", ["CON", "nul", "Aux", "COM1", "lpt9", "con.txt", "COM¹"])
def test_devices_of_windows_are_no_names(device: str) -> None:
    template = parse(device)
    assert template.text == f"clip-{device}"
    assert "device on Windows" in template.warnings[0]
    name = clip_name(parse("{video}"), Path(f"{device}.mp4"), 1, moment(0, 1), "")
    assert name.partition(".")[0].casefold() not in ("con", "nul", "aux", "com1", "lpt9", "com¹")


def test_forbidden_signs_are_replaced_with_a_word() -> None:
    template = parse('a<b>:"|?*\x07{rank}')
    assert clip_name(template, Path("x.mp4"), 1, moment(0, 1), "") == "a-b-------01"
    assert "some systems forbid" in template.warnings[0]
