"""Pictures in a terminal: three protocols as pure functions from pictures to bytes, and how terminals name theirs.

References
----------
Kitty: https://sw.kovidgoyal.net/kitty/graphics-protocol/ · iTerm2: https://iterm2.com/documentation-images.html ·
Sixel: VT330/VT340 Programmer Reference Manual, volume 2, chapter 14.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Protocol(StrEnum):
    """A way to send pictures to a terminal."""

    kitty = "Kitty"
    iterm2 = "iTerm2"
    sixel = "Sixel"


KITTY_CHUNK = 4096  # base64 letters in one command at most, as the protocol says
_ESC = b"\x1b"
_ST = _ESC + b"\\"  # string terminator

# A picture of one pixel that is only asked about, then the question every terminal answers (DA1), so that no one waits.
KITTY_QUESTION = _ESC + b"_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA" + _ST
ATTRIBUTES_QUESTION = _ESC + b"[c"
_ATTRIBUTES = re.compile(rb"\x1b\[\?([\d;]*)c")
_SIXEL_ATTRIBUTE = b"4"

_MULTIPLEXERS = ("screen", "tmux")  # they pass neither Kitty's nor iTerm2's pictures on
_WITHOUT = ("dumb", "unknown", "linux", "")  # values of TERM


def from_environment(environment: Mapping[str, str]) -> Protocol | None:
    """What the variables that terminals set for their programs say; None: they say nothing."""
    if in_multiplexer(environment):
        return None
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if "KITTY_WINDOW_ID" in environment or term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return Protocol.kitty
    if program in ("iTerm.app", "WezTerm") or environment.get("LC_TERMINAL") == "iTerm2":
        return Protocol.iterm2
    return None


def in_multiplexer(environment: Mapping[str, str]) -> bool:
    """True inside screen or tmux."""
    return bool(environment.get("TMUX")) or environment.get("TERM", "").startswith(_MULTIPLEXERS)


def question(environment: Mapping[str, str]) -> bytes:
    """What to ask a terminal; b"" for those that would not understand, and would print the question."""
    if environment.get("TERM", "") in _WITHOUT or environment.get("TERM_PROGRAM") == "Apple_Terminal":
        return b""
    return ATTRIBUTES_QUESTION if in_multiplexer(environment) else KITTY_QUESTION + ATTRIBUTES_QUESTION


def is_complete(reply: bytes) -> bool:
    """True if the answer to the last question is there."""
    return _ATTRIBUTES.search(reply) is not None


def understood(reply: bytes) -> Protocol | None:
    """What a terminal that sent `reply` knows: Kitty's protocol before Sixel, which has 256 colours only."""
    if b"\x1b_Gi=31;OK" in reply:
        return Protocol.kitty
    attributes = _ATTRIBUTES.search(reply)
    # The first number is the kind of terminal; 4 there would mean something else.
    return Protocol.sixel if attributes and _SIXEL_ATTRIBUTE in attributes[1].split(b";")[1:] else None


def encode(protocol: Protocol, image: Any, columns: int, rows: int) -> bytes:
    """A Pillow image, RGBA, to be shown over `columns` × `rows` cells; Sixel shows its pixels as they are."""
    if protocol is Protocol.kitty:
        return kitty(_png(image), columns, rows)
    if protocol is Protocol.iterm2:
        return iterm2(_png(image), columns, rows)
    return sixel(image)


def kitty(png: bytes, columns: int, rows: int) -> bytes:
    """Send and show a PNG file; q=2 in each piece keeps the terminal from answering into the shell."""
    text = base64.b64encode(png)
    pieces = [text[at : at + KITTY_CHUNK] for at in range(0, len(text), KITTY_CHUNK)]
    sent = []
    for place, piece in enumerate(pieces):
        first = b"a=T,f=100,c=%d,r=%d," % (columns, rows) if place == 0 else b""
        sent.append(_ESC + b"_G%sq=2,m=%d;" % (first, place < len(pieces) - 1) + piece + _ST)
    return b"".join(sent)


def iterm2(png: bytes, columns: int, rows: int) -> bytes:
    """Show a file inline."""
    about = b"inline=1;size=%d;width=%d;height=%d;preserveAspectRatio=1" % (len(png), columns, rows)
    return _ESC + b"]1337;File=" + about + b":" + base64.b64encode(png) + b"\x07"


def sixel(image: Any) -> bytes:
    """Rows of six pixels, at most 255 colours; transparent pixels are left as the terminal has them.

    After the raster attributes come the colours in percent, then for each band of six rows one line per colour in it,
    with `$` back to the band's start and `-` on to the next band. `!n` repeats a sign.
    """
    import numpy as np

    opaque = np.asarray(image.convert("RGBA"))[..., 3] > 127  # (H, W)
    reduced = image.convert("RGB").quantize(255)
    indices = np.where(opaque, np.asarray(reduced, dtype=np.int64), -1)  # (H, W)
    height, width = indices.shape
    palette = np.asarray(reduced.getpalette(), dtype=np.int64).reshape(-1, 3)
    parts = [_ESC + b'P0;1q"1;1;%d;%d' % (width, height)]
    for index in np.unique(indices[indices >= 0]).tolist():
        red, green, blue = (round(part * 100 / 255) for part in palette[index].tolist())
        parts.append(b"#%d;2;%d;%d;%d" % (index, red, green, blue))
    for top in range(0, height, 6):
        band = indices[top : top + 6]
        bits = 1 << np.arange(len(band))[:, None]
        lines = []
        for index in np.unique(band[band >= 0]).tolist():
            signs = ((band == index) * bits).sum(axis=0) + 63
            lines.append(b"#%d" % index + _repeated(signs.astype(np.uint8).tobytes().rstrip(b"?")))
        parts.append(b"$".join(lines) + b"-")
    return b"".join(parts) + _ST


def _repeated(signs: bytes) -> bytes:
    """Runs of four and more in short."""
    return re.sub(rb"(.)\1{3,}", lambda run: b"!%d" % len(run[0]) + run[1], signs)


def _png(image: Any) -> bytes:
    import io

    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
