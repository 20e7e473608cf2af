"""Text in pictures that Pillow makes: a font that the machine has and that knows the letters, never an error."""

from __future__ import annotations

from functools import cache

from PIL import ImageDraw, ImageFont
from PIL.Image import Image
from PIL.ImageFont import FreeTypeFont

from rdmf_cli.export.finding import legible

Font = FreeTypeFont | ImageFont.ImageFont

# Looked for in the system's folders, in this order; the last resort is the one inside Pillow, which knows Latin only.
_REGULAR = (
    "DejaVuSans.ttf", "NotoSans-Regular.ttf", "segoeui.ttf", "arial.ttf", "Helvetica.ttc", "LiberationSans-Regular.ttf",
    "NotoSansCJK-Regular.ttc", "PingFang.ttc", "Hiragino Sans GB.ttc", "msyh.ttc", "YuGothM.ttc", "malgun.ttf",
    "Arial Unicode.ttf", "wqy-zenhei.ttc",
)  # fmt: skip
_BOLD = (
    "DejaVuSans-Bold.ttf", "NotoSans-Bold.ttf", "segoeuib.ttf", "arialbd.ttf", "LiberationSans-Bold.ttf",
    "NotoSansCJK-Bold.ttc", "msyhbd.ttc",
)  # fmt: skip
_UNKNOWN_SIGN = "\U0010fffd"  # no font has it, so it is drawn as the box that stands for missing letters


def draw_text(
    image: Image,
    at: tuple[float, float],
    text: str,
    size_px: int,
    colour: str,
    *,
    bold: bool = False,
    anchor: str = "ls",
) -> None:
    """`text` on one line; `anchor` as Pillow names it, "ls": `at` is the left end of the base line."""
    text = legible(text)
    ImageDraw.Draw(image).text(at, text, fill=colour, font=font_for(text, size_px, bold=bold), anchor=anchor)


def shortened(text: str, size_px: int, width_px: float, *, bold: bool = False) -> str:
    """`text` cut so that it fits into `width_px`, with … at its end if it had to be."""
    text = legible(text)
    font = font_for(text, size_px, bold=bold)
    if font.getlength(text) <= width_px:
        return text
    low, high = 0, len(text)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if font.getlength(f"{text[:middle]}…") <= width_px else (low, middle - 1)
    return f"{text[:low]}…"


def font_for(text: str, size_px: int, *, bold: bool = False) -> Font:
    """The first font that knows every letter of `text`, else the one that comes first of all."""
    fonts = _fonts(size_px, bold)
    letters = {sign for sign in text if ord(sign) > 126}
    return next((font for font in fonts if all(_knows(font, sign) for sign in letters)), fonts[0])


@cache
def _fonts(size_px: int, bold: bool) -> tuple[Font, ...]:
    found: list[Font] = []
    for name in (*_BOLD, *_REGULAR) if bold else _REGULAR:
        try:
            found.append(ImageFont.truetype(name, size_px))
        except OSError:
            continue
    return (*found, ImageFont.load_default(size_px))


def _knows(font: Font, sign: str) -> bool:
    if not isinstance(font, FreeTypeFont):
        return False
    return bytes(font.getmask(sign)) != bytes(font.getmask(_UNKNOWN_SIGN)) or not sign.strip()
