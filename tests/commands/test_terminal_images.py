"""The three protocols, read back as their specifications say."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rdmf_cli.commands import terminal_images
from rdmf_cli.commands.terminal_images import Protocol, encode, from_environment, is_complete, question, understood


def picture(width: int = 40, height: int = 25) -> Image.Image:
    """Noise in few colours over a gradient; the right quarter is transparent."""
    rng = np.random.default_rng(0)
    pixels = np.zeros((height, width, 4), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width).astype(np.uint8) // 51 * 51
    pixels[..., 1] = rng.integers(0, 3, (height, width)) * 102
    pixels[..., 2] = 51
    pixels[..., 3] = np.where(np.arange(width) < width * 3 // 4, 255, 0)
    return Image.fromarray(pixels)


# --- Kitty ------------------------------------------------------------------------------------------------------------


def kitty_commands(sent: bytes) -> list[tuple[dict[str, str], bytes]]:
    """Graphics commands: <ESC>_G<keys>;<payload><ESC>\\; nothing else may stand between them."""
    found = re.findall(rb"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\", sent)
    assert b"".join(b"\x1b_G" + keys + b";" + data + b"\x1b\\" for keys, data in found) == sent
    return [(dict(pair.split("=") for pair in keys.decode().split(",")), data) for keys, data in found]


@pytest.mark.parametrize("size", [(2, 2), (40, 25), (300, 200)])
def test_kitty_sends_a_png_in_pieces(size: tuple[int, int]) -> None:
    image = picture(*size)
    commands = kitty_commands(encode(Protocol.kitty, image, 10, 4))
    first = commands[0][0]
    assert {key: first[key] for key in "afcr"} == {"a": "T", "f": "100", "c": "10", "r": "4"}
    assert [keys["m"] for keys, _ in commands] == ["1"] * (len(commands) - 1) + ["0"]
    assert all(keys["q"] == "2" for keys, _ in commands)  # each piece, else the terminal answers into the shell
    assert all(len(data) <= 4096 for _, data in commands)
    assert all(len(data) % 4 == 0 for _, data in commands)
    received = Image.open(io.BytesIO(base64.b64decode(b"".join(data for _, data in commands))))
    assert received.format == "PNG"
    np.testing.assert_array_equal(np.asarray(received), np.asarray(image))


# --- iTerm2 -----------------------------------------------------------------------------------------------------------


def test_iterm2_sends_a_file_inline() -> None:
    image = picture()
    sent = encode(Protocol.iterm2, image, 10, 4)
    match = re.fullmatch(rb"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]+)\x07", sent)
    assert match
    about = dict(pair.split("=") for pair in match[1].decode().split(";"))
    file = base64.b64decode(match[2])
    assert about == {"inline": "1", "size": str(len(file)), "width": "10", "height": "4", "preserveAspectRatio": "1"}
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(file))), np.asarray(image))


# --- Sixel ------------------------------------------------------------------------------------------------------------


def sixel_picture(sent: bytes) -> NDArray[np.int64]:
    """A small Sixel reader, after the VT330/VT340 manual: (H, W, 4), percent and whether the pixel was drawn."""
    match = re.fullmatch(rb'\x1bP[\d;]*q"(\d+);(\d+);(\d+);(\d+)(.*)\x1b\\', sent, re.DOTALL)
    assert match, sent[:40]
    assert (match[1], match[2]) == (b"1", b"1")  # pixels are square
    width, height = int(match[3]), int(match[4])
    canvas = np.zeros((-(-height // 6) * 6, width, 4), np.int64)
    colours: dict[int, tuple[int, int, int]] = {}
    colour, x, top = 0, 0, 0
    token = re.compile(rb"#(\d+)(?:;2;(\d+);(\d+);(\d+))?|!(\d+)([?-~])|([?-~])|(\$)|(-)")
    at = 0
    while at < len(match[5]):
        part = token.match(match[5], at)
        assert part, match[5][at : at + 20]
        at = part.end()
        if part[1]:
            colour = int(part[1])
            if part[2]:
                colours[colour] = (int(part[2]), int(part[3]), int(part[4]))
        elif part[8]:
            x = 0
        elif part[9]:
            x, top = 0, top + 6
        else:
            count, sign = (int(part[5]), part[6]) if part[5] else (1, part[7])
            for row in range(6):
                if (sign[0] - 63) >> row & 1:
                    canvas[top + row, x : x + count] = (*colours[colour], 1)
            x += count
            assert x <= width
    assert not canvas[height:].any()
    return canvas[:height]


@pytest.mark.parametrize("size", [(1, 1), (40, 25), (33, 6), (7, 13), (300, 120)])
def test_sixel_draws_each_pixel_once_in_its_colour(size: tuple[int, int]) -> None:
    image = picture(*size)
    drawn = sixel_picture(encode(Protocol.sixel, image, 10, 4))
    wanted = np.asarray(image).astype(int)
    opaque = wanted[..., 3] > 0
    np.testing.assert_array_equal(drawn[..., 3] == 1, opaque)
    off = np.abs(drawn[..., :3] - wanted[..., :3] * 100 / 255)[opaque]
    assert off.max(initial=0) <= 2  # percent; the picture has fewer colours than Sixel allows


def test_sixel_of_many_colours_is_close() -> None:
    ramp = np.zeros((60, 90, 4), np.uint8)
    ramp[..., 0] = np.linspace(0, 255, 90)
    ramp[..., 1] = np.linspace(0, 255, 60)[:, None]
    ramp[..., 3] = 255
    sent = terminal_images.sixel(Image.fromarray(ramp))
    assert len(set(re.findall(rb"#(\d+);2", sent))) <= 255
    assert np.abs(sixel_picture(sent)[..., :3] - ramp[..., :3].astype(int) * 100 / 255).mean() < 4


# --- which one --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-kitty"}, Protocol.kitty),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, Protocol.kitty),
        ({"TERM": "xterm-ghostty"}, Protocol.kitty),
        ({"TERM_PROGRAM": "iTerm.app", "TERM": "xterm-256color"}, Protocol.iterm2),
        ({"LC_TERMINAL": "iTerm2", "TERM": "xterm-256color"}, Protocol.iterm2),
        ({"TERM_PROGRAM": "WezTerm", "TERM": "xterm-256color"}, Protocol.iterm2),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-0/default,1,0"}, None),
        ({}, None),
    ],
)
def test_what_the_environment_says(environment: Mapping[str, str], expected: Protocol | None) -> None:
    assert from_environment(environment) == expected


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"\x1b_Gi=31;OK\x1b\\\x1b[?62;c", Protocol.kitty),
        (b"\x1b_Gi=31;OK\x1b\\\x1b[?62;4;22c", Protocol.kitty),
        (b"\x1b_Gi=31;ENOTSUPPORTED:\x1b\\\x1b[?62;22c", None),
        (b"\x1b[?62;4;6;22c", Protocol.sixel),
        (b"\x1b[?63;1;2;4c", Protocol.sixel),
        (b"\x1b[?64;14;44c", None),
        (b"\x1b[?4;6c", None),  # a VT132: 4 is its kind
        (b"\x1b[?1;2c", None),
        (b"typed ahead\x1b[?62;4c", Protocol.sixel),
        (b"", None),
        (b"\x1b[?62;4", None),  # cut off
    ],
)
def test_what_terminals_answer(reply: bytes, expected: Protocol | None) -> None:
    assert understood(reply) == expected
    assert is_complete(reply) == (reply.endswith(b"c") and b"[?" in reply)


def test_what_is_asked_of_whom() -> None:
    asked = question({"TERM": "xterm-256color"})
    assert asked.startswith(b"\x1b_G")
    assert asked.endswith(b"\x1b[c")  # every terminal answers that, so nothing waits
    assert question({"TERM": "tmux-256color"}) == b"\x1b[c"
    for silent in ({"TERM": "dumb"}, {"TERM": "linux"}, {}, {"TERM": "xterm", "TERM_PROGRAM": "Apple_Terminal"}):
        assert question(silent) == b""
